# frozen_string_literal: true

require_relative "living"

# What is done when memory fulfils a condition, and where metrics of it go.
RSpec.describe "watching memory" do
  include_context "with living processes"

  def watched(call, rest = "gets", **options)
    process = living("#{call}\nputs 'watched'\n#{rest}", **options)
    process.line(/watched/)
    process
  end

  {
    "resident bytes" => ['rss: "1MB"', /rss \d+ 1048576/], "live slots" => ["live_slots: 10", /live_slots \d+ 10/],
    "growth" => ['growth: "1MB"', /growth [\d.]+ 1048576/]
  }.each do |name, (condition, told)|
    it "calls the block for #{name}, so often as it may" do
      process = watched("HeapInspector.watch_memory(#{condition}, every: 0.02, cool_down: 0.02, most: 2) { |*all| puts all.join(' ') }",
                        "K = []\n40.times { K << \"x\" * 2_000_000; sleep(0.02) }\nsleep(0.3)\nputs 'end'")
      2.times { expect(process.line(/#{told}/)).to match(/\A#{told}\z/) }
      process.wait
      expect(process.rest).not_to match(/\d \d/)
    end
  end

  # Cgroups, /proc/self/cgroup and the host's pressure are read from a folder.
  let(:made_up) do
    FileUtils.mkdir_p(File.join(folder, "sys"))
    <<~RUBY
      HeapInspector.send(:const_get, :ProcFs).singleton_class.prepend(Module.new do
        def read(path, most = nil)
          path = path.sub(%r{\\A/sys/fs/cgroup}, #{File.join(folder, "sys").inspect})
          path = File.join(#{folder.inspect}, File.basename(path)) if %w[/proc/self/cgroup /proc/pressure/memory].include?(path)
          super
        end
      end)
    RUBY
  end

  # Writes what there is to read, at the end what processes are in.
  def group(cgroups, **files)
    files.each do |path, text|
      path = File.join(folder, path.to_s)
      FileUtils.mkdir_p(File.dirname(path))
      File.write(path, "#{text}\n")
    end
    File.write(File.join(folder, "cgroup"), "#{cgroups}\n")
  end

  {
    "a cgroup of version 2" => ["0::/app", "sys/app/memory.max", "sys/app/memory.current"],
    "one around it" => ["0::/app/web", "sys/app/memory.max", "sys/app/memory.current"],
    "a cgroup of version 1" => ["4:memory:/app", "sys/memory/app/memory.limit_in_bytes", "sys/memory/app/memory.usage_in_bytes"],
    "one that limits swap too" => ["4:memory:/app",
                                   "sys/memory/app/memory.memsw.limit_in_bytes", "sys/memory/app/memory.memsw.usage_in_bytes"]
  }.each do |name, (cgroups, limit, usage)|
    it "acts when #{name} is full, and not before" do
      group(cgroups, limit.to_sym => 1000, usage.to_sym => 500)
      process = watched("#{made_up}HeapInspector.watch_memory(cgroup: 0.9, every: 0.02) { |*all| puts all.join(' ') }",
                        "gets\nsleep(0.2)\nputs 'none yet'\ngets")
      process.say("wait")
      expect(process.line).to eq "none yet"
      File.write(File.join(folder, usage), "940\n")
      expect(process.line).to eq "cgroup 0.94 0.9"
    end
  end

  {
    "the host" => ["0::/app", "memory"], "its cgroup" => ["0::/app", "sys/app/memory.pressure"],
    "a cgroup around its" => ["0::/app/web", "sys/app/memory.pressure"],
    "a cgroup of version 2 beside version 1" => ["4:memory:/x\n0::/app", "sys/unified/app/memory.pressure"]
  }.each do |name, (cgroups, file)|
    it "acts when memory is waited for in #{name}" do
      group(cgroups, memory: "some avg10=0.00 avg60=0.00",
                     file.to_sym => "some avg10=31.25 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00")
      process = watched("#{made_up}HeapInspector.watch_memory(pressure: 30, every: 0.02) { |*all| puts all.join(' ') }")
      expect(process.line(/pressure/)).to eq "pressure 31.25 30.0"
    end
  end

  dumps = "HeapInspector.trace_object_allocations_start\nHeapInspector.watch_memory(rss: 1, cgroup: 0.9, every: 0.05, cool_down: 60"

  it "writes a profile where the end is near, and no dump where memory does not allow it" do
    group("0::/app", "sys/app/memory.max": 1000, "sys/app/memory.current": 950)
    process = watched("#{made_up}#{dumps}, folder: #{folder.inspect})")
    expect(process.line(/heap_inspector/)).to match(/95 % of the cgroup's memory in use, more than 90 %: wrote .*heap-profile-.*\.pb\.gz\z/)
    expect(process.line(/heap_inspector/)).to match(/no dump at 95 % of the cgroup's memory.*: not enough memory for a fork/)
    expect(Dir.glob("#{folder}/heap-*.zst")).to be_empty
  end

  it "takes the dump after the profile where there is room for it, or where it must" do
    [["", { "sys/app/memory.max": 20 << 30, "sys/app/memory.current": 19 << 30 }],
     [", force: true", { "sys/app/memory.max": 1 << 20, "sys/app/memory.current": 1 << 20 }]].each do |force, files|
      group("0::/app", **files)
      process = watched("#{made_up}#{dumps}, folder: #{folder.inspect}#{force})",
                        environment: { "HEAP_INSPECTOR_DIR" => File.join(folder, "run#{force.size}") })
      expect(Array.new(2) { process.line(/heap_inspector/)[/wrote|took/] }).to eq(%w[wrote took]), force
      expect(Dir.glob("#{folder}/heap-#{process.pid}-*.json.zst").size).to eq 1
    end
  end

  it "has each process write its profile, though one takes the dump for all" do
    group("0::/app", "sys/app/memory.max": 20 << 30, "sys/app/memory.current": 19 << 30)
    first = watched("#{made_up}#{dumps}, folder: #{folder.inspect})")
    first.line(/took/)
    second = watched("#{made_up}#{dumps}, folder: #{folder.inspect})")
    second.line(/wrote/)
    expect(Dir.glob("#{folder}/heap-profile-*").size).to eq 2
    expect(Dir.glob("#{folder}/heap-*.zst").map { |path| path[/heap-(\d+)/, 1].to_i }).to eq [first.pid]
  end

  it "runs a command that knows the reason" do
    out = File.join(folder, "reason")
    command = "echo $HEAP_INSPECTOR_MEASURE $HEAP_INSPECTOR_PID > #{out}"
    process = watched("HeapInspector.watch_memory(rss: 1, action: #{command.inspect}, every: 0.02)")
    expect(process.line(/ran the command/)).to match(/\Aheap_inspector: \d+ MiB in use, more than 0: ran the command\z|MiB/)
    expect(File.read(out)).to eq "rss #{process.pid}\n"
  end

  it "tells of a command that fails" do
    process = watched("HeapInspector.watch_memory(rss: 1, action: 'exit 3', every: 0.02)")
    expect(process.line(/heap_inspector/)).to match(/no action at .*: the command ended with .*exit 3/)
  end

  it "writes a profile, and takes a dump for growth" do
    call = "HeapInspector.trace_object_allocations_start\n" \
           "HeapInspector.watch_memory(rss: 1, action: :profile, every: 0.05, folder: #{folder.inspect})"
    watched(call).line(/wrote/)
    expect(Dir.glob("#{folder}/heap-profile-*.pb.gz").size).to eq 1
    process = watched("HeapInspector.dump_above('1MB/min,99999MB', every: 0.02, folder: #{folder.inspect})",
                      "K = []\n200.times { K << \"x\" * 1_000_000; sleep(0.02) }\ngets")
    expect(process.line(/took/)).to match(/growing by [\d.]+ [MG]iB a minute/)
    expect(Dir.glob("#{folder}/heap-*.json.zst").map { |path| File.stat(path).mode & 0o777 }).to eq [0o600]
  end

  it "watches forked children, and ends where it is told" do
    process = watched("", <<~'RUBY')
      HeapInspector.watch_memory(rss: 1, every: 0.1) { puts "seen wrong" }
      HeapInspector.unwatch_memory
      sleep(0.3)
      HeapInspector.watch_memory(rss: 1, every: 0.3) { puts "seen #{Process.pid}" }
      puts "child #{fork { sleep(5) }}"
      gets
    RUBY
    child = process.line(/child/)[/\d+/]
    seen = Array.new(2) { process.line(/seen/) }
    expect(seen).to contain_exactly("seen #{process.pid}", "seen #{child}")
  end

  it "takes several conditions in words" do
    limits = HeapInspector.module_eval("Threshold", __FILE__, __LINE__).limits("2GB, 90%, 20% pressure,50 MB/min,5M slots")
    expect(limits).to eq(rss: 2 << 30, cgroup: 0.9, pressure: 20.0, growth: 50 << 20, live_slots: 5_000_000)
  end

  it "refuses conditions that make no sense" do
    [{}, { cgroup: 2 }, { cgroup: 0 }, { pressure: 101 }, { live_slots: 0 }, { rss: "much" }, { rss: 1, action: :shout },
     { rss: 1, every: 0 }, { rss: 1, most: 0 }, { rss: 1, action: "" }, { live_slots: Float::NAN }].each do |words|
      expect { HeapInspector.watch_memory(**words) }.to raise_error(ArgumentError), words.inspect
    end
    ["200%", "0% pressure", "pressure", "/min", "x slots", "%", "1XB/min"].each do |word|
      expect { HeapInspector.dump_above(word) }.to raise_error(ArgumentError), word
    end
  end

  it "reads limits of cgroups of both versions, and pressure" do
    proc_fs = HeapInspector.module_eval("ProcFs", __FILE__, __LINE__)
    write = lambda do |path, text|
      FileUtils.mkdir_p(File.dirname(File.join(folder, path)))
      File.write(File.join(folder, path), text)
    end
    { "app/memory.max" => "1000\n", "app/memory.current" => "950\n", "app/memory.stat" => "inactive_file 50\n", "memory.max" => "max\n",
      "app/memory.pressure" => "some avg10=12.50 avg60=0 avg300=0 total=1\n", "memory/old/memory.limit_in_bytes" => "100\n",
      "memory/old/memory.usage_in_bytes" => "20\n" }.each { |path, text| write.call(path, text) }
    expect(proc_fs.cgroup_share("0::/app\n", folder)).to eq 0.9
    expect(proc_fs.cgroup_share("4:memory:/old\n", folder)).to eq 0.2
    expect(proc_fs.cgroup_share("4:memory:/old\n0::/app\n", folder)).to eq 0.9
    expect(proc_fs.cgroup_share("0::/\n", folder)).to be_nil
    expect(proc_fs.memory_pressure("0::/app\n", folder)).to be >= 12.5
  end

  # A line of Prometheus' text format.
  sample = /\A[a-z_]+\{pid="\d+"(?:,[a-z]+="[\w.]*")*\} \d+(?:\.\d+)?\z/

  it "answers a scrape" do
    status, headers, body = HeapInspector::Metrics.new.call({})
    expect([status, headers["content-type"]]).to eq [200, "text/plain; version=0.0.4; charset=utf-8"]
    lines = body.first.lines(chomp: true).grep_v(/\A#/)
    expect(lines).to all match(sample)
    parts = lines.grep(/resident_bytes/).sum { |line| Integer(line[/\d+\z/], 10) }
    expect(parts).to eq Integer(lines.grep(/rss_bytes/).first[/\d+\z/], 10)
    expect(HeapInspector::Metrics.new.call({})[2].first).not_to include("/")
    expect { HeapInspector::Metrics.new(every: 0) }.to raise_error(ArgumentError)
  end

  it "writes files for a collector, one a process, which go with it" do
    process = watched("", "puts fork { sleep }\ngets\nexit",
                      environment: { "HEAP_INSPECTOR_METRICS" => folder, "RUBYOPT" => "-rheap_inspector/autorun" })
    child = Integer(process.line(/\A\d+\z/), 10)
    paths = [process.pid, child].map { |pid| File.join(folder, "heap_inspector-#{pid}.prom") }
    eventually { paths.all? { |path| File.exist?(path) } }
    expect(File.readlines(paths.last, chomp: true).grep_v(/\A#/)).to all match(sample)
    expect(File.stat(paths.first).mode & 0o777).to eq(0o644 & ~File.umask)
    process.say("end")
    eventually { !File.exist?(paths.first) }
  ensure
    Process.kill(:KILL, child) if child
  end
end
