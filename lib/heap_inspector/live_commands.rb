# frozen_string_literal: true

require "io/console/size"
require "optparse"

module HeapInspector
  # The commands that need a living Ruby: `memory`, `ps`, `dump`, `trace`, `profile`, `watch`, `trim`, and those that start one: `check`,
  # `require`; and `doctor`. Exit codes are those of all commands.
  #
  # @api private
  class LiveCommands
    # What it answers.
    VERBS = %w[memory ps dump trace profile watch trim check require doctor].freeze

    # @param arguments [Array<String>]
    # @return [Boolean] whether it answers them: a summary is one of a process where it is asked of one, and no such file is there
    def self.living?(arguments)
      verb, word = arguments
      return VERBS.include?(verb) unless verb == "summarize"

      /\A(?:\d+|worker-\d+)\z/.match?(word.to_s) && !File.exist?(word)
    end

    # @param arguments [Array<String>]
    # @param out [IO]
    # @param err [IO]
    # @return [Integer] the exit code
    def self.run(arguments, out: $stdout, err: $stderr)
      verb, *words = arguments
      new(out, err).public_send(verb == "require" ? :tree : verb, words)
    rescue OptionParser::ParseError, ArgumentError => e
      err.puts "heap_inspector: #{Escape.terminal(e.message)}; see heap_inspector #{verb} --help"
      2
    rescue Error, SystemCallError => e
      err.puts "heap_inspector: #{Escape.terminal(e.message)}"
      1
    rescue Interrupt
      130
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
      about = "List the Ruby processes of this host, by /proc: which are armed, which\ntrace, how big they are"
      parse(words, "ps", about, 0..0) do |options|
        options.on("-f", "--format FORMAT", %w[text json], "text or json [default: text]") { |given| format = given }
      end || (return 0)

      table = ProcessTable.new(Processes.list)
      width = IO.console_size.last if @out.tty?
      @out.puts(format == "json" ? table.to_json : table.text(width))
      0
    end

    # Says what a report of a fault needs to say.
    #
    # @return [Integer]
    def doctor(words)
      format = "text"
      about = "Say what a report of a fault needs: versions, what works here and why\n" \
              "something does not, dumps and their index files; nothing secret"
      words = parse(words, "doctor [DUMP...]", about, 0..) do |options|
        options.on("-f", "--format FORMAT", %w[text json], "text or json [default: text]") { |given| format = given }
      end || (return 0)

      doctor = Doctor.new(words)
      @out.puts(format == "json" ? doctor.to_json : doctor.text)
      0
    end

    # Takes dumps.
    #
    # @return [Integer]
    def dump(words)
      output = nil
      host = false
      ask = { gc: true, redact: false, force: false, timeout: 300, compression: nil, dumper: nil, format: nil }
      words = parse(words, "dump PID|worker-N|all", "Take a dump of a running process, which goes on meanwhile", 1..1) do |options|
        options.on("-o", "--output FILE", "A file, a folder, - for standard output",
                   "[default: heap-PID-TIME.json.zst, or .heap]") { |given| output = given }
        dump_options(options, ask)
        host_option(options) { host = true }
      end || (return 0)
      check_dump(ask)

      processes = Processes.named(words.first, host: host)
      if output && !File.directory?(output) && processes.size > 1
        raise ArgumentError, "#{words.first} are several processes, which do not fit into one file; give a folder, or leave -o out"
      end

      request = DumpRequest.new(ask, @out, @err)
      each_of(processes, words.first) { |pid| request.run(pid, output) }
    end

    # Switches tracing.
    #
    # @return [Integer]
    def trace(words)
      host = false
      ask = {}
      about = "Note where objects are allocated from now on, or no longer, or say how it\nstands"
      words = parse(words, "trace PID|worker-N|all on|off|status", about, 2..2) do |options|
        trace_options(options, ask)
        host_option(options) { host = true }
      end || (return 0)
      request = { "on" => { on: true, **ask }, "off" => { on: false }, "status" => nil }.fetch(words[1]) do
        raise ArgumentError, "expected `on`, `off` or `status`, got #{words[1].inspect}"
      end
      each_of(Processes.named(words.first, host: host), words.first) do |pid|
        client = Client.new(pid)
        status = request ? client.ask(:trace, **request) : client.ask(:status)
        @out.puts "process #{pid} #{TracerStatus.text(status, cost: request.nil?)}"
        WorkStatus.lines(status).each { |line| @out.puts "process #{pid} #{line}" } unless request
        goes_on = status["tracing"] && words[1] == "off"
        raise AgentError, "process #{pid} goes on tracing: something else in it begins anew" if goes_on
      end
    end

    # Takes a profile of what is alive.
    #
    # @return [Integer]
    def profile(words)
      output = nil
      ask = { format: nil, since: nil }
      about = "Take a profile of what is alive in a running process, by the stacks that its\n" \
              "tracer sampled: for go tool pprof, speedscope, Perfetto"
      words = parse(words, "profile PID|worker-N", about, 1..1) do |options|
        options.on("-o", "--output FILE", "A file, - for standard output", "[default: heap-PID-TIME.pb.gz]") { |given| output = given }
        profile_options(options, ask)
      end || (return 0)

      ProfileRequest.new(ask, @out, @err).run(pid_of(one(Processes.named(words.first), words.first)), output)
      0
    end

    # Has a process sum up its heap for a fleet.
    #
    # @return [Integer]
    def summarize(words)
      output = nil
      about = "Have a running process sum up its heap for `fleet`, without the texts of its strings:\na dump that does not leave its host"
      words = parse(words, "summarize PID|worker-N", about, 1..1) do |options|
        options.on("-o", "--output FILE", "The new file [default: summary-PID-TIME.parquet]") { |given| output = given }
      end || (return 0)

      SummaryRequest.new({}, @out, @err).run(pid_of(one(Processes.named(words.first), words.first)), output)
      0
    end

    # Says where resident memory is.
    #
    # @return [Integer]
    def memory(words)
      format = "text"
      every = span = nil
      host = false
      about = "Say where the resident memory of a process is: Ruby's heap, what its objects\nhold, malloc's free memory, stacks, " \
              "libraries; and what that speaks for"
      words = parse(words, "memory PID|worker-N|all", about, 1..1) do |options|
        options.on("-f", "--format FORMAT", %w[text json jsonl], "text, json, or jsonl: an object a line", "[default: text]") do |given|
          format = given
        end
        options.on("--every TIME", "Look again and again: 10s, 1m") { |given| every = Size.seconds(given) }
        options.on("--for TIME", "So long, with --every [default: 10m]") { |given| span = Size.seconds(given) }
        host_option(options) { host = true }
      end || (return 0)
      raise ArgumentError, "--for says how long to look with --every" if span && every.nil?
      raise ArgumentError, "expected some time between two looks" if every && every < 0.1

      request = MemoryRequest.new(format, @out, @err)
      processes = Processes.named(words.first, host: host)
      return request.series(pid_of(one(processes, words.first)), every, span || 600) if every

      each_of(processes, words.first) { |pid| request.run(pid) }.tap { request.finish(all: words.first == "all") }
    end

    # Has a process give back free memory.
    #
    # @return [Integer]
    def trim(words)
      host = compact = false
      about = "Have a process collect its garbage and give back what malloc has free, and say\nwhat it had before and has after"
      words = parse(words, "trim PID|worker-N|all", about, 1..1) do |options|
        options.on("--compact", "Move objects together before, where this", "Ruby can; extensions that do not know may", "break") do
          compact = true
        end
        host_option(options) { host = true }
      end || (return 0)

      request = TrimRequest.new(compact, @out)
      each_of(Processes.named(words.first, host: host), words.first) { |pid| request.run(pid) }
    end

    # Runs a command under limits.
    #
    # @return [Integer]
    def check(words)
      file = Check::FILE
      update = false
      at = words.index("--") || words.size
      command = words.drop(at + 1)
      about = "Run a command, a spec file or a Rake task, and compare the memory alive at its\nend, by gem, with the limits in a file; " \
              "exit code 1 where one is broken"
      parse(words.first(at), "check -- COMMAND", about, 0..0) do |options|
        options.on("--file FILE", "Of limits [default: #{Check::FILE}]") { |given| file = given }
        options.on("--update", "Write what is found as the limits") { update = true }
      end || (return 0)
      raise ArgumentError, "expected a command behind --" if command.empty?

      Check.new(command, file, @out).run(update: update)
    end

    # What requiring files takes; the verb is `require`.
    #
    # @return [Integer]
    def tree(words)
      features = []
      format = "text"
      depth = 4
      min = 100 << 10
      about = "Say what memory is taken by what is required, as a tree by file, and by gem"
      gems = parse(words, "require GEM|FEATURE…", about, 0..) do |options|
        options.on("-r", "--require FILE", "A file, before the gems") { |given| features << given }
        options.on("--depth N", Integer, "Levels of the tree [default: 4]") { |given| depth = given }
        options.on("--min BYTES", Integer, "Leave out smaller files [default: 102400]") { |given| min = given }
        options.on("-f", "--format FORMAT", %w[text json], "text or json [default: text]") { |given| format = given }
      end || (return 0)
      features.map! { |file| File.file?(file) ? File.expand_path(file) : file }
      raise ArgumentError, "expected a gem, a feature or -r FILE, got none" if (features + gems).empty?

      tree = RequireTree.new(features + gems)
      @out.puts(format == "json" ? tree.json : tree.text(depth: depth, min: min))
      0
    end

    # Takes the dumps of a leak hunt.
    #
    # @return [Integer]
    def watch(words)
      every = 600
      count = 3
      folder = "."
      ask = { gc: true, redact: false, force: false, timeout: 300, compression: nil, dumper: nil, format: nil }
      words = parse(words, "watch PID|worker-N", "Take several dumps of one process, to find what it keeps", 1..1) do |options|
        options.on("--every TIME", "Time between two dumps: 30s, 10m, 1h", "[default: 10m]") { |given| every = Size.seconds(given) }
        options.on("--count N", Integer, "Dumps in all [default: 3]") { |given| count = given }
        options.on("-d", "--directory DIR", "Where to [default: the current one]") { |given| folder = given }
        dump_options(options, ask)
      end || (return 0)
      check_dump(ask)
      raise ArgumentError, "expected at least one dump" unless count.positive?
      raise ArgumentError, "#{folder} is not a directory" unless File.directory?(folder)

      process = one(Processes.named(words.first), words.first)
      Hunt.new(process, DumpRequest.new(ask, @out, @err), folder, @err).run(every, count)
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
      return rest if count.cover?(rest.size)

      raise ArgumentError, "expected `heap_inspector #{usage}`, got #{rest.empty? ? "no argument" : rest.join(" ").inspect}"
    end

    def dump_options(options, ask)
      options.on("--[no-]gc", "Collect garbage before, so that only what", "is held is dumped [default: yes]") { |given| ask[:gc] = given }
      options.on("--redact", "Replace values of strings and floats by", "others of their length; symbols, names and",
                 "keys of hashes that are numbers stay") { ask[:redact] = true }
      compressions = Compression::ENDINGS.keys
      options.on("-c", "--compression NAME", compressions, "zstd, gzip or plain", "[default: by the file's name, else zstd]") do |given|
        ask[:compression] = given
      end
      options.on("--timeout SECONDS", Float, "Give up after so long [default: 300]") do |given|
        ask[:timeout] = Dump.timeout(given)
      end
      options.on("--force", "Go on where memory or disk look too small") { ask[:force] = true }
      options.on("-f", "--format FORMAT", Dump::FORMATS.map(&:to_s), "ndjson, which other tools read, or heap:",
                 "columns, compressed, several times faster", "[default: ndjson]") { |given| ask[:format] = given }
      options.on("--dumper NAME", Dump::DUMPERS.map(&:to_s), "native, which names what holds what, or", "ruby: ObjectSpace.dump_all",
                 "[default: native, ruby where that fails]") { |given| ask[:dumper] = given }
    end

    # What no process could do.
    def check_dump(ask)
      return unless ask[:format] == "heap"
      raise ArgumentError, "a heap file is what the native dumper writes; leave --dumper ruby out" if ask[:dumper] == "ruby"
      return if [nil, "plain"].include?(ask[:compression])

      raise ArgumentError, "a heap file is packed in itself; leave --compression out"
    end

    def trace_options(options, ask)
      options.on("--mode MODE", %w[full sampled continuous], "full: each allocation; sampled: one of",
                 "many, with its stack; continuous: sampled", "in short windows [default: sampled]") { |given| ask[:mode] = given }
      options.on("--every N", Integer, "Allocations for each stack", "[default: 512; 64 where continuous]") do |given|
        raise ArgumentError, "--every is 1 to #{Tracing::MOST}, got #{given}" unless given.between?(1, Tracing::MOST)

        ask[:every] = given
      end
    end

    def profile_options(options, ask)
      options.on("-f", "--format FORMAT", HeapProfile::FORMATS.keys.map(&:to_s), "pprof, folded, flamegraph or json",
                 "[default: as the file's name ends]") { |given| ask[:format] = given }
      options.on("--since last|SERIAL", /\A(?:last|\d+)\z/, "Only what came since another profile, and",
                 "stayed: the last that was asked for, or", "that with this serial") do |given|
        ask[:since] = given == "last" ? given : Integer(given, 10)
      end
    end

    def host_option(options, &)
      options.on("--host", "With all: also those with sockets in other", "folders: of other apps, users, containers", &)
    end

    # What fails for one of several is told, and the others have their turn. One of all that ended meanwhile is no failure.
    def each_of(processes, word)
      silent = word == "all" ? silent(processes) : {}
      failed = processes.count do |process|
        raise silent[process.pid] if silent.key?(pid_of(process))

        yield pid_of(process)
        false
      rescue Error, SystemCallError => e
        next note_end(process) if word == "all" && ProcFs.ended?(process.pid)
        raise if processes.size == 1

        @err.puts "heap_inspector: process #{pid_of(process)}: #{Escape.terminal(e.message)}"
        true
      end
      failed.zero? ? 0 : 1
    end

    # Those that do not even say how they are are found out together, so that nobody waits for one after another.
    def silent(processes)
      Client.statuses(processes.map(&:pid)).select { |_, status| status.is_a?(AgentError) }
    end

    def note_end(process)
      @err.puts "note: process #{process.pid} ended meanwhile"
      false
    end

    def pid_of(process)
      process.is_a?(Integer) ? process : process.pid
    end

    def one(processes, word)
      raise ArgumentError, "#{word} are several processes; watch one" if processes.size > 1

      processes.first
    end
  end

  private_constant :LiveCommands
end
