# frozen_string_literal: true

require "io/wait"
require "json"
require "socket"
require_relative "background"
require_relative "dump" # now, while nothing holds it up
require_relative "memory_look"

module HeapInspector
  # Answers `heap_inspector ps`, `dump` and `trace` inside of a process: one thread that waits at a Unix socket of the user's own
  # folder. Its name has the pid and when the process began, so a left one is told from a living one's.
  #
  # A connection carries one request, a line of JSON with one of {VERBS}, from the process's own user or root. Nothing in it is
  # evaluated, and no path is taken: who wants a dump sends an open file. Replies are lines of JSON too; the last one has `ok` or
  # `error`.
  #
  # @api private
  module Agent
    # What may be asked.
    VERBS = %w[ping status trace gc dump profile memory trim summarize].freeze
    # Bytes of a request.
    LONGEST = 4096
    # Seconds in which a request must be there, and in which a reply must be taken.
    TIMEOUT = 5
    # Connections at a time.
    MOST = 8
    # Seconds after which to look whether the socket is still in its folder.
    LOOK = 5
    # Seconds between two signs of life while a dump is taken: those who asked give a silent process up.
    PULSE = 5

    private_constant :LOOK, :PULSE

    @mutex = Mutex.new
    @connections = []

    class << self
      # @return [Integer, nil] the worker's index, where it was told
      attr_reader :worker

      # See {HeapInspector.arm}.
      #
      # @return [void]
      def arm(worker: nil)
        @mutex.synchronize do
          @worker = worker if worker
          return if @owner == Process.pid && @thread&.alive?

          sweep(Folder.claim)
          open_socket
          begin_serving
        end
        ForkHook.install
        at_exit { disarm } unless @cleans
        @cleans = true
      end

      # @return [void]
      def disarm
        @mutex.synchronize do
          return unless @owner == Process.pid

          @owner = nil
          File.unlink(@path) if own_socket?
          # A socket that is closed under a waiting thread waits for the thread; so that goes first.
          @thread.kill.join(TIMEOUT)
          @server&.close
        end
      end

      # @return [Boolean]
      def armed?
        @owner == Process.pid && @thread.alive?
      end

      # Arms the child as its parent was. Its thread opens the socket, so that the app's fork waits for no disk.
      #
      # @param daemon [Boolean] whether this process goes on in its parent's place: then it is the same worker, and traces if that did
      # @return [void]
      def after_fork(daemon: false)
        return unless @owner

        @mutex = Mutex.new # another thread may have held it, and a trap may take none
        left = @path if daemon && own_socket?
        close([@server, *@connections].compact)
        @owner = @server = @path = @inode = nil
        @connections = []
        @daemon = daemon
        @worker = nil unless daemon
        @traces = false unless daemon
        begin_serving(left)
      end

      # @param pid [Integer]
      # @return [String, nil] the name of the process's socket
      def socket_name(pid)
        ticks = ProcFs.start_ticks(pid)
        "#{pid}-#{ticks || 0}.sock" if ticks || !File.directory?("/proc/self")
      end

      private

      # @param left [String, nil] the socket of a process that is gone
      def begin_serving(left = nil)
        @owner = Process.pid
        @thread = Background.thread("agent") do
          File.unlink(left) if left
        rescue SystemCallError
          nil # somebody else was quicker
        ensure
          serve
        end
      rescue ThreadError
        @owner = nil
        raise
      end

      def close(sockets)
        sockets.each do |socket|
          socket.close
        rescue IOError, SystemCallError
          nil # its number is of no use to the child
        end
      end

      def open_socket
        folder = Folder.claim
        @path = File.join(folder, socket_name(Process.pid))
        File.unlink(@path) if File.socket?(@path)
        @server = UNIXServer.new(@path)
        File.chmod(0o600, @path) # until then its folder keeps others out
        @server.close_on_exec = true
        @inode = File.lstat(@path).ino
      rescue SystemCallError, ArgumentError => e
        raise AgentError, "no socket at #{@path}: #{e.message}; set HEAP_INSPECTOR_DIR to a short path that can be written to"
      end

      # Removes what killed processes left. The folder may be shared by containers, whose pids say nothing here; so it is asked whether
      # anybody listens.
      def sweep(folder)
        Dir.each_child(folder) do |name|
          pid = name[/\A(\d+)-\d+\.sock\z/, 1]
          path = File.join(folder, name)
          File.unlink(path) if pid && socket_name(Integer(pid, 10)) != name && deserted?(path)
        rescue Errno::ENOENT
          nil # another one was quicker
        end
      end

      def deserted?(path)
        Socket.open(:UNIX, :STREAM) { |socket| socket.connect_nonblock(Addrinfo.unix(path), exception: false) }
        false
      rescue Errno::ECONNREFUSED
        true
      rescue SystemCallError
        false
      end

      def own_socket?
        !@path.nil? && File.lstat(@path).ino == @inode
      rescue SystemCallError
        false
      end

      def serve
        loop do
          if @server&.wait_readable(LOOK)
            connection = @server.accept_nonblock(exception: false)
            receive(connection) if connection.is_a?(UNIXSocket)
          elsif @server.nil? || !own_socket?
            reopen
          end
        rescue StandardError
          # No descriptors, no folder: it may come again. Or the program closes all that is open, as daemons do.
          sleep(1)
          reopen if @server&.closed?
        end
      end

      def reopen
        @mutex.synchronize do
          return unless @owner == Process.pid

          @server&.close
          open_socket
        end
      rescue AgentError
        @server ? nil : sleep(LOOK) # it is tried again
      end

      def receive(connection)
        @connections.reject!(&:closed?)
        return connection.close if @connections.size >= MOST

        @connections << connection
        thread = Thread.new { handle(connection) }
        thread.name = "heap_inspector request"
        thread.report_on_exception = false
      end

      def handle(connection)
        uid, = connection.getpeereid
        raise AgentError, "uid #{uid} may not ask a process of uid #{Process.euid}" unless [0, Process.euid].include?(uid)

        tell(connection, ok: answer(connection, request(connection)))
      rescue StandardError, NotImplementedError => e
        refuse(connection, e)
      ensure
        finish(connection)
      end

      # The system tells a connection nothing but a reset where what it sent was not read.
      def finish(connection)
        connection.read_nonblock(4 * LONGEST, exception: false)
      rescue SystemCallError
        nil
      ensure
        connection.close
      end

      def refuse(connection, error)
        sort = error.is_a?(Error) || error.is_a?(ArgumentError) ? error.message : "#{error.class}: #{error.message}"
        tell(connection, error: sort, class: error.class.name)
      rescue StandardError
        nil # there is nobody to tell
      end

      def request(connection)
        line = +""
        deadline = now + TIMEOUT
        until line.include?("\n")
          left = deadline - now
          raise AgentError, "no request came in #{TIMEOUT} s" unless left.positive? && connection.wait_readable(left)

          # The file of a dump comes only after it is asked for, so nothing of it is read here.
          part = connection.read_nonblock(LONGEST, exception: false)
          raise AgentError, "the request ends early" if part.nil?

          line << part if part.is_a?(String)
          raise AgentError, "the request is longer than #{LONGEST} bytes" if line.bytesize > LONGEST
        end
        parse(line)
      end

      def parse(line)
        request = JSON.parse(line, max_nesting: 4)
        raise AgentError, "the request is not an object" unless request.is_a?(Hash)
        raise AgentError, "there is no such verb; there are #{VERBS.join(", ")}" unless VERBS.include?(request["verb"])

        request
      rescue JSON::ParserError, EncodingError
        raise AgentError, "the request is not JSON"
      end

      def answer(connection, request)
        case request["verb"]
        when "ping" then { pid: Process.pid, version: VERSION }
        when "status" then status
        when "trace" then trace(request)
        when "gc" then collect
        when "dump" then dump(connection, request)
        when "profile" then profile(connection, request)
        when "memory" then MemoryLook.take.to_h
        when "trim" then trim(request)
        when "summarize" then summarize(connection, request)
        end
      end

      def status
        { pid: Process.pid, version: VERSION, ruby: RUBY_DESCRIPTION, worker: @worker,
          daemon: @daemon ? true : false, tracing: Tracing.tracing?, tracing_since: Tracing.since&.to_i,
          tracer: Tracing.tracing? ? Tracing.status.except(:since) : nil,
          gc_count: GC.count, heap_live_slots: GC.stat(:heap_live_slots), work: HeapInspector.work,
          uncollected: HeapInspector.uncollected }
      end

      # Switching on what was switched on here changes nothing. It is this process that traces; what it forks does not. Off is off,
      # whoever began: HEAP_INSPECTOR_TRACE or the app.
      def trace(request)
        on = request["on"]
        raise AgentError, "trace is switched on or off" unless [true, false].include?(on)

        # Another mode is begun anew, so what is on ends.
        mode = request["mode"] || Tracing::DEFAULT
        Tracing.off if !on || (Tracing.mode && Tracing.mode.to_s != mode.to_s)
        @traces = false unless on && Tracing.tracing?
        @traces = Tracing.start(inherited: false, mode: mode, every: request["every"]) if on && !(@traces && Tracing.tracing?)
        status
      end

      def collect
        start = now
        GC.start
        status.merge(seconds: now - start)
      end

      # Objects are moved together where this Ruby can and it is asked for, and what malloc has free goes back to the system.
      def trim(request)
        before = MemoryLook.take.to_h
        start = now
        GC.start
        compacted = request["compact"] == true && GC.respond_to?(:compact) ? attempt_compaction : nil
        paused = now - start
        trimmed = Native.trim
        { before: before, after: MemoryLook.take.to_h, compacted: compacted, trimmed: trimmed, gc_seconds: paused, seconds: now - start }
      end

      def attempt_compaction
        GC.compact
        true
      rescue NotImplementedError
        false
      end

      def dump(connection, request)
        turn = Mutex.new
        so_far = 0
        progress = lambda do |bytes, _|
          turn.synchronize { tell(connection, progress: so_far = bytes) }
        end
        dump = Dump.new(gc: request.fetch("gc", true), compression: request["compression"], redact: request["redact"] ? true : false,
                        timeout: request.fetch("timeout", 300), force: request["force"] ? true : false, progress: progress,
                        dumper: request["dumper"], format: request["format"])
        with_file(connection) do |file|
          # The collection and the fork say nothing, and may wait long for their turn.
          with_pulse(-> { progress.call(so_far, nil) }) { dump.to_io(file).to_h }
        end
      end

      def profile(connection, request)
        since = request["since"] == "last" ? @serial : request["since"]
        profile = HeapInspector.heap_profile(since: since)
        raise AgentError, "nothing was traced here; switch it on: heap_inspector trace #{Process.pid} on" unless profile

        bytes = profile.render(request["format"] || :pprof)
        with_file(connection) do |file|
          file.write(bytes)
          file.flush
        end
        @serial = profile.serial
        { bytes: bytes.bytesize, samples: profile.serial - since.to_i, serial: profile.serial }
      end

      # The file is asked for before: who asked waits for as long as the dump and its reader take, and hears that they go on.
      def summarize(connection, request)
        with_file(connection) do |file|
          bytes = with_pulse(-> { tell(connection, progress: 0) }) { HeapInspector.summarize(gc: request.fetch("gc", true) ? true : false) }
          file.write(bytes)
          file.flush
          { bytes: bytes.bytesize }
        end
      end

      # Has whoever asked hear again and again that it goes on.
      def with_pulse(beat)
        pulse = Thread.new { loop { sleep(PULSE) && beat.call } }
        pulse.report_on_exception = false
        yield
      ensure
        pulse&.kill&.join
      end

      # Asks for the open file of whoever wants what goes into it.
      def with_file(connection)
        tell(connection, ready: true)
        raise AgentError, "no file came in #{TIMEOUT} s" unless connection.wait_readable(TIMEOUT)

        file = received(connection)
        begin
          yield file
        ensure
          file.close
        end
      end

      def received(connection)
        connection.recv_io
      rescue SocketError
        raise AgentError, "no open file came to write the dump to"
      end

      def tell(connection, message)
        line = "#{JSON.generate(message)}\n"
        until line.empty?
          written = connection.write_nonblock(line, exception: false)
          if written == :wait_writable
            raise AgentError, "nobody takes the reply" unless connection.wait_writable(TIMEOUT)
          else
            line = line.byteslice(written..)
          end
        end
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end

  private_constant :Agent
end
