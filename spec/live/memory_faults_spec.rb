# frozen_string_literal: true

require_relative "living"

# Where /proc does not tell all: not there, of another user, with processes hidden, without some of its files. Whoever may mount makes such
# a /proc in a namespace of his own.
RSpec.describe "where /proc does not tell all" do
  include_context "with living processes"

  nobody = 65_534

  before do
    skip "only root may mount a /proc of its own, and change to another user" unless Process.uid.zero?
    allowed = system("unshare", "--mount", "true", out: File::NULL, err: File::NULL)
    skip "this root may not mount (run the container with --privileged)" unless allowed
    reads = system("setpriv", "--reuid", nobody.to_s, "--regid", nobody.to_s, "--clear-groups", "test", "-r", Living::EXE)
    skip "another user cannot read the gem here" unless reads
  end

  # The command line where so was mounted, as somebody: standard output, standard error, exit code.
  def asked(mounts, *words, uid: 0)
    as = "setpriv --reuid #{uid} --regid #{uid} --clear-groups" unless uid.zero?
    script = "set -e; #{mounts}; exec #{as} \"$@\""
    out, err, status = Open3.capture3(environment, "unshare", "--mount", "bash", "-c", script, "bash", RbConfig.ruby, Living::EXE, *words)
    [out, err, status.exitstatus]
  end

  # What Ruby code prints where its /proc is such a one.
  def printed(mounts, code)
    script = "set -e; #{mounts}; exec \"$@\""
    words = [RbConfig.ruby, "-rheap_inspector", "-rheap_inspector/native", "-rjson", "-e", code]
    out, err, status = Open3.capture3(environment, "unshare", "--mount", "bash", "-c", script, "bash", *words)
    raise err unless status.success?

    out
  end

  def armed
    process = living("HeapInspector.arm\nputs 'armed'\ngets")
    process.line(/armed/)
    process
  end

  def bare
    process = living("puts 'up'\ngets")
    process.line(/up/)
    process
  end

  without = "mount -t tmpfs none /proc"
  hiding = "mount -t proc -o hidepid=2 proc /proc"

  # A file of /proc of a process that is empty and tells nothing.
  def emptied(pid, *names) = names.map { |name| "mount --bind /dev/null /proc/#{pid}/#{name}" }.join("; ")

  it "says that there is none" do
    pids = [armed, bare].map { |process| process.pid.to_s }
    no = "heap_inspector: there is no /proc here, by which processes are found\n"
    [["memory", pids[0]], ["memory", pids[1]], %w[memory all], %w[memory worker-0], ["trim", pids[0]],
     ["memory", pids[0], "--every", "1s", "--for", "1s"]].each { |words| expect(asked(without, *words)).to eq(["", no, 1]), words.inspect }
    code = "begin; HeapInspector.memory; rescue HeapInspector::Error => e; puts e.message; end\nputs HeapInspector::Metrics.new.call({})[0]"
    expect(printed(without, code)).to eq "memory is read from /proc, which is not there or not to be read here\n503\n"
  end

  it "tells what it has of another user's process, and whom to ask as" do
    [armed, bare].each do |process|
      out, err, code = asked("true", "memory", process.pid.to_s, "--format", "json", uid: nobody)
      expect([err, code]).to eq ["", 0]
      told = JSON.parse(out)
      expect(told["rows"].sum { |row| row["bytes"] }).to eq told["rss"]
      expect(told["rows"].map { |row| row["name"] } - %w[anonymous files shared_memory]).to eq []
      expect(told["missing"]).to include("process #{process.pid} belongs to uid 0: ask as that user, or as root", "cannot be read")
    end
  end

  it "says that others' processes may be hidden, and root sees them" do
    [armed, bare].each do |process|
      words = ["memory", process.pid.to_s]
      hidden = "there is no process #{process.pid}, or /proc hides it (hidepid): ask as its user, or as root"
      expect(asked(hiding, *words, uid: nobody)).to eq ["", "heap_inspector: #{hidden}\n", 1]
      expect(asked(hiding, *words)).to match [/\Aprocess #{process.pid}: /, "", 0]
    end
    expect(asked(hiding, "memory", "all", uid: nobody)[1]).to include("no process is armed (/proc hides those of others: hidepid)")
    expect(asked("mount -t proc proc /proc", "memory", "4000000", uid: nobody)[1]).to eq "heap_inspector: there is no process 4000000\n"
  end

  it "does without smaps_rollup, as kernels before 4.14 have to" do
    [armed, bare].each do |process|
      out, err, code = asked(emptied(process.pid, "smaps_rollup"), "memory", process.pid.to_s, "--format", "json")
      expect([err, code]).to eq ["", 0]
      told = JSON.parse(out)
      expect(told["pss"]).to be_nil
      expect(told["facts"].keys).not_to include("shared")
      expect(told["rows"].sum { |row| row["bytes"] }).to eq told["rss"]
    end
    code = "m = HeapInspector.memory(pss: true)\nputs m.pss.inspect, m.diagnosis(since: m).inspect, m.named_share > 0.9"
    expect(printed("true", "system(\"#{emptied("\#{$$}", "smaps_rollup")}\")\n#{code}")).to eq "nil\n[]\ntrue\n"
  end

  it "does without smaps, and without pagemap" do
    process = bare
    told = JSON.parse(asked(emptied(process.pid, "smaps", "smaps_rollup"), "memory", process.pid.to_s, "--format", "json").first)
    expect(told["missing"]).to end_with("the mappings of the process cannot be read")
    expect(told["rows"].sum { |row| row["bytes"] }).to eq told["rss"]
    code = "m = HeapInspector.memory\nputs [m.rows.sum(&:bytes) == m.rss, m.named_share > 0.9, " \
           "(m.rss - File.read('/proc/self/status')[/VmRSS:\\s+(\\d+)/, 1].to_i * 1024).abs < 2_000_000].inspect"
    expect(printed("true", "system(\"#{emptied("\#{$$}", "pagemap")}\")\n#{code}")).to eq "[true, true, true]\n"
  end

  # What was root and is somebody else may not open its own /proc/self/mem, by which malloc's chunks are read.
  it "tells malloc's free memory in a process that became another user's" do
    process = living(<<~RUBY)
      require "heap_inspector/native"
      require "json"
      HeapInspector.memory
      K = Array.new(60_000) { |i| "x" * (100 + i % 900) }
      before = HeapInspector.memory
      Process::Sys.setgid(#{nobody})
      Process::Sys.setuid(#{nobody})
      after = HeapInspector.memory
      puts [File.readable?("/proc/self/mem"), before, after].to_json
    RUBY
    readable, before, after = JSON.parse(process.line(/\A\[/), symbolize_names: true)
    skip "this kernel lets it read its memory" if readable
    bytes = ->(look, *names) { look[:rows].sum { |row| names.include?(row[:name]) ? row[:bytes] : 0 } }
    [before, after].each { |look| expect(bytes[look, "objects", "malloc_used"]).to be > 20_000_000 }
    expect(bytes[after, "malloc_free"]).to be_within(4_000_000).of(bytes[before, "malloc_free"])
    expect(after[:missing]).to be_nil
  end
end
