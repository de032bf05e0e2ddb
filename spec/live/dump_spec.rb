# frozen_string_literal: true

require_relative "living"

RSpec.describe HeapInspector, ".dump" do
  include_context "with living processes"

  let(:path) { File.join(folder, "heap.json.zst") }

  # A process that takes a dump into a pipe that nobody reads, so that its child waits for good.
  def stuck(options = "", before: "")
    process = living(<<~RUBY)
      strings = Array.new(20_000) { |number| "text \#{number} \#{"x" * 200}" }
      reader, writer = IO.pipe
      #{before}
      Thread.new { puts "waiting" }
      begin
        HeapInspector.dump(writer, compression: :plain #{options})
        puts "done"
      rescue HeapInspector::Error => e
        puts "\#{e.class}: \#{e.message}"
      end
      HeapInspector.dump(#{path.inspect})
      puts "next \#{strings.size}"
      gets
    RUBY
    process.line(/waiting/)
    child = eventually { children(process.pid).first }
    [process, child]
  end

  it "has the child go first where memory runs out" do
    process, child = stuck
    eventually { File.read("/proc/#{child}/oom_score_adj").to_i == 1000 }
    expect(File.read("/proc/#{process.pid}/oom_score_adj").to_i).to be < 1000
  end

  # A process whose child writes a dump into `path`, the child, and the unfinished file.
  def writing
    process = living(<<~RUBY)
      strings = Array.new(800_000) { |number| "text \#{number}" }
      puts "waiting"
      HeapInspector.dump(#{path.inspect}, compression: :gzip)
      puts strings.size
    RUBY
    process.line(/waiting/)
    unfinished = eventually { Dir.glob("#{path}.*.tmp").first }
    [process, eventually { children(process.pid).first }, unfinished]
  end

  # The same, stopped; a stopped child removes nothing.
  def stuck_file
    process, child, = writing
    Process.kill(:STOP, child)
    process.kill(:STOP)
    [process, child]
  end

  it "writes a dump of the moment, for the owner alone, that reads without a warning" do
    process = living(<<~RUBY)
      planted = Array.new(1234) { |number| "planted \#{number}" }
      HeapInspector.trace_object_allocations_start
      held = Class.new { def self.name = "Held" }
      file = HeapInspector.dump(#{path.inspect})
      puts file.inspect, planted.size, held
    RUBY
    process.line(/DumpFile/)
    expect(process.wait).to be_success, process.rest
    expect(File.stat(path).mode & 0o777).to eq 0o600
    expect(Dir.children(folder)).to contain_exactly("heap.json.zst", "run")
    heap = HeapInspector.analyze(path)
    expect(heap.warnings).to be_empty
    expect(Helpers.lines_of(path).count { |line| line["value"]&.match?(/\Aplanted \d+\z/) }).to eq 1234
    expect(meta(path)).to include("pid" => process.pid, "gc" => true, "redacted" => false, "stacks" => "all")
    expect(meta(path)["tracing"]).to include("mode")
    expect(meta(path)["ruby"]).to eq RUBY_DESCRIPTION
    addresses = Helpers.lines_of(path).filter_map { |line| line["address"] }.to_h { |address| [address, true] }
    junk = Helpers.lines_of(path).reject { |line| line["type"] == "IMEMO" || line["root"] == "machine_context" }
    expect(junk.flat_map { |line| line["references"] || [] }.reject { |address| addresses[address] }.size).to be <= 2
  end

  it "compresses as the name's end says, or as it is told" do
    magic = { "a.json" => "{\"ty", "a.json.gz" => "\x1f\x8b", "a.json.zst" => "\x28\xb5\x2f\xfd" }
    process = living(<<~RUBY)
      #{magic.keys.inspect}.each { |name| HeapInspector.dump(File.join(#{folder.inspect}, name)) }
      HeapInspector.dump(File.join(#{folder.inspect}, "b"), compression: :gzip)
      begin
        HeapInspector.dump("never", compression: :lzma)
      rescue ArgumentError => e
        puts e.message
      end
    RUBY
    expect(process.line).to eq "there is no compression :lzma; there are zstd, gzip, plain"
    process.wait
    magic.each { |name, bytes| expect(File.binread(File.join(folder, name))).to start_with(bytes.b) }
    expect(File.binread(File.join(folder, "b"), 2)).to eq "\x1f\x8b".b
  end

  it "leaves no planted secret in a redacted dump, and what sizes and duplicates count" do
    process = living(<<~RUBY)
      secrets = Array.new(50) { ["sec", "ret", "-", "0815"].join }
      keeper = { secrets.first => "pass\#{"word-4711"}", other: ["4", "711"].join.to_sym }
      code = "pass" "word"
      HeapInspector.dump(#{path.inspect}, redact: true)
      puts keeper.size, code.size
    RUBY
    process.wait
    bytes = IO.popen(["zstd", "-dcq", path], &:read)
    expect(bytes.bytesize).to be > 1_000_000
    # The source of -e is no string of the heap any more, and the symbol is a name, which is kept.
    expect(bytes).not_to include("secret-0815")
    expect(bytes).not_to include("password-4711")
    copies = HeapInspector.analyze(path).duplicate_strings(limit: nil).find { |string| string.count >= 50 && string.bytesize == 11 }
    expect(copies).not_to be_nil
    expect(meta(path)["redacted"]).to be true
  end

  it "runs nothing of the process in the child: no hook of a fork, no at_exit, no trap, no finalizer" do
    process, child = stuck(before: <<~RUBY)
      HeapInspector.arm # has a hook itself
      Process.singleton_class.prepend(Module.new { def _fork = super.tap { puts "forked" } })
      Process.singleton_class.prepend(Module.new { def fork = raise("no such fork") })
      at_exit { puts "at exit of \#{Process.pid}" }
      %w[TERM USR1 INT HUP].each { |signal| trap(signal) { puts "\#{signal} in \#{Process.pid}" } }
      parent = Process.pid
      1000.times { ObjectSpace.define_finalizer(Object.new, proc { puts "finalizer in a child" if Process.pid != parent }) }
    RUBY
    # From a moment after the fork on.
    eventually { File.read("/proc/#{child}/status")[/^SigIgn:\s*(\h+)/, 1].hex[Signal.list["USR1"] - 1] == 1 }
    %i[TERM USR1 INT HUP].each { |signal| Process.kill(signal, child) }
    expect(alive?(child)).to be true
    Process.kill(:USR1, process.pid)
    expect(process.line(/USR1/)).to eq "USR1 in #{process.pid}"
    Process.kill(:KILL, child)
    process.line(/next 20000/)
    process.say("end")
    process.wait
    expect(process.rest).to eq "at exit of #{process.pid}\n"
  end

  it "says how the child was killed, goes on, and takes the next dump" do
    process, child = stuck
    Process.kill(:KILL, child)
    expect(process.line(/HeapInspector/)).to match(/\AHeapInspector::DumpFailed: the dumping child was killed by SIGKILL/)
    process.line(/next 20000/)
    expect(HeapInspector.analyze(path).warnings).to be_empty
  end

  it "gives up when the time is over" do
    process, child = stuck(", timeout: 1")
    expect(process.line(/HeapInspector/)).to match(/\AHeapInspector::DumpTimeout: the dump was not done after 1 s/)
    process.line(/next 20000/)
    expect(alive?(child)).to be false
  end

  it "leaves no child and no file where the parent is killed" do
    process, child, unfinished = writing
    process.kill
    eventually { !alive?(child) }
    eventually { !File.exist?(unfinished) }
    expect(File.exist?(path)).to be false
    expect(living("HeapInspector.dump(#{path.inspect})").wait).to be_success # the lock went with them
  end

  it "removes what a dump left whose process and child were killed together, and nothing else" do
    process, child = stuck_file
    unfinished = Dir.glob("#{path}.*.tmp").first
    mine = "#{path}.1-0123abcd.tmp"
    young = "#{path}.1-0123abcd.heap.tmp"
    link = "#{path}.2-0123abcd.heap.tmp"
    [mine, young].each { |each| File.write(each, "") }
    File.symlink(mine, link)
    long_ago = Time.now - 3600
    [unfinished, mine].each { |each| File.utime(long_ago, long_ago, each) }
    expect(living("HeapInspector.dump(#{path.inspect}.sub('heap', 'other')) rescue puts $!").line).to match(/another dump/)
    expect(File.exist?(unfinished)).to be(true), "the file of a dump under way was removed"
    Process.kill(:KILL, child)
    process.kill
    process.finish
    expect(living("HeapInspector.dump(#{path.inspect})").wait).to be_success
    expect(Dir.children(folder).map do |name|
             File.join(folder, name)
           end).to contain_exactly(path, mine, young, link, File.join(folder, "run"))
  end

  it "collects garbage before, if it is told to, and leaves the collector as it was" do
    process = living(<<~RUBY)
      GC.disable
      def litter = 3000.times { |number| "litter \#{number}" }
      litter
      [false, true].each { |gc| HeapInspector.dump(File.join(#{folder.inspect}, "\#{gc}.json.zst"), gc: gc) }
      p GC.enable
      HeapInspector.dump(#{path.inspect})
      p GC.enable
    RUBY
    process.wait
    expect(process.rest.lines(chomp: true)).to eq %w[true false]
    counts = [false, true].map do |gc|
      Helpers.lines_of(File.join(folder, "#{gc}.json.zst")).count { |line| line["value"]&.match?(/\Alitter \d+\z/) }
    end
    expect(counts).to match [3000, be < 10]
  end

  it "ends where its progress raises, and tells that" do
    process = living(<<~RUBY)
      strings = Array.new(800_000) { |number| "text \#{number}" }
      begin
        HeapInspector.dump(#{path.inspect}, compression: :gzip, progress: ->(bytes, all) { raise "enough of \#{bytes.class} \#{all.inspect}" })
      rescue RuntimeError => e
        puts e.message
      end
      puts "next \#{strings.size}"
      gets
    RUBY
    expect(process.line).to eq "enough of Integer nil"
    process.line(/next/)
    expect(children(process.pid)).to be_empty
    expect(Dir.children(folder)).to eq ["run"]
  end

  it "refuses what cannot be meant" do
    { "timeout: 0" => /a timeout of 0 s is not valid/, "timeout: -1" => /a timeout of -1/, "timeout: Float::NAN" => //,
      "timeout: Float::INFINITY" => /a timeout of Infinity/, "timeout: 'x'" => /invalid value for Float/ }.each do |words, message|
      process = living("begin; HeapInspector.dump(#{path.inspect}, #{words}); rescue ArgumentError => e; puts e.message; end")
      expect(process.line).to match(message)
      process.wait
    end
    expect(Dir.children(folder) - ["run"]).to be_empty
  end

  it "takes one dump at a time" do
    process, = stuck
    other = living("begin; HeapInspector.dump(#{path.inspect}); rescue HeapInspector::DumpRefused => e; puts e.message; end")
    expect(other.line).to match(/another dump is being taken on this host/)
    process.kill
    eventually { living("HeapInspector.dump(#{path.inspect})").wait.success? }
  end

  it "closes the server's connections in the child, so that clients see their end" do
    process = living(<<~RUBY)
      require "socket"
      strings = Array.new(20_000) { |number| "text \#{number} \#{"x" * 200}" }
      server = TCPServer.new("127.0.0.1", 0)
      puts server.addr[1]
      connection = server.accept
      reader, writer = IO.pipe
      Thread.new { HeapInspector.dump(writer, compression: :plain) }
      gets
      connection.close
      puts strings.size
      gets
    RUBY
    client = TCPSocket.new("127.0.0.1", Integer(process.line))
    child = eventually { children(process.pid).first }
    eventually { sockets(child).zero? }
    process.say("close")
    expect(client.wait_readable(5)).to be_truthy
    expect(client.read).to eq ""
  ensure
    client&.close
  end

  it "follows no planted symlink and replaces a file whole" do
    victim = File.join(folder, "victim")
    File.write(victim, "precious")
    File.symlink(victim, path)
    expect(living("HeapInspector.dump(#{path.inspect})").wait).to be_success
    expect(File.read(victim)).to eq "precious"
    expect(File.lstat(path).file?).to be true
    expect(HeapInspector.analyze(path).object_count).to be > 1000
  end

  it "refuses where memory is short, says so, and goes on when told to" do
    process = living(<<~RUBY)
      require "heap_inspector/dump"
      module HeapInspector
        def ProcFs.available_memory = 1 << 20
      end
      begin
        HeapInspector.dump(#{path.inspect})
      rescue HeapInspector::DumpRefused => e
        puts e.message
      end
      puts HeapInspector.dump(#{path.inspect}, force: true).path
    RUBY
    expect(process.line).to match(/\Anot enough memory for a fork: it may take \d+ MiB \(of \d+ MiB in use\) and there are 1 MiB;.*force\z/)
    expect(process.line).to eq path
  end

  it "refuses or ends clearly where the disk is full, and leaves nothing" do
    disk = File.join(folder, "disk")
    Dir.mkdir(disk)
    mounted = system("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk, err: File::NULL)
    pending "mounting is not permitted here" unless mounted
    raise "not mounted" unless mounted

    begin
      process = living(<<~RUBY)
        strings = Array.new(30_000) { |number| "text \#{number} \#{rand}" }
        [false, true].each do |force|
          HeapInspector.dump(#{File.join(disk, "heap.json").inspect}, force: force)
        rescue HeapInspector::DumpError => e
          puts "\#{e.class}: \#{e.message}"
        end
        HeapInspector.dump(#{path.inspect})
        puts "next \#{strings.size}"
      RUBY
      expect(process.line).to match(/\AHeapInspector::DumpRefused: not enough space for the dump: it may take \d+ MiB and there are 1 MiB/)
      expect(process.line).to eq "HeapInspector::DumpFailed: no space left for the dump; give a path on another disk"
      expect(process.line).to eq "next 30000"
      expect(Dir.children(disk)).to be_empty
    ensure
      system("umount", disk)
    end
  end

  def sockets(pid)
    Dir.children("/proc/#{pid}/fd").count do |number|
      File.readlink("/proc/#{pid}/fd/#{number}").start_with?("socket:")
    rescue Errno::ENOENT
      false
    end
  end
end
