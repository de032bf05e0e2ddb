# frozen_string_literal: true

require "shellwords"

module HeapInspector
  # The dumps of a leak hunt, all of one process; see `heap_inspector watch`.
  #
  # @api private
  class Hunt
    # Seconds in which a new worker is there and armed.
    START = 15

    private_constant :START

    # @param process [Processes::Process, Integer] the process, or the pid that was given
    # @param request [DumpRequest]
    # @param folder [String] where the dumps go
    # @param err [IO]
    def initialize(process, request, folder, err)
      @pid = process.is_a?(Integer) ? process : process.pid
      @process = Processes.find(@pid)
      @worker = Processes.indexes([@process])[@process] if @process&.armed?
      @socket = Client.socket(@pid)
      @request = request
      @folder = folder
      @err = err
      @paths = []
    end

    # @param every [Numeric] seconds between two dumps
    # @param count [Integer]
    # @return [Integer] the exit code
    def run(every, count)
      count.times do |number|
        sleep(every) unless number.zero?
        return ended if ended?

        path = File.join(@folder, "#{number + 1}-#{@request.default_name(@pid)}")
        @request.run(@pid, path)
        @paths << path
      rescue AgentError
        raise unless ended?

        return ended
      end
      @err.puts "now: #{reading}"
      0
    end

    private

    def ended?
      ProcFs.ended?(@pid) || (@socket && Client.socket(@pid) != @socket)
    end

    # As after a phased restart. Dumps of another process do not go on with these.
    def ended
      @err.puts "heap_inspector: process #{@pid} has ended#{follower}"
      @err.puts "what there is of it: #{reading}" if @paths.any?
      1
    end

    def follower
      found = @worker && successors
      return "" unless found&.size == 1

      "; worker-#{@worker} is process #{found.first.pid} now, and a hunt is for one process: " \
        "heap_inspector watch worker-#{@worker} begins anew"
    end

    # A server starts the new worker when the old one is gone, or some time before.
    def successors
      deadline = Client.now + START
      until (found = armed_again).any? || Client.now > deadline
        sleep(0.2)
      end
      found
    end

    def armed_again
      armed = Processes.list.select { |process| process.armed? && process.pid != @pid && process.uid == @process.uid }
      Processes.indexes(armed).select { |process, worker| worker == @worker && process.parent == @process.parent }.keys
    end

    def reading
      verb = { 1 => "read", 2 => "diff" }.fetch(@paths.size, "suspects")
      "heap_inspector #{verb} #{@paths.shelljoin}"
    end
  end

  private_constant :Hunt
end
