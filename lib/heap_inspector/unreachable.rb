# frozen_string_literal: true

module HeapInspector
  # An unreachable object and what hangs on it.
  class Component < Value
    # @!attribute [r] object
    #   @return [HeapObject] the object at its root; of a cycle one of its objects
    # @!attribute [r] label
    #   @return [String] that object in a few words
    # @!attribute [r] own_memsize
    #   @return [Integer] that object's own bytes
    # @!attribute [r] count
    #   @return [Integer] how many objects the component has, the root included
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    # @!attribute [r] cycle
    #   @return [Boolean] whether references lead from the root back to itself
    # @!attribute [r] location
    #   @return [String, nil] where the root was allocated
    fields :object, :label, :own_memsize, :count, :memsize, :cycle, :location

    # @return [Boolean] whether references lead from the root back to itself
    def cycle?
      cycle
    end
  end

  # Components whose roots have one value of the keys.
  class ComponentGroup < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; several keys make an Array
    # @!attribute [r] components
    #   @return [Integer] how many components
    # @!attribute [r] count
    #   @return [Integer] how many objects they have
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    fields :key, :components, :count, :memsize
  end

  # What no root leads to: garbage that is not yet collected, and what is held only weakly. An Enumerable of the groups of objects. An
  # answer of {Heap#unreachable}.
  class Unreachable < Rows
    # @return [Total] all unreachable objects
    attr_reader :total

    # @return [Integer] how many components they make: objects that nothing refers to, each with what hangs on it
    attr_reader :components

    # @return [Groups] the unreachable objects by the keys
    attr_reader :groups

    # @return [Array<ComponentGroup>] the components by the same keys of their roots, the biggest first
    attr_reader :component_roots

    # @return [Array<Component>] the biggest components
    attr_reader :biggest

    # @return [Hash{Symbol => Total, Integer}] what Ruby's own tables may hold weakly: `strings`, `symbols`, `calls`; and `maps`, how many
    #   weak maps there are in the heap
    attr_reader :weak

    # @api private
    def initialize(answer)
      super()
      @document = answer[:document]
      @total = Total.of(answer[:total])
      @components = answer[:components]
      @groups = Groups.new(answer[:groups])
      @component_roots = answer[:component_roots].map { |group| ComponentGroup.of(group, key: key(group), **group[:sum]) }.freeze
      @biggest = answer[:biggest].map { |one| component(one) }.freeze
      @weak = answer[:weak].transform_values { |sum| sum.is_a?(Hash) ? Total.of(sum) : sum }.freeze
      freeze
    end

    private

    def rows
      groups
    end

    def component(one)
      count, memsize = one[:sum].values_at(:count, :memsize)
      Component.of(one, object: one[:id], own_memsize: one[:memsize], count: count, memsize: memsize, cycle: one[:is_cycle])
    end

    def about
      "#{grouped(total.count)} objects, #{grouped(total.memsize)} bytes, #{grouped(components)} components"
    end
  end
end
