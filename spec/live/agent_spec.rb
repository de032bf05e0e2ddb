# frozen_string_literal: true

require_relative "living"

RSpec.describe "the agent" do
  include_context "with living processes"

  let(:run) { File.join(folder, "run") }

  def armed(code = "", **options)
    process = living("#{code}\nHeapInspector.arm(worker: 7)\nputs \"armed\"\ngets", **options)
    process.line(/armed/)
    process
  end

  # What the agent replies to these bytes.
  def reply(pid, bytes)
    UNIXSocket.open(socket(pid)) do |connection|
      connection.write(bytes)
      connection.close_write
      raise "no reply" unless connection.wait_readable(10)

      connection.read
    end
  rescue Errno::EPIPE, Errno::ECONNRESET, Errno::ECONNREFUSED
    ""
  end

  # A socket has its name a moment before somebody listens.
  def ping(pid)
    JSON.parse(eventually { reply(pid, "{\"verb\":\"ping\"}\n")[/.+/m] }).fetch("ok").fetch("pid")
  end

  it "answers its verbs" do
    process = armed
    expect(ping(process.pid)).to eq process.pid
    out, err, code = command("ps", "--format", "json")
    expect([err, code]).to eq ["", 0]
    row = JSON.parse(out).find { |each| each["pid"] == process.pid }
    expect(row).to include("what" => "worker", "worker" => 7, "armed" => true, "answers" => true, "tracing" => false)
    expect(row["pss"]).to be <= row["rss"]
    expect(command("trace", process.pid.to_s, "on")).to eq ["process #{process.pid} traces one allocation of 512, with its stack\n", "", 0]
    expect(command("trace", process.pid.to_s, "on").first).to match(/ traces/)
    expect(command("trace", process.pid.to_s, "off").first).to match(/ does not trace/)
    expect(reply(process.pid, "{\"verb\":\"gc\"}\n")).to match(/"seconds":/)
  end

  it "hands a dump over, into a file of the asker's or down a pipe" do
    process = armed("$held = Array.new(321) { |number| \"held \#{number}\" }")
    path = File.join(folder, "heap.json.zst")
    out, err, code = command("dump", process.pid.to_s, "-o", path, "--redact")
    expect([out, code]).to eq ["", 0]
    times = /in [\d.]+ s \([\d.]+ writing, [\d.]+ waiting\); the process paused for \d+ ms \(\d+ collecting garbage, \d+ forking\)/
    expect(err).to match(/\A#{Regexp.escape(path)}: [\d.]+ MiB, [\d.]+ MiB uncompressed, #{times}\n\z/)
    expect(File.stat(path).mode & 0o777).to eq 0o600
    expect(meta(path)).to include("pid" => process.pid, "worker" => 7, "redacted" => true, "stacks" => "all", "dumper" => "native")
    other = File.join(folder, "other.json.zst")
    expect(command("dump", process.pid.to_s, "-o", other, "--dumper", "ruby").last).to eq 0
    expect(meta(other)).to include("dumper" => "ruby")
    heap_file = File.join(folder, "app.heap")
    expect(command("dump", process.pid.to_s, "-o", heap_file, "--format", "heap").last).to eq 0
    expect(File.binread(heap_file, 8)).to eq "\x91HEAP\r\n\x1A".b
    expect(HeapInspector.analyze(heap_file).warnings).to be_empty
    expect(command("dump", process.pid.to_s, "--dumper", "lies")[1..]).to match [/invalid argument: --dumper lies/, 2]
    out, _, code = command("dump", process.pid.to_s, "-o", "-", "--compression", "plain", "--no-gc")
    expect(code).to eq 0
    values = out.each_line.map { |line| JSON.parse(line)["value"] }
    expect(values.count { |value| value.is_a?(String) && value.match?(/\Aheld \d+\z/) }).to eq 321
    expect(Dir.glob("#{folder}/*.tmp")).to be_empty
  end

  it "gives up a dump that nobody reads, in the time it was given" do
    process = armed("$held = Array.new(20_000) { |number| \"text \#{number} \#{\"x\" * 200}\" }")
    err = File.join(folder, "err")
    words = [RbConfig.ruby, Living::EXE, "dump", process.pid.to_s, "-o", "-", "--compression", "plain", "--timeout", "1"]
    IO.popen([environment, *words], err: err) { eventually { File.read(err).include?("\n") } }
    expect(File.read(err)).to eq "heap_inspector: the dump was not done after 1 s and was given up; give it more time\n"
    expect(ping(process.pid)).to eq process.pid
  end

  it "knows a worker by the index that it was told, where its title has none" do
    process = armed
    _, err, code = command("dump", "worker-7", "-o", folder)
    expect([code, err]).to match [0, %r{\A#{folder}/heap-#{process.pid}-\d{8}T\d{6}Z\.json\.zst: }]
  end

  it "reaches a process in a container from its host" do
    contained = %w[unshare --pid --fork --kill-child --mount --mount-proc]
    skip "only root can make a container" unless Process.uid.zero? && system(*contained, "true", err: File::NULL)

    code = "$stdout.sync = true; HeapInspector.arm; puts Process.pid; gets"
    process = started([*contained, RbConfig.ruby, "-rheap_inspector", "-e", code])
    expect(process.line).to eq "1"
    pid = children(process.pid).first
    path = File.join(folder, "heap.json.zst")
    _, err, code = command("dump", pid.to_s, "-o", path)
    expect([code, err]).to match [0, /\A#{path}/]
    expect(meta(path)["pid"]).to eq 1
  end

  it "goes on with the others where one of all fails" do
    first = armed
    second = armed
    sleeper = [first, second].min_by(&:pid)
    hostile_instead_of(sleeper, "nonsense")
    out = File.join(folder, "all")
    Dir.mkdir(out)
    _, err, code = command("dump", "all", "-o", out)
    expect(code).to eq 1
    told = "heap_inspector: process #{sleeper.pid}: process #{sleeper.pid} sent an invalid reply; is it an agent of another version?"
    expect(err.lines(chomp: true)).to match [told, /\A#{out}/]
    expect(Dir.children(out).size).to eq 1
    expect(command("dump", "all", "-o", File.join(folder, "one"))).to match [
      "", /\Aheap_inspector: all are several processes, which do not fit into one file; give a folder/, 2
    ]
  end

  it "does not believe what a process answers" do
    process = armed
    replies = ["[]", "nonsense", "{\"ok\":7}\n{\"ok\":[]}", "\xff", "{\"ok\":#{"[" * 200}", "x" * 100_000]
    replies.each do |reply|
      hostile_instead_of(process, reply)
      out, err, code = command("trace", process.pid.to_s, "on")
      expect([out, code]).to eq ["", 1]
      expect(err).to match(/\Aheap_inspector: process \d+ (?:sent an invalid reply|went away before it answered).*\n\z/)
    end
    hostile_instead_of(process, "{\"ok\":{\"tracing\":\"\\u001b[2J\",\"tracing_since\":\"x\",\"worker\":{}}}")
    out, _, code = command("ps")
    expect([out.include?("\e"), code]).to eq [false, 0]
  end

  it "takes the three dumps of a leak hunt" do
    process = armed
    Dir.mkdir(File.join(folder, "a folder"))
    _, err, code = command("watch", process.pid.to_s, "--every", "0.1s", "--count", "3", chdir: folder)
    expect(code).to eq 0
    dumps = Dir.children(folder).grep(/\.json\.zst\z/).sort
    expect(dumps.size).to eq 3
    expect(err.lines.last).to eq "now: heap_inspector suspects #{dumps.map { |name| "./#{name}" }.join(" ")}\n"
    { 1 => "read", 2 => "diff" }.each do |count, verb|
      _, err, = command("watch", process.pid.to_s, "--every", "0.1s", "--count", count.to_s, "-d", "a folder", chdir: folder)
      expect(err.lines.last).to match(%r{\Anow: heap_inspector #{verb}(?: a\\ folder/\d-heap\S+){#{count}}\n\z})
    end
  end

  it "ends a leak hunt with the process, and watches one at a time" do
    process = armed
    other = armed
    expect(command("watch",
                   "all")[1..]).to eq ["heap_inspector: all are several processes; watch one; see heap_inspector watch --help\n", 2]
    expect(command("watch", other.pid.to_s, "--every", "soon").last).to eq 2
    expect(command("watch", other.pid.to_s, "-d", "/missing")[1..])
      .to eq ["heap_inspector: /missing is not a directory; see heap_inspector watch --help\n", 2]
    hunt = started([RbConfig.ruby, Living::EXE, "watch", process.pid.to_s, "--every", "1s", "-d", folder])
    hunt.line(/uncompressed/)
    process.kill
    process.finish
    # The other one has the index, and it is its parent's child, too.
    expect(hunt.line(/heap_inspector:/)).to eq "heap_inspector: process #{process.pid} has ended; worker-7 is process #{other.pid} now, " \
                                               "and a hunt is for one process: heap_inspector watch worker-7 begins anew"
    expect(hunt.line).to match(%r{\Awhat there is of it: heap_inspector read #{folder}/1-heap-#{process.pid}-\S+\z})
    expect(hunt.wait.exitstatus).to eq 1
    expect(command("watch", other.pid.to_s, "-d", "#{folder}/none")[1..])
      .to eq ["heap_inspector: #{folder}/none is not a directory; see heap_inspector watch --help\n", 2]
  end

  it "switches tracing on in all, each for itself" do
    processes = [armed, armed]
    out, _, code = command("trace", "all", "on")
    told = processes.map { |each| "process #{each.pid} traces one allocation of 512, with its stack" }
    expect([out.lines(chomp: true).sort, code]).to eq [told.sort, 0]
  end

  it "means those of the folder at hand by all, and the rest with --host" do
    inside = %w[unshare --pid --fork --kill-child --mount --mount-proc]
    skip "only root can make a host of its own" unless Process.uid.zero? && system(*inside, "true", err: File::NULL)

    # In a process namespace of its own, or all would be those of whoever else works on this machine.
    code = <<~RUBY
      $stdout.sync = true
      words = [#{RbConfig.ruby.inspect}, "-rheap_inspector", "-e", "HeapInspector.arm; $stdout.sync = true; puts 1; sleep"]
      folders = [#{run.inspect}, nil, #{File.join(folder, "another app").inspect}]
      ours, *others = folders.map { |path| IO.popen([{ "HEAP_INSPECTOR_DIR" => path }, *words]).tap(&:gets) }
      puts "pids", ours.pid, *others.map(&:pid)
      [%w[all on], %w[all on --host], %w[all off]].each do |asked|
        system(#{RbConfig.ruby.inspect}, #{Living::EXE.inspect}, "trace", *asked)
        puts "."
      end
      Process.kill(:TERM, ours.pid)
      ours.close
      system(#{RbConfig.ruby.inspect}, #{Living::EXE.inspect}, "trace", "all", "off")
      others.each { |other| Process.kill(:TERM, other.pid) && other.close }
      system(#{RbConfig.ruby.inspect}, #{Living::EXE.inspect}, "trace", "all", "off")
    RUBY
    process = started([*inside, RbConfig.ruby, "-e", code])
    process.wait
    lines = process.rest.lines(chomp: true)
    ours, *others = lines[1, 3]
    on = ->(pid) { "process #{pid} traces one allocation of 512, with its stack" }
    expect(lines.drop(4)).to eq [
      on.call(ours), ".", on.call(ours), *others.map(&on), ".", "process #{ours} does not trace allocations", ".",
      "heap_inspector: no process with its socket in #{run} is armed, but 2 elsewhere on this host: name one by its pid, " \
      "set HEAP_INSPECTOR_DIR, or say --host for all",
      "heap_inspector: no process is armed: put `plugin :heap_inspector` into config/puma.rb and restart"
    ]
  end

  it "notes that one of all ended meanwhile, and does not fail" do
    stays = armed
    goes = armed
    # One ends after the list was made.
    code = <<~RUBY
      module HeapInspector
        list = Processes.list
        Processes.define_singleton_method(:list) { list }
        puts "listed"
        gets
        exit LiveCommands.run(%w[trace all on])
      end
    RUBY
    asking = living(code)
    asking.line(/listed/)
    goes.kill
    goes.finish
    asking.say("go")
    status = asking.wait
    expect([asking.rest.lines(chomp: true).sort, status.exitstatus])
      .to eq [["note: process #{goes.pid} ended meanwhile", "process #{stays.pid} traces one allocation of 512, with its stack"], 0]
  end

  it "shows the child that writes a dump as what it is, and its parent as it was" do
    process = living("$0 = 'puma: cluster worker 0: 1 [shop]'; $held = Array.new(200_000) { |at| \"text \#{at}\" }\n" \
                     "HeapInspector.arm; puts 'armed'; gets")
    process.line(/armed/)
    words = [RbConfig.ruby, Living::EXE, "dump", process.pid.to_s, "-o", "-", "--compression", "plain"]
    IO.popen([environment, *words], err: File::NULL) do |dump|
      rows = lambda do
        family = [process.pid, *children(process.pid)]
        JSON.parse(command("ps", "--format", "json").first).select { |row| family.include?(row["pid"]) }.map { |row| row["what"] }
      end
      eventually { rows.call.sort == ["heap_inspector dump", "puma worker 0"] }
      dump.read
    end
  end

  it "says that it may not look where another user's processes are" do
    skip "only root can become somebody else" unless Process.uid.zero?

    process = armed
    File.chmod(0o755, folder)
    FileUtils.cp_r(%w[lib exe].map { |part| File.join(Helpers::ROOT, part) }, folder)
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", RbConfig.ruby, "#{folder}/exe/heap_inspector", "ps"]
    out = IO.popen([environment.merge("RUBYLIB" => "#{folder}/lib"), *words], err: %i[child out], &:read)
    expect(out.lines.find { |line| line.include?(process.pid.to_s) }).to match(/ not yours  -  /)
    out = IO.popen([environment.merge("RUBYLIB" => "#{folder}/lib"), *words, "-f", "json"], &:read)
    expect(JSON.parse(out).find { |row| row["pid"] == process.pid }).to include("armed" => nil, "answers" => nil)
  end

  it "says what to do where a process cannot be asked" do
    bare = living("puts 'up'; gets")
    bare.line(/up/)
    expect(command("dump", bare.pid.to_s)).to eq ["", "heap_inspector: process #{bare.pid} is not armed: put `plugin :heap_inspector` " \
                                                      "into config/puma.rb, or call HeapInspector.arm in the process, and restart it\n", 1]
    bare.kill
    bare.finish
    expect(command("dump", bare.pid.to_s)[1]).to eq "heap_inspector: there is no process #{bare.pid}\n"
    index = rand(100_000_000..999_999_999) # that no process of another's on this machine has
    none = "heap_inspector: there is no armed worker-#{index}; `heap_inspector ps` lists the processes\n"
    expect(command("dump", "worker-#{index}")[1..]).to eq [none, 1]
    expect(command("dump", "master").last).to eq 2
    expect(command("trace", "1", "maybe").last).to eq 2
    expect(command("dump", "1", "--nonsense").last).to eq 2
  end

  it "is not asked for what no process could do: the command line is wrong" do
    process = armed
    pid = process.pid.to_s
    { %w[--timeout 0] => "a timeout of 0.0 s is not valid; give it some seconds",
      %w[--timeout -1] => "a timeout of -1.0 s is not valid; give it some seconds",
      %w[--timeout 86401] => "a timeout of 86401.0 s is not valid; give it some seconds",
      %w[-f heap --dumper ruby] => "a heap file is what the native dumper writes; leave --dumper ruby out",
      %w[-f heap -c gzip] => "a heap file is packed in itself; leave --compression out" }.each do |words, message|
      expect(command("dump", pid, *words)).to eq ["", "heap_inspector: #{message}; see heap_inspector dump --help\n", 2]
      expect(command("watch", pid, *words).last).to eq 2
    end
    %w[0 -1 16777217].each do |number|
      message = "heap_inspector: --every is 1 to 16777216, got #{number}; see heap_inspector trace --help\n"
      expect(command("trace", pid, "on", "--every", number)).to eq ["", message, 2]
    end
    expect(command("trace", pid, "on", "--mode", "other").last).to eq 2
    expect(command("trace", pid, "status").first).to match(/does not trace/)
  end

  it "closes its folder and socket to others, and asks who is there" do
    other = armed
    expect(File.stat(run).mode & 0o7777).to eq 0o700
    expect(File.stat(socket(other.pid)).mode & 0o7777).to eq 0o600
    skip "only root can become somebody else" unless Process.uid.zero?

    File.chmod(0o755, folder)
    program = "require 'socket'; begin; UNIXSocket.new(ARGV[0]); puts 'in'; rescue SystemCallError => e; puts e.class; end"
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", RbConfig.ruby, "-e", program]
    expect(IO.popen([*as_nobody, socket(other.pid)], &:read)).to eq "Errno::EACCES\n"
    # Were the folder open to all by mistake, the agent itself refuses.
    [run, socket(other.pid)].each { |path| File.chmod(0o777, path) }
    program = "require 'socket'; puts UNIXSocket.new(ARGV[0]).read"
    as_nobody[-1] = program
    expect(IO.popen([*as_nobody, socket(other.pid)], &:read)).to eq <<~JSON
      {"error":"uid 65534 may not ask a process of uid 0","class":"HeapInspector::AgentError"}
    JSON
  end

  it "lets nobody else read or take a dump" do
    skip "only root can become somebody else" unless Process.uid.zero?

    process = armed
    [File.dirname(folder), folder].each { |path| File.chmod(0o755, path) unless path == Dir.tmpdir }
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # Nobody may be kept out of the checkout.
    FileUtils.cp_r(%w[lib exe].map { |part| File.join(Helpers::ROOT, part) }, folder)
    ours = environment.merge("RUBYLIB" => "#{folder}/lib")
    err = IO.popen([ours, *as_nobody, RbConfig.ruby, "#{folder}/exe/heap_inspector", "dump", process.pid.to_s, "-o", "-"],
                   err: %i[child out], &:read)
    expect(err).to eq "heap_inspector: process #{process.pid} belongs to uid 0: ask as that user, or as root\n"
    path = File.join(folder, "heap.json.zst")
    command("dump", process.pid.to_s, "-o", path)
    expect(IO.popen([*as_nobody, "cat", path], err: %i[child out], &:read)).to match(/Permission denied/)
  end

  it "refuses a folder that is not its own" do
    plants = [-> { File.symlink(folder, run) }, -> { Dir.mkdir(run) && File.chmod(0o777, run) }]
    plants << -> { Dir.mkdir(run, 0o700) && File.chown(65_534, nil, run) } if Process.uid.zero?
    plants.each do |plant|
      plant.call
      process = living("begin; HeapInspector.arm; rescue HeapInspector::AgentError => e; puts e.message; end")
      reason = /(?:it is not a folder|its mode is 0777, not 0700|it belongs to uid 65534); remove it or set HEAP_INSPECTOR_DIR/
      expect(process.line).to match(/\A#{run} cannot be used: #{reason}/)
      process.wait
      File.symlink?(run) ? File.unlink(run) : FileUtils.remove_entry(run)
    end
  end

  it "survives 200 bad messages" do
    process = armed
    random = Random.new(1)
    shapes = [
      -> { random.bytes(100) }, -> { "{\"verb\":\"eval\",\"code\":\"exit\"}\n" }, -> { "x" * 10_000 }, -> { "\n" }, -> { "" },
      -> { "{\"verb\":#{"[" * 2000}\n" }, -> { "{\"verb\":\"trace\",\"on\":\"yes\"}\n" }, -> { "[]\n" }, -> { "{\"verb\":null}\n" },
      -> { "{\"verb\":\"dump\",\"timeout\":\"long\"}\n" }, -> { "{\"verb\":\"dump\",\"format\":7}\n" }, -> { "\xff\xfe\n" }
    ]
    200.times do |number|
      answer = reply(process.pid, shapes[number % shapes.size].call)
      expect(answer).to eq("").or match(/^\{"error":/)
    end
    expect(ping(process.pid)).to eq process.pid
    expect(command("dump", process.pid.to_s, "-o", File.join(folder, "after.json.zst")).last).to eq 0
  end

  it "does not let silent connections keep others out" do
    process = armed
    silent = Array.new(8) { UNIXSocket.new(socket(process.pid)) }
    eventually(20) { reply(process.pid, "{\"verb\":\"ping\"}\n").start_with?("{\"ok\"") }
  ensure
    silent.each(&:close)
  end

  it "comes back where its folder was removed" do
    process = armed
    FileUtils.remove_entry(run)
    eventually(20) { socket(process.pid) }
    expect(ping(process.pid)).to eq process.pid
  end

  it "comes back where the program closes all that is open, as daemons do" do
    process = armed(<<~RUBY)
      Thread.abort_on_exception = true
      trap("USR1") { Thread.new { ObjectSpace.each_object(UNIXServer, &:close) } }
    RUBY
    process.kill(:USR1)
    # The old socket is there for a while.
    eventually(20) do
      ping(process.pid) == process.pid
    rescue SystemCallError, JSON::ParserError
      false
    end
  end

  it "leaves the socket of a process alone that it does not know, as in another container with the same folder" do
    armed
    other = File.join(run, "1-1.sock")
    left = File.join(run, "1-2.sock")
    UNIXServer.new(left).close
    server = UNIXServer.new(other)
    armed
    expect([File.exist?(other), File.exist?(left)]).to eq [true, false]
  ensure
    server&.close
  end

  it "arms what is forked, and takes the sockets away, but for killed processes', whose go with the next" do
    process = living(<<~RUBY)
      HeapInspector.arm
      children = 2.times.map { fork { puts "up"; sleep } }
      puts children.join(" ")
      gets
      Process.kill(:TERM, children[0])
      Process.kill(:KILL, children[1])
      children.each { |child| Process.wait(child) }
      puts "over"
      gets
    RUBY
    children = process.line(/\A\d+ \d+\z/).split.map { |word| Integer(word) }
    eventually { children.all? { |pid| socket(pid) } }
    expect(children.map { |pid| ping(pid) }).to eq children
    expect(ping(process.pid)).to eq process.pid
    process.say("end")
    process.line(/over/)
    expect(children.map { |pid| socket(pid) }).to match [nil, /sock/]
    process.say("end")
    process.wait
    expect(socket(process.pid)).to be_nil
    armed
    expect(socket(children[1])).to be_nil
  end

  it "dumps once above a threshold, and no second time while it cools down" do
    code = "HeapInspector.dump_above('1MB', folder: #{folder.inspect}, every: 0.05)\nputs 'armed'\ngets"
    process = living(code)
    expect(process.line(/heap_inspector/)).to match(/\Aheap_inspector: \d+ MiB in use, more than 1: took #{folder}/)
    second = living(code.sub("every", "cool_down: 3600, every"))
    second.line(/armed/)
    eventually { File.read("/proc/#{second.pid}/schedstat").split.last.to_i > 0 }
    [process, second].each { |each| each.say("end") }
    [process, second].each(&:wait)
    expect(Dir.children(folder).grep(/json\.zst/).size).to eq 1
    expect { HeapInspector.dump_above("two") }.to raise_error(ArgumentError, /"two" is not a size; write such as 2GB/)
  end

  it "takes less than 1 % of a processor while it waits" do
    process = armed
    ticks = -> { File.read("/proc/#{process.pid}/stat").rpartition(")").last.split[11, 2].sum(&:to_i) }
    before = ticks.call
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    eventually(30) { Process.clock_gettime(Process::CLOCK_MONOTONIC) - start > 12 }
    expect(ticks.call - before).to be <= 12 # of 1200
  end
end
