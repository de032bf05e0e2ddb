# frozen_string_literal: true

require "fileutils"
require_relative "background"
require_relative "metrics"

module HeapInspector
  # Writes metrics of this process every while; see {HeapInspector.metrics_every}.
  #
  # @api private
  module MetricsFile
    extend Background::Repeated

    # The name of its thread.
    THREAD = "metrics"
    # After so many times without a new one a file is a dead process's.
    DEAD = 20

    private_constant :DEAD

    class << self
      # @return [void]
      def write_every(seconds, folder)
        seconds = Float(seconds)
        raise ArgumentError, "metrics every #{seconds} s are too many; give it a second at least" unless seconds >= 1

        @seconds = seconds
        @folder = File.expand_path(folder)
        begin_writing
        ForkHook.install
        at_exit { remove } unless @cleans
        @cleans = true
      end

      # @return [void]
      def stop
        @thread&.kill
        remove
        @seconds = nil
      end

      private

      def begin_writing
        @owner = Process.pid
        super
      end

      def path = File.join(@folder, "heap_inspector-#{Process.pid}.prom")

      def write
        loop do
          write_once
          sleep(@seconds)
        end
      end

      def write_once
        unfinished = "#{path}.#{Process.pid}.tmp" # the collector reads names that end in .prom
        File.open(unfinished, File::WRONLY | File::CREAT | File::TRUNC | File::NOFOLLOW, 0o644) do |file|
          file.write(Metrics.text(MemoryLook.take))
        end
        File.rename(unfinished, path)
        sweep
      rescue StandardError => e
        Background.tell_anew(self, "no metrics in #{@folder}: #{e.message}")
      end

      # What killed processes left.
      def sweep
        Dir.glob("heap_inspector-*.prom", base: @folder).each do |name|
          file = File.join(@folder, name)
          File.unlink(file) if Time.now - File.mtime(file) > DEAD * @seconds
        rescue SystemCallError
          nil # another one was quicker
        end
      end

      def remove
        FileUtils.rm_f(path) if @seconds && @owner == Process.pid
      end
    end
  end

  private_constant :MetricsFile
end
