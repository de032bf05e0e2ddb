# frozen_string_literal: true

module HeapInspector
  # How a dump is compressed.
  #
  # @api private
  module Compression
    # The compressions with the ends of the names that ask for them.
    ENDINGS = { zstd: ".zst", gzip: ".gz", plain: "" }.freeze

    # @param compression [Symbol, String, nil, false] false for none, nil for what the file's name asks for, zstd without one
    # @param name [String, nil] the file's name
    # @return [Symbol]
    # @raise [ArgumentError]
    def self.choose(compression, name = nil)
      return :plain if compression == false
      return name ? ENDINGS.find { |_, ending| name.end_with?(ending) }.first : :zstd if compression.nil?

      compression = compression.to_sym
      return compression if ENDINGS.key?(compression)

      raise ArgumentError, "there is no compression #{compression.inspect}; there are #{ENDINGS.keys.join(", ")}"
    end
  end

  private_constant :Compression
end
