# frozen_string_literal: true

require_relative "living"
require "stringio"
require "zlib"

RSpec.describe HeapInspector, ".heap_profile" do
  include_context "with living processes"
  include_context "with our tracer"

  # Two places that keep objects, one of which keeps three times as many.
  let(:program) do
    <<~RUBY
      class Small; end
      class Big; end
      KEPT = []
      def small = KEPT << Small.new
      def big = KEPT << Big.new
      HeapInspector.trace_object_allocations_start(mode: :sampled, every: 16)
      work = ->(count) { count.times { small; 3.times { big }; Object.new } }
      work.call(20_000)
    RUBY
  end

  def told_after(code) = told(program + code)

  it "estimates what is alive by stack and class, and what was allocated" do
    lines = told_after(<<~RUBY)
      GC.start
      rows = HeapInspector.heap_profile.to_h.fetch("rows")
      rows.group_by { |row| row["class"] }.each do |name, all|
        puts [name, *%w[inuse_objects alloc_objects].map { |key| all.sum { |row| row[key] } }].join(" ")
      end
    RUBY
    classes = lines.map(&:split).to_h { |*name, alive, allocated| [name.first, [alive, allocated].map(&:to_f)] }
    expect(classes["Small"]).to all(be_within(3_000).of(20_000))
    expect(classes["Big"]).to all(be_within(6_000).of(60_000))
    expect(classes["Object"].last).to be_within(3_000).of(20_000)
    expect(classes["Object"].first).to be < 2_000
  end

  it "tells what came since another one and stayed" do
    expect(told_after(<<~RUBY)).to eq ["true", "true", "no profile with number N was taken yet, the latest is …"]
      first = HeapInspector.heap_profile
      work.call(2_000)
      sum = ->(profile) { profile.to_h["rows"].sum { |row| row["class"] == "Big" ? row["inuse_objects"] : 0 } }
      p sum.call(HeapInspector.heap_profile(since: first)).between?(4_000, 8_000)
      p sum.call(HeapInspector.heap_profile(since: first.serial)) < sum.call(first) / 5
      begin
        HeapInspector.heap_profile(since: first.serial + 1_000_000)
      rescue ArgumentError => e
        puts e.message.sub(/\\d+\\z/, "…").sub((first.serial + 1_000_000).to_s, "N")
      end
    RUBY
  end

  it "asks for what it can tell" do
    expect { described_class.heap_profile(since: -1) }.to raise_error(ArgumentError, /since is a profile/)
    expect { described_class.profile_every(0) }.to raise_error(ArgumentError, /a profile every 0 s/)
    expect { described_class.profile_every(5, keep: 0) }.to raise_error(ArgumentError, /keep/)
  end

  it "is asked for from outside, as what the file's name says" do
    process = living("HeapInspector.arm\n#{program}puts 'ready'\ngets")
    process.line(/ready/)
    names = %w[heap.pb.gz heap.folded heap.svg heap.json]
    names.each do |name|
      out, err, code = command("profile", process.pid.to_s, "-o", File.join(folder, name))
      expect([out, code]).to eq(["", 0]), err
      expect(File.stat(File.join(folder, name)).mode & 0o777).to eq 0o600
    end
    bytes = names.to_h { |name| [name, File.binread(File.join(folder, name))] }
    expect(Zlib.gunzip(bytes["heap.pb.gz"])).to include("inuse_space", "Object#big")
    expect(bytes["heap.folded"].lines).to include(match(/Object#big -e:\d+;.*Big \d+$/))
    expect(bytes["heap.svg"]).to include("<svg", "Object#big")
    expect(JSON.parse(bytes["heap.json"])["every"]).to eq 16
    since = command("profile", process.pid.to_s, "-o", "-", "-f", "folded", "--since", "last")
    # What the agent itself made to answer the one before may be there still.
    expect([since.first.lines.grep_v(/HeapInspector::Agent/), since.last]).to eq [[], 0]
    expect(command("profile", process.pid.to_s, "-f", "other").last).to eq 2
    ["1000000000", "4294967295", "9" * 30].each do |number|
      out, err, code = command("profile", process.pid.to_s, "-o", File.join(folder, "none.pb.gz"), "--since", number)
      expect([out, code]).to eq ["", 1]
      expect(err).to match(/\Aheap_inspector: no profile with number #{number} was taken yet, the latest is \d+\n\z/)
      expect(Dir.children(folder)).not_to include(match(/none/))
    end
  end

  it "says how to switch tracing on where nothing is traced" do
    process = living("HeapInspector.arm; puts 'ready'; gets")
    process.line(/ready/)
    expect(command("profile", process.pid.to_s, "-o", File.join(folder, "none.pb.gz")))
      .to eq ["", "heap_inspector: nothing was traced here; switch it on: heap_inspector trace #{process.pid} on\n", 1]
    expect(Dir.children(folder)).not_to include(match(/none/))
  end

  it "is written every while, and the oldest go" do
    profiles = File.join(folder, "profiles")
    process = living(<<~RUBY, environment: { "HEAP_INSPECTOR_PROFILE_EVERY" => "1s", "HEAP_INSPECTOR_PROFILE_DIR" => profiles })
      require "heap_inspector/autorun"
      p HeapInspector.tracing_status[:mode]
      HeapInspector.profile_every(1, folder: #{profiles.inspect}, keep: 2)
      sleep
    RUBY
    expect(process.line).to eq ":continuous"
    seen = []
    deadline = Time.now + 60
    until seen.size > 3 || Time.now > deadline
      now = Dir.exist?(profiles) ? Dir.children(profiles).grep(/\Aheap-profile-#{process.pid}-.*\.pb\.gz\z/) : []
      expect(now.size).to be <= 3 # the new one comes before the oldest goes
      seen |= now
      sleep 0.1
    end
    expect(seen.size).to be > 3
    expect(File.stat(profiles).mode & 0o777).to eq 0o700
  end

  # What everybody reads such files with.
  it "is read by pprof" do
    go = %w[/usr/bin/go /usr/local/go/bin/go].find { |path| File.executable?(path) }
    skip "go is missing, which bin/setup --test installs" unless go

    path = File.join(folder, "heap.pb.gz")
    told_after("HeapInspector.heap_profile.write(#{path.inspect})")
    out, err, status = Open3.capture3({ "HOME" => folder }, go, "tool", "pprof", "-top", "-sample_index=inuse_objects", path)
    expect(status).to be_success, err
    rows = out.lines.filter_map { |line| line.split.values_at(0, -1) if line.match?(/\d+%/) }.to_h(&:reverse)
    counts = %w[Object#big Object#small].map { |name| out[/^ *\d+ +\S+ +\S+ +(\d+) +\S+ +#{name}/, 1].to_i }
    expect(counts.first).to be_within(6_000).of(60_000), rows.inspect + out
    expect(counts.last).to be_within(3_000).of(20_000)
  end

  it "is read by speedscope's importer in each form" do
    files = %w[heap.pb.gz heap.folded].map { |name| File.join(folder, name) }
    bytes = told_after(<<~RUBY).first.to_i
      profile = HeapInspector.heap_profile
      #{files.inspect}.each { |file| profile.write(file) }
      puts profile.to_h["rows"].sum { |row| row["inuse_space"] }
    RUBY
    files.each do |file|
      found = read_by("speedscope.mjs", file).first
      expect(found["total"]).to be_within(bytes / 100).of(bytes), file
      expect(found["own"].keys).to include(/\AObject#big/, /\AObject#small/), file
    end
  end
end
