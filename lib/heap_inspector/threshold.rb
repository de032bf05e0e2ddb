# frozen_string_literal: true

require "fileutils"
require_relative "background"
require_relative "dump" # now, while nothing holds it up

module HeapInspector
  # Does something when the process's memory fulfils a condition; see {HeapInspector.watch_memory} and {HeapInspector.dump_above}.
  #
  # @api private
  module Threshold
    # Bytes of the units that a limit may have.
    UNITS = { "" => 1, "K" => 1 << 10, "M" => 1 << 20, "G" => 1 << 30, "T" => 1 << 40 }.freeze
    # The file whose time is that of the last dump of the user's processes on this host.
    STAMP = "threshold.stamp"
    # What may be done, beside a block and a command.
    ACTIONS = %i[dump profile].freeze

    # Of what is counted.
    THOUSANDS = { "" => 1, "K" => 1000, "M" => 1_000_000, "G" => 1_000_000_000 }.freeze

    private_constant :UNITS, :STAMP, :THOUSANDS

    # One watch: conditions, of which any is enough, and what is to be done.
    class Watch
      # Looks that a slope is reckoned from: at least, and at most.
      LOOKS = (3..10)
      # Seconds that a command may take.
      LONGEST = 600
      # Where the kernel may soon end the process.
      NEAR = %i[cgroup pressure].freeze

      private_constant :LOOKS, :LONGEST, :NEAR

      # @param limits [Hash{Symbol => Numeric}] by what is measured
      # @param action [Symbol, String, #call] one of {ACTIONS}, a command, or what is called with the measure, its value and the limit
      def initialize(limits, action:, every:, cool_down:, most:, folder:, dump:)
        near, others = limits.partition { |name,| NEAR.include?(name) }
        @limits = (near + others).to_h
        @action = action
        @every = every
        @cool_down = cool_down
        @most = most
        @folder = folder
        @dump = dump
        @looks = []
        @done = @profiles = 0
      end

      # What its thread does until it has acted so often as it may.
      #
      # @return [void]
      def run
        until @done >= @most
          sleep(@every)
          begin
            found = fulfilled
            next unless found

            profile_first(*found) if @action == :dump
            next if shared? && !Threshold.turn?(@cool_down)

            act(*found)
            @done += 1
            sleep(@cool_down) if @done < @most
          rescue StandardError, ScriptError => e
            Background.tell("no #{described} at #{found ? words(*found) : "a look at memory"}: #{e.message}")
            sleep(@cool_down)
          end
        end
      end

      private

      # Only what takes long is done by one process at a time.
      def shared? = @action == :dump

      # The first condition that holds: what is measured, its value, the limit.
      def fulfilled
        measured = @limits.keys.to_h { |name| [name, measure(name)] }
        @limits.each { |name, limit| return [name, measured[name], limit] if measured[name] && measured[name] >= limit }
        nil
      end

      def measure(name)
        case name
        when :rss then ProcFs.status(Process.pid)["VmRSS"]
        when :growth then growth
        when :cgroup then ProcFs.cgroup_share
        when :pressure then ProcFs.memory_pressure
        when :live_slots then GC.stat(:heap_live_slots)
        end
      end

      # Bytes a minute, by a line through the last looks.
      def growth
        rss = ProcFs.status(Process.pid)["VmRSS"] || (return nil)
        @looks << [now / 60, rss]
        @looks.shift if @looks.size > LOOKS.max
        return if @looks.size < LOOKS.min

        x, y = @looks.transpose.map { |values| values.sum.fdiv(values.size) }
        spread = @looks.sum { |at, _| (at - x)**2 }
        spread.zero? ? nil : @looks.sum { |at, value| (at - x) * (value - y) } / spread
      end

      def act(name, value, limit)
        case @action
        when :dump then dump(name, value, limit)
        when :profile then Background.tell("#{words(name, value, limit)}: wrote #{profile}")
        when String then command(name, value, limit)
        else @action.call(name, value, limit)
        end
      end

      # Who is to be killed soon may not live to the end of a dump, may not get the memory for one, and need not have its turn; a profile is
      # there in a moment, and each process has its own.
      def profile_first(name, value, limit)
        return unless NEAR.include?(name) && Tracing.tracing? && @profiles < @most
        return if @profiled && now - @profiled < @cool_down

        @profiled = now
        @profiles += 1
        Background.tell("#{words(name, value, limit)}: wrote #{profile}")
      rescue StandardError, ScriptError => e
        Background.tell("no profile before the dump: #{e.message}")
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

      def dump(name, value, limit)
        file = HeapInspector.dump(path("heap-%s.json.zst"), **@dump)
        Background.tell("#{words(name, value, limit)}: took #{file.path}")
      end

      def profile
        found = HeapInspector.heap_profile || raise(AgentError, "nothing is traced, so there is no profile")
        path("heap-profile-%s.pb.gz").tap { |path| found.write(path, format: :pprof) }
      end

      # By a shell, as cron does; it knows by its environment why.
      def command(name, value, limit)
        environment = { "HEAP_INSPECTOR_PID" => Process.pid.to_s, "HEAP_INSPECTOR_MEASURE" => name.to_s,
                        "HEAP_INSPECTOR_VALUE" => value.to_s, "HEAP_INSPECTOR_LIMIT" => limit.to_s }
        pid = Process.spawn(environment, @action, in: File::NULL, close_others: true)
        waiter = Process.detach(pid)
        unless waiter.join(LONGEST)
          Process.kill(:KILL, pid)
          raise AgentError, "the command was not done after #{LONGEST} s"
        end
        raise AgentError, "the command ended with #{waiter.value}" unless waiter.value&.success?

        Background.tell("#{words(name, value, limit)}: ran the command")
      end

      def path(form)
        File.join(@folder || ENV["TMPDIR"] || "/tmp", format(form, "#{Process.pid}-#{Time.now.utc.strftime("%Y%m%dT%H%M%SZ")}"))
      end

      def described = @action.is_a?(Symbol) ? @action : "action"

      def words(name, value, limit)
        case name
        when :rss then "#{value.to_i / 1_048_576} MiB in use, more than #{limit / 1_048_576}"
        when :growth then "growing by #{Size.bytes(value.round)} a minute, more than #{Size.bytes(limit.round)}"
        when :cgroup then "#{(value * 100).round} % of the cgroup's memory in use, more than #{(limit * 100).round} %"
        when :pressure then "waiting for memory #{value} % of the time, more than #{limit} %"
        else "#{Size.count(value)} live slots, more than #{Size.count(limit)}"
        end
      end
    end

    @watches = {}
    @threads = {}

    class << self
      # @param limit [Integer, String] bytes, or such as `"2GB"` or `"512 MiB"`
      # @return [Integer] bytes
      # @raise [ArgumentError]
      def bytes(limit)
        return limit if limit.is_a?(Integer) && limit.positive?

        match = /\A\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*\z/i.match(limit.to_s)
        raise ArgumentError, "#{limit.inspect} is not a size; write such as 2GB" if match.nil? || match[1].to_f.zero?

        (match[1].to_f * UNITS.fetch(match[2].upcase)).round
      end

      # @param words [String, Integer] sizes, `90%` of a cgroup, `20% pressure`, `50MB/min`, `5M slots`, with commas between
      # @return [Hash{Symbol => Numeric}] limits by what is measured
      # @raise [ArgumentError]
      def limits(words)
        return { rss: bytes(words) } unless words.is_a?(String) && words.match?(%r{[,%/]|slots})

        words.split(",").to_h do |word|
          case word.strip
          when /\A(\d{1,2}(?:\.\d+)?)\s*%\z/ then [:cgroup, share(Regexp.last_match(1).to_f / 100)]
          when /\A(\d{1,2}(?:\.\d+)?)\s*%\s*pressure\z/ then [:pressure, percent(Regexp.last_match(1).to_f)]
          when %r{\A(.+?)\s*/\s*min\z} then [:growth, bytes(Regexp.last_match(1))]
          when /\A(\d+(?:\.\d+)?)\s*([KMG]?)\s*slots\z/i
            [:live_slots, whole(Regexp.last_match(1).to_f * THOUSANDS.fetch(Regexp.last_match(2).upcase))]
          else [:rss, bytes(word.strip)]
          end
        end
      end

      # @return [void]
      # @raise [ArgumentError]
      def watch(name, limits, action:, every:, cool_down:, most:, folder: nil, dump: {})
        every = Float(every)
        raise ArgumentError, "a look every #{every} s is not valid; give it some seconds" unless every.positive?
        raise ArgumentError, "most is at least 1, got #{most}" unless most.is_a?(Integer) && most.positive?

        stop(name)
        @watches[name] =
          { limits: limits, action: action, every: every, cool_down: Float(cool_down), most: most, folder: folder, dump: dump }
        begin_watching(name)
        ForkHook.install
      end

      # @return [Hash{Symbol => Numeric}] what is measured, with limits that make sense
      # @raise [ArgumentError]
      def checked(rss: nil, growth: nil, cgroup: nil, pressure: nil, live_slots: nil)
        limits = { rss: rss && bytes(rss), growth: growth && bytes(growth), cgroup: cgroup && share(cgroup),
                   pressure: pressure && percent(pressure), live_slots: live_slots && whole(live_slots) }.compact
        raise ArgumentError, "no condition: give rss, growth, cgroup, pressure or live_slots" if limits.empty?

        limits
      end

      # @param action [Object]
      # @return [Symbol, String, #call]
      # @raise [ArgumentError]
      def action(action, block)
        return block if block
        return action if ACTIONS.include?(action) || (action.is_a?(String) && !action.strip.empty? && !action.include?("\0"))

        raise ArgumentError, "expected the action #{ACTIONS.map(&:inspect).join(", ")}, a command or a block, got #{action.inspect}"
      end

      # @param name [Object, nil] of a watch; all of them without
      # @return [void]
      def stop(name = nil)
        (name ? [name] : @watches.keys).each do |each|
          @watches.delete(each)
          @threads.delete(each)&.kill
        end
      end

      # The child is watched too.
      #
      # @return [void]
      def after_fork
        @threads = {}
        @watches.each_key { |name| begin_watching(name) }
      end

      # Whether no process took a dump lately; if so it is ours to take now.
      #
      # @param cool_down [Numeric] seconds
      # @return [Boolean]
      def turn?(cool_down)
        lock = Folder.lock("threshold.lock") || (return false)
        stamp = File.join(Folder.path, STAMP)
        last = File.exist?(stamp) ? File.mtime(stamp) : nil
        return false if last && Time.now - last < cool_down

        FileUtils.touch(stamp)
        true
      rescue AgentError => e
        Background.tell "each process goes by itself, since they cannot agree which one takes a dump: #{e.message}"
        true
      ensure
        Folder.unlock(lock)
      end

      private

      def begin_watching(name)
        watch = @watches[name]
        @threads[name] = Background.thread("threshold") { Watch.new(watch[:limits], **watch.except(:limits)).run }
      end

      def share(value)
        return value.to_f if value.is_a?(Numeric) && value.positive? && value <= 1

        raise ArgumentError, "a part of the cgroup's memory is more than 0 and at most 1, got #{value.inspect}"
      end

      def percent(value)
        return value.to_f if value.is_a?(Numeric) && value.positive? && value <= 100

        raise ArgumentError, "pressure is in percent of the time, more than 0 and at most 100, got #{value.inspect}"
      end

      def whole(value)
        return value.round if value.is_a?(Numeric) && value.real? && value.finite? && value >= 1

        raise ArgumentError, "live_slots is a number of at least 1, got #{value.inspect}"
      end
    end
  end

  private_constant :Threshold
end
