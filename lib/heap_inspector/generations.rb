# frozen_string_literal: true

module HeapInspector
  # The objects that were allocated between two garbage collections.
  class Generation < Value
    # @!attribute [r] number
    #   @return [Integer, nil] how many garbage collections there had been; nil for untraced objects
    # @!attribute [r] count
    #   @return [Integer] how many objects
    # @!attribute [r] memsize
    #   @return [Integer] their bytes, slots included
    # @!attribute [r] references
    #   @return [Integer] how many references they hold
    # @!attribute [r] share
    #   @return [Float] their part of the bytes of all generations, from 0.0 to 1.0
    fields :number, :count, :memsize, :references, :share

    # @return [Integer, nil] the number, as groups have it
    def key
      number
    end

    # @return [Boolean] whether the objects were allocated while allocations were traced
    def traced?
      !number.nil?
    end
  end

  # Count and bytes by generation: untraced objects first, then the oldest. In a leak, old generations stay full. An answer of
  # {Heap#generations}.
  class Generations < Rows
    # @return [Rest, nil] what the generations come to that the limit cut off, those of the fewest bytes; nil if it cut off none
    attr_reader :rest

    # @return [Total] what all generations come to
    attr_reader :total

    # @api private
    def initialize(answer)
      super()
      @document = answer[:document]
      @rest = Rest.unless_none(answer[:rest_generations], answer[:rest])
      @total = Total.of(answer[:total])
      @generations = answer[:generations].map do |generation|
        share = @total.memsize.zero? ? 0.0 : generation[:sum][:memsize].fdiv(@total.memsize)
        Generation.of(generation, share: share, **generation[:sum])
      end
      @generations.freeze
      freeze
    end

    # @param number [Integer, nil]
    # @return [Generation, nil] the generation of that number; the untraced objects for nil
    def [](number)
      @generations.find { |generation| generation.number == number }
    end

    private

    def rows
      @generations
    end

    def about
      "#{grouped(size + (rest&.rows || 0))} generations, #{grouped(total.count)} objects, #{grouped(total.memsize)} bytes"
    end
  end
end
