# frozen_string_literal: true

require_relative "background"
require_relative "memory_look"

module HeapInspector
  # Where this process's resident memory is, as Prometheus reads it: a Rack endpoint. A thread looks every while, so that a scrape costs
  # nothing but the text (0.1 to 0.5 ms); the look takes 10 to 50 ms of CPU and holds other threads up for 3 to 5 ms. What a server
  # with several workers answers is the memory of the worker that is asked: with several, write files ({HeapInspector.metrics_every}).
  #
  # It shows sizes alone, no path and no value. Who may see it is the app's to say.
  #
  # @example in config/routes.rb
  #   mount HeapInspector::Metrics.new => "/metrics/memory"
  class Metrics
    # What is told of the process beside its memory's parts, and in which sort of metric.
    FACTS = { live_slots: "gauge", free_slots: "gauge", old_objects: "gauge", gc_count: "counter", major_gc_count: "counter",
              threads: "gauge", arenas: "gauge", symbols: "gauge" }.freeze

    private_constant :FACTS

    # @param memory [Memory]
    # @return [String] the text of the metrics
    def self.text(memory)
      labels = "pid=\"#{memory.pid}\""
      parts = memory.rows.group_by { |row| row.name.start_with?("file:") ? "files" : row.name[/\A\w+/] }
      lines = ["# HELP heap_inspector_resident_bytes Resident memory by who owns it.", "# TYPE heap_inspector_resident_bytes gauge"]
      parts.each do |name, rows|
        lines << "heap_inspector_resident_bytes{#{labels},part=\"#{name}\",named=\"#{rows.all?(&:named)}\"} #{rows.sum(&:bytes)}"
      end
      lines.push("# TYPE heap_inspector_rss_bytes gauge", "heap_inspector_rss_bytes{#{labels}} #{memory.rss}")
      FACTS.each do |name, sort|
        next unless (value = memory.facts[name])

        total = "_total" if sort == "counter"
        lines.push("# TYPE heap_inspector_#{name}#{total} #{sort}", "heap_inspector_#{name}#{total}{#{labels}} #{value}")
      end
      lines.push("# TYPE heap_inspector_look_seconds gauge", "heap_inspector_look_seconds{#{labels}} #{memory.time.round}")
      "#{lines.join("\n")}\n"
    end

    # @param every [Numeric] seconds between two looks, at least 1
    # @raise [ArgumentError]
    def initialize(every: 30)
      @every = Float(every)
      raise ArgumentError, "a look every #{every} s is too often; give it a second at least" unless @every >= 1

      @lock = Mutex.new
    end

    # @param _env [Hash]
    # @return [Array] status, headers and body
    def call(_env)
      [200, { "content-type" => "text/plain; version=0.0.4; charset=utf-8", "cache-control" => "no-store" }, [self.class.text(look)]]
    rescue Error => e
      [503, { "content-type" => "text/plain; charset=utf-8" }, ["#{e.message}\n"]]
    end

    private

    # The last look. A forked process has no thread yet, and its parent's look.
    def look
      @lock.synchronize do
        unless @owner == Process.pid && @thread&.alive?
          @owner = Process.pid
          @look = MemoryLook.take
          @thread = Background.thread("metrics") { look_again }
        end
      end
      @look
    end

    def look_again
      loop do
        sleep(@every)
        @look = MemoryLook.take
      rescue StandardError => e
        Background.tell("no look at memory: #{e.message}") unless @told
        @told = true
      end
    end
  end
end
