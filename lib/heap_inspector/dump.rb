# frozen_string_literal: true

# All that a dump needs is loaded now: beside one busy thread each look at the disk costs 100 ms from Ruby 3.3 on.
require "objspace"
require_relative "native"
require_relative "value"
require_relative "dump_checks"
require_relative "dump_file"
require_relative "dump_meta"
require_relative "folder"
require_relative "compression"
require_relative "proc_fs"
require_relative "tracing"

module HeapInspector
  # Takes one dump of this process, in a forked child; see {HeapInspector.dump}.
  #
  # The child has the heap as it was at the fork and only the thread that forked. It answers no signal, closes the server's descriptors,
  # writes the line of {DumpMeta} and then what `ObjectSpace.dump_all` says through a pipe to a native thread that packs it, and
  # ends by `_exit`: nothing of the server's runs in it, no hook, no trap, no `at_exit`, and no finalizer, which might talk to a database
  # on the parent's connection. All of it is native, so that not even an exception leaves it.
  #
  # The parent gives up the GVL once before the fork, for all it wants of the system, and then to wait until the child is gone and the file
  # has its name, or the time is over.
  #
  # @api private
  class Dump
    # The name of the lock that lets one dump of a user's processes be taken at a time on a host.
    LOCK = "dump.lock"
    # Seconds that a dump may take at most: a day.
    LONGEST = 86_400

    private_constant :LONGEST

    # See {HeapInspector.dump}.
    def initialize(gc:, compression:, redact:, timeout:, force:, progress:)
      @start = now
      @gc = gc
      @compression = compression
      @redact = redact ? true : false
      @timeout = Float(timeout)
      raise ArgumentError, "a timeout of #{timeout} s is none; give it some seconds" unless @timeout.between?(0.001, LONGEST)

      @force = force
      @progress = progress
    end

    # Writes a new file, which gets its name when it is whole. One that has the name already is replaced; what is no file is written to,
    # or refused.
    #
    # @param path [String]
    # @return [DumpFile]
    def to_file(path)
      compression = Compression.choose(@compression, path)
      path = File.expand_path(path)
      take(path, -1, compression)
    end

    # @param io [IO] a file, pipe, socket or terminal, which stays open
    # @return [DumpFile]
    def to_io(io)
      io.flush
      take(nil, io.fileno, Compression.choose(@compression))
    end

    private

    def take(path, descriptor, compression)
      dumping, texts, free = Dumping.open(Folder.path, LOCK, path, descriptor, DumpMeta::FILES + DumpChecks::FILES)
      raise DumpRefused, "another dump is being taken on this host; try again when it is done" unless dumping

      begin
        ProcFs.reading(texts) { write(dumping, path, compression, free) }
      ensure
        dumping.close
      end
    end

    def write(dumping, path, compression, free)
      DumpChecks.check(free, compression) unless @force
      gc_seconds = @gc ? measure { GC.start } : 0.0
      fork_seconds = dumping.start(DumpMeta.line(gc: @gc, redact: @redact), compression.to_s, @redact, @timeout.ceil)
      bytes, packed, lost, write_seconds = watch(dumping)
      seconds = now - @start
      wait_seconds = [seconds - gc_seconds - fork_seconds - write_seconds, 0.0].max
      DumpFile.new(path, bytes, packed, compression, fork_seconds, gc_seconds, seconds, lost, write_seconds, wait_seconds)
    end

    # Waits for the child's end. Progress goes to the caller, who may raise.
    def watch(dumping)
      start = now
      loop do
        left = start + @timeout - now
        raise DumpTimeout, timeout_message unless left.positive?

        word, *values = dumping.wait(left, @progress ? true : false)
        case word
        when :progress then @progress.call(values.first, nil)
        when :done then return values
        when :error then raise DumpFailed, describe(*values)
        when :died then fail_with(*values)
        end
      end
    end

    def timeout_message
      "the dump was not done after #{@timeout.round} s and was given up; give it more time"
    end

    # What waitpid said of a child that told nothing.
    def fail_with(status)
      signal = status & 0x7f if status
      raise DumpTimeout, timeout_message if signal&.zero? && status >> 8 == 4

      fate = if status.nil? then "is gone"
             elsif signal.zero? then "ended with status #{status >> 8}"
             else
               "was killed by SIG#{Signal.signame(signal)}"
             end
      hint = " (out of memory?)" if signal == Signal.list["KILL"]
      hint = "; Ruby 3.3 and 3.4 have a bug in dump_all, try again" if [4, 6, 7, 11].include?(signal)
      raise DumpFailed, "the dumping child #{fate}#{hint}; this process is not affected"
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
