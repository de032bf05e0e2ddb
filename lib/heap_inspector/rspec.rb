# frozen_string_literal: true

require "heap_inspector"
require "rspec/core"
require "rspec/expectations"
require_relative "rspec_examples"
require_relative "rspec_batch"

module HeapInspector
  # Matchers on what a block keeps each time it is run; `require "heap_inspector/rspec"` puts them into all examples. The block is run
  # several times: see {HeapInspector.retention}.
  #
  # An example that says `retains: 0` (or more) may keep so many objects itself; where it keeps more it is run again, to tell
  # a leak from what is made once. With `HEAP_INSPECTOR_SPEC=1` the run ends with the examples that keep most.
  #
  # @example
  #   expect { Checkout.new.call }.to retain_no(Order)
  #   expect { Feed.load }.to retain_at_most(10).objects.after_warm_up(3)
  #   expect { Feed.load }.to allocate_at_most(2_000).objects
  #   it("renders", retains: 0) { get "/" }
  module RSpecMatchers
    # An {Expectation} as RSpec asks for it.
    class Matcher < Expectation
      include ::RSpec::Matchers::Composable

      # @param block [Proc]
      # @return [Boolean]
      def matches?(block) = met_by?(block)

      # @return [true] only a block can be measured
      def supports_block_expectations? = true

      # @return [false]
      def supports_value_expectations? = false
    end

    # @param most [Integer] so many may a run keep: `.objects` or `.bytes`, `.of(Order)`
    # @return [Matcher]
    def retain_at_most(most) = Matcher.new(:retain, most)

    # @param classes [Array<Class, String>] no object of these and of classes derived from them may be kept
    # @return [Matcher]
    def retain_no(*classes) = Matcher.new(:retain, 0, classes)

    # @return [Matcher] nothing may be kept, or nothing `.of(Order, Session)`
    def retain_nothing = Matcher.new(:retain, 0)

    # @param most [Integer] so many may a run allocate: `.objects` or `.bytes`
    # @return [Matcher]
    def allocate_at_most(most) = Matcher.new(:allocate, most)
  end

  ::RSpec.configure do |config|
    config.include(RSpecMatchers)
    config.backtrace_exclusion_patterns << %r{/lib/heap_inspector/(?:rspec|rspec_examples|rspec_batch|retention|expectation|tracing)\.rb}
    examples = RSpecExamples
    RSpecBatch.install
    examples.install(config)
    config.after(:suite) { examples.summary&.then { |text| ::RSpec.configuration.reporter.message(text) } }
  end
end
