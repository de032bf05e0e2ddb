# frozen_string_literal: true

# All that a dump needs is loaded now: beside one busy thread each look at the disk costs 100 ms from Ruby 3.3 on.
require "objspace"
require_relative "native"
require_relative "value"
require_relative "dump_checks"
require_relative "dump_file"
require_relative "dump_meta"
require_relative "memory_look"
require_relative "folder"
require_relative "compression"
require_relative "proc_fs"
require_relative "tracing"
require_relative "work"
require_relative "escape"

module HeapInspector
  # Takes one dump of this process, in a forked child; see {HeapInspector.dump}.
  #
  # The child has the heap as it was at the fork and only the thread that forked. It answers no signal, closes the server's descriptors,
  # writes the line of {DumpMeta} and then the heap, which a native thread compresses, and
  # ends by `_exit`: nothing of the server's runs in it, no hook, no trap, no `at_exit`, and no finalizer, which might talk to a database
  # on the parent's connection. All of it is native, so that not even an exception leaves it.
  #
  # It walks the heap itself, which names by what each object holds others and keeps what only other threads and Ractors hold. Where this
  # Ruby lacks what that needs, or a child broke in it, `ObjectSpace.dump_all` takes the dump in a child like it, and a warning says why.
  #
  # The parent gives up the GVL once before the fork, for all it wants of the system, and then to wait until the child is gone and the file
  # has its name, or the time is over.
  #
  # @api private
  class Dump
    # The name of the lock that lets one dump of a user's processes be taken at a time on a host.
    LOCK = "dump.lock"
    # Seconds that a dump may be given, at most a day.
    TIMEOUTS = (0.001..86_400)
    # Who writes a dump.
    DUMPERS = %i[native ruby].freeze
    # How it is written.
    FORMATS = %i[ndjson heap].freeze
    # Blocks by whose local variables it is found where this Ruby keeps such names. Nothing else of their code has the same counts.
    BLOCKS = [
      proc do
        one = two = three = four = five = six = seven = nil
        binding if one || two || three || four || five || six || seven
      end,
      proc do
        red = green = blue = cyan = pink = grey = nil
        binding if red || green || blue || cyan || pink || grey
      end
    ].zip([%i[one two three four five six seven], %i[red green blue cyan pink grey]]).freeze
    # What faults end a process with.
    FAULTS = %w[SEGV BUS ILL FPE ABRT TRAP SYS].freeze

    private_constant :BLOCKS, :FAULTS

    # Our own dumper broke; the dump can be taken by Ruby's.
    class Broken < DumpFailed
    end
    private_constant :Broken

    Native.learn_local_variables(BLOCKS)

    class << self
      # @return [String, nil] why dumps are taken by `ObjectSpace.dump_all` where none was asked for; nil where they are not
      attr_accessor :unfit

      # @param seconds [Numeric]
      # @return [Float] as a dump may be given
      # @raise [ArgumentError] where none may be given so long
      def timeout(seconds)
        timeout = Float(seconds)
        raise ArgumentError, "a timeout of #{seconds} s is not valid; give it some seconds" unless TIMEOUTS.cover?(timeout)

        timeout
      end

      private

      # By two fibers that wait, two threads that never ran but have names, and the block that asks it is found where this Ruby keeps
      # frames and names. Nothing of it is left.
      def learn_frames
        blocks = [proc { Fiber.yield }, proc { Fiber.yield || nil }]
        fibers = blocks.map { |block| Fiber.new(&block) }
        fibers.each(&:resume)
        asking = proc { Native.learn_frames(fibers.zip(blocks), asking, %w[one two].map { |name| never_run(name) }.compact) }
        asking.call
        fibers.each(&:resume)
        Native.clear_stack # where the words still lie that kept them alive
      end

      # A thread that has a name and is none, so that no other has to wait for it.
      def never_run(name)
        made = nil
        Class.new(Thread) do
          define_method(:initialize) do
            self.name = name
            made = self
          end
        end.new
      rescue ThreadError
        made.tap { made = nil } # which Ruby's cache of the call would keep
      end
    end
    self.unfit = Native.dumper_missing
    learn_frames unless unfit

    # See {HeapInspector.dump}.
    def initialize(gc:, compression:, redact:, timeout:, force:, progress:, dumper: nil, format: nil)
      @start = now
      @gc = gc
      @compression = compression
      @redact = redact ? true : false
      @timeout = Dump.timeout(timeout)
      @force = force
      @progress = progress
      @dumper = dumper&.to_sym
      raise ArgumentError, "there is no dumper #{dumper}; there are #{DUMPERS.join(" and ")}" unless [nil, *DUMPERS].include?(@dumper)

      @format = FORMATS.find { |known| known.to_s == (format || :ndjson).to_s }
      raise ArgumentError, "there is no format #{format}; there are #{FORMATS.join(" and ")}" unless @format

      check_heap_file if @format == :heap
    end

    # Writes a new file, which gets its name when it is whole. One that has the name already is replaced; what is no file is written to,
    # or refused.
    #
    # @param path [String]
    # @return [DumpFile]
    def to_file(path)
      compression = choose_compression(path)
      path = File.expand_path(path)
      take(path, -1, compression)
    end

    # @param io [IO] a file, pipe, socket or terminal, which stays open
    # @return [DumpFile]
    def to_io(io)
      io.flush
      start = io.pos if io.stat.file?
      take(nil, io.fileno, choose_compression) do
        next false unless start

        # What a child that broke wrote is taken back.
        File.for_fd(io.fileno, File::WRONLY, autoclose: false).truncate(start)
        io.pos = start
        true
      end
    end

    private

    def check_heap_file
      raise ArgumentError, "a heap file is what the native dumper writes; leave dumper: :ruby out, or take it as ndjson" if @dumper == :ruby
      return if [nil, false, :plain, "plain"].include?(@compression)

      raise ArgumentError, "a heap file is compressed already; leave the compression out"
    end

    # A heap file is compressed by blocks; where lines stand in for it they are compressed as well.
    def choose_compression(path = nil)
      @format == :heap ? :zstd : Compression.choose(@compression, path)
    end

    # By our own dumper, and where it broke by Ruby's: never worse than without ours. The block takes back what was written, if it can.
    def take(path, descriptor, compression)
      reason = self.class.unfit unless @dumper
      take_by(@dumper || (reason ? :ruby : :native), reason, path, descriptor, compression)
    rescue Broken => e
      raise DumpFailed, "#{e.message}; take it with dumper: :ruby" if @dumper
      raise DumpFailed, "#{e.message}; take it again, by ObjectSpace.dump_all" unless path || yield

      take_by(:ruby, e.message, path, descriptor, compression)
    end

    def take_by(dumper, reason, path, descriptor, compression)
      @reason = reason
      Kernel.warn "heap_inspector: the dump is taken by ObjectSpace.dump_all, without names: #{Escape.terminal(reason)}" if reason
      dumping, texts, free, @memory = Dumping.open(Folder.path, LOCK, path, descriptor, DumpMeta::FILES + DumpChecks::FILES,
                                                   MemoryLook.arguments)
      raise DumpRefused, "another dump is being taken on this host; try again when it is done" unless dumping

      begin
        ProcFs.reading(texts) { write(dumping, path, compression, free, dumper) }
      ensure
        dumping.close
      end
    end

    def write(dumping, path, compression, free, dumper)
      DumpChecks.check(free, compression) unless @force
      # What is due by now is left if it outlives this collection.
      Uncollected.sweep unless HeapInspector.autoload?(:Uncollected)
      gc_seconds = @gc ? measure { GC.start } : 0.0
      meta = DumpMeta.line(gc: @gc, redact: @redact, dumper: dumper, memory: @memory)
      format = dumper == :native ? @format : :ndjson
      fork_seconds = dumping.start(meta, compression.to_s, @redact, @timeout.ceil, [dumper == :native, format == :heap])
      raise Broken, "the other Ractors could not be stopped" unless fork_seconds

      bytes, packed, lost, write_seconds = watch(dumping, dumper)
      seconds = now - @start
      wait_seconds = [seconds - gc_seconds - fork_seconds - write_seconds, 0.0].max
      DumpFile.new(path: path, bytes: bytes, compressed_bytes: packed, compression: compression, fork_seconds: fork_seconds,
                   gc_seconds: gc_seconds, seconds: seconds, lost: lost, write_seconds: write_seconds, wait_seconds: wait_seconds,
                   dumper: dumper, fallback: @reason, format: format)
    end

    # Waits for the child's end. Progress goes to the caller, who may raise.
    def watch(dumping, dumper)
      start = now
      loop do
        left = start + @timeout - now
        raise DumpTimeout, timeout_message unless left.positive?

        word, *values = dumping.wait(left, @progress ? true : false)
        case word
        when :progress then @progress.call(values.first, nil)
        when :done then return values
        when :error then raise DumpFailed, describe(*values)
        when :broken then raise broken("the child that walked the heap panicked")
        when :died then fail_with(*values, dumper)
        end
      end
    end

    def timeout_message
      "the dump was not done after #{@timeout < 1 ? @timeout.to_f.round(3) : @timeout.round} s and was given up; give it more time"
    end

    # What waitpid said of a child that told nothing.
    def fail_with(status, dumper)
      signal = status & 0x7f if status
      raise DumpTimeout, timeout_message if signal&.zero? && status >> 8 == 4

      fate = if status.nil? then "is gone"
             elsif signal.zero? then "ended with status #{status >> 8}"
             else
               "was killed by SIG#{Signal.signame(signal)}"
             end
      hint = " (out of memory?)" if signal == Signal.list["KILL"]
      if FAULTS.any? { |name| Signal.list[name] == signal }
        raise broken("the child that walked the heap #{fate}") if dumper == :native

        hint = "; Ruby 3.3 and 3.4 have a bug in dump_all, try again"
      end
      raise DumpFailed, "the dumping child #{fate}#{hint}; this process is not affected"
    end

    # It would break again.
    def broken(message)
      self.class.unfit = message
      Broken.new(message)
    end

    def describe(number, reason)
      case number
      when Errno::ENOSPC::Errno, Errno::EDQUOT::Errno then "no space left for the dump; give a path on another disk"
      when Errno::EPIPE::Errno then "who was to read the dump has closed the pipe"
      else reason
      end
    end

    def measure
      start = now
      yield
      now - start
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  private_constant :Dump
end
