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

    # @param word [String] such as `30s`, `10m`, `1h`; a bare number is seconds
    # @return [Float] seconds
    # @raise [ArgumentError]
    def self.seconds(word)
      number, unit = word.match(/\A(\d+(?:\.\d+)?)([smh]?)\z/)&.captures
      raise ArgumentError, "#{word.inspect} is no time; write 30s, 10m or 1h" unless number

      Float(number) * { "" => 1, "s" => 1, "m" => 60, "h" => 3600 }.fetch(unit)
    end

    # @param number [Integer, nil]
    # @return [String] with commas
    def self.count(number) = number.to_i.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",")
  end

  private_constant :Size
end
