# frozen_string_literal: true

# All that can be asked of a heap, asked of a small one twice: once as it comes, and once in a way that is hard on an extension. `ruby -Ilib
# spec/questions.rb stress` collects garbage at each allocation, `move` compacts before and after each question, `ractor` asks in another
# Ractor, `plain` does nothing of this. Prints the answers that differ. `spec/memory_spec.rb` and `bin/valgrind` run it.
require "heap_inspector"
require "stringio"

# A few objects that hold each other.
DUMP = [
  '{"type":"ROOT", "root":"vm", "references":["0x7f0000000050"]}',
  '{"address":"0x7f0000000028", "type":"CLASS", "class":"0x7f0000000028", "name":"Box", "references":[], "memsize":100}',
  '{"address":"0x7f0000000050", "type":"OBJECT", "class":"0x7f0000000028", "ivars":1, "references":["0x7f0000000078"], ' \
  '"file":"/app/a.rb", "line":1, "method":"new", "generation":1, "memsize":40}',
  '{"address":"0x7f0000000078", "type":"ARRAY", "length":3, "references":["0x7f00000000a0", "0x7f00000000c8", "0x1"], "memsize":40}',
  '{"address":"0x7f00000000a0", "type":"STRING", "bytesize":4, "encoding":"UTF-8", "value":"same", "memsize":40, ' \
  '"flags":{"frozen":true}}',
  '{"address":"0x7f00000000c8", "type":"STRING", "bytesize":4, "encoding":"UTF-8", "value":"same", "memsize":40}',
  '{"address":"0x7f00000000f0", "type":"HASH", "size":1, "references":["0x7f0000000050"], "memsize":168}'
].join("\n").concat("\n").freeze

# By name, Ruby code with `heap`; the answers are compared as they are inspected.
QUESTIONS = {
  "the dump itself" => <<~'RUBY',
    calls = 0
    other = HeapInspector.analyze(StringIO.new(DUMP), progress: ->(*) { calls += 1 })
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
  "merged paths" => "heap.paths_to_class('Box').map(&:to_h)",
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
  "differences" => <<~'RUBY',
    diff = HeapInspector.diff(heap, heap)
    [diff.to_s, diff.kept.count, diff.new_objects.to_a, diff.growth.map(&:to_h), diff.growth(by: :holder).size, diff.suspects(except: ["A"]).size]
  RUBY
  "suspects" => "heap.suspects.map(&:to_h)",
  "documents" => "[heap.retained.to_json, heap.dominators.to_markdown, heap.groups(by: :type).to_csv].map(&:size)"
}.freeze

mode = ARGV.fetch(0, "plain")
heap = HeapInspector.analyze(StringIO.new(DUMP)) # for the questions
ask = ->(code) { eval(code, binding, __FILE__, __LINE__) } # rubocop:disable Security/Eval
move = -> { GC.verify_compaction_references((RUBY_VERSION < "3.2" ? :double_heap : :expand_heap) => true, toward: :empty) }
hard = {
  "plain" => ask,
  "stress" => lambda do |code|
    GC.stress = true
    ask.call(code)
  ensure
    GC.stress = false
  end,
  "move" => lambda do |code|
    move.call
    ask.call(code).tap { move.call }
  end,
  "ractor" => lambda do |code|
    ractor = Ractor.new(heap, code) do |heap, code|
      Ractor.make_shareable(eval(code, binding, __FILE__, __LINE__)) # rubocop:disable Security/Eval
    end
    ractor.respond_to?(:value) ? ractor.value : ractor.take
  end
}.fetch(mode)

found = QUESTIONS.transform_values { |code| hard.call(code).inspect } if mode == "ractor" # before all else has loaded what it lacks
expected = QUESTIONS.transform_values { |code| ask.call(code).inspect }
kept = QUESTIONS.transform_values { |code| ask.call(code) } # outlives what follows
found ||= QUESTIONS.transform_values { |code| hard.call(code).inspect }
wrong = QUESTIONS.keys.reject { |name| found[name] == expected[name] && kept[name].inspect == expected[name] }
GC.verify_internal_consistency if GC.respond_to?(:verify_internal_consistency)
puts "#{wrong.size} wrong answers"
wrong.each { |name| puts name, expected[name], found[name], kept[name].inspect }
puts "#{GC.count} collections"
exit wrong.empty? && heap.object_count == 6
