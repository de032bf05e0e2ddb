# frozen_string_literal: true

module HeapInspector
  # Bytes and counts for people.
  #
  # @api private
  module Size
    # @param bytes [Integer, nil]
    # @return [String] mebibytes, `-` where it is not known
    def self.mebibytes(bytes)
      return "-" if bytes.nil?

      "#{(bytes / 1_048_576.0).round(bytes < 10 << 20 ? 1 : 0)} MiB"
    end

    # @param number [Integer, nil]
    # @return [String] with commas
    def self.count(number) = number.to_i.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",")
  end

  private_constant :Size
end
