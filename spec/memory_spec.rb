# frozen_string_literal: true

require "objspace"

RSpec.describe "The extension's memory" do
  it "is known to ObjectSpace" do
    heap = HeapInspector.analyze(Helpers::DUMP)
    expect(ObjectSpace.memsize_of(heap)).to be_between(25 * heap.object_count, 60 * heap.object_count)
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

  # A dump of a few objects that hold each other, and all that can be asked of it. `together` stands where an answer is kept over others.
  dump = [
    '{"type":"ROOT", "root":"vm", "references":["0x7f0000000050"]}',
    '{"address":"0x7f0000000028", "type":"CLASS", "class":"0x7f0000000028", "name":"Box", "references":[], "memsize":100}',
    '{"address":"0x7f0000000050", "type":"OBJECT", "class":"0x7f0000000028", "ivars":1, "references":["0x7f0000000078"], ' \
    '"file":"/app/a.rb", "line":1, "method":"new", "generation":1, "memsize":40}',
    '{"address":"0x7f0000000078", "type":"ARRAY", "length":3, "references":["0x7f00000000a0", "0x7f00000000c8", "0x1"], "memsize":40}',
    '{"address":"0x7f00000000a0", "type":"STRING", "bytesize":4, "encoding":"UTF-8", "value":"same", "memsize":40, ' \
    '"flags":{"frozen":true}}',
    '{"address":"0x7f00000000c8", "type":"STRING", "bytesize":4, "encoding":"UTF-8", "value":"same", "memsize":40}',
    '{"address":"0x7f00000000f0", "type":"HASH", "size":1, "references":["0x7f0000000050"], "memsize":168}'
  ].join("\n") << "\n"

  questions = {
    "the dump itself" => <<~'RUBY',
      calls = 0
      other = HeapInspector.analyze(StringIO.new(TEXT), progress: ->(*) { calls += 1 })
      [other.object_count, other.warnings, other.inspect, calls.positive?, other.close, other.closed?]
    RUBY
    "groups" => <<~'RUBY',
      groups = heap.groups(by: %i[class location], where: { type: :object, file: "/app/*", not: { generation: 2.. } })
      [groups.map(&:to_h), groups.to_s.lines.size, heap.generations.to_a.map(&:number)]
    RUBY
    "summary" => "[heap.summary.roots, heap.summary(where: { class: 'Box' }).types.to_a.size]",
    "strings" => "heap.duplicate_strings.first.to_h",
    "errors" => <<~'RUBY',
      [-> { HeapInspector.analyze(StringIO.new("{}")) }, -> { heap.groups(by: :class, where: "nope") }, -> { heap.find(1) }].map do |wrong|
        wrong.call
      rescue HeapInspector::Error, ArgumentError => error
        [error.class, error.message]
      end
    RUBY
    "retained" => "[heap.retained.holders.map(&:to_h), heap.retained(by: :class).map(&:to_h)]",
    "dominators" => "heap.dominators(min: 0).map(&:to_h)",
    "paths" => "heap.paths_to('0x7f00000000c8', limit: 2).map { |chain| chain.map(&:to_s) }",
    "merged paths" => "heap.paths_to_class('String').map(&:to_h)",
    "unreachable" => "[heap.unreachable.total.to_h, heap.unreachable.biggest.map(&:to_h)]",
    "collections" => "heap.collections.emptiest.map(&:to_h)",
    "fragmentation" => "heap.fragmentation.then { |found| [found.map(&:to_h), found.emptiest.map(&:to_h), found.pages.to_h] }",
    "show" => "heap.show('0x7f0000000050').to_h.size",
    "relations" => <<~'RUBY',
      relation = heap.objects.where(memsize: 40..).where.not(type: :hash).or(heap.classes).order(:class, memsize: :desc)
      [relation.map(&:address), relation.pluck(:index, :class, :value, :location), relation.inspect, relation.sample(2).size,
       heap.where(class: /Bo/).first.to_h, relation.last.index, relation.include?(heap.strings.first)]
    RUBY
    "sums" => <<~'RUBY',
      [heap.objects.group(:class, :line).sum(:memsize), heap.objects.group(:type).average(:length), heap.strings.sum(:retained_memsize),
       heap.objects.group(:type).sum(:retained_memsize), heap.objects.maximum(:memsize), heap.objects.group(:file).top(1)]
    RUBY
    "objects" => <<~'RUBY',
      box = heap["0x7f0000000050"]
      [box.to_h, box.references.map(&:to_s), box.referrers.map(&:to_s), box.dominator, box.dominated.to_a, box.retained.ids,
       box.path_to_root.map(&:to_h), box.attributes, box.klass.name, box.klass.superclass, box.klass.instances.to_a == [box], box.label,
       box.inspect, box.hash == heap.objects[1].hash]
    RUBY
    "documents" => "[heap.retained.to_json, heap.dominators.to_markdown, heap.groups(by: :type).to_csv].map(&:size)"
  }

  program = <<~'RUBY'
    require "stringio"
    require "objspace"
    TEXT, questions = Marshal.load($stdin)
    heap = HeapInspector.analyze(StringIO.new(TEXT))
    questions = questions.map { |name, code| [name, eval("-> { #{code} }", binding)] }
    expected = questions.map { |_, question| question.call.inspect }
    kept = questions.map { |_, question| question.call } # must outlive the rest
    wrong = questions.zip(expected).filter_map do |(name, question), answer|
      before
      found = question.call
      after
      [name, answer, found.inspect] unless found.inspect == answer
    end
    wrong.concat(kept.zip(expected).filter_map { |answer, known| [:kept, known, answer.inspect] unless answer.inspect == known })
    GC.verify_internal_consistency if GC.respond_to?(:verify_internal_consistency)
    p wrong, GC.count
  RUBY

  # In processes of their own: other extensions (rbs 2.7) do not survive a compaction. Under GC.stress each allocation is a collection, so
  # these few questions to a few objects stand for the whole suite.
  {
    "holds under GC.stress" => "def before = GC.stress = true\ndef after = GC.stress = false\n",
    "holds when objects move between calls" => <<~RUBY
      MOVE = { (RUBY_VERSION < "3.2" ? :double_heap : :expand_heap) => true, toward: :empty }.freeze
      def before = GC.verify_compaction_references(**MOVE)
      def after = GC.verify_compaction_references(**MOVE)
    RUBY
  }.each do |rule, hooks|
    it rule do
      out, err, status = ruby(hooks + program, stdin_data: Marshal.dump([dump, questions]))
      expect(status).to be_success, err
      wrong, collections = out.lines
      expect(wrong).to eq("[]\n"), out
      expect(collections.to_i).to be > 2 * questions.size
    end
  end

  it "is told to the GC, so that forgotten heaps go in time" do
    before = GC.stat(:malloc_increase_bytes)
    count = GC.count
    heap = HeapInspector.analyze(Helpers::DUMP)
    expect(GC.count > count || GC.stat(:malloc_increase_bytes) - before >= ObjectSpace.memsize_of(heap)).to be(true)
  end
end
