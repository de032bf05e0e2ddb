# frozen_string_literal: true

require_relative "living"

# Nothing that is set wrong, and nothing that cannot be done, keeps an app from booting.
RSpec.describe HeapInspector::Settings do
  include_context "with living processes"

  # What a process of these settings says of itself, and what it wrote to standard error.
  def booted(code = "", environment: {}, **settings)
    settings = settings.transform_keys { |name| "HEAP_INSPECTOR_#{name.upcase}" }
    process = living(<<~RUBY, environment: settings.merge(environment))
      require "heap_inspector/autorun"
      #{code}
      puts "traces \#{HeapInspector.tracing?}, armed \#{HeapInspector.armed?}"
    RUBY
    process.wait
    *told, state = process.rest.lines(chomp: true)
    [state, told]
  end

  no = %w[off OFF false no None none] + [" off ", ""]
  no.each do |word|
    it "does not trace by #{word.inspect}" do
      expect(booted(trace: word)).to eq ["traces false, armed true", []]
    end
  end

  { "all" => true, "ALL" => true, "on" => true, "true" => true, "0" => true, "worker-0" => true, "0,2" => true, "1" => false,
    "2,3" => false }.each do |word, traces|
    it "takes the one process for worker 0 where it is told #{word.inspect}" do
      expect(booted(trace: word)).to eq ["traces #{traces}, armed true", []]
    end
  end

  ["alll", "0,x", "-1", "1.5", "\u{202e}", "9" * 40].each do |word|
    it "warns once of #{word.inspect} and traces nothing" do
      again = "HeapInspector::Settings.apply; fork { HeapInspector::Settings.apply }.then { |pid| Process.wait(pid) }"
      state, told = booted(again, trace: word)
      expect(state).to eq "traces false, armed true"
      expect(told).to match [/\Aheap_inspector: trace: .* is not a choice of what to trace, so nothing is traced; write all, one, none/]
      expect(told.first).to match(/\A[[:ascii:]]*\z/)
    end
  end

  it "boots with a size that is none, and with a folder that is none" do
    state, told = booted(dump_above: "2XB", trace: "all")
    expect(state).to eq "traces true, armed true"
    expect(told).to match [/\Aheap_inspector: dump_above: "2XB" is not a size; write such as 2GB; no dump will be taken by itself\z/]
    %w[0 -1GB GB 1e9].each { |word| expect(booted(dump_above: word).last.size).to eq 1 }
    expect(booted(agent: "maybe")).to match ["traces false, armed false", [/agent: "maybe" is neither on nor off; there will be no/]]
    %w[0 off False].each { |word| expect(booted(agent: word)).to eq ["traces false, armed false", []] }
  end

  it "lets each part stand alone where the folder cannot be used, and says what it does without" do
    run = File.join(folder, "run")
    Dir.mkdir(run)
    File.chmod(0o755, run)
    dumps = File.join(folder, "dumps")
    Dir.mkdir(dumps)
    state, told = booted(trace: "all")
    expect(state).to eq "traces true, armed false"
    expect(told).to match [/\Aheap_inspector: no agent, so ps, dump and trace do not reach this process: #{run} cannot be used: its mode/]
    state, told = booted(trace: "one")
    expect(state).to eq "traces false, armed false"
    expect(told).to match [/: no agent, so/, /\Aheap_inspector: allocations are not traced: #{run} cannot be used/]
    _, told = booted(<<~RUBY, agent: "off")
      HeapInspector.dump_above("1MB", folder: #{dumps.inspect}, every: 0.05)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 30
      sleep(0.05) until Dir.children(#{dumps.inspect}).grep(/json.zst\\z/).any? || Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      sleep(0.5)
    RUBY
    expect(told).to match [/: each process goes by itself, since they cannot agree which one takes a dump: #{run} cannot be used/,
                           /MiB in use, more than 1: took #{dumps}/]
  end

  it "switches off what the environment or the app began, by the agent" do
    began = "require 'heap_inspector/autorun'; 3.times { ObjectSpace.trace_object_allocations_start }\n" \
            "HeapInspector.trace_object_allocations_start; puts 'up'; while gets; p HeapInspector.tracing?; end"
    process = living(began, environment: { "HEAP_INSPECTOR_TRACE" => "all" })
    process.line(/up/)
    expect(command("trace", "worker-0", "off")).to eq ["process #{process.pid} does not trace allocations\n", "", 0]
    process.say("?")
    expect(process.line).to eq "false"
    expect(command("trace", "worker-0", "on").first).to eq "process #{process.pid} traces one allocation of 512, with its stack\n"
    process.say("?")
    expect(process.line).to eq "true"
  end
end
