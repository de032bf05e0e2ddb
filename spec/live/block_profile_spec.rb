# frozen_string_literal: true

require_relative "living"

RSpec.describe HeapInspector, ".profile" do
  include_context "with living processes"
  include_context "with our tracer"

  let(:program) do
    path = File.join(folder, "program.rb")
    File.write(path, <<~RUBY)
      require "json"
      KEPT = []
      TEXT = JSON.generate((1..50).map { |number| { id: number, name: "name" } })
      def load_feed = KEPT << JSON.parse(TEXT)
      def work
        load_feed
        20.times { |number| [number, { number => number.to_s }] }
      end
    RUBY
    "require #{path.inspect}\n"
  end

  it "counts each allocation and what of it lives on, and nothing of its own" do
    expect(told(<<~RUBY)).to eq ["[0, 0]", "[1, 0]", "[3, 2]", "[1, 1]", "false"]
      kept = []
      3.times { HeapInspector.profile { kept << Object.new } }
      counts = ->(profile) { p [profile.allocated_objects, profile.retained_objects] }
      counts.call(HeapInspector.profile { nil })
      counts.call(HeapInspector.profile { Object.new; nil })
      counts.call(HeapInspector.profile { kept.push(Object.new, Object.new); Object.new; nil })
      counts.call(HeapInspector.profile(&-> { kept << Object.new }))
      p HeapInspector.tracing?
    RUBY
  end

  it "counts as memory_profiler does" do
    skip "memory_profiler is missing, which bin/setup --test installs" if Gem::Specification.find_all_by_name("memory_profiler").empty?

    ours, theirs = told("#{program}#{<<~RUBY}")
      require "memory_profiler"
      work
      HeapInspector.profile { work }
      MemoryProfiler.report { work }
      ours = HeapInspector.profile { work }
      theirs = MemoryProfiler.report { work }
      p [ours.allocated_objects, ours.retained_objects]
      p [theirs.total_allocated, theirs.total_retained]
    RUBY
    expect(ours).to eq theirs
  end

  it "sums up by class, gem and the app's own line, with strings and their sites" do
    lines = told("#{program}#{<<~RUBY}")
      work
      profile = HeapInspector.profile(limit: 2) { work }
      p profile.by(:class).to_h { |group| [group.key, group.retained_objects] }.slice("Hash", "String")
      p profile.by(:app_location).first.key.then { |key| File.basename(key) }
      p profile.by(:gem).map(&:key).sort
      p profile.strings.first.then { |string| [string.value, string.count] }
      puts profile.to_h.keys.inspect, profile.to_markdown.include?("| App's line"), profile.to_flamegraph.include?("<svg")
      puts profile.to_folded.lines.grep(/load_feed/).any?, profile
    RUBY
    # Debian has a newer JSON than some Rubies as a gem.
    expect(lines[2]).to match(/\A\["app", "(?:stdlib|json [\d.]+)"\]\z/)
    expect(lines.values_at(0, 1, 3)).to eq [{ "Hash" => 50, "String" => 50 }, "program.rb:4", ["name", 50]].map(&:inspect)
    expect(lines[4, 4]).to eq ["[:schema_version, :verb, :dump, :total, :by_app_location, :by_gem, :by_file, :by_location, :by_method, " \
                               ":by_class, :strings, :notes]", "true", "true", "true"]
    expect(lines.drop(8).join("\n")).to include("Objects alive afterwards", "By the app's own line", "more)")
  end

  it "hands on what the block raises, and traces no longer" do
    expect(told(<<~RUBY)).to eq %w[no false 1]
      begin
        HeapInspector.profile { raise "no" }
      rescue RuntimeError => e
        puts e.message
      end
      p HeapInspector.tracing?
      p HeapInspector.profile { Object.new; nil }.allocated_objects
    RUBY
  end

  it "refuses what it cannot do" do
    expect { described_class.profile }.to raise_error(LocalJumpError)
    expect { described_class.profile(limit: 0) { nil } }.to raise_error(ArgumentError, /limit is a number of rows/)
    expect(told(<<~RUBY)).to eq ["allocations are traced already; stop that first (HeapInspector.trace_object_allocations_stop)", "true"]
      HeapInspector.trace_object_allocations_start
      begin
        HeapInspector.profile { nil }
      rescue HeapInspector::Error => e
        puts e.message
      end
      p HeapInspector.tracing?
    RUBY
  end
end
