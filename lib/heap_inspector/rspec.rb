# frozen_string_literal: true

require "heap_inspector"
require "rspec/core"
require "rspec/expectations"

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

  # Examples that are measured whole.
  #
  # @api private
  module RSpecExamples
    # An example that seems to keep something is run so often.
    RUNS = 4
    # So many examples are shown at the end.
    SHOWN = 10

    private_constant :RUNS, :SHOWN

    @worst = []

    class << self
      # @param example [RSpec::Core::Example::Procsy]
      # @return [void]
      def around(example)
        most = example.metadata[:retains]
        return example.run unless most || watches?
        raise ArgumentError, "retains: is a number of objects, not #{most.inspect}" unless most.nil? || (most.is_a?(Integer) && most >= 0)

        Retaining.tracing { measure(example, most) }
      end

      # @return [String, nil] the examples that keep most
      def summary
        return if @worst.empty?

        lines = @worst.max_by(SHOWN) { |objects, memsize,| [memsize, objects] }.map do |objects, memsize, what|
          format("%10<objects>s objects %12<memsize>s B  %<what>s", objects: Size.count(objects), memsize: Size.count(memsize), what: what)
        end
        "\nWhat examples keep, the most first; what is made once, as by a memo, is in it:\n#{lines.join("\n")}"
      end

      private

      # Whether the examples that keep most are shown at the end.
      def watches?
        return @watches if defined?(@watches)

        is_asked = !["", "0"].include?(ENV["HEAP_INSPECTOR_SPEC"].to_s)
        missing = Tracing.missing if is_asked
        Background.tell("examples are not measured: #{missing}") if missing
        @watches = is_asked && missing.nil?
      end

      def measure(example, most)
        collections = GC.count
        counted = [Retaining.counting { run(example) }]
        found = living(counted, collections)
        objects = found.sum(&:objects)
        @worst << [objects, found.sum(&:memsize), "#{example.full_description} (#{example.location})"] if watches? && objects.positive?
        return if example.exception || most.nil? || objects <= most || !keeps?(example, counted, collections, most)

        runs = Array.new(RUNS - 1) { run(example) }
        judge(example, runs, most) unless example.exception
      end

      # What lives of the runs since a count of collections. A minor collection knows which of the young died; where one came before they
      # died, it has made old what an old object referred to, and only a major one knows of these. Nothing has to be swept for either.
      def living(runs, collections)
        Retaining.living(runs, full_mark: GC.count > collections, immediate_sweep: false)
      end

      # Whether another run keeps something, too, and of the first there is still something: what is made once does not, nor what was at
      # hand when it was looked for.
      def keeps?(example, counted, collections, most)
        counted << Retaining.counting { run(example) }
        return false if example.exception

        by_run = living(counted, collections).group_by(&:interval)
        counted.each_index.all? { |number| by_run.fetch(number, []).sum(&:objects) > most }
      end

      def judge(example, runs, most)
        found = Retention.new(Retaining.living(runs), RUNS - 2, [0, 0])
        return if found.objects <= most

        Retaining.untraced { found.explain }
        allowed = most.zero? ? "no objects" : "at most #{Size.count(most)} objects"
        message = "expected the example to retain #{allowed} a run, but it retains #{Size.count(found.objects)}"
        raise ::RSpec::Expectations::ExpectationNotMetError, [message, *found.lines].join("\n"), [example.location]
      end

      # Runs it, and lets go of what it made for itself: its variables, and what `let` keeps.
      def run(example)
        instance = example.example_group_instance
        before = instance.instance_variables
        found = Retaining.run { example.run }
        (instance.instance_variables - before).each { |name| instance.remove_instance_variable(name) }
        instance.__send__(:__init_memoized)
        found
      end
    end
  end

  private_constant :RSpecExamples

  ::RSpec.configure do |config|
    config.include(RSpecMatchers)
    config.backtrace_exclusion_patterns << %r{/lib/heap_inspector/(?:rspec|retention|expectation|tracing)\.rb}
    examples = RSpecExamples
    config.around { |example| examples.around(example) }
    config.after(:suite) { examples.summary&.then { |text| ::RSpec.configuration.reporter.message(text) } }
  end
end
