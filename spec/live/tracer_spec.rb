# frozen_string_literal: true

require_relative "living"

# What the tracer says of objects, through all that happens to a heap. Where this Ruby cannot be traced so, Ruby's own tracer serves.
RSpec.describe HeapInspector, ".allocation" do
  include_context "with living processes"
  include_context "with our tracer"

  # In a file of its own, so that paths and lines are known. `wrong` and `lost` count what `keep` has.
  def program(mode, every, code)
    path = File.join(folder, "program.rb")
    File.write(path, <<~RUBY)
      class Foo; def initialize(text) = @text = text; end
      def make(number) = Foo.new("text \#{number}")
      HeapInspector.trace_object_allocations_start(mode: :#{mode}, every: #{every})
      keep = Array.new(5_000) { |number| make(number) }
      at = [__FILE__, 2, "new", "Foo"]
      check = lambda do
        found = keep.map { |object| HeapInspector.allocation(object) }
        wrong = found.compact.reject do |site|
          site.to_h.values_at(:file, :line, :method_name, :class_name) == at &&
            (site.stack.empty? || site.stack[1].line == 2 && site.stack[1].label.end_with?("make") && site.stack.map(&:line).include?(4))
        end
        [wrong.first(2), found.count(nil)]
      end
      #{code}
    RUBY
    told("load #{path.inspect}")
  end

  it "is right for every object in full mode, whatever happens to the heap" do
    expect(program("full", 5, <<~RUBY)).to eq ["[[], 0]"] * 6
      50_000.times { |number| make(number) }
      GC.start
      p check.call
      keep.each_index { |at| keep[at] = nil if at.odd? }
      keep.compact!
      GC.start
      GC.respond_to?(:compact) && GC.compact
      p check.call
      GC.stress = true
      5.times { |number| make(number) }
      GC.stress = false
      p check.call
      Array.new(4) { Thread.new { 20_000.times { |number| make(number) } } }.each(&:join)
      p check.call
      STDOUT.flush
      Process.wait(fork { 20_000.times { |number| make(number) }; GC.start; p check.call; STDOUT.flush })
      HeapInspector.trace_object_allocations_stop
      200_000.times { |number| make(number) }
      GC.start
      p check.call
    RUBY
  end

  it "knows the same objects of a sample as long as they live, and no others" do
    expect(program("sampled", 5, <<~RUBY)).to eq %w[true true true true true]
      known = -> { keep.count { |object| HeapInspector.allocation(object) } }
      before = known.call
      p before.between?(700, 1300)
      GC.start
      GC.respond_to?(:compact) && GC.verify_compaction_references(toward: :empty) rescue NotImplementedError
      p check.call.first.empty? && known.call == before
      HeapInspector.trace_object_allocations_stop
      later = Array.new(50_000) { |number| make(number) }
      GC.start
      p check.call.first.empty? && known.call == before
      p later.none? { |object| HeapInspector.allocation(object) }
      keep.clear
      GC.start
      HeapInspector.trace_object_allocations_start(mode: :sampled, every: 1 << 24)
      p HeapInspector.tracing_status[:live] < 500
    RUBY
  end

  it "goes on in windows that come at random, and stands for all that was allocated" do
    expect(program("continuous", 4, <<~RUBY)).to eq %w[true true true true]
      stop = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 2
      made = 0
      made += 1 while make(0) && Process.clock_gettime(Process::CLOCK_MONOTONIC) < stop
      status = HeapInspector.tracing_status
      p status[:mode] == :continuous && status[:samples].positive?
      p status[:seen] < made
      p check.call.first.empty?
      HeapInspector.trace_object_allocations_stop
      p Thread.list.none? { |thread| thread.name == "heap_inspector tracer" } && !HeapInspector.tracing?
    RUBY
  end

  it "tells a dump for how many objects one stands that was seen in a window" do
    path = File.join(folder, "heap.json")
    kept = program("continuous", 4, <<~RUBY).last.to_i
      500.times do
        200.times { keep << make(0) }
        sleep(0.001)
        break if HeapInspector.tracing_status[:samples] > 1_500
      end
      HeapInspector.dump(#{path.inspect})
      p keep.size
    RUBY
    seen = File.foreach(path).count { |line| line.include?('/program.rb", "line":2') && line.include?('"type":"OBJECT"') }
    every = JSON.parse(JSON.parse(File.open(path, &:gets))["value"])["tracing"]["every"]
    expect(seen).to be_positive
    expect(seen * every).to be_between(kept / 3, kept * 3)
  end

  it "does not keep code alive, nor grow with code that is made and lost" do
    expect(program("full", 1, <<~RUBY)).to eq ["true", "[[], 0]"]
      code = -> { 300.times { |number| eval("def self.made = Object.new", binding, "made.rb", 1 + (number % 3)); made } }
      code.call
      GC.start
      before = HeapInspector.tracing_status.values_at(:sites, :stacks)
      iseqs = ObjectSpace.each_object(RubyVM::InstructionSequence).count
      10.times { code.call }
      GC.start
      after = HeapInspector.tracing_status.values_at(:sites, :stacks)
      p after.zip(before).all? { |now, then_| now - then_ < 200 }
      p check.call
    RUBY
  end

  it "tells methods in C of one name apart" do
    expect(program("sampled", 1, <<~RUBY)).to eq ['["Array#map"]', '["Integer#times"]', '["Array#each"]', '["Hash#each"]']
      known = ->(object) { HeapInspector.allocation(object).stack.map(&:label) & %w[Array#map Integer#times Array#each Hash#each] }
      objects = []
      [1].map { objects << Object.new }
      1.times { objects << Object.new }
      [1].each { objects << Object.new }
      { 1 => 1 }.each { objects << Object.new }
      objects.each { |object| p known.call(object) }
    RUBY
  end

  it "survives Ractors: where Ruby would crash tracing ends, elsewhere it goes on" do
    lines = program("full", 7, <<~RUBY)
      Warning[:experimental] = false
      $stderr.reopen($stdout)
      made = Array.new(3) { Ractor.new { last = nil; 50_000.times { |number| last = Foo.new(number.to_s) }; 7 } }
      p made.map { |ractor| ractor.respond_to?(:value) ? ractor.value : ractor.take }
      p HeapInspector.tracing?, check.call
      if RUBY_VERSION < "3.3"
        waiting = Ractor.new { Ractor.receive }
        begin
          HeapInspector.trace_object_allocations_start
        rescue HeapInspector::Error => e
          puts e.message
        end
        waiting.send(1)
      end
    RUBY
    if RUBY_VERSION < "3.3"
      ended = "heap_inspector: tracing has ended, since this Ruby crashes when Ractors allocate under it"
      refused = "this Ruby crashes when Ractors allocate under tracing, and some run"
      expect(lines).to match [ended, "[7, 7, 7]", "false", "[[], 5000]", refused]
    else
      # What a collection of another Ractor's left is not known.
      expect(lines).to match ["[7, 7, 7]", "true", eq("[[], 0]").or(eq("[[], 5000]"))]
    end
  end

  it "takes another mode when more is asked for" do
    expect(program("continuous", 4, <<~RUBY)).to eq %w[continuous full full]
      puts HeapInspector.tracing_status[:mode]
      HeapInspector.trace_object_allocations_start(mode: "full")
      puts HeapInspector.tracing_status[:mode]
      HeapInspector.trace_object_allocations_start(mode: :sampled)
      puts HeapInspector.tracing_status[:mode]
    RUBY
  end

  it "refuses what it cannot do" do
    expect { described_class.trace_object_allocations_start(mode: :most) }.to raise_error(ArgumentError, /unknown mode :most: expected/)
    expect { described_class.trace_object_allocations_start(every: 0) }.to raise_error(ArgumentError, /every is 1 to/)
    expect { described_class.trace_object_allocations_start(budget: 2) }.to raise_error(ArgumentError, /budget/)
    expect(described_class.allocation(nil)).to be_nil
    expect(described_class.allocation(Object.new)).to be_nil
  end

  it "stands in a dump: sites as Ruby's own tracer writes them, and stacks" do
    path = File.join(folder, "heap.json")
    program("full", 1, "HeapInspector.dump(#{path.inspect})")
    lines = File.readlines(path).map { |line| JSON.parse(line) }
    frames = lines.select { |line| line["root"] == "heap_inspector_stacks" }.flat_map { |line| JSON.parse(line["value"])["frames"] }
    expect(frames.each_with_index).to all(satisfy { |(parent, _, _, label), at| parent < at && label.is_a?(String) })
    foos = lines.select { |line| line["line"] == 2 && line["type"] == "OBJECT" && line["file"].end_with?("program.rb") }
    expect(foos.size).to eq 5_000
    expect(foos.map { |line| line.values_at("method", "stack") }.uniq.size).to eq 1
    stack = []
    at = foos.first["stack"]
    until at == -1
      stack << frames[at][1..]
      at = frames[at].first
    end
    expect(stack.map { |file, line, _| [File.basename(file), line] }.values_at(1, 2)).to eq [["program.rb", 2], ["program.rb", 4]]
    expect(JSON.parse(lines.first["value"])["tracing"]).to include("mode" => "full", "every" => 1)
    expect(described_class.analyze(path).groups(by: :location)["#{File.join(folder, "program.rb")}:2"].count).to be > 5_000
  end
end
