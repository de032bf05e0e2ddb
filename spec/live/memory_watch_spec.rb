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

  it "refuses conditions that make no sense" do
    [{}, { cgroup: 2 }, { cgroup: 0 }, { pressure: 101 }, { live_slots: 0 }, { rss: "much" }, { rss: 1, action: :shout },
     { rss: 1, every: 0 }, { rss: 1, most: 0 }, { rss: 1, action: "" }, { live_slots: Float::NAN }].each do |words|
      expect { HeapInspector.watch_memory(**words) }.to raise_error(ArgumentError), words.inspect
    end
    ["200%", "/min", "x slots", "%", "1XB/min"].each do |word|
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
