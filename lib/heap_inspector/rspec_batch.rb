# frozen_string_literal: true

require "delegate"
require "rspec/core"
require_relative "rspec_examples"

module HeapInspector
  # Examples that follow one another and share one collection, which tells them apart by when they ran. For an example of some milliseconds
  # a collection of its own would be a great part of its time.
  #
  # RSpec tells its formatters of an example at its end, when what it keeps is not known yet. So what would be told is held back until the
  # batch is closed, and then told in the order in which it happened. A batch is closed when so much was done that the collection is a small
  # part of it, before an example that is not measured, behind one that fails, and at the end of the group's own examples. That is all that
  # is done to RSpec: {Running} and {Ending} stand before the two methods that run an example and those of a group. They say by what they
  # return whether all went well, of which RSpec makes its exit status; what an earlier example of the batch has kept is said by its last
  # one. With `--fail-fast`, and where a version of RSpec has other methods, each example has its own collection, at its end.
  #
  # A batch only finds out who may keep something. Such an example is run again as RSpec runs it, with an instance of its own, all hooks
  # and the variables of `before(:context)`, and then it is measured by itself. The variables are as they were, since the batch does not
  # outlive the group's examples, and RSpec promises no example what ran before it. What the rest of the batch has let go is not found.
  #
  # @api private
  class RSpecBatch
    # An example is run by it.
    module Running
      # @param instance [RSpec::Core::ExampleGroup]
      # @param reporter [RSpec::Core::Reporter]
      # @return [Boolean] whether it went well
      def run(instance, reporter) = RSpecBatch.around(self, reporter) { |told| super(instance, told) }
    end

    # The examples of a group are run by it, without those of groups in it.
    module Ending
      # @param reporter [RSpec::Core::Reporter]
      # @return [Boolean] whether all went well
      def run_examples(reporter) = RSpecBatch.closing { super }
    end

    # What a reporter is told of one example, once it may be told.
    class Held < SimpleDelegator
      # What is told in order.
      EVENTS = %i[example_started example_finished example_passed example_failed example_pending message publish].freeze

      private_constant :EVENTS

      # @param reporter [RSpec::Core::Reporter]
      # @param waits [Boolean] whether it is not to be told yet
      def initialize(reporter, waits: true)
        super(reporter)
        @events = [] if waits
      end

      EVENTS.each do |name|
        define_method(name) do |*arguments|
          next if @is_mute

          @events ? @events << [name, arguments] : __getobj__.public_send(name, *arguments)
        end
      end

      # Tells nothing of what happens meanwhile, and keeps nothing of it, which would count as kept by the example.
      #
      # @yield
      # @return [Object] what the block gives
      def mute
        before = @is_mute
        @is_mute = true
        yield
      ensure
        @is_mute = before
      end

      # Tells what happened, and from now on what happens.
      #
      # @param has_failed [Boolean] whether the example has failed, though it passed
      # @return [void]
      def release(has_failed)
        events = @events
        @events = nil
        events.each do |name, arguments|
          __getobj__.public_send(has_failed && name == :example_passed ? :example_failed : name, *arguments)
        end
      end
    end

    # An example of a batch.
    class Trial
      # @return [RSpec::Core::Example]
      attr_reader :example
      # @return [Held] what is told of it
      attr_reader :held
      # @return [Run, nil] nothing where none was noted, or where it is not known any more what lives of it
      attr_reader :run

      # @param example [RSpec::Core::Example]
      # @param reporter [RSpec::Core::Reporter]
      def initialize(example, reporter)
        @example = example
        @held = Held.new(reporter)
      end

      # Notes a run. Where others' hooks run it several times, as to try again, the last time counts.
      #
      # @param procsy [RSpec::Core::Example::Procsy]
      # @return [void]
      def note(procsy)
        @was_noted = true
        @run = RSpecExamples.run(procsy)
      end

      # @return [void]
      def lose = @run = nil

      # @return [Boolean] whether there is something to judge
      def passed? = @was_noted && @example.exception.nil? && @example.execution_result.status == :passed

      # @param kept [Kept]
      # @return [Boolean] whether that is more than it may keep
      def exceeds?(kept) = kept.objects > (@example.metadata[:retains] || 0)

      # Runs it once more as RSpec does, now by itself, and tells nobody. How it went in the batch stays the result, unless it fails.
      #
      # @return [void]
      def again
        result = @example.execution_result
        group = @example.example_group
        instance = group.new(@example.inspect_output)
        group.set_ivars(instance, group.before_context_ivars)
        RSpecExamples.unmarked(@example) do
          @example.metadata[:execution_result] = ::RSpec::Core::Example::ExecutionResult.new
          @held.mute { @example.run(instance, @held) }
        end
      ensure
        @example.metadata[:execution_result] = result
      end

      # Tells the reporter how it went.
      #
      # @return [Boolean] whether it did not fail behind its end
      def release
        result = @example.execution_result
        has_failed = result.status == :passed && !@example.exception.nil?
        if has_failed
          result.status = :failed
          result.exception = @example.exception
        end
        ::RSpec.current_example = @example
        @held.release(has_failed)
        !has_failed
      ensure
        ::RSpec.current_example = nil
      end
    end

    # A collection is to take this part of the time at most,
    SHARE = 0.025
    # but results are held back for so many seconds at most, and for what the running example takes.
    LONGEST = 0.2
    # So small a part of the heap's slots may be allocated. Ruby collects by itself when those that are free are used up, a fifth at
    # first, and then a major collection may be needed. What is noted of each object is to stay in the processor's caches, too: with 250,000
    # slots more than 18,000 allocations take longer than more collections.
    PART = 20

    private_constant :Held, :Trial, :SHARE, :LONGEST, :PART

    class << self
      # Puts itself before the methods of RSpec, where they are those it knows.
      #
      # @return [void]
      def install
        example = ::RSpec::Core::Example
        group = ::RSpec::Core::ExampleGroup
        return unless takes?(example, :run, 2) && takes?(group.singleton_class, :run_examples, 1)
        return unless takes?(group.singleton_class, :set_ivars, 2) && takes?(group.singleton_class, :before_context_ivars, 0)

        example.prepend(Running)
        group.singleton_class.prepend(Ending)
      end

      # Runs an example, in a batch where it is one to be measured. One within another, and one that is run again, is only run.
      #
      # @param example [RSpec::Core::Example]
      # @param reporter [RSpec::Core::Reporter]
      # @yieldparam told [RSpec::Core::Reporter] what it is to tell
      # @return [Boolean] whether all went well, as far as it is known
      def around(example, reporter, &)
        return yield(reporter) if @is_within

        within do
          next close & yield(reporter) unless RSpecExamples.measures?(example)
          next close & yield(Held.new(reporter, waits: false)) if ::RSpec.configuration.fail_fast

          @batch ||= new
          passed = @batch.run(Trial.new(example, reporter), &)
          passed && !@batch.due? ? true : close && passed
        end
      end

      # Closes the batch behind a block.
      #
      # @yield
      # @return [Boolean] whether all went well
      def closing
        return yield if @is_within

        begin
          passed = yield
          within { close } && passed
        ensure
          @batch&.release # where the process is to end, nothing is run any more
          @batch = nil
        end
      end

      # Runs what is within an example's hooks, where it is the batch's.
      #
      # @param procsy [RSpec::Core::Example::Procsy]
      # @return [Boolean] whether it is; else nothing was done
      def noted?(procsy) = @batch&.noted?(procsy) || false

      private

      def takes?(owner, name, count)
        owner.method_defined?(name) && owner.instance_method(name).arity.then { |arity| arity == count || arity.negative? }
      end

      def within
        @is_within = true
        yield
      ensure
        @is_within = false
      end

      def close
        return true unless @batch

        begin
          @batch.judge
        ensure
          passed = @batch.release
          @batch = nil
        end
        passed
      end
    end

    def initialize
      @trials = []
      @threads = YoungThreads.new
      @began = RSpecExamples.now
      @most = GC.stat(:heap_available_slots) / PART
      @pid = Process.pid
    end

    # Runs an example of it.
    #
    # @param trial [Trial]
    # @yieldparam told [Held]
    # @return [Boolean] whether it went well
    def run(trial)
      @trials << @running = trial
      yield trial.held
    ensure
      @running = nil
    end

    # @param procsy [RSpec::Core::Example::Procsy]
    # @return [Boolean] whether it is the example that is run by the batch
    def noted?(procsy)
      return false unless @running&.example.equal?(procsy.example)

      lose_unknown
      begin
        Retaining.tracing(forgets: false) { Retaining.counting { @running.note(procsy) } }
      ensure
        @moment = Native.tracer_moment
      end
      true
    end

    # @return [Boolean] whether it is time for a collection
    def due?
      Native.tracer_moment > @most || RSpecExamples.now - @began >= [RSpecExamples.cost / SHARE, LONGEST].min
    end

    # Has those measured by themselves that may keep too much.
    #
    # @return [void]
    def judge
      trials = @trials.select(&:passed?)
      suspects = trials.any? ? suspects(trials) : []
      Retaining.forget
      suspects.each { |trial| ::RSpec.world.wants_to_quit ? break : trial.again }
    end

    # Tells what was held back; but not in a child that an example forked and did not end.
    #
    # @return [Boolean] whether no example kept too much
    def release = @pid != Process.pid || @trials.map(&:release).all?

    private

    # Those that kept something, and those of which that is not known.
    def suspects(trials)
      lose_unknown
      known = trials.select(&:run)
      return trials if known.empty?

      exceeds = ->(kept) { known.zip(kept).select { |trial, one| trial.exceeds?(one) }.map(&:first) }
      kept = Retaining.tracing(forgets: false) { RSpecExamples.kept(known.map(&:run), @threads) { |found| exceeds.call(found).any? } }
      known.zip(kept) { |trial, one| RSpecExamples.watch(trial.example, one) }
      suspects = exceeds.call(kept).select { |trial| trial.example.metadata[:retains] }
      trials.select { |trial| trial.run.nil? || suspects.include?(trial) }
    rescue Error # others trace by now; each will say so
      trials
    end

    # Whoever traced between two examples, or before the collection, may have had what was known forgotten: then the count of what was noted
    # is another one.
    def lose_unknown
      @trials.each(&:lose) unless @moment.nil? || @moment == Native.tracer_moment
    end
  end

  private_constant :RSpecBatch
end
