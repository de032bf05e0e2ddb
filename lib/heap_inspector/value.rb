# frozen_string_literal: true

require "json"

module HeapInspector
  # A few named values that never change; compares, matches patterns and prints by them.
  #
  # @example
  #   case heap.groups(by: :class).first
  #   in {key: "String", share:} if share > 0.5 then "half of the heap is strings"
  #   end
  class Value
    class << self
      # @return [Array<Symbol>] the names of the values, in order
      attr_reader :members

      private

      # @param names [Array<Symbol>]
      def fields(*names)
        @members = names.freeze
        attr_reader(*names)
      end
    end

    # @api private
    # @param values [Array] as many as there are members
    def initialize(*values)
      members = self.class.members
      raise ArgumentError, "#{self.class} has #{members.size} values, not #{values.size}" unless members.size == values.size

      members.zip(values) { |name, value| instance_variable_set(:"@#{name}", value) }
      freeze
    end

    # @return [Hash{Symbol => Object}] the values by name
    def to_h
      self.class.members.to_h { |name| [name, public_send(name)] }.freeze
    end

    # @return [Array] the values in order, for patterns
    def deconstruct
      self.class.members.map { |name| public_send(name) }
    end

    # @param _names [Array<Symbol>, nil] the names a pattern asks for
    # @return [Hash{Symbol => Object}] the values by name, for patterns
    def deconstruct_keys(_names)
      to_h
    end

    # @param other [Object]
    # @return [Boolean] whether `other` has the same class and values
    def ==(other)
      other.class == self.class && other.deconstruct == deconstruct
    end
    alias eql? ==

    # @return [Integer]
    def hash
      [self.class, deconstruct].hash
    end

    # @return [String] an object with the values
    def to_json(...)
      to_h.to_json(...)
    end

    # @return [String]
    def inspect
      values = to_h.map { |name, value| "#{name}=#{value.is_a?(Float) ? value.round(4) : value.inspect}" }
      "#<#{self.class} #{values.join(" ")}>"
    end
    alias to_s inspect
  end

  # What all groups come to, those that a limit cut off too.
  class Total < Value
    # @!attribute [r] count
    #   @return [Integer] how many objects
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    # @!attribute [r] references
    #   @return [Integer] how many references they hold
    fields :count, :memsize, :references
  end

  # What the rows come to that a limit cut off.
  class Rest < Value
    # @!attribute [r] rows
    #   @return [Integer] how many rows
    # @!attribute [r] count
    #   @return [Integer] how many objects
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    # @!attribute [r] references
    #   @return [Integer] how many references they hold
    fields :rows, :count, :memsize, :references
  end
end
