# frozen_string_literal: true

require_relative "living"

# Issue 13: nothing leaves the child, nothing of the app's is held, nothing of the system's is replaced.
RSpec.describe HeapInspector, "and what a dump must not do" do
  include_context "with living processes"

  let(:path) { File.join(folder, "heap.json.zst") }
  let(:log) { File.join(folder, "log") }

  it "replaces no device, pipe, socket or link among the devices: it writes to them, or refuses" do
    skip "only root can make a /dev of its own" unless Process.uid.zero? && system("unshare", "--mount", "true", err: File::NULL)

    program = <<~RUBY
      require "socket"
      require "heap_inspector"
      Dir.chdir(ARGV[0])
      File.mkfifo("/dev/pipe")
      UNIXServer.new("/dev/log")
      reader = Thread.new { File.open("/dev/pipe", "rb") { |pipe| pipe.read.bytesize } }
      names = %w[null full pipe log stdout mine kept]
      File.symlink("/dev/null", "/dev/mine")
      File.symlink(File.join(ARGV[0], "kept"), "/dev/kept")
      File.write("kept", "kept")
      was = names.to_h { |name| [name, File.lstat("/dev/" + name).ftype] }
      names.each do |name|
        file = HeapInspector.dump("/dev/" + name, compression: :zstd)
        warn [name, file.compressed_bytes > 10_000].join(" ")
      rescue HeapInspector::Error, SystemCallError, ArgumentError => e
        warn [name, e.class, e.message].join(" ")
      end
      warn ["read", reader.value > 10_000].join(" ")
      warn ["same", names.to_h { |name| [name, File.lstat("/dev/" + name).ftype] } == was].join(" ")
      warn ["left", Dir.glob("/dev/*.tmp").size, File.read("kept")].join(" ")
    RUBY
    devices = "set -e; mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/full c 1 7; " \
              "mknod -m 666 /dev/urandom c 1 9; ln -s /proc/self/fd /dev/fd; ln -s /proc/self/fd/1 /dev/stdout; exec \"$@\""
    out = File.join(folder, "out")
    IO.popen([environment, "unshare", "--mount", "bash", "-c", devices, "bash", RbConfig.ruby, "-e", program, folder,
              { err: [log, "w"] }], "rb") { |pipe| IO.copy_stream(pipe, out) }
    expect(File.readlines(log, chomp: true)).to match [
      "null true", /\Afull HeapInspector::DumpFailed no space left/, "pipe true",
      /\Alog ArgumentError .*is a socket, which is not replaced/,
      "stdout true", "mine true", /\Akept ArgumentError .*link of the system's/, "read true", "same true", "left 0 kept"
    ]
    expect(HeapInspector.analyze(out).object_count).to be > 1000
  end

  # Traps that tell where they ran, and ends of the process that tell it too.
  def trapping(handler)
    <<~RUBY
      def note(what) = File.open(#{log.inspect}, "a") { |file| file.puts([what, Process.pid].join(" ")) }
      at_exit { note("at_exit") }
      trap("USR1") { note("trap"); #{handler} }
    RUBY
  end

  it "lets no signal run a trap in the child that came before the fork" do
    ["", "raise('out of a trap') if Process.pid != PARENT", "exit if Process.pid != PARENT"].each do |handler|
      process = living(<<~RUBY)
        PARENT = Process.pid
        require "heap_inspector/dump"
        #{trapping(handler)}
        # Caught, but left to the main thread, which has no turn until the fork.
        HeapInspector.const_get(:Dumping).prepend(Module.new do
          def start(...) = Process.kill(:USR1, Process.pid) && super
        end)
        taken = Thread.new do
          Array.new(3) { HeapInspector.dump(#{path.inspect}, gc: false).bytes }
        rescue Exception => e
          note("rescued \#{e.class}")
          raise
        ensure
          note("ensure")
        end
        puts taken.value.size
      RUBY
      expect(process.line).to eq "3"
      process.wait
      expect(File.readlines(log, chomp: true).tally).to eq(
        "trap #{process.pid}" => 3, "ensure #{process.pid}" => 1, "at_exit #{process.pid}" => 1
      )
      File.unlink(log)
    end
  end

  it "takes dumps in a storm of signals, none of which gets lost or into the child" do
    process = living(<<~RUBY)
      #{trapping("")}
      puts "up"
      puts Array.new(8) { HeapInspector.dump(#{path.inspect}, gc: false).bytes }.size
      gets
    RUBY
    process.line(/up/)
    storm = Thread.new { loop { process.kill(:USR1) && sleep(0.001) } }
    expect(process.line).to eq "8"
    storm.kill.join
    process.say("end")
    process.wait
    expect(File.readlines(log, chomp: true).map { |line| line.split.last }.uniq).to eq [process.pid.to_s]
  ensure
    storm&.kill&.join
  end

  it "holds no lock and no descriptor of the app's in the child" do
    lock = File.join(folder, "lock")
    process = living(<<~RUBY)
      strings = Array.new(20_000) { |number| "text \#{number} \#{"x" * 200}" }
      files = Array.new(300) { File.open("/dev/null") }
      lock = File.open(#{lock.inspect}, "w")
      lock.flock(File::LOCK_EX)
      reader, writer = IO.pipe
      Thread.new { HeapInspector.dump(writer, compression: :plain) }
      gets
      lock.close
      puts strings.size + files.size
      gets
    RUBY
    child = eventually { children(process.pid).first }
    fds = lambda do
      Dir.children("/proc/#{child}/fd").filter_map do |number|
        File.readlink("/proc/#{child}/fd/#{number}")
      rescue Errno::ENOENT
        nil # it was closed meanwhile
      end
    end
    eventually { fds.call.none?(lock) }
    # Standard streams lead nowhere; what is left is the dump's, and Ruby's own.
    expect(fds.call.count("/dev/null")).to be <= 4
    expect(fds.call.size).to be < 20
    process.say("close")
    process.line(/20300/)
    expect(alive?(child)).to be true
    expect(File.open(lock, "r+") { |file| file.flock(File::LOCK_EX | File::LOCK_NB) }).to eq 0
  end

  it "writes all of 100 MB through a slow reader" do
    reader, writer = IO.pipe
    process = living(<<~RUBY, writer => writer)
      strings = Array.new(130_000) { |number| "text \#{number} \#{"x" * 600}" }
      puts "up"
      file = HeapInspector.dump(IO.for_fd(#{writer.fileno}), compression: :plain, force: true)
      puts [file.bytes, file.compressed_bytes, strings.size].join(" ")
    RUBY
    writer.close
    process.line(/up/)
    child = eventually(60) { children(process.pid).first }
    dump = File.join(folder, "heap.json")
    File.open(dump, "wb") do |file|
      # The pipe is full, and the child waits; then it goes on page by page.
      2000.times do |turn|
        eventually(60) { waits?(child) } if turn < 3
        file.write(reader.readpartial(4096))
      end
      IO.copy_stream(reader, file)
    end
    size = File.size(dump)
    expect(size).to be > 100_000_000
    expect(process.line).to eq "#{size} #{size} 130000"
    expect(HeapInspector.analyze(dump, index: false).warnings).to be_empty
    expect(File.foreach(dump).count { |line| line.match?(/"value":"text \d+ x{600}"/) }).to eq 130_000
  ensure
    reader.close
  end

  def waits?(pid)
    pid && Dir.children("/proc/#{pid}/task").size > 2 && Dir.children("/proc/#{pid}/task").all? do |task|
      File.read("/proc/#{pid}/task/#{task}/stat").rpartition(")").last.start_with?(" S")
    end
  rescue SystemCallError
    false
  end

  it "says so where the reader leaves, and never that a shorter dump is whole" do
    process = living(<<~RUBY)
      strings = Array.new(20_000) { |number| "text \#{number} \#{"x" * 200}" }
      %i[plain gzip zstd].each do |compression|
        reader, writer = IO.pipe
        Thread.new { reader.read(1); reader.close }
        HeapInspector.dump(writer, compression: compression)
        puts "taken"
      rescue HeapInspector::Error => e
        puts "\#{e.class}: \#{e.message}"
      end
      puts strings.size
    RUBY
    3.times { expect(process.line).to eq "HeapInspector::DumpFailed: who was to read the dump has closed the pipe" }
    expect(process.line).to eq "20000"
  end

  it "gives up Ruby's lock a few times, not hundreds of times, before the child is there" do
    process = living(<<~RUBY)
      SWITCHES = -> { File.read("/proc/thread-self/status")[/^voluntary_ctxt_switches:\\s+(\\d+)/, 1].to_i }
      200.times { |number| File.write(File.join(#{folder.inspect}, "other-\#{number}"), "") }
      HeapInspector.arm
      before = nil
      HeapInspector.const_get(:Dumping).prepend(Module.new do
        define_method(:start) { |*words| puts(SWITCHES.call - before) || super(*words) }
      end)
      Thread.new { loop { 1 + 1 } }
      before = SWITCHES.call
      HeapInspector.dump(#{path.inspect}, gc: false)
      exit!
    RUBY
    expect(Integer(process.line)).to be < 20
    process.wait
  end

  it "tells all the time that was waited, each part apart" do
    process = living(<<~RUBY)
      require "heap_inspector/dump" # which behind the thread takes long where the machine is busy, too
      Thread.new { loop { 1 + 1 } }
      clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
      start = clock.call
      file = HeapInspector.dump(#{path.inspect})
      waited = clock.call - start
      parts = file.gc_seconds + file.fork_seconds + file.write_seconds + file.wait_seconds
      puts [file.seconds <= waited, (parts - file.seconds).abs < 1e-6, file.to_h.values.grep(Float).all? { |part| part >= 0 }].join(" ")
    RUBY
    expect(process.line).to eq "true true true"
  end

  it "says in another Ractor that it works in the main one" do
    process = living(<<~RUBY)
      Warning[:experimental] = false
      %w[dump(PATH) arm dump_above("1GB") trace_object_allocations_start].each do |call|
        ractor = Ractor.new(call.sub("PATH", #{path.inspect.inspect})) do |code|
          eval("HeapInspector.\#{code}")
        rescue Ractor::IsolationError => e
          e.message
        end
        puts ractor.respond_to?(:value) ? ractor.value : ractor.take
      end
    RUBY
    %w[dump arm dump_above trace_object_allocations_start].each do |name|
      expect(process.line).to eq "HeapInspector.#{name} works in the main Ractor alone; have that call it, by a message"
    end
  end
end
