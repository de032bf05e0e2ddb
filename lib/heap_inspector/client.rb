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

    # @param pid [Integer]
    # @return [String, nil] the path of the process's socket, where it is armed
    def self.socket(pid)
      ticks = ProcFs.start_ticks(pid)
      uid = ProcFs.status(pid)["Uid"]
      return unless ticks && uid

      # A process in a container has another folder for temporary files, and services may have one too.
      folders = [Folder.path, "/run/user/#{uid}/heap_inspector", Folder.of_user(uid), "/proc/#{pid}/root#{Folder.of_user(uid)}"]
      folders.map { |folder| File.join(folder, "#{pid}-#{ticks}.sock") }.find { |path| trusted?(path, uid) }
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
      path = self.class.socket(pid) || raise(AgentError, unreachable)
      @socket = UNIXSocket.new(path)
    rescue SystemCallError => e
      raise AgentError, "process #{pid} cannot be reached: #{e.message}"
    end

    # Sends the request and waits for the answer.
    #
    # @param verb [Symbol]
    # @param output [IO, nil] the open file that a dump is written to
    # @param timeout [Numeric] seconds between two signs of life
    # @yieldparam bytes [Integer] how far a dump is
    # @return [Hash{String => Object}]
    # @raise [AgentError, DumpError] what the agent says
    def ask(verb, output: nil, timeout: PATIENCE, **words)
      @socket.write("#{{ verb: verb, **words }.to_json}\n")
      loop do
        reply = JSON.parse(line(timeout))
        return reply["ok"] if reply.key?("ok")
        raise failure(reply) if reply.key?("error")

        @socket.send_io(output) if reply["ready"]
        yield reply["progress"] if reply["progress"] && block_given?
      end
    rescue SystemCallError, JSON::ParserError
      raise AgentError, "process #{@pid} went away before it answered"
    ensure
      @socket.close
    end

    private

    def line(timeout)
      unless @socket.wait_readable(timeout)
        raise AgentError,
              "process #{@pid} did not answer in #{timeout} s; is it stopped, or busy in C code?"
      end

      @socket.gets("\n", 65_536) || raise(AgentError, "process #{@pid} went away before it answered")
    end

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
