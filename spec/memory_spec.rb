# frozen_string_literal: true

require "objspace"

RSpec.describe "The extension's memory" do
  it "is known to ObjectSpace" do
    heap = HeapInspector.analyze(Helpers::DUMP)
    expect(ObjectSpace.memsize_of(heap)).to be_between(25 * heap.object_count, 60 * heap.object_count)
  end

  it "is given back" do
    # In a process of its own, whose memory is its own.
    code = <<~RUBY
      def resident = File.read("/proc/self/status")[/VmRSS:\\s+(\\d+)/, 1].to_i / 1024
      def work
        heap = HeapInspector.analyze(ARGV[0])
        heap.groups(by: %i[class location])
        heap.summary
        heap.duplicate_strings(limit: 100)
        begin
          HeapInspector.analyze(ARGV[0], progress: ->(*) { raise "stop" })
        rescue RuntimeError
          nil
        end
        StringIO.open("not a dump") { |io| HeapInspector.analyze(io) rescue HeapInspector::Error }
      end
      require "stringio"
      30.times { work }
      GC.start
      before = resident
      120.times { work }
      GC.start
      print resident - before
    RUBY
    out, err, status = ruby(code, Helpers::DUMP)
    expect(status).to be_success, err
    # One heap is 1.6 MiB: were they kept, 120 would be 190.
    expect(out.to_i).to be < 40
  end

  # Under GC.stress each allocation is a collection, so this is a small dump and one call of each sort.
  it "holds under GC.stress" do
    text = "#{Helpers.text(3, value: "same", file: "/app/a.rb", line: 1, generation: 1,
                              references: ["0x7f0000000028"])}{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x7f0000000028\"]}\n"
    code = <<~RUBY
      require "stringio"
      text = $stdin.read
      HeapInspector.analyze(StringIO.new(text), progress: ->(*) {}).then { |heap| [heap.summary, heap.groups(by: :class, where: { type: :hash })] }
      GC.stress = true
      calls = 0
      heap = HeapInspector.analyze(StringIO.new(text), progress: ->(*) { calls += 1 })
      groups = heap.groups(by: %i[class location], where: { type: :string, file: "/app/*", not: { generation: 2.. } })
      strings = heap.duplicate_strings
      results = [heap.object_count, groups.map(&:key), groups.to_s.lines.size, heap.generations.to_a.map(&:number), strings.first.to_h,
                 heap.summary.roots, heap.warnings, heap.inspect, calls.positive?]
      begin
        HeapInspector.analyze(StringIO.new("{}"))
      rescue HeapInspector::FormatError => error
        results << error.message.size
      end
      begin
        heap.groups(by: :class, where: "nope")
      rescue ArgumentError => error
        results << error.message.size
      end
      GC.stress = false
      GC.verify_internal_consistency if GC.respond_to?(:verify_internal_consistency)
      p results
    RUBY
    out, err, status = ruby(code, stdin_data: text)
    expect(status).to be_success, err
    relaxed, = ruby(code.gsub("GC.stress = true", ""), stdin_data: text)
    expect(out).to eq(relaxed)
    expect(out).to start_with("[3, ")
  end

  # In a process of its own: other extensions (rbs 2.7) do not survive a compaction.
  it "holds when objects move" do
    code = <<~RUBY
      heap = HeapInspector.analyze(ARGV[0])
      groups = heap.groups(by: :class)
      before = [groups.to_s, groups.map(&:to_h)]
      GC.verify_compaction_references((RUBY_VERSION < "3.2" ? :double_heap : :expand_heap) => true, toward: :empty)
      print [groups.to_s, groups.map(&:to_h)] == before, heap.groups(by: :class).to_a == groups.to_a, groups.size
    RUBY
    out, err, = ruby(code, Helpers::DUMP)
    expect(out).to eq("truetrue99"), err
  end

  it "is told to the GC, so that forgotten heaps go in time" do
    before = GC.stat(:malloc_increase_bytes)
    count = GC.count
    heap = HeapInspector.analyze(Helpers::DUMP)
    expect(GC.count > count || GC.stat(:malloc_increase_bytes) - before >= ObjectSpace.memsize_of(heap)).to be(true)
  end
end
