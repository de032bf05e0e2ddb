# frozen_string_literal: true

require_relative "living"

RSpec.describe HeapInspector, ".trace_object_allocations_start" do
  include_context "with living processes"

  def told(code, **options)
    process = living(code, **options)
    status = process.wait
    raise process.rest unless status.success?

    process.rest.lines(chomp: true)
  end

  it "counts: tracing ends when it was stopped as often as started" do
    expect(told(<<~RUBY)).to eq %w[false true true true false false]
      p HeapInspector.tracing?
      p HeapInspector.trace_object_allocations_start
      HeapInspector.trace_object_allocations_start
      p HeapInspector.tracing?
      p HeapInspector.trace_object_allocations_stop
      p HeapInspector.trace_object_allocations_stop
      p HeapInspector.trace_object_allocations_stop
    RUBY
  end

  it "keeps what was noted after the end, until it is told to forget" do
    expect(told(<<~RUBY)).to eq ["-e:3", "nil", "7"]
      kept = nil
      result = HeapInspector.trace_object_allocations { kept = Object.new; 7 }
      puts HeapInspector.allocation(kept).location
      HeapInspector.trace_object_allocations_start
      HeapInspector.trace_object_allocations_stop(clear: true)
      p HeapInspector.allocation(kept), result
    RUBY
  end

  it "traces only where it is wanted" do
    expect(told(<<~RUBY)).to eq %w[false false false true]
      p HeapInspector.trace_object_allocations_start(only: false)
      p HeapInspector.trace_object_allocations_start(only: -> { ENV["DYNO"] == "web.1" })
      p HeapInspector.tracing?
      ENV["DYNO"] = "web.1"
      p HeapInspector.trace_object_allocations_start(only: -> { ENV["DYNO"] == "web.1" })
    RUBY
  end

  it "traces in one process of the host, and in another when that one is gone" do
    one = "p HeapInspector.trace_object_allocations_start(one_per_host: true); gets"
    first = living(one)
    expect(first.line).to eq "true"
    second = living(one)
    expect(second.line).to eq "false"
    first.kill
    first.finish
    third = living(one)
    expect(third.line).to eq "true"
  end

  it "does not hand the election down to children" do
    expect(told(<<~RUBY)).to eq ["true", "child false", "child false", "parent true"]
      p HeapInspector.trace_object_allocations_start(one_per_host: true)
      Process.wait(fork do
        puts "child \#{HeapInspector.tracing?}"
        puts "child \#{HeapInspector.trace_object_allocations_start(one_per_host: true)}"
      end)
      puts "parent \#{HeapInspector.tracing?}"
    RUBY
  end

  it "lets the chosen worker trace, and nothing that is forked from it" do
    expect(told(<<~RUBY, environment: { "HEAP_INSPECTOR_TRACE" => "0,2" })).to eq %w[true false true]
      require "heap_inspector/autorun"
      p HeapInspector.tracing?
      Process.wait(fork { p HeapInspector.tracing? })
      p HeapInspector.tracing?
    RUBY
  end

  it "is inherited by children otherwise" do
    expect(told(<<~RUBY)).to eq %w[true]
      HeapInspector.trace_object_allocations_start
      Process.wait(fork { p HeapInspector.tracing? })
    RUBY
  end

  it "costs nothing before it is called: no library, no thread, no hook" do
    expect(told(<<~RUBY)).to eq ["version.rb heap_inspector.rb", "[]", "1", "false"]
      puts $LOADED_FEATURES.grep(%r{/heap_inspector}).map { |path| File.basename(path) }.join(" ")
      p $LOADED_FEATURES.grep(/objspace|json|socket|optparse/)
      p Thread.list.size, Process.singleton_class.ancestors.first != Process.singleton_class
    RUBY
  end

  it "loads nothing that reads dumps, and the extension for a dump alone" do
    expect(told(<<~RUBY)).to eq [%(["heap_inspector_ext.so"]), %(["heap_inspector_ext.so"]), "[]", %(["heap_inspector_ext.so"])]
      loaded = -> { p $LOADED_FEATURES.grep(/heap_inspector_ext|heap_inspector.(heap|groups|summary|report)/).map { |it| File.basename(it) } }
      HeapInspector.trace_object_allocations_start
      loaded.call
      HeapInspector.arm
      loaded.call
      p %i[Heap HeapObject Document Matches].reject { |name| HeapInspector.autoload?(name) || !HeapInspector.const_defined?(name) }
      HeapInspector.dump(IO.popen("cat >#{File::NULL}", "w"))
      loaded.call
    RUBY
  end

  it "follows the environment with autorun" do
    dump = File.join(folder, "end.json.zst")
    asked = { "HEAP_INSPECTOR_TRACE" => "all", "HEAP_INSPECTOR_TRACE_MODE" => "full", "HEAP_INSPECTOR_DUMP" => dump }
    code = "kept = Object.new; p HeapInspector.tracing?, HeapInspector.armed?; $kept = kept"
    expect(told("require 'heap_inspector/autorun'\n#{code}", environment: asked)).to eq %w[true true]
    expect(HeapInspector.analyze(dump).groups(by: :file)["-e"].count).to be_positive
    expect(told("require 'heap_inspector/autorun'\n#{code}", environment: { "HEAP_INSPECTOR_AGENT" => "0" })).to eq %w[false false]
  end
end
