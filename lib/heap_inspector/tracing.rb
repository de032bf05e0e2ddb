# frozen_string_literal: true

require "objspace"

module HeapInspector
  # Allocation tracing as a server wants it: in one process, or only in some, and no more than once.
  #
  # @api private
  module Tracing
    # Traces with Ruby's own tracer. Another one answers to the same three methods.
    module RubyTracer
      class << self
        # @return [void]
        def start = ObjectSpace.trace_object_allocations_start

        # @return [void]
        def stop = ObjectSpace.trace_object_allocations_stop

        # @return [void]
        def clear = ObjectSpace.trace_object_allocations_clear
      end
    end

    # So many starts that were not ours are undone.
    OTHERS = 1000

    private_constant :OTHERS

    @tracer = RubyTracer
    @count = 0
    @mutex = Mutex.new

    class << self
      # @return [#start, #stop, #clear] what traces
      attr_accessor :tracer

      # @return [Time, nil] when the tracing under way began, where it was begun here
      attr_reader :since

      # See {HeapInspector.trace_object_allocations_start}.
      #
      # @param inherited [Boolean] whether what the process forks traces as well; an elected one's children never do
      # @return [Boolean]
      def start(only: true, one_per_host: false, inherited: true)
        return false unless only.respond_to?(:call) ? only.call : only

        @mutex.synchronize do
          return false if one_per_host && !elected?

          @count += 1
          begin_tracing(alone: one_per_host || !inherited) if @count == 1
        end
        true
      end

      # See {HeapInspector.trace_object_allocations_stop}.
      #
      # @return [Boolean]
      def stop(clear: false)
        @mutex.synchronize do
          if @count.positive?
            @count -= 1
            finish if @count.zero?
          end
          @tracer.clear if clear && @count.zero?
        end
        tracing?
      end

      # Ends the tracing of this process, however often and by whomever it was begun.
      #
      # @return [Boolean] whether allocations are still traced
      def off
        @mutex.synchronize do
          @count = 0
          finish
          # Ruby's own tracer counts those who began it without us.
          OTHERS.times { tracing? ? @tracer.stop : break }
        end
        tracing?
      end

      # @return [Boolean] whether allocations are traced, whoever began it
      def tracing?
        !ObjectSpace.allocation_generation(Object.new).nil?
      end

      # Ends in the child what was meant for its parent alone.
      #
      # @return [void]
      def after_fork
        @election&.close # without unlocking it for the parent
        @election = nil
        return unless @alone

        @count = 0
        finish
        @tracer.clear
      end

      private

      def begin_tracing(alone:)
        @alone = alone
        ForkHook.install if alone
        @since = Time.now
        @tracer.start
      end

      def finish
        @tracer.stop
        @alone = false
        @since = nil
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
