# frozen_string_literal: true

require "io/wait"
require "json"
require "objspace"
require_relative "heap" # with the extension, of which only the Native module is used here

module HeapInspector
  # Takes one dump of this process, in a forked child; see {HeapInspector.dump}.
  #
  # The child has the heap as it was at the fork and only the thread that forked. It ignores signals, closes the server's sockets,
  # writes the line of {DumpMeta} and then what `ObjectSpace.dump_all` says through a pipe to a native thread that packs it, and
  # ends by `exit!`. It collects no garbage: a finalizer might talk to a database on the parent's connection. The parent waits on a
  # pipe, and so without the GVL, until the child has told its end or the time is over.
  #
  # @api private
  class Dump
    # The name of the lock that lets one dump of a user's processes be taken at a time on a host.
    LOCK = "dump.lock"
    # What Ruby's pipe holds; more means fewer switches between the dumping and the packing thread.
    F_SETPIPE_SZ = 1031

    # Seconds that a dump may take at most: a day.
    LONGEST = 86_400

    private_constant :F_SETPIPE_SZ, :LONGEST

    # See {HeapInspector.dump}.
    def initialize(gc:, compress:, redact:, timeout:, force:, progress:)
      @gc = gc
      @compress = compress
      @redact = redact ? true : false
      @timeout = Float(timeout)
      raise ArgumentError, "a timeout of #{timeout} s is none; give it some seconds" unless @timeout.between?(0.001, LONGEST)

      @force = force
      @progress = progress
    end

    # Writes a new file, which gets its name when it is whole. One that has the name already is replaced.
    #
    # @param path [String]
    # @return [DumpFile]
    def to_file(path)
      WholeFile.create(path) do |file, unfinished|
        take(file, Packing.choose(@compress, path), unfinished, File.expand_path(path))
      end
    end

    # @param io [IO] a file, pipe, socket or terminal, which stays open
    # @return [DumpFile]
    def to_io(io)
      io.flush
      take(io, Packing.choose(@compress), nil, nil)
    end

    private

    def take(io, packing, unfinished, path)
      lock = turn
      raise DumpRefused, "another dump is being taken on this host; try again when it is done" if lock.nil?

      begin
        DumpChecks.check(io, packing) unless @force
        write(io, packing, unfinished, path)
      ensure
        Folder.unlock(lock) if lock
      end
    end

    # False where there is no place for locks, as on a read-only disk: then dumps are not taken by turns.
    def turn
      Folder.lock(LOCK)
    rescue AgentError, SystemCallError
      false
    end

    def write(io, packing, unfinished, path)
      gc_seconds = @gc ? measure { GC.start } : 0.0
      meta = DumpMeta.line(gc: @gc, redact: @redact)
      status, told = IO.pipe
      pid = nil
      fork_seconds = measure { pid = fork_child(io, told, packing, unfinished, meta) }
      told.close
      start = now
      done = watch(status, start)
      reaped = reap(pid, done)
      pid = nil
      fail_with(done, reaped) unless done&.key?("records_lost")
      DumpFile.new(path, done["in"], done["out"], packing, fork_seconds, gc_seconds, now - start, done["records_lost"])
    ensure
      reap(pid, nil) if pid
      [status, told].each { |pipe| pipe&.close }
    end

    # Forks without a collection on the way, and without what gems do after a fork (reconnect, discard, start threads): it is Ruby's own
    # `_fork` that is called, beneath all that was put before it. Signals are not blocked meanwhile: Ruby 3.3 starts its timer thread
    # anew in the parent of a fork, and that would keep them blocked.
    def fork_child(io, told, packing, unfinished, meta)
      parent = Process.pid
      was_disabled = GC.disable
      pid = bare_fork.call
      return pid unless pid.zero?

      child(io, told, packing, parent, unfinished, meta)
    rescue Errno::ENOMEM, Errno::EAGAIN => e
      raise DumpRefused, "the system refuses to fork: #{e.message}"
    ensure
      GC.enable if Process.pid == parent && !was_disabled
    end

    def bare_fork
      method = Process.method(:_fork)
      while (beneath = method.super_method)
        method = beneath
      end
      method
    end

    # What the child does. Nothing leaves it.
    def child(io, told, packing, parent, unfinished, meta)
      message = begin
        write_all(io, told, packing, parent, unfinished, meta)
      rescue Exception => e # rubocop:disable Lint/RescueException -- an exit of the child would run the server's at_exit
        { error: e.message, class: e.class.name }
      end
      told.write("#{message.to_json}\n")
    ensure
      exit!(0)
    end

    def write_all(io, told, packing, parent, unfinished, meta)
      Native.become_dumper([io.fileno, told.fileno], parent, @timeout.ceil, unfinished)
      Process.setproctitle("heap_inspector: dump of #{parent}") # it is no second worker in lists of processes
      input, output = IO.pipe(binmode: true)
      widen(output)
      input.autoclose = false # the packing thread closes it
      Native.pack(input.fileno, io.fileno, told.fileno, packing.to_s, @redact)
      begin
        output.write(meta)
        ObjectSpace.dump_all(output: output)
        output.close
      rescue Errno::EPIPE
        nil # the packing thread gave up and says why
      end
      bytes_in, bytes_out, _, lost = Native.packed
      { in: bytes_in, out: bytes_out, records_lost: lost }
    end

    def widen(pipe)
      pipe.fcntl(F_SETPIPE_SZ, 1 << 20) if RUBY_PLATFORM.include?("linux")
    rescue SystemCallError
      nil # beyond the user's limit; it works with less
    end

    # Reads what the child tells until its last line. Progress goes to the caller, who may raise.
    def watch(status, start)
      last = nil
      rest = +""
      until last
        left = start + @timeout - now
        raise DumpTimeout, timeout_message unless left.positive? && status.wait_readable(left)

        rest << (status.read_nonblock(65_536, exception: false) || (return nil))
        while (line = rest.slice!(/\A.*\n/))
          told = JSON.parse(line)
          @progress&.call(told["in"], nil) if told["in"]
          last = told if told.key?("records_lost") || told.key?("error")
        end
      end
      last
    end

    def timeout_message
      "the dump was not done after #{@timeout.round} s and was given up; give it more time"
    end

    # Waits for the child, which is at its end, or ends it. Others may have waited for it already.
    def reap(pid, done)
      # A child that others waited for may have given its number to another process, which is not to be killed.
      return Process.wait2(pid).last if done

      ended = Process.wait2(pid, Process::WNOHANG)
      return ended.last if ended

      Process.kill(:KILL, pid)
      Process.wait2(pid).last
    rescue Errno::ECHILD, Errno::ESRCH
      nil
    end

    def fail_with(done, reaped)
      raise DumpFailed, describe(done) if done
      raise DumpTimeout, timeout_message if reaped&.exitstatus == 4

      fate = if reaped&.signaled? then "was killed by SIG#{Signal.signame(reaped.termsig)}"
             elsif reaped then "ended with status #{reaped.exitstatus}"
             else
               "is gone"
             end
      hint = " (out of memory?)" if reaped&.termsig == Signal.list["KILL"]
      hint = "; Ruby 3.3 and 3.4 have a bug in dump_all, try again" if [4, 6, 7, 11].include?(reaped&.termsig)
      raise DumpFailed, "the dumping child #{fate}#{hint}; this process is not affected"
    end

    def describe(done)
      case done["class"]
      when "Errno::ENOSPC", "Errno::EDQUOT" then "no space left for the dump; give a path on another disk"
      when "Errno::EPIPE" then "who was to read the dump has closed the pipe"
      else done["error"]
      end
    end

    def measure
      start = now
      yield
      now - start
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
