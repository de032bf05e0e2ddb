# frozen_string_literal: true

require "json"

module HeapInspector
  # How a dump was taken, as its first line. The line is a root that holds nothing, so other tools count one line more and read on;
  # ours show what it tells. In the dump rather than beside it, it cannot get lost on the way.
  #
  # @api private
  module DumpMeta
    # Where hosts put the revision of what they run.
    REVISIONS = %w[HEROKU_SLUG_COMMIT HEROKU_BUILD_COMMIT SOURCE_VERSION GIT_REVISION GIT_COMMIT GIT_SHA REVISION KAMAL_VERSION].freeze

    # What tells of process, host and revision, to be read beforehand; of `.git/HEAD` also what it leads to.
    FILES = %w[/proc/self/status /proc/self/stat /proc/sys/kernel/hostname REVISION .git/HEAD].freeze

    # Of what our dumps have beyond Ruby's: `docs/dump-format.md`.
    VERSION_OF_FORMAT = 2

    # Gems that are told, and the letters of a name and a version: a longer account of a dump is not believed.
    GEMS = 600
    LETTERS = 40

    private_constant :REVISIONS, :VERSION_OF_FORMAT, :GEMS, :LETTERS

    class << self
      # @param gc [Boolean] whether garbage was collected before
      # @param redact [Boolean] whether values are replaced
      # @param dumper [Symbol] `:native` or `:ruby`
      # @param memory [Hash{Symbol => Object}, nil] what `Native.memory` found
      # @return [String] the line
      def line(gc:, redact:, dumper:, memory: nil)
        told = { **of_process(dumper), **of_work(redact), gc: gc ? true : false, redacted: redact, memory: memory && rows(memory) }
        # Not by `to_json`, which Rails has its own of, with an object or two for each text.
        text = JSON.generate(JSON.generate(told.compact))
        %({"type":"ROOT", "root":"heap_inspector", "value":#{text}, "references":[]}\n)
      end

      # What tells a fleet whose dump it is.
      #
      # @return [Hash{Symbol => String, nil}]
      def identity
        { service: service, deploy: revision, host: host }
      end

      private

      def host = text(ProcFs.read("/proc/sys/kernel/hostname").strip, 200)

      def service
        name = ENV["HEAP_INSPECTOR_SERVICE"].to_s.strip
        text(name, 200) unless name.empty?
      end

      def of_process(dumper)
        {
          version: VERSION_OF_FORMAT, dumper: dumper, service: service, start_ticks: ProcFs.start_ticks("self"),
          worker: HeapInspector.autoload?(:Agent) ? nil : Agent.worker,
          taken_by: "heap_inspector #{VERSION}", method: "fork", ruby: RUBY_DESCRIPTION, pid: Process.pid,
          command: text($PROGRAM_NAME, 200), host: host,
          time: Time.now.utc.strftime("%FT%T.%LZ"),
          rss: ProcFs.status("self")["VmRSS"], gc_stat: GC.stat, threads: Thread.list.size,
          # By Ruby's own dumper objects that only another thread's stack holds look unreachable.
          stacks: dumper == :ruby && Thread.list.size > 1 ? "dumping thread only" : "all",
          tracing: tracing, tracing_since: Tracing.since&.getutc&.strftime("%FT%TZ"), revision: revision
        }
      end

      # What it did until now, what it is made of, and what of it should be gone.
      def of_work(redact)
        left = HeapInspector.autoload?(:Uncollected) ? nil : Uncollected.left(redact: redact)
        { uptime: Work.seconds, work: HeapInspector.work, gems: gems, uncollected: left }
      end

      def gems
        return unless defined?(::Gem.loaded_specs)

        ::Gem.loaded_specs.first(GEMS).to_h { |name, spec| [text(name, LETTERS), text(spec.version.to_s, LETTERS)] }
      end

      # Where the resident memory is, in rows that add up to it.
      def rows(found)
        memory = MemoryLook.new(found).memory
        { rss: memory.rss, allocator: memory.allocator, rows: memory.rows.map { |row| row.to_h.slice(:name, :bytes, :named) } }.compact
      end

      # What was traced: `{mode:, every:}`, false for nothing. In continuous mode a sample stands for what came between windows, too.
      def tracing
        status = Tracing.status
        status.empty? ? false : status.slice(:mode, :seen, :samples, :lost).merge({ every: status[:weight] }.compact)
      end

      def revision
        name = REVISIONS.find { |variable| ENV[variable].to_s != "" }
        found = name ? ENV.fetch(name) : ProcFs.read("REVISION")
        found = git if found.strip.empty?
        found && text(found.strip, 64)
      end

      # The commit of a checkout that the process stands in.
      def git
        head = ProcFs.read(".git/HEAD").strip
        branch = head[%r{\Aref: (refs/[\w./-]+)\z}, 1]
        head = ProcFs.read(File.join(".git", branch)).strip if branch && !branch.include?("..")
        head[/\A\h{40,64}\z/]
      end

      def text(bytes, limit)
        bytes.dup.force_encoding(Encoding::UTF_8).scrub[0, limit]
      end
    end
  end

  private_constant :DumpMeta
end
