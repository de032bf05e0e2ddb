# frozen_string_literal: true

require "objspace"

RSpec.describe "The extension's memory" do
  it "is known to ObjectSpace" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    loaded = ObjectSpace.memsize_of(heap)
    expect(loaded).to be_between(25 * heap.object_count, 60 * heap.object_count)
    heap.retained
    expect(ObjectSpace.memsize_of(heap)).to be > loaded + (4 * heap.object_count)
    heap.close
    expect(ObjectSpace.memsize_of(heap)).to be < 1000
  end

  it "is given back: 200 analyses leave memory as it was" do
    # In a process of its own, whose memory is its own.
    code = <<~RUBY
      require "stringio"
      def resident = File.read("/proc/self/status")[/VmRSS:\\s+(\\d+)/, 1].to_i
      def work
        heap = HeapInspector.analyze(ARGV[0], index: false)
        heap.groups(by: %i[class location])
        heap.summary
        heap.duplicate_strings(limit: 100)
        heap.retained(limit: 5).holders.first.object.path_to_root
        heap.objects.where(file: /rubygems/).order(memsize: :desc).first(100).map(&:referrers)
        heap.objects.where(type: :string).group(:location).sum(:memsize)
        HeapInspector.diff(heap, heap).then { |diff| [diff.new_objects.count, diff.kept.count] }
        begin
          HeapInspector.analyze(ARGV[0], progress: ->(*) { raise "stop" })
        rescue RuntimeError
          nil
        end
        StringIO.open("not a dump") { |io| HeapInspector.analyze(io) rescue HeapInspector::Error }
        #{ENV.fetch("PLANTED_LEAK", "")}
        true
      end
      sizes = 3.times.map do |part|
        (part.zero? ? 50 : 100).times { work && GC.start }
        resident
      end
      p sizes
    RUBY
    # One arena, and large blocks mapped one by one: else what free memory the allocator keeps is a matter of luck, up to 50 MiB.
    allocator = { "MALLOC_ARENA_MAX" => "1", "MALLOC_MMAP_THRESHOLD_" => "65536", "MALLOC_TRIM_THRESHOLD_" => "65536" }
    out, err, status = ruby(code, Helpers::DUMP, environment: allocator)
    expect(status).to be_success, err
    warm, half, whole = JSON.parse(out)
    # It stays within 1 MiB. PLANTED_LEAK='($kept ||= []) << ("x" * 40_960)' is 8 MiB.
    expect([half, whole].max - warm).to be < 3 * 1024, out
  end

  # In processes of their own: other extensions (rbs 2.7) do not survive a compaction. Under GC.stress each allocation is a collection, so
  # a few questions to a few objects stand for the whole suite.
  { "holds under GC.stress" => "stress", "holds when objects move between calls" => "move" }.each do |rule, mode|
    it rule do
      out, err, status = Open3.capture3(RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/spec/questions.rb", mode)
      expect([out.lines.first, status.success?]).to eq(["0 wrong answers\n", true]), "#{out}#{err}"
      expect(out.lines.last.to_i).to be > 30 # collections
    end
  end

  it "is told to the GC, so that forgotten heaps go in time" do
    before = GC.stat(:malloc_increase_bytes)
    count = GC.count
    heap = HeapInspector.analyze(Helpers::DUMP)
    expect(GC.count > count || GC.stat(:malloc_increase_bytes) - before >= ObjectSpace.memsize_of(heap)).to be(true)
  end
end
