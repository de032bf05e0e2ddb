# frozen_string_literal: true

module HeapInspector
  # Switches on in a process what the environment asks for, for hosts that call nothing else: the Puma plugin and
  # `ruby -rheap_inspector/autorun`. The Railtie looks at its own options alone, since it may run in a process that only forks workers.
  #
  # - `HEAP_INSPECTOR_AGENT`: `0` for no agent
  # - `HEAP_INSPECTOR_TRACE`: `all` to trace in each process; `one` in one of the host; `0,2` in the workers with these indexes, and
  #   where there are no workers; `none`
  # - `HEAP_INSPECTOR_DUMP_ABOVE`: a size, such as `2GB`; see {HeapInspector.dump_above}
  # - `HEAP_INSPECTOR_DUMP_DIR`: where that puts its dump
  #
  # @api private
  module Settings
    class << self
      # @param environment [Boolean] whether the environment decides, and not the last four
      # @param worker [Integer, nil] the worker's index
      # @param agent [Boolean] whether to arm
      # @param trace [Symbol, String, Boolean, Integer, Array<Integer>, nil] who traces
      # @param dump_above [String, Integer, nil] the limit of memory
      # @param dump_dir [String, nil] where its dump goes
      # @return [void]
      def apply(environment: true, worker: nil, agent: true, trace: nil, dump_above: nil, dump_dir: nil)
        if environment
          agent = word("AGENT") != "0"
          trace, dump_above, dump_dir = %w[TRACE DUMP_ABOVE DUMP_DIR].map { |name| word(name) }
        end
        HeapInspector.arm(worker: worker) if agent
        start_tracing(trace, worker)
        HeapInspector.dump_above(dump_above, folder: dump_dir) if dump_above
      rescue Error => e
        warn "heap_inspector: #{e.message}" # the app must start
      end

      private

      def start_tracing(wish, worker)
        case wish
        when nil, false, "none", "" then nil
        when true, "all", :all then HeapInspector.trace_object_allocations_start
        when "one", :one then HeapInspector.trace_object_allocations_start(one_per_host: true)
        # A worker that others are forked from, as by Puma's fork_worker, traces without them.
        else Tracing.start(only: worker.nil? || indexes(wish).include?(worker), inherited: false)
        end
      end

      def indexes(wish)
        Array(wish).flat_map { |each| each.to_s.split(",") }.map { |each| Integer(each.strip.delete_prefix("worker-"), 10) }
      rescue ArgumentError
        raise Error, "#{wish.inspect} is no choice of what to trace; write all, one, none, or workers such as 0,2"
      end

      def word(name)
        value = ENV.fetch("HEAP_INSPECTOR_#{name}", nil)
        value unless value.nil? || value.empty?
      end
    end
  end
end
