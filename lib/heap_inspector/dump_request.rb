# frozen_string_literal: true

module HeapInspector
  # Has another process's agent write a dump into a file or down a pipe, and looks whether what it says is what came.
  #
  # @api private
  class DumpRequest < AgentRequest
    # The first bytes of what is compressed so, and of a heap file.
    HEADS = { zstd: "\x28\xB5\x2F\xFD".b, gzip: "\x1F\x8B".b, plain: "{".b, heap: "\x91HEAP\r\n\x1A".b }.freeze

    private_constant :HEADS

    # @param pid [Integer]
    # @param output [String, nil] a file, a folder, or `-`; nil for a name of its own here
    # @return [String, nil] the file's path
    # @raise [AgentError, DumpError]
    def run(pid, output)
      return stream(pid) if output == "-"

      path = output || default_name(pid)
      path = File.join(path, default_name(pid)) if File.directory?(path)
      compression = compression_for(path)
      answer = WholeFile.create(path) { |file, name| receive(pid, file, compression, name) }
      @err.puts "#{Escape.terminal(path)}: #{told(answer)}"
      path
    end

    # @param pid [Integer]
    # @return [String] the name of a dump that is taken now
    def default_name(pid)
      ending = heap_file? ? ".heap" : ".json#{Compression::ENDINGS.fetch(@ask[:compression]&.to_sym || :zstd)}"
      "heap-#{pid}-#{Time.now.utc.strftime("%Y%m%dT%H%M%SZ")}#{ending}"
    end

    private

    def heap_file? = @ask[:format]&.to_sym == :heap

    # A heap file is compressed in itself.
    def compression_for(path = nil)
      return @ask[:compression]&.to_sym if heap_file?

      @ask[:compression]&.to_sym || (path ? Compression.choose(nil, path) : :zstd)
    end

    def stream(pid)
      redirected("a dump") { @err.puts told(receive(pid, @out, compression_for)) }
      nil
    end

    def receive(pid, output, compression, name = nil)
      before = output.stat.size if output.stat.file?
      answer = request(pid, output, compression)
      return answer unless before

      check(pid, answer["compressed_bytes"], output.stat.size - before)
      raise DumpFailed, "process #{pid} wrote something that is not a dump" if name && !dump?(name, compression)

      answer
    end

    def request(pid, output, compression)
      shows = @err.tty?
      # The collection comes before the first bytes, and the end of all is more than the agent's own.
      longest = @ask[:timeout] + (2 * Client::TIMEOUT)
      Client.new(pid).ask(:dump, output: output, longest: longest, **@ask, compression: compression) do |bytes|
        @err.print "\r#{Size.mebibytes(bytes)} dumped\e[K" if shows
      end
    ensure
      @err.print "\r\e[K" if shows
    end

    # A process may say anything; only the file tells.
    def check(pid, said, came)
      raise DumpFailed, "process #{pid} says that it wrote #{said} bytes, and #{came} came" unless said == came
    end

    # Where a process cannot write a heap file it writes lines, compressed by zstd.
    def dump?(name, compression)
      heads = HEADS.values_at(*(heap_file? ? %i[heap zstd] : [compression]))
      heads.any? { |head| File.binread(name, head.bytesize) == head }
    end

    # What the process did not do meanwhile, and what it and we waited for.
    def told(file)
      packed, bytes, *times = file.values_at(*%w[compressed_bytes bytes seconds write_seconds wait_seconds gc_seconds fork_seconds])
      seconds, write, wait, gc, fork = times.map(&:to_f)
      "#{Size.mebibytes(packed)}, #{Size.mebibytes(bytes)} uncompressed, in #{seconds.round(1)} s (#{write.round(1)} writing, " \
        "#{wait.round(1)} waiting); the process paused for #{milliseconds(gc + fork)} ms (#{milliseconds(gc)} collecting garbage, " \
        "#{milliseconds(fork)} forking)#{by_ruby(file["fallback"])}"
    end

    def by_ruby(reason)
      "; taken by ObjectSpace.dump_all, without names: #{Escape.terminal(reason)}" if reason
    end

    def milliseconds(seconds) = (seconds * 1000).round
  end

  private_constant :DumpRequest
end
