# frozen_string_literal: true

module HeapInspector
  # Has another process's agent sum up its heap into a file.
  #
  # @api private
  class SummaryRequest < AgentRequest
    # What a Parquet file begins and ends with.
    MAGIC = "PAR1".b
    # Seconds for the dump and for what reads it, and then some.
    LONGEST = (2 * Summaries::TIMEOUT) + 100

    private_constant :MAGIC, :LONGEST

    # @param pid [Integer]
    # @param output [String, nil] nil for a name of its own here
    # @return [void]
    # @raise [AgentError, DumpError]
    def run(pid, output)
      path = output || "summary-#{pid}-#{Time.now.utc.strftime("%Y%m%dT%H%M%SZ")}.parquet"
      bytes = WholeFile.create(path) do |file, name|
        Client.new(pid).ask(:summarize, output: file, longest: LONGEST, **@ask)
        name ? check(pid, name) : 0
      end
      @err.puts "#{Escape.terminal(path)}: #{Size.count(bytes)} bytes"
    end

    private

    # A process may say anything; only the file tells.
    def check(pid, name)
      bytes = File.binread(name, Summaries::MOST + 1).to_s
      is_whole = bytes.bytesize.between?(12, Summaries::MOST) && bytes.start_with?(MAGIC) && bytes.end_with?(MAGIC)
      raise DumpFailed, "process #{pid} wrote something that is not a summary" unless is_whole

      bytes.bytesize
    end
  end

  private_constant :SummaryRequest
end
