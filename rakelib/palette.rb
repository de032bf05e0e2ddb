# frozen_string_literal: true

require "zlib"

# Makes a PNG smaller: a palette of the 256 colours it has most of, each other one as the nearest of these. Takes what Chromium's
# screenshots are, RGB with 8 bits and without interlacing.
module Palette
  SIGNATURE = "\x89PNG\r\n\x1A\n".b

  class << self
    # @param png [String] the bytes of a file
    # @return [String] those of the smaller one
    def reduce(png)
      width, height, depth, colour, _, _, interlaced = parts(png, "IHDR").unpack("NNC5")
      raise ArgumentError, "expected a PNG of 8-bit RGB" unless [depth, colour, interlaced] == [8, 2, 0]

      rows = rows(Zlib.inflate(parts(png, "IDAT")), width, height)
      counts = rows.flat_map { |row| row.each_slice(3).to_a }.tally
      colours = counts.max_by(256) { |colour_of, count| [count, colour_of.sum] }.map(&:first)
      nearest = counts.keys.to_h { |colour_of| [colour_of, colours.each_index.min_by { |at| distance(colours[at], colour_of) }] }
      indexes = rows.map { |row| [0, *row.each_slice(3).map { |colour_of| nearest[colour_of] }].pack("C*") }
      SIGNATURE + chunk("IHDR", [width, height, 8, 3, 0, 0, 0].pack("NNC5")) + chunk("PLTE", colours.flatten.pack("C*")) +
        chunk("IDAT", Zlib.deflate(indexes.join, 9)) + chunk("IEND", "")
    end

    private

    def distance(one, other) = one.zip(other).sum { |a, b| (a - b)**2 }

    def chunk(name, bytes) = [bytes.bytesize].pack("N") + name + bytes + [Zlib.crc32(name + bytes)].pack("N")

    # The bytes of all chunks of a name.
    def parts(png, wanted)
      found = +"".b
      at = SIGNATURE.bytesize
      while at < png.bytesize
        length, name = png.byteslice(at, 8).unpack("Na4")
        found << png.byteslice(at + 8, length) if name == wanted
        at += length + 12
      end
      found
    end

    # Undoes the filters.
    def rows(bytes, width, height)
      above = Array.new(width * 3, 0)
      Array.new(height) do |at|
        filter, *row = bytes.byteslice(at * ((width * 3) + 1), (width * 3) + 1).bytes
        row.each_index do |x|
          left, corner = x < 3 ? [0, 0] : [row[x - 3], above[x - 3]]
          row[x] = (row[x] + predicted(filter, left, above[x], corner)) & 255
        end
        above = row
      end
    end

    def predicted(filter, left, above, corner)
      case filter
      when 0 then 0
      when 1 then left
      when 2 then above
      when 3 then (left + above) / 2
      else [left, above, corner].min_by { |value| (left + above - corner - value).abs } # Paeth's
      end
    end
  end
end
