# frozen_string_literal: true

module HeapInspector
  # Switches on in a process what the environment asks for, for hosts that call nothing else: the Puma plugin and
  # `ruby -rheap_inspector/autorun`. The Railtie looks at its own options alone, since it may run in a process that only forks workers.
  #
  # - `HEAP_INSPECTOR_AGENT`: `0`, `off`, `false`, `no` or `none` for no agent
  # - `HEAP_INSPECTOR_TRACE`: `all` to trace in each process; `one` in one of the host; `0,2` in the workers with these indexes, a
  #   process without workers being worker 0; `none`, `off`, `false` or `no`
  # - `HEAP_INSPECTOR_TRACE_MODE`: `sampled`, `full` or `continuous`; see {HeapInspector.trace_object_allocations_start}
  # - `HEAP_INSPECTOR_TRACE_EVERY`: allocations for each stack
  # - `HEAP_INSPECTOR_DUMP_ABOVE`: a size, such as `2GB`, or `90%`, `20% pressure`, `50MB/min`, `5M slots`; see {HeapInspector.dump_above}
  # - `HEAP_INSPECTOR_DUMP_DIR`: where that puts its dump
  # - `HEAP_INSPECTOR_PROFILE_EVERY`: a time, such as `60s` or `10m`; see {HeapInspector.profile_every}
  # - `HEAP_INSPECTOR_PROFILE_DIR`: where that puts its profiles
  # - `HEAP_INSPECTOR_SUMMARY_EVERY`: a time, such as `6h`; see {HeapInspector.summary_every}
  # - `HEAP_INSPECTOR_SUMMARY_TO`: the folder or the address to which that brings its summaries
  # - `HEAP_INSPECTOR_METRICS`: a folder for files of metrics, every 30 s; see {HeapInspector.metrics_every}
  #
  # The app is more important than any of it. What cannot be understood or done is told once on standard error, and each part goes on
  # without the others.
  #
  # @api private
  module Settings
    # Words for no.
    NO = ["", "0", "off", "false", "no", "none", "nil"].freeze
    # Words for yes.
    YES = %w[1 on true yes].freeze

    # Seconds between two files of metrics.
    METRICS = 30

    private_constant :NO, :YES, :METRICS

    @told = []

    class << self
      # @param environment [Boolean] whether the environment decides, and not the last eleven
      # @param worker [Integer, nil] the worker's index
      # @param agent [Boolean] whether to arm
      # @param trace [Symbol, String, Boolean, Integer, Array<Integer>, nil] who traces
      # @param trace_mode [Symbol, String, nil] what is traced, by default `:sampled`
      # @param trace_every [Integer, String, nil] allocations for each stack, by default 512, in continuous mode 64
      # @param dump_above [String, Integer, nil] the limit of memory
      # @param dump_dir [String, nil] where its dump goes
      # @param profile_every [String, Numeric, nil] the time between two profiles
      # @param profile_dir [String, nil] where they go
      # @param metrics [String, nil] the folder of metrics
      # @param summary_every [String, Numeric, nil] the time between two summaries
      # @param summary_to [String, nil] where they go
      # @return [void]
      def apply(environment: true, worker: nil, agent: true, trace: nil, trace_mode: nil, trace_every: nil, dump_above: nil, dump_dir: nil,
                profile_every: nil, profile_dir: nil, metrics: nil, summary_every: nil, summary_to: nil)
        if environment
          agent, trace, trace_mode, trace_every, dump_above, dump_dir, profile_every, profile_dir, metrics,
            summary_every, summary_to = words
        end
        agent = choice(agent)
        trace = requested(trace)
        limit = limit(dump_above)
        attempt("no agent, so ps, dump and trace do not reach this process") { HeapInspector.arm(worker: worker) } if agent
        # Only here are the mode and the rate looked at: what knows them is loaded where something traces.
        attempt("allocations are not traced") { start_tracing(trace, worker, mode: mode(trace_mode), every: every(trace_every)) } if trace
        attempt("no dump will be taken by itself") { HeapInspector.dump_above(dump_above, folder: dump_dir&.to_s) } if limit
        seconds = seconds(profile_every, "profile_every", "profiles")
        attempt("no profiles will be written") { HeapInspector.profile_every(seconds, folder: profile_dir&.to_s) } if seconds
        attempt("no metrics will be written") { HeapInspector.metrics_every(METRICS, folder: metrics.to_s) } if metrics
        pause = seconds(summary_every, "summary_every", "summaries")
        attempt("no summaries will be written") { HeapInspector.summary_every(pause, to: summary_to&.to_s) } if pause
      end

      # Says what is wrong with the environment, before workers are forked that would each say it.
      #
      # @return [void]
      def check
        agent, trace, trace_mode, trace_every, dump_above, _, profile_every, _, _, summary_every, = words
        choice(agent)
        requested(trace)
        mode(trace_mode) if trace_mode
        every(trace_every) if trace_every
        limit(dump_above)
        seconds(profile_every, "profile_every", "profiles")
        seconds(summary_every, "summary_every", "summaries")
      end

      private

      def words
        names = %w[AGENT TRACE TRACE_MODE TRACE_EVERY DUMP_ABOVE DUMP_DIR PROFILE_EVERY PROFILE_DIR METRICS SUMMARY_EVERY SUMMARY_TO]
        agent, *others = names.map do |name|
          value = ENV.fetch("HEAP_INSPECTOR_#{name}", nil)
          value unless value.nil? || value.strip.empty?
        end
        [agent.nil? || agent, *others]
      end

      # An unknown word is rather no than yes: somebody wanted it otherwise than it is by default.
      def choice(agent)
        word = agent.to_s.strip.downcase
        return true if YES.include?(word)

        tell("agent: #{agent.inspect} is neither on nor off; there will be no agent") unless NO.include?(word)
        false
      end

      # @return [Symbol, Array<Integer>, nil] `:all`, `:one`, or the workers
      def requested(trace)
        return if trace.nil?

        word = trace.is_a?(Array) ? trace.join(",") : trace.to_s.strip.downcase
        return if word != "0" && NO.include?(word)
        return word.to_sym if %w[all one].include?(word)
        return :all if %w[true on yes].include?(word)

        word.split(",").map { |each| Integer(each.strip[/\A(?:worker-)?(\d{1,9})\z/, 1], 10) }
      rescue ArgumentError
        tell("trace: #{trace.inspect} is not a choice of what to trace, so nothing is traced; write all, one, none, or workers such as 0,2")
        nil
      end

      def mode(word)
        return Tracing::DEFAULT if word.nil?

        mode = word.to_s.strip.downcase.to_sym
        return mode if Tracing::MODES.include?(mode)

        tell("trace_mode: unknown mode #{word.inspect}: expected #{Tracing::MODES.join(", ")}; it is #{Tracing::DEFAULT}")
        Tracing::DEFAULT
      end

      def every(word)
        return if word.nil?

        number = Integer(word.to_s.strip, 10)
        return number if number.between?(1, Tracing::MOST)

        raise ArgumentError
      rescue ArgumentError
        tell("trace_every: expected a number of 1 to #{Tracing::MOST}, got #{word.inspect}; it is left out")
        nil
      end

      def limit(dump_above)
        Threshold.limits(dump_above) if dump_above
      rescue ArgumentError => e
        tell("dump_above: #{e.message}; no dump will be taken by itself")
        nil
      end

      def seconds(time, option, what)
        return if time.nil?

        seconds = time.is_a?(Numeric) ? time : Size.seconds(time.to_s.strip)
        raise ArgumentError, "it is less than a second" if seconds < 1

        seconds
      rescue ArgumentError => e
        tell("#{option}: #{e.message}; no #{what} will be written")
        nil
      end

      def start_tracing(requested, worker, **how)
        case requested
        when :all then HeapInspector.trace_object_allocations_start(**how)
        when :one then HeapInspector.trace_object_allocations_start(one_per_host: true, **how)
        # A worker that others are forked from, as by Puma's fork_worker, traces without them.
        else Tracing.start(only: requested.include?(worker || 0), inherited: false, **how)
        end
      end

      def attempt(without)
        yield
      rescue StandardError, ScriptError => e # what is not installed is a LoadError
        tell("#{without}: #{e.message}")
      end

      # Children know what their parent has told already.
      def tell(message)
        return if @told.include?(message)

        @told << message
        Background.tell(message)
      end
    end
  end
end
