# frozen_string_literal: true

require "tmpdir"

RSpec.describe HeapInspector::Threads do
  let(:dump) { "#{Helpers::ROOT}/crates/heap_inspector/tests/dumps/ruby-3.4-native-zoo.json.zst" }
  let(:heap) { HeapInspector.analyze(dump, index: false) }

  it "tells threads, fibers and ractors, and what each keeps alive" do
    threads = heap.threads
    expect(threads.counts).to eq(threads: 4, fibers: 11, ractors: 2, unreachable: 0)
    expect(threads.size).to eq(17)
    expect(threads.map(&:retained_memsize)).to eq(threads.map(&:retained_memsize).sort.reverse)
    threads.each do |one|
      expect(one).to have_attributes(
        retained_memsize: one.object.retained_memsize, retained_count: one.object.retained_count, memsize: one.object.memsize
      )
    end
    expect(threads.map(&:kind).tally).to eq(ractor: 2, thread: 4, fiber: 11)
    expect(threads.select { |one| one.kind == :thread }.filter_map(&:code)).to include("block in <main>, zoo.rb")
    expect(heap.threads(limit: 2).size).to eq(2)
    expect(heap.threads(limit: nil).to_a).to eq(threads.to_a)
    expect(heap.threads.inspect).to eq("#<HeapInspector::Threads 4 threads, 11 fibers, 2 ractors, 0 unreachable>")
  end

  it "tells the names of threads of this Ruby" do
    Dir.mktmpdir do |folder|
      path = File.join(folder, "heap.json")
      ruby(<<~RUBY, path)
        require "objspace"
        queue = Queue.new
        Thread.new { held = Array.new(500) { |at| "held \#{at}" }; queue.pop; held }.name = "worker one"
        Thread.new { queue.pop }.name = "locker"
        Thread.new { queue.pop }
        made = Ractor.new(name: "a ractor") { Ractor.receive }
        Thread.pass until queue.num_waiting == 3
        GC.start
        ObjectSpace.dump_all(output: File.open(ARGV[0], "w"))
      RUBY
      threads = HeapInspector.analyze(path, index: false).threads(limit: nil)
      expect(threads.filter_map(&:name)).to contain_exactly("worker one", "locker", "a ractor")
      expect(threads["worker one"]).to have_attributes(kind: :thread, mostly: /\A50\d × String\z/, code: "block in <main>, -e")
      expect(threads["a ractor"].kind).to eq(:ractor)
      expect(threads["nobody"]).to be_nil
    end
  end

  it "may be asked while garbage is collected, and by another Ractor" do
    out, err, = ruby(<<~'RUBY', dump, environment: { "RUBYOPT" => "-W:no-experimental" })
      heap = HeapInspector.analyze(ARGV[0], index: false)
      expected = heap.threads(limit: 3).map(&:to_h).inspect
      GC.stress = true
      stressed = heap.threads(limit: 3).map(&:to_h).inspect
      GC.stress = false
      ractor = Ractor.new(heap) { |heap| Ractor.make_shareable(heap.threads(limit: 3)) }
      answer = ractor.respond_to?(:value) ? ractor.value : ractor.take
      p stressed == expected, answer.map(&:to_h).inspect == expected, Ractor.shareable?(heap.threads)
    RUBY
    expect([out, err]).to eq(["true\ntrue\ntrue\n", ""])
  end

  it "refuses a limit that is none" do
    expect { heap.threads(limit: -1) }.to raise_error(ArgumentError, /limit:/)
    heap.close
    expect { heap.threads }.to raise_error(HeapInspector::ClosedError)
  end

  it "prints what the command line prints" do
    out, = ruby("HeapInspector::CommandLine.run(ARGV)", "threads", dump, "--no-index", "--lines", "3")
    expect(heap.threads(limit: 3).to_s).to eq(out)
  end
end
