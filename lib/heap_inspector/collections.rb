# frozen_string_literal: true

module HeapInspector
  # How full arrays and hashes are.
  class Fill < Value
    # @!attribute [r] count
    #   @return [Integer] how many arrays and hashes
    # @!attribute [r] memsize
    #   @return [Integer] their bytes, slots included
    # @!attribute [r] elements
    #   @return [Integer] how many elements they have
    # @!attribute [r] capacity
    #   @return [Integer] how many they have room for, where that is known and the room is their own
    # @!attribute [r] filled
    #   @return [Integer] how many elements are in that room
    # @!attribute [r] wasted
    #   @return [Integer] the bytes of the room for elements that are not there
    # @!attribute [r] empty
    #   @return [Integer] how many are empty
    fields :count, :memsize, :elements, :capacity, :filled, :wasted, :empty

    # @return [Float, nil] the part of the room that is taken, from 0.0 to 1.0; nil where there is none
    def ratio
      filled.fdiv(capacity) if capacity.positive?
    end
  end

  # Arrays and hashes with one value of the keys.
  class CollectionGroup < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; several keys make an Array
    # @!attribute [r] fill
    #   @return [Fill] how full they are
    fields :key, :fill
  end

  # An array or hash.
  class Collection < Value
    # @!attribute [r] object
    #   @return [HeapObject] the array or hash
    # @!attribute [r] label
    #   @return [String] the object in a few words
    # @!attribute [r] length
    #   @return [Integer] how many elements it has
    # @!attribute [r] capacity
    #   @return [Integer, nil] how many it has room for; nil where it has no room of its own, or that is not known
    # @!attribute [r] wasted
    #   @return [Integer] the bytes of the room for elements that are not there
    # @!attribute [r] memsize
    #   @return [Integer] its bytes, slot included
    # @!attribute [r] retained_memsize
    #   @return [Integer] the bytes it retains
    # @!attribute [r] location
    #   @return [String, nil] where it was allocated
    fields :object, :label, :length, :capacity, :wasted, :memsize, :retained_memsize, :location
  end

  # How full the arrays and hashes of a heap are and what their unused capacity wastes. An Enumerable of the groups, those that waste most
  # first. An answer of {Heap#collections}.
  class Collections < GroupRows
    # @return [Fill] all arrays
    attr_reader :arrays

    # @return [Fill] all hashes
    attr_reader :hashes

    # @return [Hash{String => Fill}] by how they keep their elements
    attr_reader :forms

    # @return [Hash{Range => Array(Fill, Fill)}] by length: arrays and hashes
    attr_reader :lengths

    # @return [Fill] those that are empty and yet have room
    attr_reader :empty

    # @return [Fill] those with room for more than 8 elements, less than a quarter of it taken
    attr_reader :sparse

    # @return [Integer] how many whose room is an estimate
    attr_reader :estimated

    # @return [Array<Collection>] those that take most memory
    attr_reader :biggest

    # @return [Array<Collection>] those that waste most
    attr_reader :emptiest

    # @return [Integer] how many Sets there are that are no hashes (from Ruby 4.0), of which the dump does not say how long they are
    attr_reader :sets

    # @api private
    def initialize(answer)
      super()
      @document = answer[:document]
      @arrays, @hashes, @empty, @sparse = answer.values_at(:arrays, :hashes, :empty, :sparse).map { |fill| Fill.of(fill) }
      @forms = answer[:forms].to_h { |form| [form[:name], Fill.of(form[:fill])] }.freeze
      @lengths = answer[:lengths].to_h do |row|
        [row[:least]..row[:most], row.values_at(:arrays, :hashes).map { |fill| Fill.of(fill) }.freeze]
      end.freeze
      @estimated, @sets = answer.values_at(:estimated, :sets)
      @groups = answer[:groups].map { |group| CollectionGroup.new(key: key(group), fill: Fill.of(group[:fill])) }.freeze
      @biggest, @emptiest = answer.values_at(:biggest, :emptiest).map do |list|
        list.map { |one| Collection.of(one, object: one[:id], **one[:room]) }.freeze
      end
      freeze
    end

    private

    def about
      "#{grouped(arrays.count)} arrays, #{grouped(hashes.count)} hashes, #{grouped(arrays.wasted + hashes.wasted)} bytes wasted"
    end
  end
end
