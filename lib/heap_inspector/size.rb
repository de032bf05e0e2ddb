# frozen_string_literal: true

module HeapInspector
  # Bytes for people.
  #
  # @api private
  module Size
    # @param bytes [Integer, nil]
    # @return [String] mebibytes, `-` where it is not known
    def self.mebibytes(bytes)
      return "-" if bytes.nil?

      "#{(bytes / 1_048_576.0).round(bytes < 10 << 20 ? 1 : 0)} MiB"
    end
  end

  private_constant :Size
end
