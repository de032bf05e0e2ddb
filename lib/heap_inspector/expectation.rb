# frozen_string_literal: true

require_relative "retention"

module HeapInspector
  # What a test expects of a block: how many objects or bytes a run may keep or allocate. The matchers of {RSpecMatchers} are made of it,
  # and the assertions of {MinitestAssertions}.
  class Expectation
    # What is counted.
    UNITS = %i[objects bytes].freeze

    private_constant :UNITS

    # @api private
    # @param verb [Symbol] `:retain` or `:allocate`
    # @param most [Integer] so many at most
    # @param classes [Array<Class, String>]
    def initialize(verb, most, classes = [])
      raise ArgumentError, "expected a number of objects or bytes, 0 or more, got #{most.inspect}" unless most.is_a?(Integer) && most >= 0

      @verb = verb
      @most = most
      @unit = :objects
      @warm_up = 1
      of(*classes)
    end

    # @return [Expectation] that counts objects, as it does anyhow
    def objects = counting(:objects)

    alias object objects

    # @return [Expectation] that counts bytes: what is kept with its content, what is allocated by slots
    def bytes = counting(:bytes)

    alias byte bytes

    # @param classes [Array<Class, String>] only objects of these and of classes derived from them count
    # @return [Expectation]
    # @raise [TypeError] where one is none
    # @raise [ArgumentError] where allocations are counted, which are not known by class
    def of(*classes)
      Retention.names(classes)
      raise ArgumentError, "allocations are counted of all classes" if classes.any? && @verb == :allocate

      @classes = classes
      self
    end

    # @param runs [Integer] how often the block is run before it counts; once, if nothing is said
    # @return [Expectation]
    def after_warm_up(runs)
      raise ArgumentError, "expected a number of runs, 0 or more, got #{runs.inspect}" unless runs.is_a?(Integer) && runs >= 0

      @warm_up = runs
      self
    end

    # Runs the block, several times.
    #
    # @api private
    # @return [Boolean] whether it keeps to what is expected
    def met_by?(block)
      @found = Retaining.measure(warm_up: @warm_up, is_wrong: method(:wrong?), classes: @classes, &block)
      !wrong?(@found)
    end

    # @return [String] what is expected
    def description
      most = @most.zero? ? "no" : "at most #{Size.count(@most)}"
      of = @classes.empty? ? "" : " of #{@classes.join(", ")}"
      "#{@verb} #{most} #{@unit == :objects && @most == 1 ? "object" : @unit}#{of} a run"
    end

    # @return [String] what was found instead
    def failure_message
      found = Size.count(number(@found))
      head = "expected the block to #{description}, but it #{@verb == :retain ? "retains" : "allocates"} #{found}"
      @verb == :retain ? [head, *@found.lines(*@classes)].join("\n") : head
    end

    # @return [String] why the opposite does not hold
    def failure_message_when_negated = "expected the block not to #{description}, but it does"

    private

    def counting(unit)
      raise ArgumentError, "unknown unit #{unit.inspect}: expected #{UNITS.join(", ")}" unless UNITS.include?(unit)

      @unit = unit
      self
    end

    def number(found)
      case [@verb, @unit]
      in [:retain, :objects] then found.objects(*@classes)
      in [:retain, :bytes] then found.memsize(*@classes)
      in [:allocate, :objects] then found.allocated_objects
      in [:allocate, :bytes] then found.allocated_memsize
      end
    end

    def wrong?(found) = number(found) > @most
  end
end
