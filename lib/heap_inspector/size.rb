# frozen_string_literal: true

module HeapInspector
  # Bytes, times and counts for people.
  #
  # @api private
  module Size
    # @param bytes [Integer, nil]
    # @return [String] mebibytes, `-` where it is not known
    def self.mebibytes(bytes)
      return "-" if bytes.nil?

      "#{(bytes / 1_048_576.0).round(bytes < 10 << 20 ? 1 : 0)} MiB"
    end

    # @param bytes [Integer]
    # @return [String] in the unit that fits: `812 B`, `1.5 KiB`, `3.2 MiB`
    def self.bytes(bytes)
      size, unit = [[1 << 30, "GiB"], [1 << 20, "MiB"], [1 << 10, "KiB"]].find { |least, _| bytes >= least }
      unit ? "#{format("%<number>.1f", number: bytes.to_f / size)} #{unit}" : "#{bytes} B"
    end

    # @param word [String] such as `30s`, `10m`, `1h`; a bare number is seconds
    # @return [Float] seconds
    # @raise [ArgumentError]
    def self.seconds(word)
      number, unit = word.match(/\A(\d+(?:\.\d+)?)([smh]?)\z/)&.captures
      raise ArgumentError, "#{word.inspect} is not a time; write 30s, 10m or 1h" unless number

      Float(number) * { "" => 1, "s" => 1, "m" => 60, "h" => 3600 }.fetch(unit)
    end

    # @param number [Integer, nil]
    # @return [String] with commas
    def self.count(number) = number.to_i.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",")
  end

  private_constant :Size
end
