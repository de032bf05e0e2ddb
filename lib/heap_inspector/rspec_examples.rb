# frozen_string_literal: true

require "rspec/core"
require "rspec/expectations"
require_relative "retention"

module HeapInspector
  # Examples that are measured whole.
  #
  # @api private
  module RSpecExamples
    # An example that seems to keep something is run so often.
    RUNS = 4
    # So many examples are shown at the end.
    SHOWN = 10
    # What lives of a run.
    Kept = Struct.new(:objects, :memsize)
    # Tests stop clocks and put their own in.
    CLOCK = Process.method(:clock_gettime)
    # What says in its metadata that an example is pending.
    MARKS = %i[pending skip].freeze

    private_constant :RUNS, :SHOWN, :Kept, :CLOCK, :MARKS

    @kept = {}
    @cost = 0.0

    class << self
      # @return [Float] seconds that the last minor collection took
      attr_reader :cost

      # @return [Float] seconds since some moment
      def now = CLOCK.call(Process::CLOCK_MONOTONIC)

      # Puts a hook around all others of an example, those too that were there before: a run is all of it, as `aggregate_failures` fails an
      # example only behind the block, and the variables may be let go of when nobody asks for them any more.
      #
      # @param config [RSpec::Core::Configuration]
      # @return [void]
      def install(config)
        hook = method(:around).to_proc
        return config.around(&hook) unless config.respond_to?(:hooks) && config.hooks.respond_to?(:register)

        [config, *::RSpec.world.example_groups].each { |owner| owner.hooks.register(:append, :around, &hook) }
      end

      # @param example [RSpec::Core::Example::Procsy]
      # @return [void]
      def around(example)
        return example.run unless measures?(example)

        most = example.metadata[:retains] || nil
        unless most.nil? || (most.is_a?(Integer) && most >= 0)
          raise ArgumentError, "retains: expected a number of objects, got #{most.inspect}", [example.location]
        end

        RSpecBatch.noted?(example) || Retaining.tracing { measure(example, most) }
      end

      # @param example [RSpec::Core::Example, RSpec::Core::Example::Procsy]
      # @return [Boolean]
      def measures?(example) = example.metadata[:retains] ? true : watches?

      # Runs it, and lets go of what it made for itself: its variables, and what `let` keeps.
      #
      # @param example [RSpec::Core::Example::Procsy]
      # @return [Run]
      def run(example)
        instance = example.example_group_instance
        before = instance.instance_variables
        found = Retaining.run { example.run }
        (instance.instance_variables - before).each { |name| instance.remove_instance_variable(name) }
        instance.__send__(:__init_memoized)
        found
      end

      # What lives of runs. A minor collection knows which of the young died. Where another came before they died, that one has made old
      # what an old object referred to, and only a major collection knows of these: so where too much seems to be kept, one looks again.
      #
      # @param runs [Array<Run>] the first one first
      # @param threads [YoungThreads] those that began in them
      # @yieldparam kept [Array<Kept>] of each run
      # @yieldreturn [Boolean] whether that is too much
      # @return [Array<Kept>]
      def kept(runs, threads)
        began = now
        kept = by_run(runs, Retaining.living(runs, full_mark: false, immediate_sweep: false))
        @cost = now - began
        return kept unless yield(kept)

        threads.wait
        by_run(runs, Retaining.living(runs, immediate_sweep: false))
      end

      # Runs one that has passed again: where it skips now, or is pending, it has passed all the same.
      #
      # @param example [RSpec::Core::Example, RSpec::Core::Example::Procsy]
      # @yield
      # @return [void]
      def unmarked(example)
        metadata = example.metadata
        before = metadata.slice(*MARKS)
        yield
      ensure
        MARKS.each { |key| metadata.delete(key) }
        metadata.update(before)
        result = example.execution_result
        result.pending_message = result.pending_exception = result.pending_fixed = nil
      end

      # Notes for the end what an example keeps.
      #
      # @param example [RSpec::Core::Example, RSpec::Core::Example::Procsy]
      # @param kept [Kept] what it kept when it was run first
      # @return [void]
      def watch(example, kept)
        @kept["#{example.full_description} (#{example.location})"] ||= kept if watches? && kept.objects.positive?
      end

      # @return [String, nil] the examples that keep most
      def summary
        return if @kept.empty?

        lines = @kept.max_by(SHOWN) { |_, kept| [kept.memsize, kept.objects] }.map do |what, kept|
          objects, memsize = kept.to_a.map { |number| Size.count(number) }
          format("%10<objects>s objects %12<memsize>s B  %<what>s", objects: objects, memsize: memsize, what: what)
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

      def by_run(runs, survivors)
        by_run = survivors.group_by(&:interval)
        runs.each_index.map { |number| by_run.fetch(number, []).then { |found| Kept.new(found.sum(&:objects), found.sum(&:memsize)) } }
      end

      def measure(example, most)
        threads = YoungThreads.new
        first = Retaining.counting { run(example) }
        found, = kept([first], threads) { |(one)| one.objects > most.to_i }
        watch(example, found)
        return if over?(example) || most.nil? || found.objects <= most

        unmarked(example) { repeat(example, first, most, threads) }
      end

      def repeat(example, first, most, threads)
        return unless keeps?(example, first, most, threads)

        runs = Array.new(RUNS - 1) { over?(example) ? break : rerun(example) }
        return if over?(example)

        threads.wait
        judge(example, runs, most)
      end

      # Whether it is known by now how the example went, or RSpec is to end.
      def over?(example) = !example.exception.nil? || example.pending? || ::RSpec.world.wants_to_quit

      # Runs it once more, and tells nobody: a formatter may keep what it is told.
      def rerun(example)
        reporter = example.reporter
        reporter.respond_to?(:mute) ? reporter.mute { run(example) } : run(example)
      end

      # Whether another run keeps something, too, and of the first there is still something: what is made once does not, nor what was at
      # hand when it was looked for, nor what finalizers held then.
      def keeps?(example, first, most, threads)
        runs = [first, Retaining.counting { rerun(example) }]
        return false if over?(example)

        threads.wait
        Array.new(2) { by_run(runs, Retaining.living(runs)).all? { |kept| kept.objects > most } || break }
      end

      def judge(example, runs, most)
        found = Retaining.retention(runs, Retaining.left(runs), RUNS - 2) { |retention| retention.objects > most }
        return if found.objects <= most

        allowed = most.zero? ? "no objects" : "at most #{Size.count(most)} objects"
        message = "expected the example to retain #{allowed} a run, but it retains #{Size.count(found.objects)}"
        raise ::RSpec::Expectations::ExpectationNotMetError, [message, *found.lines].join("\n"), [example.location]
      end
    end
  end

  private_constant :RSpecExamples
end
