# frozen_string_literal: true

module HeapInspector
  # How a dump is packed.
  #
  # @api private
  module Packing
    # The packings with the ends of the names that ask for them.
    ENDINGS = { zstd: ".zst", gzip: ".gz", plain: "" }.freeze

    # @param packing [Symbol, String, nil, false] false for none, nil for what the file's name asks for, zstd without one
    # @param name [String, nil] the file's name
    # @return [Symbol]
    # @raise [ArgumentError]
    def self.choose(packing, name = nil)
      return :plain if packing == false
      return name ? ENDINGS.find { |_, ending| name.end_with?(ending) }.first : :zstd if packing.nil?

      packing = packing.to_sym
      raise ArgumentError, "there is no packing #{packing.inspect}; there are #{ENDINGS.keys.join(", ")}" unless ENDINGS.key?(packing)

      packing
    end
  end

  private_constant :Packing
end
