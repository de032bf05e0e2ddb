# frozen_string_literal: true

module HeapInspector
  # Answers `heap_inspector trim`.
  #
  # @api private
  class TrimRequest
    # Rows that are told.
    ROWS = 5
    # Seconds that a compaction may take.
    LONGEST = 300

    private_constant :ROWS, :LONGEST

    # @param compact [Boolean] whether to move objects together
    # @param out [IO]
    def initialize(compact, out)
      @compact = compact
      @out = out
    end

    # @param pid [Integer]
    # @return [void]
    def run(pid)
      told = Client.new(pid).ask(:trim, longest: LONGEST, compact: @compact)
      before, after = %w[before after].map { |name| MemoryTold.memory(told[name], pid) }
      @out.puts "process #{pid}: #{Size.bytes(before.rss)} before, #{Size.bytes(after.rss)} after; its threads stood still for " \
                "#{(told["gc_seconds"] * 1000).round} ms"
      changes(before, after).each { |row, change| @out.puts "  #{Size.bytes(change.abs)} #{change.negative? ? "less" : "more"}  #{row}" }
      @out.puts "note: this malloc is not glibc's, and gives back by its own rules" if told["trimmed"].nil?
      @out.puts "note: this Ruby cannot compact" if @compact && !told["compacted"]
    end

    private

    def changes(before, after)
      rows = (before.rows + after.rows).uniq(&:name)
      changes = rows.map { |row| [Escape.terminal(row.title), after.bytes(row.name) - before.bytes(row.name)] }
      changes.select { |_, change| change.abs >= 4096 }.max_by(ROWS) { |_, change| change.abs }
    end
  end

  private_constant :TrimRequest
end
