# frozen_string_literal: true

require "optparse"
require "shellwords"

module HeapInspector
  # The commands that need a living Ruby: `ps`, `dump`, `trace`, `watch`. Exit codes are those of all commands.
  #
  # @api private
  class LiveCommands
    # What it answers.
    VERBS = %w[ps dump trace watch].freeze

    # @param arguments [Array<String>]
    # @param out [IO]
    # @param err [IO]
    # @return [Integer] the exit code
    def self.run(arguments, out: $stdout, err: $stderr)
      verb, *words = arguments
      new(out, err).public_send(verb, words)
    rescue OptionParser::ParseError, ArgumentError => e
      err.puts "heap_inspector: #{e.message}; see heap_inspector #{verb} --help"
      2
    rescue Error, SystemCallError => e
      err.puts "heap_inspector: #{printable(e.message)}"
      1
    rescue Interrupt
      130
    end

    # @param text [String] what another process says
    # @return [String] without what a terminal would obey
    def self.printable(text)
      text.scrub("?").gsub(/[^[:print:]]/, "?")
    end

    # @param out [IO]
    # @param err [IO]
    def initialize(out, err)
      @out = out
      @err = err
    end

    # Lists the Ruby processes.
    #
    # @return [Integer]
    def ps(words)
      format = "text"
      parse(words, "ps", "List the Ruby processes of this host, by /proc: which are armed, which trace, how big they are",
            0..0) do |options|
        options.on("-f", "--format FORMAT", %w[text json], "text or json [default: text]") { |given| format = given }
      end || (return 0)

      rows = Processes.list.map { |process| row(process) }
      format == "json" ? @out.puts(JSON.pretty_generate(rows)) : table(rows)
      0
    end

    # Takes dumps.
    #
    # @return [Integer]
    def dump(words)
      output = nil
      ask = { gc: true, redact: false, force: false, timeout: 300, format: nil }
      words = parse(words, "dump PID|worker-N|all", "Take a dump of a running process, which goes on meanwhile", 1..1) do |options|
        options.on("-o", "--output FILE", "Where to: a file, a folder, - for standard output [default: heap-PID-TIME.json.zst]") do |given|
          output = given
        end
        dump_options(options, ask)
      end || (return 0)

      processes = Processes.named(words.first)
      if output && !File.directory?(output) && processes.size > 1
        raise ArgumentError, "#{words.first} are several processes, which do not fit into one file; give a folder, or leave -o out"
      end

      each_of(processes) { |pid| dump_one(pid, output, ask) }
    end

    # Switches tracing.
    #
    # @return [Integer]
    def trace(words)
      words = parse(words, "trace PID|worker-N|all on|off", "Note where objects are allocated from now on, or no longer",
                    2..2) || (return 0)
      on = { "on" => true, "off" => false }.fetch(words[1]) { raise ArgumentError, "on or off is meant, not #{words[1].inspect}" }
      each_of(Processes.named(words.first)) do |pid|
        status = Client.new(pid).ask(:trace, on: on)
        @out.puts "process #{pid} #{status["tracing"] ? "traces allocations" : "does not trace allocations"}"
      end
    end

    # Takes the dumps of a leak hunt.
    #
    # @return [Integer]
    def watch(words)
      every = 600
      count = 3
      folder = "."
      ask = { gc: true, redact: false, force: false, timeout: 300, format: nil }
      words = parse(words, "watch PID|worker-N", "Take several dumps of one process, to find what it keeps", 1..1) do |options|
        options.on("--every TIME", "Time between two dumps: 30s, 10m, 1h [default: 10m]") { |given| every = seconds(given) }
        options.on("--count N", Integer, "Dumps in all [default: 3]") { |given| count = given }
        options.on("-d", "--directory DIR", "Where to [default: the current one]") { |given| folder = given }
        dump_options(options, ask)
      end || (return 0)
      raise ArgumentError, "at least one dump is meant" unless count.positive?
      raise ArgumentError, "#{folder} is not a directory" unless File.directory?(folder)

      pid = pid_of(one(Processes.named(words.first), words.first))
      hunt(pid, every, count, folder, ask)
    end

    private

    # The words without the options; nil where help was asked for.
    def parse(words, usage, about, count)
      help = false
      parser = OptionParser.new("Usage: heap_inspector #{usage} [options]") do |options|
        options.separator("\n#{about}.\n\n")
        yield options if block_given?
        options.on("-h", "--help", "This help") { help = true }
      end
      rest = parser.parse(words)
      if help
        @out.puts parser.help
        return
      end
      raise ArgumentError, "#{rest.size} words behind the command, but `heap_inspector #{usage}` is meant" unless count.cover?(rest.size)

      rest
    end

    def dump_options(options, ask)
      options.on("--[no-]gc", "Collect garbage before, so that only what is held is dumped [default: yes]") { |given| ask[:gc] = given }
      options.on("--redact", "Replace the values of strings by others of their length") { ask[:redact] = true }
      options.on("-f", "--format FORMAT", Packing::ENDINGS.keys, "zstd, gzip or plain [default: by the file's name, else zstd]") do |given|
        ask[:format] = given
      end
      options.on("--timeout SECONDS", Float, "Give up after so long [default: 300]") { |given| ask[:timeout] = given }
      options.on("--force", "Go on where memory or disk look too small") { ask[:force] = true }
    end

    # What fails for one of several is told, and the others have their turn.
    def each_of(processes)
      failed = processes.count do |process|
        yield pid_of(process)
        false
      rescue Error, SystemCallError => e
        raise if processes.size == 1

        @err.puts "heap_inspector: process #{pid_of(process)}: #{self.class.printable(e.message)}"
        true
      end
      failed.zero? ? 0 : 1
    end

    def pid_of(process)
      process.is_a?(Integer) ? process : process.pid
    end

    def one(processes, word)
      raise ArgumentError, "#{word} are several processes; watch one" if processes.size > 1

      processes.first
    end

    def seconds(word)
      number, unit = word.match(/\A(\d+(?:\.\d+)?)([smh]?)\z/)&.captures
      raise ArgumentError, "#{word.inspect} is no time; write 30s, 10m or 1h" unless number

      Float(number) * { "" => 1, "s" => 1, "m" => 60, "h" => 3600 }.fetch(unit)
    end

    def dump_one(pid, output, ask)
      return stream(pid, ask) if output == "-"

      path = output || default_name(pid, ask)
      path = File.join(path, default_name(pid, ask)) if File.directory?(path)
      ask = ask.merge(format: Packing.choose(nil, path)) unless ask[:format]
      file = WholeFile.create(path) { |unfinished, _| request(pid, unfinished, ask) }
      @err.puts "#{path}: #{told(file)}"
    end

    def default_name(pid, ask)
      "heap-#{pid}-#{Time.now.utc.strftime("%Y%m%dT%H%M%SZ")}.json#{Packing::ENDINGS.fetch(ask[:format] || :zstd)}"
    end

    def stream(pid, ask)
      raise ArgumentError, "a dump is nothing for a terminal: redirect standard output, or give a file with -o" if @out.tty?

      @out.flush
      @err.puts told(request(pid, @out, { format: :zstd }.merge(ask.compact)))
    end

    def request(pid, output, ask)
      shows = @err.tty?
      # The collection comes before the first sign of life.
      answer = Client.new(pid).ask(:dump, output: output, patience: 30 + ask[:timeout], **ask) do |bytes|
        @err.print "\r#{mebibytes(bytes)} dumped\e[K" if shows
      end
      @err.print "\r\e[K" if shows
      answer
    end

    def told(file)
      words = %w[packed_bytes bytes seconds fork_seconds gc_seconds]
      packed, bytes, seconds, fork, gc = file.values_at(*words).map { |each| each.is_a?(Numeric) ? each : 0 }
      pause = ((fork + gc) * 1000).round
      "#{mebibytes(packed)}, #{mebibytes(bytes)} unpacked, in #{seconds.round(1)} s; the process paused for #{pause} ms"
    end

    def hunt(pid, every, count, folder, ask)
      socket = Client.socket(pid)
      paths = Array.new(count) do |number|
        sleep(every) unless number.zero?
        raise AgentError, "process #{pid} is another one now" unless [nil, socket].include?(Client.socket(pid))

        path = File.join(folder, "#{number + 1}-#{default_name(pid, ask)}")
        dump_one(pid, path, ask)
        path
      end
      @err.puts "now: heap_inspector #{%w[read diff].fetch(count - 1, "suspects")} #{paths.shelljoin}"
      0
    end

    def row(process)
      status = process.armed? ? status(process.pid) : {}
      since, worker = status.values_at("tracing_since", "worker").map { |each| each if each.is_a?(Integer) }
      tracing = [true, false].find { |each| each == status["tracing"] }
      { pid: process.pid, uid: process.uid, what: process.title, worker: process.worker || worker, rss: process.rss,
        pss: process.pss, armed: process.armed?, answers: process.armed? ? !status.empty? : nil, tracing: tracing,
        tracing_since: since && Time.at(since).utc.strftime("%FT%TZ"), command: process.command }
    end

    def status(pid)
      Client.new(pid).ask(:status, patience: 5)
    rescue AgentError
      {}
    end

    def table(rows)
      return @out.puts("no Ruby process but this one runs here") if rows.empty?

      lines = [%w[PID WHAT RSS PSS AGENT TRACING COMMAND]]
      lines += rows.map do |row|
        [row[:pid].to_s, row[:what], mebibytes(row[:rss]), mebibytes(row[:pss]), agent(row), tracing(row),
         self.class.printable(row[:command])[0, 60]]
      end
      widths = lines.transpose.map { |column| column.map(&:length).max }
      numbers = [0, 2, 3]
      lines.each do |line|
        cells = line.each_with_index.map { |cell, at| numbers.include?(at) ? cell.rjust(widths[at]) : cell.ljust(widths[at]) }
        @out.puts cells.join("  ").rstrip
      end
    end

    def agent(row)
      return "none" unless row[:armed]

      row[:answers] ? "armed" : "silent"
    end

    def tracing(row)
      return "-" unless row[:armed] && row[:answers]

      row[:tracing] ? ["on", row[:tracing_since]].compact.join(" since ") : "off"
    end

    def mebibytes(bytes)
      if bytes
        "#{(bytes / 1_048_576.0).round(bytes < 10 << 20 ? 1 : 0)} MiB"
      else
        "-"
      end
    end
  end
end
