# frozen_string_literal: true

module HeapInspector
  # Has another process's agent write a profile into a file or down a pipe.
  #
  # @api private
  class ProfileRequest
    # @param ask [Hash] what is asked of the agent: format, since
    # @param out [IO] where a profile may go that no file is given for
    # @param err [IO] where is told what came
    def initialize(ask, out, err)
      @ask = ask
      @out = out
      @err = err
    end

    # @param pid [Integer]
    # @param output [String, nil] a file, or `-`; nil for a name of its own here
    # @return [void]
    # @raise [AgentError]
    def run(pid, output)
      return stream(pid) if output == "-"

      path = output || default_name(pid)
      format = @ask[:format] || HeapProfile.format_of(path)
      answer = WholeFile.create(path) { |file, _| request(pid, file, format) }
      @err.puts "#{Escape.terminal(path)}: #{told(answer)}"
    end

    private

    def stream(pid)
      raise ArgumentError, "a profile is nothing for a terminal: redirect standard output, or give a file with -o" if @out.tty?

      @out.flush
      @err.puts told(request(pid, @out, @ask[:format] || :pprof))
    end

    def default_name(pid)
      ending = HeapProfile::FORMATS.fetch((@ask[:format] || :pprof).to_sym).first
      "heap-#{pid}-#{Time.now.utc.strftime("%Y%m%dT%H%M%SZ")}#{ending}"
    end

    def request(pid, output, format) = Client.new(pid).ask(:profile, output: output, format: format, since: @ask[:since])

    def told(answer)
      bytes, samples = answer.values_at("bytes", "samples").map { |number| Size.count(number) }
      "#{bytes} bytes, of #{samples} samples; its serial is #{answer["serial"]}"
    end
  end

  private_constant :ProfileRequest
end
