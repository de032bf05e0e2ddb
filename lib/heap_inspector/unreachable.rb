# frozen_string_literal: true

module HeapInspector
  # An unreachable object and what hangs on it.
  class Structure < Value
    # @!attribute [r] object
    #   @return [HeapObject] the object at its head; of a ring one of its objects
    # @!attribute [r] label
    #   @return [String] that object in a few words
    # @!attribute [r] own_memsize
    #   @return [Integer] that object's own bytes
    # @!attribute [r] count
    #   @return [Integer] how many objects the structure has, the head included
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    # @!attribute [r] ring
    #   @return [Boolean] whether references lead from the head back to itself
    # @!attribute [r] location
    #   @return [String, nil] where the head was allocated
    fields :object, :label, :own_memsize, :count, :memsize, :ring, :location

    # @return [Boolean] whether references lead from the head back to itself
    def ring?
      ring
    end
  end

  # Structures whose heads have one value of the keys.
  class StructureGroup < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; several keys make an Array
    # @!attribute [r] structures
    #   @return [Integer] how many structures
    # @!attribute [r] count
    #   @return [Integer] how many objects they have
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    fields :key, :structures, :count, :memsize
  end

  # What no root leads to: garbage that is not yet collected, and what is held only weakly. An Enumerable of the groups of objects. An
  # answer of {Heap#unreachable}.
  class Unreachable < Rows
    # @return [Total] all unreachable objects
    attr_reader :total

    # @return [Integer] how many structures they make: objects that nothing refers to, each with what hangs on it
    attr_reader :structures

    # @return [Groups] the unreachable objects by the keys
    attr_reader :groups

    # @return [Array<StructureGroup>] the structures by the same keys of their heads, the biggest first
    attr_reader :heads

    # @return [Array<Structure>] the biggest structures
    attr_reader :biggest

    # @return [Hash{Symbol => Total, Integer}] what Ruby's own tables may hold weakly: `strings`, `symbols`, `calls`; and `maps`, how many
    #   weak maps there are in the heap
    attr_reader :weak

    # @api private
    def initialize(heap, by, answer)
      super()
      @document = answer[:document]
      @total = Total.new(*answer[:total])
      @structures = answer[:structures]
      @groups = Groups.new(by, answer[:groups])
      @heads = answer[:heads].map { |row| StructureGroup.new(*row) }.freeze
      @biggest = answer[:biggest].map { |index, *values| Structure.new(HeapObject.at(heap, index), *values) }.freeze
      weak = %i[strings symbols calls].to_h { |name| [name, Total.new(*answer[:"weak_#{name}"])] }
      @weak = { **weak, maps: answer[:weak_maps] }.freeze
      freeze
    end

    private

    def rows
      groups
    end

    def about
      "#{grouped(total.count)} objects, #{grouped(total.memsize)} bytes, #{grouped(structures)} structures"
    end
  end
end
