# frozen_string_literal: true

require "fileutils"
require_relative "background"
require_relative "dump" # now, while nothing holds it up

module HeapInspector
  # Takes one dump when the process has grown beyond a limit; see {HeapInspector.dump_above}.
  #
  # @api private
  module Threshold
    # Bytes of the units that a limit may have.
    UNITS = { "" => 1, "K" => 1 << 10, "M" => 1 << 20, "G" => 1 << 30, "T" => 1 << 40 }.freeze
    # The file whose time is that of the last dump of the user's processes on this host.
    STAMP = "threshold.stamp"

    private_constant :UNITS, :STAMP

    class << self
      # @param limit [Integer, String] bytes, or such as `"2GB"` or `"512 MiB"`
      # @return [Integer] bytes
      # @raise [ArgumentError]
      def bytes(limit)
        return limit if limit.is_a?(Integer) && limit.positive?

        match = /\A\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*\z/i.match(limit.to_s)
        raise ArgumentError, "#{limit.inspect} is no size; write such as 2GB" if match.nil? || match[1].to_f.zero?

        (match[1].to_f * UNITS.fetch(match[2].upcase)).round
      end

      # @return [void]
      def watch(limit, folder:, every:, cool_down:, **dump)
        @limit = bytes(limit)
        @folder = folder || ENV["TMPDIR"] || "/tmp"
        @every = Float(every)
        raise ArgumentError, "a look every #{every} s is none; give it some seconds" unless @every.positive?

        @cool_down = Float(cool_down)
        @dump = dump
        begin_watching
        ForkHook.install
      end

      # @return [void]
      def stop
        @limit = nil
        @thread&.kill
      end

      # The child is watched too.
      #
      # @return [void]
      def after_fork
        begin_watching if @limit
      end

      private

      def begin_watching
        @thread&.kill
        @thread = Background.thread("threshold") { look }
      end

      # One dump a process, and one in a while of all processes.
      def look
        loop do
          sleep(@every)
          rss = ProcFs.status(Process.pid)["VmRSS"]
          next if rss.nil? || rss < @limit
          next unless turn?

          file = HeapInspector.dump(File.join(@folder, name), **@dump)
          say "#{rss / 1_048_576} MiB in use, more than #{@limit / 1_048_576}: took #{file.path}"
          break
        rescue StandardError, ScriptError => e
          say "no dump at #{rss.to_i / 1_048_576} MiB: #{e.message}"
          sleep(@cool_down)
        end
      end

      def say(message) = Background.tell(message)

      def name
        "heap-#{Process.pid}-#{Time.now.utc.strftime("%Y%m%dT%H%M%SZ")}.json.zst"
      end

      # Whether no process took a dump lately; if so it is ours to take now.
      def turn?
        lock = Folder.lock("threshold.lock") || (return false)
        stamp = File.join(Folder.path, STAMP)
        last = File.exist?(stamp) ? File.mtime(stamp) : nil
        return false if last && Time.now - last < @cool_down

        FileUtils.touch(stamp)
        true
      rescue AgentError => e
        say "each process goes by itself, since they cannot agree which one takes a dump: #{e.message}"
        true
      ensure
        Folder.unlock(lock)
      end
    end
  end

  private_constant :Threshold
end
