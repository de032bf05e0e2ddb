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

      # Of what the extension found, which may have more to it than the value.
      #
      # @api private
      # @param answer [Hash{Symbol => Object}]
      # @param others [Hash{Symbol => Object}, nil] what is not as it stands there
      # @return [Value]
      def of(answer, others = nil)
        allocate.tap { |value| value.__send__(:take_members, others ? answer.merge(others) : answer) }
      end

      private

      # Answers may be of a row for each object, so how a value gets its members is written out once for each class.
      #
      # @param names [Array<Symbol>]
      def fields(*names)
        @members = names.freeze
        attr_reader(*names)

        class_eval(<<~RUBY, __FILE__, __LINE__ + 1)
          def take_members(values)
            #{names.map { |name| "@#{name} = values.fetch(:#{name})" }.join("; ")} # @count = values.fetch(:count); …
            freeze
          end
          private :take_members
        RUBY
      end
    end

    # @api private
    # @param values [Hash{Symbol => Object}] a value for each member
    def initialize(**values)
      members = self.class.members
      unless members.size == values.size && members.all? { |name| values.key?(name) }
        raise ArgumentError, "#{self.class} has the values #{members.join(", ")}, not #{values.keys.join(", ")}"
      end

      take_members(values)
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
    #   @return [Integer, nil] how many references they hold; nil where that was not counted
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
    #   @return [Integer, nil] how many references they hold; nil where that was not counted
    fields :rows, :count, :memsize, :references

    # @api private
    # @return [Rest, nil] nil where the limit cut off no rows
    def self.unless_none(rows, sum)
      of(sum, rows: rows) if rows.positive?
    end
  end
end
