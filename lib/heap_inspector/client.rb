# frozen_string_literal: true

require "io/wait"
require "json"
require "socket"

module HeapInspector
  # Asks the agents of other processes, none of which is believed: connecting, writing and reading wait no longer than they are told,
  # replies are bounded and have the shape of {Replies}, or are an error.
  #
  # @api private
  class Client
    # Seconds to wait for a sign of life: C code that holds Ruby's lock was measured to delay one by 2 s.
    TIMEOUT = 30
    # Seconds in which agents say how they are; those that do not are silent.
    GLANCE = 5
    # Bytes of a reply.
    LONGEST = 65_536
    # Letters of an agent's error.
    LONGEST_ERROR = 1000

    private_constant :LONGEST, :LONGEST_ERROR

    class << self
      # Asks all at once how they are, under one deadline.
      #
      # @param pids [Array<Integer>]
      # @param timeout [Numeric] seconds for all together
      # @return [Hash{Integer => Hash, AgentError}] what each says, or why it says nothing
      def statuses(pids, timeout: GLANCE)
        deadline = now + timeout
        begun = pids.to_h { |pid| [pid, attempt { begin_asking(pid) }] }
        answers = begun.reject { |_, client| client.is_a?(Client) }
        waiting = begun.values.grep(Client).to_h { |client| [client.socket, client] }
        hear(waiting, answers, deadline) until waiting.empty?
        answers
      ensure
        waiting&.each_value(&:close)
      end

      # @return [Float]
      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

      private

      def begin_asking(pid)
        new(pid, timeout: 0).tap { |client| client.send_request(verb: :status) }
      end

      # Takes what came meanwhile, or gives those up that said nothing.
      def hear(waiting, answers, deadline)
        left = deadline - now
        ready, = left.positive? ? IO.select(waiting.keys, nil, nil, left) : nil
        (ready || waiting.keys).each do |socket|
          client = waiting[socket]
          answer = attempt { ready ? client.status : raise(AgentError, client.silent(GLANCE)) }
          next unless answer

          answers[client.pid] = answer
          waiting.delete(socket)
          client.close
        end
      end

      def attempt
        yield
      rescue AgentError => e
        e
      end
    end

    # @param pid [Integer]
    # @return [String, nil] the path of the process's socket, where it is armed
    def self.socket(pid)
      ticks = ProcFs.start_ticks(pid)
      uid = ProcFs.status(pid)["Uid"]
      return unless ticks && uid

      # A process in a container has another folder for temporary files and another pid, and services may have the former too.
      folders = [Folder.path, "/run/user/#{uid}/heap_inspector", Folder.of_user(uid)].flat_map { |each| [each, "/proc/#{pid}/root#{each}"] }
      name = "#{ProcFs.own_pid(pid) || pid}-#{ticks}.sock"
      folders.map { |folder| File.join(folder, name) }.find { |path| trusted?(path, uid) } || elsewhere(pid, name, uid)
    end

    # Another app's HEAP_INSPECTOR_DIR may be any folder; the system knows what its sockets are bound to.
    def self.elsewhere(pid, name, uid)
      bound = ProcFs.bound_sockets(pid).select { |path| path.end_with?("/#{name}") }
      bound.flat_map { |path| [path, "/proc/#{pid}/root#{path}"] }.find { |path| trusted?(path, uid) }
    end
    private_class_method :elsewhere

    # Whether it is the process's own user who put the socket there.
    def self.trusted?(path, uid)
      stat = File.lstat(path)
      stat.socket? && stat.uid == uid
    rescue SystemCallError
      false
    end
    private_class_method :trusted?

    # @return [Integer]
    attr_reader :pid

    # @return [UNIXSocket]
    attr_reader :socket

    # @param pid [Integer]
    # @param timeout [Numeric] seconds in which it must let us in
    # @raise [AgentError] if it cannot be reached; the message says why, and what to do
    def initialize(pid, timeout: GLANCE)
      @pid = pid
      @rest = "".b
      @socket = connect(self.class.socket(pid) || raise(AgentError, unreachable), now + timeout)
    rescue SystemCallError, ArgumentError => e # a path may be too long
      raise AgentError, "process #{pid} cannot be reached: #{e.message}"
    end

    # Sends the request and waits for the answer.
    #
    # @param verb [Symbol]
    # @param output [IO, nil] the open file that a dump is written to
    # @param longest [Numeric] seconds in all; without a sign of life it takes no more than {TIMEOUT}
    # @param words [Hash] what else the request says
    # @yieldparam bytes [Integer] how far a dump is
    # @return [Hash{String => Object}]
    # @raise [AgentError, DumpError] what the agent says
    def ask(verb, output: nil, longest: TIMEOUT, **words)
      end_of_all = now + longest
      send_request(verb: verb, **words)
      loop do
        reply = wait_for_reply([now + TIMEOUT, end_of_all].min)
        case Replies.sort(reply, verb, ready: !output.nil?)
        when :ok then return reply["ok"]
        when :error then raise failure(reply)
        when :progress then yield reply["progress"] if block_given?
        when :ready
          @socket.send_io(output)
          output = nil # it is sent once
        else raise AgentError, nonsense
        end
      end
    rescue SystemCallError, EOFError
      raise AgentError, gone
    ensure
      close
    end

    # @param words [Hash]
    # @return [void]
    def send_request(**words)
      line = "#{JSON.generate(words)}\n"
      # A new connection's buffer takes far more than a request.
      raise AgentError, silent(0) unless @socket.write_nonblock(line, exception: false) == line.bytesize
    rescue SystemCallError
      raise AgentError, gone
    end

    # @return [Hash, nil] what the process says of itself, nil where not all of it is there
    # @raise [AgentError]
    def status
      reply = read_reply || (return nil)
      case Replies.sort(reply, :status)
      when :ok then reply["ok"]
      when :error then raise failure(reply)
      else raise AgentError, nonsense
      end
    rescue SystemCallError, EOFError
      raise AgentError, gone
    end

    # @return [void]
    def close
      @socket.close
    end

    # @return [String]
    def silent(seconds)
      "process #{@pid} did not answer in #{seconds.round} s; is it stopped, or busy in C code?"
    end

    # @return [String]
    def nonsense
      "process #{@pid} sent an invalid reply; is it an agent of another version?"
    end

    private

    # A socket whose owner takes no connections lets nobody wait for longer than this.
    def connect(path, deadline)
      socket = Socket.new(:UNIX, :STREAM)
      address = Socket.sockaddr_un(path)
      begin
        socket.connect_nonblock(address)
      rescue Errno::EAGAIN
        raise AgentError, silent(GLANCE) if now > deadline

        sleep(0.02)
        retry
      end
      socket.autoclose = false
      UNIXSocket.for_fd(socket.fileno)
    rescue StandardError
      socket&.close
      raise
    end

    def wait_for_reply(deadline)
      began = now
      until (reply = read_reply)
        left = deadline - now
        raise AgentError, silent(now - began) unless left.positive?

        @socket.wait_readable(left)
      end
      reply
    end

    # The next line of the process, which root may ask but need not trust; nil where it is not there yet.
    def read_reply
      part = @socket.read_nonblock(LONGEST, exception: false) unless @rest.include?("\n")
      raise EOFError if part.nil? && !@rest.include?("\n")

      @rest << part if part.is_a?(String)
      line = @rest.slice!(/\A.*\n/n)
      raise AgentError, nonsense if (line || @rest).bytesize > LONGEST

      line && parse(line)
    end

    def parse(line)
      reply = JSON.parse(line, max_nesting: 6)
      reply.is_a?(Hash) ? reply : raise(AgentError, nonsense)
    rescue JSON::ParserError, EncodingError
      raise AgentError, nonsense
    end

    def gone
      "process #{@pid} went away before it answered"
    end

    def now = self.class.now

    def failure(reply)
      classes = { "HeapInspector::DumpRefused" => DumpRefused, "HeapInspector::DumpFailed" => DumpFailed,
                  "HeapInspector::DumpTimeout" => DumpTimeout }
      classes.fetch(reply["class"], AgentError).new(reply["error"][0, LONGEST_ERROR])
    end

    def unreachable
      uid = ProcFs.status(@pid)["Uid"]
      return ProcFs.absence(@pid) if uid.nil? || ProcFs.ended?(@pid)
      return "process #{@pid} belongs to uid #{uid}: ask as that user, or as root" unless ProcFs.may_look?(uid)

      "process #{@pid} is not armed: put `plugin :heap_inspector` into config/puma.rb, or call HeapInspector.arm in the process, and " \
        "restart it"
    end
  end

  private_constant :Client
end
