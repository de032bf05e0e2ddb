# frozen_string_literal: true

require "heap_inspector"
require "minitest"

module HeapInspector
  # Assertions on what a block keeps each time it is run; `require "heap_inspector/minitest"` puts them into all tests. The block is run
  # several times: see {HeapInspector.retention}.
  #
  # @example
  #   assert_retains_no(Order) { Checkout.new.call }
  module MinitestAssertions
    # @param most [Integer] so many objects, or bytes, may a run keep
    # @param unit [Symbol] `:objects` or `:bytes`
    # @param of [Array<Class, String>, Class, String] only of these classes and those derived from them
    # @param warm_up [Integer] runs before
    # @yield
    # @return [true]
    # @raise [Minitest::Assertion]
    def assert_retains_at_most(most, unit = :objects, of: [], warm_up: 1, &block)
      heap_inspector_asserts(Expectation.new(:retain, most, [*of]), unit, warm_up, block)
    end

    # @param classes [Array<Class, String>] no object of these may be kept; of none, if there are none
    # @param warm_up [Integer] runs before
    # @yield
    # @return [true]
    # @raise [Minitest::Assertion]
    def assert_retains_no(*classes, warm_up: 1, &block)
      assert_retains_at_most(0, of: classes, warm_up: warm_up, &block)
    end

    # @param most [Integer] so many objects, or bytes, may a run allocate
    # @param unit [Symbol] `:objects` or `:bytes`
    # @param warm_up [Integer] runs before
    # @yield
    # @return [true]
    # @raise [Minitest::Assertion]
    def assert_allocates_at_most(most, unit = :objects, warm_up: 1, &block)
      heap_inspector_asserts(Expectation.new(:allocate, most), unit, warm_up, block)
    end

    private

    def heap_inspector_asserts(expectation, unit, warm_up, block)
      raise ArgumentError, "no block given" unless block
      raise ArgumentError, "unknown unit #{unit.inspect}: expected objects, bytes" unless %i[objects bytes].include?(unit)

      expectation = expectation.public_send(unit).after_warm_up(warm_up)
      is_met = expectation.met_by?(block)
      assert(is_met, -> { expectation.failure_message })
    end
  end

  # YARD stumbles over the plain call, since it knows no module of others.
  ::Minitest::Assertions.public_send(:include, MinitestAssertions) # rubocop:disable Lint/SendWithMixinArgument
end
