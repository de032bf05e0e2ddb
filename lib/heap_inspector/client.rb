# frozen_string_literal: true

require "io/wait"
require "json"
require "socket"

module HeapInspector
  # Asks the agent of another process.
  #
  # @api private
  class Client
    # Seconds to wait for a usual reply: C code that holds Ruby's lock was measured to delay one by 2 s.
    PATIENCE = 30
    # Bytes of a reply.
    LONGEST = 65_536

    private_constant :LONGEST

    # @param pid [Integer]
    # @return [String, nil] the path of the process's socket, where it is armed
    def self.socket(pid)
      ticks = ProcFs.start_ticks(pid)
      uid = ProcFs.status(pid)["Uid"]
      return unless ticks && uid

      # A process in a container has another folder for temporary files and another pid, and services may have the former too.
      folders = [Folder.path, "/run/user/#{uid}/heap_inspector", Folder.of_user(uid)].flat_map { |each| [each, "/proc/#{pid}/root#{each}"] }
      name = "#{ProcFs.own_pid(pid) || pid}-#{ticks}.sock"
      folders.map { |folder| File.join(folder, name) }.find { |path| trusted?(path, uid) }
    end

    # Whether it is the process's own user who put the socket there.
    def self.trusted?(path, uid)
      stat = File.lstat(path)
      stat.socket? && stat.uid == uid
    rescue SystemCallError
      false
    end
    private_class_method :trusted?

    # @param pid [Integer]
    # @raise [AgentError] if it cannot be reached; the message says why, and what to do
    def initialize(pid)
      @pid = pid
      @rest = +""
      path = self.class.socket(pid) || raise(AgentError, unreachable)
      @socket = UNIXSocket.new(path)
    rescue SystemCallError => e
      raise AgentError, "process #{pid} cannot be reached: #{e.message}"
    end

    # Sends the request and waits for the answer.
    #
    # @param verb [Symbol]
    # @param output [IO, nil] the open file that a dump is written to
    # @param patience [Numeric] seconds between two signs of life
    # @param words [Hash] what else the request says
    # @yieldparam bytes [Integer] how far a dump is
    # @return [Hash{String => Object}]
    # @raise [AgentError, DumpError] what the agent says
    def ask(verb, output: nil, patience: PATIENCE, **words)
      @socket.write("#{{ verb: verb, **words }.to_json}\n")
      loop do
        reply = reply(patience)
        return reply["ok"] if reply["ok"].is_a?(Hash)
        raise failure(reply) if reply["error"].is_a?(String)

        @socket.send_io(output) if reply["ready"]
        yield reply["progress"] if reply["progress"].is_a?(Integer) && block_given?
      end
    rescue SystemCallError, EOFError
      raise AgentError, "process #{@pid} went away before it answered"
    ensure
      @socket.close
    end

    private

    # The next line of the process, which root may ask but need not trust.
    def reply(patience)
      deadline = now + patience
      until (line = @rest.slice!(/\A.*\n/))
        raise AgentError, nonsense if @rest.bytesize > LONGEST

        left = deadline - now
        unless left.positive? && @socket.wait_readable(left)
          raise AgentError, "process #{@pid} did not answer in #{patience.round} s; is it stopped, or busy in C code?"
        end

        part = @socket.read_nonblock(LONGEST, exception: false)
        raise EOFError if part.nil?

        @rest << part if part.is_a?(String)
      end
      reply = JSON.parse(line)
      reply.is_a?(Hash) ? reply : raise(AgentError, nonsense)
    rescue JSON::ParserError, EncodingError
      raise AgentError, nonsense
    end

    def nonsense
      "process #{@pid} answers what is no answer; is it an agent of another version?"
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def failure(reply)
      classes = { "HeapInspector::DumpRefused" => DumpRefused, "HeapInspector::DumpFailed" => DumpFailed,
                  "HeapInspector::DumpTimeout" => DumpTimeout }
      classes.fetch(reply["class"], AgentError).new(reply["error"])
    end

    def unreachable
      uid = ProcFs.status(@pid)["Uid"]
      return "there is no process #{@pid}" unless uid
      return "process #{@pid} belongs to uid #{uid}: ask as that user, or as root" unless [uid, 0].include?(Process.euid)

      "process #{@pid} is not armed: put `plugin :heap_inspector` into config/puma.rb, or call HeapInspector.arm in the process, and " \
        "restart it"
    end
  end
end
