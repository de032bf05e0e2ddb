# frozen_string_literal: true

require "json"

module HeapInspector
  # Answers `heap_inspector memory`: asks the agent of a process, or the kernel where there is none.
  #
  # @api private
  class MemoryRequest
    # Rows whose course is told at the end.
    ROWS = 5

    private_constant :ROWS

    # @param pid [Integer]
    # @return [Memory]
    # @raise [AgentError] if nobody tells anything
    def self.look(pid)
      MemoryTold.memory(Client.new(pid).ask(:memory), pid, ProcFs.shares(pid))
    rescue AgentError => e
      raise if ProcFs.ended?(pid)

      MemoryOutside.take(pid, "by /proc alone, so Ruby's heap and malloc's memory are not told apart (#{e.message})")
    end

    # @param format [String] `text`, `json` or `jsonl`
    # @param out [IO]
    # @param err [IO]
    def initialize(format, out, err)
      @format = format
      @out = out
      @err = err
      @found = []
    end

    # One look.
    #
    # @param pid [Integer]
    # @return [void]
    def run(pid)
      @found << (look = self.class.look(pid))
      @out.puts(text(look)) if @format == "text"
      @out.puts(line(look)) if @format == "jsonl"
    end

    # Writes what is written of all looks together.
    #
    # @param all [Boolean] whether it may be any number of processes
    # @return [void]
    def finish(all:)
      return unless @format == "json" && (all || @found.any?)

      @out.puts(pretty(all ? @found.map { |look| hash(look) } : hash(@found.first)))
    end

    # Looks every while.
    #
    # @param pid [Integer]
    # @param every [Numeric] seconds
    # @param span [Numeric] seconds in all
    # @return [Integer] the exit code
    def series(pid, every, span)
      series = MemorySeries.new
      start = Client.now
      ticks = ProcFs.start_ticks(pid)
      code = 0
      begin
        loop do
          look = self.class.look(pid)
          raise AgentError, "process #{pid} is another one now" unless ProcFs.start_ticks(pid) == ticks

          tell(series, look)
          left = start + (series.looks.size * every) - Client.now
          break if start + (series.looks.size * every) > start + span

          sleep(left) if left.positive?
        end
      rescue Interrupt
        code = 130
      rescue AgentError => e
        raise if series.looks.empty?

        @err.puts "heap_inspector: #{Escape.terminal(e.message)}"
        code = 1
      end
      conclude(series)
      code
    end

    private

    def hash(look)
      look.to_h.merge(diagnosis: look.diagnosis)
    end

    def pretty(value) = Escape.json(JSON.pretty_generate(JSON.parse(value.to_json)))

    def line(value) = Escape.json(value.to_json)

    def text(look)
      [look.to_s, *diagnoses(look)].join("\n")
    end

    def diagnoses(found) = found.diagnosis.map { |one| "#{one.kind.to_s.tr("_", " ")}: #{one.text}" }

    def tell(series, look)
      before = series.looks.last
      series.looks << look
      return if @format == "json"
      return whole(line(look)) if @format == "jsonl"

      whole "#{Time.at(look.time).utc.strftime("%FT%TZ")} #{Size.bytes(look.rss).rjust(11)}#{change(before, look)}"
    end

    # Who reads along is not to wait for the next looks.
    def whole(text)
      @out.puts text
      @out.flush
    end

    # The row that changed most since the look before.
    def change(before, look)
      return "  #{(look.named_share * 100).floor} % named" unless before

      rows = (look.rows + before.rows).uniq(&:name)
      row = rows.max_by { |one| (look.bytes(one.name) - before.bytes(one.name)).abs }
      moved = row ? look.bytes(row.name) - before.bytes(row.name) : 0
      words = "  #{signed(look.rss - before.rss).rjust(12)}"
      moved.zero? ? words : "#{words}  #{Escape.terminal(row.title)} #{signed(moved)}"
    end

    def signed(bytes) = "#{bytes.negative? ? "-" : "+"}#{Size.bytes(bytes.abs)}"

    def conclude(series)
      return unless series.told?
      return @out.puts(line(series.to_h)) if @format == "jsonl"
      return @out.puts(pretty(series.to_h.merge(looks: series.looks))) if @format == "json"

      by_work = series.per_work
      each = ", #{signed(by_work[:rss].round)} for each of #{Size.count(by_work[:work])} #{by_work[:unit]}" if by_work
      @out.puts Escape.terminal("resident memory #{series.sparkline} #{signed(series.slope_of_rss.round)} a minute#{each}")
      titles = series.looks.flat_map(&:rows).to_h { |row| [row.name, row.title] }
      series.slopes.first(ROWS).select { |_, slope| slope >= 1024 }.each do |name, slope|
        each = " #{signed(by_work[:rows].fetch(name).round).rjust(11)} each" if by_work
        @out.puts "  #{signed(slope.round).rjust(11)} a minute#{each}  #{Escape.terminal(titles[name])}"
      end
      diagnoses(series).each { |line| @out.puts line }
    end
  end

  private_constant :MemoryRequest
end
