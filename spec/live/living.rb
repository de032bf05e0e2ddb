# frozen_string_literal: true

require "fileutils"
require "net/http"
require "rbconfig"
require "socket"
require "tmpdir"

# Real processes for the specs of the living half: each spec has a folder of its own for sockets, locks and dumps, and whatever it
# started is ended, by its pid, when the spec is over.
module Living
  LIB = File.expand_path("../../lib", __dir__)
  EXE = File.expand_path("../../exe/heap_inspector", __dir__)

  # A started process: what it prints can be read by lines, and lines can be sent to it.
  class Started
    # What was printed before the end is in `rest`.
    attr_reader :pid, :rest

    # With a log it prints there: nobody reads a server's pipe, and a full one would stop it.
    def initialize(environment, words, log: nil, **options)
      @input, input = log ? [File.open(log, "w+")] * 2 : IO.pipe
      output, @output = IO.pipe
      @pid = Process.spawn(environment, *words, in: output, out: input, err: %i[child out], **options)
      output.close
      input.close unless log
    end

    # The next line that the pattern takes; where none does the message has what came.
    def line(pattern = //, seconds = 30)
      seen = +""
      loop do
        raise "no #{pattern.inspect} in #{seconds} s: #{seen}" unless @input.wait_readable(seconds)

        line = @input.gets("\n", chomp: true) || raise("ended without #{pattern.inspect}: #{seen}")
        return line if line.match?(pattern)

        seen << line << "\n"
      end
    end

    def say(line)
      @output.puts(line)
      @output.flush
    end

    # The exit status; what is still printed goes to `rest`.
    def wait
      @output.close unless @output.closed?
      @rest = @input.read
      reap
    end

    def kill(signal = :KILL)
      Process.kill(signal, @pid)
    rescue Errno::ESRCH
      nil
    end

    def finish
      return if @status

      kill
      reap
    ensure
      [@input, @output].each { |pipe| pipe.close unless pipe.closed? }
    end

    private

    def reap
      @status ||= Process.wait2(@pid).last # rubocop:disable Naming/MemoizedInstanceVariableName -- it can be waited for once
    end
  end

  def folder
    @folder ||= Dir.mktmpdir("hi")
  end

  def environment
    { "HEAP_INSPECTOR_DIR" => File.join(folder, "run"), "RUBYLIB" => LIB, "RUBYOPT" => nil, "BUNDLE_GEMFILE" => nil }
  end

  # Runs Ruby code in a process that has the gem; it may print, and read lines.
  def living(code, environment: {}, **options)
    words = [RbConfig.ruby, "-W1", "-rheap_inspector", "-e", "$stdout.sync = true\n#{code}"]
    started(words, environment: environment, **options)
  end

  # The lines that such a process prints until it ends well.
  def told(code, **options)
    process = living(code, **options)
    status = process.wait
    raise process.rest unless status.success?

    process.rest.lines(chomp: true)
  end

  def started(words, environment: {}, **options)
    process = Started.new(self.environment.merge(environment), words, **options)
    (@started ||= []) << process
    process
  end

  # The gem's command line: standard output, standard error, exit code.
  def command(*words, environment: {}, **options)
    out, err, status = Open3.capture3(self.environment.merge(environment), RbConfig.ruby, EXE, *words, binmode: true, **options)
    [out, err.force_encoding("UTF-8"), status.exitstatus]
  end

  # The path of a process's socket.
  def socket(pid, run = File.join(folder, "run"))
    Dir.glob(File.join(run, "#{pid}-*.sock")).first
  end

  # Puts a socket in the place of the process's that answers everybody so, line by line, with a pause between two; without an answer it
  # takes the request and says nothing.
  def hostile_instead_of(process, *replies, pause: 0, files: nil)
    process.kill(:STOP) # its agent would come back in a while
    path = socket(process.pid)
    File.unlink(path)
    server = UNIXServer.new(path)
    (@servers ||= []) << server
    answer = replies.empty? ? [] : replies.flat_map(&:lines)
    Thread.new do
      loop do
        connection = server.accept
        (@threads ||= []) << Thread.new { lie(connection, answer, pause, files) }
      rescue SystemCallError, IOError
        break if server.closed?
      end
    end
  end

  def lie(connection, answer, pause, files)
    connection.readpartial(4096) # what was sent with a file would be taken for it
    answer.each_with_index do |line, at|
      sleep(pause) if at.positive?
      connection.write(line.end_with?("\n") || pause.positive? ? line : "#{line}\n")
      files&.call(connection.recv_io) if line.include?("ready")
    end
    connection.close_write unless answer.empty?
    connection.read
  rescue SystemCallError, IOError, SocketError
    nil
  ensure
    connection.close
  end

  # The children of a process.
  def children(pid)
    Dir.children("/proc").grep(/\A\d+\z/).select do |name|
      File.read("/proc/#{name}/stat").rpartition(")").last.split[1] == pid.to_s
    rescue SystemCallError
      false
    end.map(&:to_i)
  end

  def alive?(pid)
    !File.read("/proc/#{pid}/stat").rpartition(")").last.start_with?(" Z")
  rescue SystemCallError
    false
  end

  # What the first line of a dump tells.
  def meta(path)
    first = IO.popen(["zstd", "-dcq", path], err: File::NULL, &:gets)
    JSON.parse(JSON.parse(first).fetch("value"))
  end

  # What of a dump's references is named exactly: how many there are and how many are, by the type of what holds them, or its sort. An
  # Array of nothing but references has their places; one that shares another's elements has no names.
  def named(lines)
    holders = lines.group_by { |line| %w[DATA IMEMO].include?(line["type"]) ? line["struct"] || line["imemo_type"] : line["type"] }
    holders.slice(*%w[OBJECT HASH ARRAY STRUCT CLASS MODULE ICLASS proc env]).transform_values do |found|
      found.each_with_object([0, 0]) do |line, counts|
        references = line["references"] || []
        is_whole = line["type"] == "ARRAY" && line["length"] == references.size && !line["shared"]
        counts[0] += references.size
        counts[1] += is_whole ? references.size : (line["names"] || []).count { |name| name != 0 }
      end
    end
  end

  def free_port
    TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
  end

  # Ends what the spec started and left. The children of what it started may still be going, and take their sockets away themselves.
  def clean
    @started&.each(&:finish)
    @threads&.each(&:kill)
    @servers&.each(&:close)
    eventually { FileUtils.rm_rf(@folder) && !File.exist?(@folder) } if @folder
  end
end

RSpec.shared_context "with our tracer" do
  before { skip "Ruby's own tracer serves in #{RUBY_DESCRIPTION}" if Helpers.tracer_missing }
end

RSpec.shared_context "with living processes" do
  include Living

  after { clean }
end
