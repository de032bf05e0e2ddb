# frozen_string_literal: true

module HeapInspector
  # An object and what it keeps alive.
  class Holder < Value
    # @!attribute [r] object
    #   @return [HeapObject] the object
    # @!attribute [r] label
    #   @return [String] the object in a few words
    # @!attribute [r] memsize
    #   @return [Integer] its own bytes
    # @!attribute [r] retained_memsize
    #   @return [Integer] the bytes that would go with it, its own included
    # @!attribute [r] retained_count
    #   @return [Integer] how many objects would go with it, itself included
    # @!attribute [r] location
    #   @return [String, nil] where it was allocated
    # @!attribute [r] held_by
    #   @return [String, nil] its dominator in a few words; nil where only the roots together hold it
    fields :object, :label, :memsize, :retained_memsize, :retained_count, :location, :held_by
  end

  # Objects with one value of the keys, and what they keep alive.
  class RetainedGroup < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; several keys make an Array
    # @!attribute [r] count
    #   @return [Integer] how many objects, reachable ones only
    # @!attribute [r] memsize
    #   @return [Integer] their own bytes
    # @!attribute [r] retained_memsize
    #   @return [Integer] the bytes they retain, none counted twice
    # @!attribute [r] retained_count
    #   @return [Integer] how many objects they retain, themselves included
    fields :key, :count, :memsize, :retained_memsize, :retained_count
  end

  # What keeps memory alive: single objects ({#holders}) and groups of objects, those that retain the most first. An Enumerable of the
  # groups. An answer of {Heap#retained}.
  #
  # @example
  #   retained = heap.retained(limit: 10)
  #   retained.holders.first.object.path_to_root
  #   retained["Order"].retained_memsize # => 81200000
  class Retained < GroupRows
    # @return [Array<Symbol>] the keys of the groups
    attr_reader :by

    # @return [Array<Holder>] the objects that retain the most; none where groups by a key were asked for
    attr_reader :holders

    # @return [Rest, nil] the objects of the groups that the limit cut off; nil if it cut off none
    attr_reader :rest

    # @return [Total] the reachable objects of all groups
    attr_reader :total

    # @return [Integer] the bytes of all reachable objects of the heap: what the roots retain
    attr_reader :reachable_memsize

    # @return [Integer] how many objects of the heap are reachable
    attr_reader :reachable_count

    # @api private
    def initialize(answer)
      super()
      @document = answer[:document]
      groups = answer[:groups]
      @by = groups[:by]
      @holders = answer[:holders].to_a.map { |holder| Holder.of(holder, object: holder[:id]) }.freeze
      @groups = groups[:groups].map { |group| RetainedGroup.of(group, key: key(group), **group[:sum]) }.freeze
      @rest = Rest.unless_none(groups[:rest_groups], { **groups[:rest], references: nil })
      @total = Total.of(groups[:total], references: nil)
      @reachable_count, @reachable_memsize = groups[:reachable].values_at(:count, :memsize)
      freeze
    end

    private

    def about
      "by #{by.join(", ")}: #{grouped(reachable_count)} reachable objects, #{grouped(reachable_memsize)} bytes"
    end
  end
end
