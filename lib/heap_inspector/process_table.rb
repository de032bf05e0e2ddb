# frozen_string_literal: true

module HeapInspector
  # What `heap_inspector ps` shows: a row for each process, of what /proc and the agents say.
  #
  # @api private
  class ProcessTable
    # The columns' titles.
    TITLES = %w[PID WHAT RSS PSS AGENT TRACING COMMAND].freeze
    # Letters of a command where there is no terminal that says how wide it is, and at least.
    COMMAND = (16..60)

    private_constant :TITLES, :COMMAND

    # @param processes [Array<Processes::Process>]
    def initialize(processes)
      statuses = Client.statuses(processes.select(&:armed?).map(&:pid))
      @rows = processes.map { |process| row(process, statuses[process.pid]) }
    end

    # @return [String]
    def to_json(*)
      Escape.json(JSON.pretty_generate(@rows))
    end

    # @param width [Integer, nil] the terminal's
    # @return [String] lines
    def text(width = nil)
      return "no Ruby process but this one runs here\n" if @rows.empty?

      lines, widths, room = laid_out(width, short: false)
      lines, widths, room = laid_out(width, short: true) if room < COMMAND.min
      room = room.clamp(COMMAND)
      lines.map { |*cells, command| "#{[*aligned(cells, widths), command[0, room]].join("  ").rstrip}\n" }.join
    end

    private

    # The lines' cells, the columns' widths, and the letters left for commands.
    def laid_out(width, short:)
      lines = [TITLES, *@rows.map { |row| cells(row, short) }]
      widths = lines.transpose.map { |column| column.map(&:length).max }
      [lines, widths, width ? width - (widths[0..-2].sum + (2 * (widths.size - 1))) : COMMAND.max]
    end

    def row(process, status)
      answers = status.is_a?(Hash)
      status = {} unless answers
      since = status["tracing_since"]
      { pid: process.pid, uid: process.uid, what: process.title, worker: process.worker || status["worker"], rss: process.rss,
        pss: process.pss, armed: process.known? ? process.armed? : nil, answers: process.armed? ? answers : nil,
        daemon: status["daemon"],
        tracing: status["tracing"], tracing_since: since && Time.at(since).utc.strftime("%FT%TZ"), work: status["work"],
        uncollected: status["uncollected"], command: process.command }
    end

    def cells(row, short)
      [row[:pid].to_s, row[:what], Size.mebibytes(row[:rss]), Size.mebibytes(row[:pss]), agent(row), tracing(row, short),
       Escape.terminal(row[:command])]
    end

    def aligned(cells, widths)
      numbers = [0, 2, 3]
      cells.each_with_index.map { |cell, at| numbers.include?(at) ? cell.rjust(widths[at]) : cell.ljust(widths[at]) }
    end

    # "none" would be a guess where another user's folder cannot be looked into.
    def agent(row)
      return "not yours" if row[:armed].nil?
      return "none" unless row[:armed]

      # A daemon is another process than the one that was armed.
      return row[:daemon] ? "armed again" : "armed" if row[:answers]

      "silent"
    end

    # In short without the date, where it is today's.
    def tracing(row, short)
      return "-" if row[:tracing].nil?
      return "off" unless row[:tracing]

      since = row[:tracing_since]
      if since && short
        date, time = since.split("T")
        since = date == Time.now.utc.strftime("%F") ? "#{time[0, 5]}Z" : date
      end
      ["on", since].compact.join(" since ")
    end
  end

  private_constant :ProcessTable
end
