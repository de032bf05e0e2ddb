# frozen_string_literal: true

require "objspace"
require_relative "background"
require_relative "native"

module HeapInspector
  # Allocation tracing as a server wants it: in one process, or only in some, and no more than once.
  #
  # @api private
  module Tracing
    # Ruby's own tracer: every allocation, without stacks. It serves where ours cannot.
    module RubyTracer
      class << self
        # @return [void]
        def start(**) = ObjectSpace.trace_object_allocations_start

        # @return [void]
        def stop = ObjectSpace.trace_object_allocations_stop

        # @return [void]
        def clear = ObjectSpace.trace_object_allocations_clear

        # @return [void]
        def after_fork = nil

        # @return [Hash] what it traces
        def status = { mode: :ruby }
      end
    end

    # Ours, of the extension.
    module NativeTracer
      # Seconds for which a window of continuous tracing is open.
      WINDOW = 0.02

      private_constant :WINDOW

      # Under `GC.stress` the tracer cannot put in hooks while objects are marked, so it has to know before.
      module Stress
        # @return [void]
        def stress=(flag)
          Native.tracer_stress(true) if flag
          super
          Native.tracer_stress(false) unless flag
        end
      end

      # Ruby 3.1 and 3.2 crash where another Ractor allocates while anything hooks allocations, or begins while collections are hooked; and
      # these are as long as something is known of objects. So tracing ends before there is one, and what was known is forgotten.
      module Ractors
        # @return [Ractor]
        def new(...)
          if Tracing.tracing?
            Tracing.off
            Background.tell("tracing has ended, since this Ruby crashes when Ractors allocate under it")
          end
          Native.tracer_clear
          super
        end
      end

      class << self
        # @return [String, nil] why this Ruby cannot be traced so
        def missing = Native.tracer_missing

        # Makes ready for what `GC.stress` does.
        #
        # @return [void]
        def prepare
          return if @watches

          Native.tracer_stress(true) if GC.stress
          GC.singleton_class.prepend(Stress)
          Ractor.singleton_class.prepend(Ractors) if RUBY_VERSION < "3.3"
          @watches = true
        end

        # @return [void]
        def start(mode:, every:, budget:)
          raise Error, "this Ruby crashes when Ractors allocate under tracing, and some run" if RUBY_VERSION < "3.3" && Ractor.count > 1

          prepare
          close_windows
          Native.tracer_start(mode.to_s, every, budget)
          return unless mode == :continuous

          ForkHook.install
          open_windows
        end

        # @return [void]
        def stop
          close_windows
          Native.tracer_stop
        end

        # @return [void]
        def clear = Native.tracer_clear

        # Goes on in the child, where the thread is missing.
        #
        # @return [void]
        def after_fork
          open_windows if @thread
        end

        # @return [Hash] what it traces, and what it costs
        def status = Native.tracer_status || {}

        private

        def close_windows
          @thread&.kill&.join
          @thread = nil
        end

        # The windows come at random, so that what happens in a rhythm is seen as often as the rest.
        def open_windows
          @thread = Background.thread("tracer") do
            random = Random.new
            while (interval = Native.tracer_open_window)
              sleep(WINDOW)
              Native.tracer_close_window
              sleep(-Math.log(1 - random.rand) * (interval - WINDOW))
            end
          end
        end
      end
    end

    # What is traced, from the least to the most.
    MODES = %i[continuous sampled full].freeze
    # What a running process is made to trace where no mode is asked for.
    DEFAULT = :sampled
    # Allocations for each stack. In a window the hook costs more than the samples: with more of these the same budget buys twice as many.
    EVERY = { continuous: 64, sampled: 512, full: 512 }.freeze
    # The most there may be.
    MOST = 1 << 24
    # The share of the processor that continuous tracing may take.
    BUDGET = 0.01
    # So many starts that were not ours are undone.
    OTHERS = 1000

    # What lives of what was allocated in an interval, of one class and place; its address is that of one of them.
    Survivors = Struct.new(:interval, :class_name, :app_location, :location, :objects, :memsize, :address, :gem, keyword_init: true)

    private_constant :OTHERS

    @count = 0
    @mutex = Mutex.new

    class << self
      # @return [Time, nil] when the tracing under way began, where it was begun here
      attr_reader :since

      # @return [Symbol, nil] what is traced, where it was begun here
      attr_reader :mode

      # See {HeapInspector.trace_object_allocations_start}. Who comes later and wants more gets it; who wants less has it.
      #
      # @param inherited [Boolean] whether what the process forks traces as well; an elected one's children never do
      # @return [Boolean]
      def start(only: true, one_per_host: false, inherited: true, mode: :full, every: nil, budget: BUDGET)
        mode = check(mode, every, budget)
        every ||= EVERY.fetch(mode)
        return false unless only.respond_to?(:call) ? only.call : only

        exclusively do
          return false if one_per_host && !elected?

          if @count.zero?
            begin_tracing(mode, every, budget, alone: one_per_host || !inherited)
          elsif @mode && MODES.index(mode) > MODES.index(@mode)
            @mode = mode
            tracer.start(mode: mode, every: every, budget: budget)
          end
          @count += 1
        end
        true
      end

      # See {HeapInspector.trace_object_allocations_stop}.
      #
      # @return [Boolean]
      def stop(clear: false)
        exclusively do
          if @count.positive?
            @count -= 1
            finish if @count.zero?
          end
          tracer.clear if clear && @count.zero?
        end
        tracing?
      end

      # Ends the tracing of this process, however often and by whomever it was begun.
      #
      # @return [Boolean] whether allocations are still traced
      def off
        exclusively do
          @count = 0
          finish
          # Ruby's own tracer counts those who began it without us.
          OTHERS.times { ruby_traces? ? RubyTracer.stop : break }
        end
        tracing?
      end

      # @return [Boolean] whether allocations are traced, whoever began it
      def tracing? = @count.positive? || ruby_traces?

      # @return [Hash] what is traced, by what, and what it costs; empty where nothing is
      def status
        return ruby_traces? ? { mode: :ruby } : {} unless @count.positive?

        tracer.status.merge({ since: @since, fallback: @fallback }.compact)
      end

      # See {HeapInspector.heap_profile}.
      #
      # @param since [Integer, nil]
      # @return [HeapProfile, nil]
      def profile(since)
        is_serial = since.is_a?(Integer) && since >= 0
        raise ArgumentError, "since is a profile or its serial, got #{since.inspect}" unless since.nil? || is_serial

        taken = Native.tracer_profile(since && [since, 0xffffffff].min)
        return unless taken
        raise ArgumentError, "no profile with number #{since} was taken yet, the latest is #{taken.serial}" if since.to_i > taken.serial

        HeapProfile.new(taken)
      end

      # See {HeapInspector.profile}. Between the natives nothing of ours is allocated.
      #
      # @return [BlockProfile]
      def profile_block(limit, &)
        report = BlockProfile # loaded before
        alone do
          collect
          begin
            Native.tracer_start("sampled", 1, BUDGET)
            Native.deeper(&)
            nil
          ensure
            Native.tracer_stop
          end
          collect
          report.new(*Native.tracer_report(limit))
        end
      end

      # Collects garbage, that too which the machine stack still has the address of from calls that are over.
      #
      # @param options as `GC.start` takes them
      # @return [void]
      def collect(**options)
        Native.clear_stack
        GC.start(**options)
      end

      # @return [String, nil] why a block cannot have our tracer
      def missing
        return "allocations are traced already; stop that first (HeapInspector.trace_object_allocations_stop)" if tracing?

        "this Ruby cannot be profiled: #{@fallback}" unless tracer == NativeTracer
      end

      # Has our tracer for a block, which starts and stops it by the natives.
      #
      # @param forgets [Boolean] whether what it knows is forgotten at the end
      # @yield
      # @return [Object] what the block gives
      # @raise [Error] where allocations are traced already, or this Ruby cannot be traced by our tracer
      def alone(forgets: true)
        exclusively do
          missing&.then { |why| raise Error, why }

          tracer.prepare
          begin
            yield
          ensure
            tracer.clear if forgets
          end
        end
      end

      # What lives of what was allocated between each two neighbouring moments.
      #
      # @param moments [Array<Integer>] as `Native.tracer_moment` tells them
      # @param whole [Boolean] whether Ruby's own objects count too, and all their bytes: for a process that is there to be measured
      # @return [Array<Survivors>]
      def survivors(moments, whole: false)
        Native.tracer_survivors(moments, whole).map { |row| Survivors.new(**row) }
      end

      # See {HeapInspector.allocation}.
      #
      # @return [Allocation, nil]
      def allocation(object)
        found = Native.tracer_lookup(object)
        Allocation.of(found, stack: found[:stack].map { |frame| Allocation::Frame.of(frame) }.freeze) if found
      end

      # Ends in the child what was meant for its parent alone.
      #
      # @return [void]
      def after_fork
        @mutex = Mutex.new # another thread may have held it, and a trap may take none
        @election&.close # without unlocking it for the parent
        @election = nil
        return (tracer.after_fork if @count.positive?) unless @alone

        @count = 0
        finish
        tracer.clear
      end

      # @return [#start] what traces: ours, and where this Ruby lacks what that needs, Ruby's own
      def tracer
        @tracer ||= begin
          @fallback = NativeTracer.missing
          @fallback ? RubyTracer : NativeTracer
        end
      end

      private

      # One at a time. Who measures a block waits for nobody in it.
      def exclusively(&)
        raise Error, "allocations of this block are being measured, and cannot be traced in it otherwise" if @mutex.owned?

        @mutex.synchronize(&)
      end

      def check(mode, every, budget)
        unless MODES.include?(mode.respond_to?(:to_sym) ? mode.to_sym : mode)
          raise ArgumentError, "unknown mode #{mode.inspect}: expected #{MODES.join(", ")}"
        end

        is_number = every.nil? || (every.is_a?(Integer) && every.between?(1, MOST))
        raise ArgumentError, "every is 1 to #{MOST}, got #{every.inspect}" unless is_number

        is_share = budget.is_a?(Numeric) && budget.between?(1e-6, 1)
        raise ArgumentError, "budget is a share of 1, as 0.01, got #{budget.inspect}" unless is_share

        mode.to_sym
      end

      def ruby_traces? = !ObjectSpace.allocation_generation(Object.new).nil?

      def begin_tracing(mode, every, budget, alone:)
        @alone = alone
        ForkHook.install if alone
        tracer.start(mode: mode, every: every, budget: budget)
        @since = Time.now
        @mode = mode
        Background.tell("Ruby's own tracer serves, which costs more: #{@fallback}") if @fallback
      end

      def finish
        tracer.stop
        @alone = false
        @since = nil
        @mode = nil
        Folder.unlock(@election)
        @election = nil
      end

      def elected?
        return true if @election

        @election = Folder.lock("tracing.lock")
        ForkHook.install if @election
        !@election.nil?
      end
    end
  end

  private_constant :Tracing
end
