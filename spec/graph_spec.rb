# frozen_string_literal: true

require "objspace"
require "tmpdir"

# What holds what, against a plain reader's graph: an object is held if it can be reached, and an object holds what cannot be reached
# without it.
RSpec.describe HeapInspector::Heap do
  Graph = Struct.new(:edges, :roots, :bytes) do # rubocop:disable Lint/ConstantDefinitionInBlock
    def self.of(lines, objects, &references_of)
      bytes = objects.to_h { |object| [object["address"], object["memsize"] || 0] }
      edges = objects.to_h do |object|
        klass = object["class"] unless object["type"] == "IMEMO"
        [object["address"], [*references_of.call(object), klass].compact.select { |address| bytes.key?(address) }.uniq]
      end
      roots = lines.select { |line| line["type"] == "ROOT" }.flat_map { |root| root["references"] || [] }
      new(edges, roots.select { |address| bytes.key?(address) }.uniq, bytes)
    end

    # What can be reached from the roots, not through one object.
    def reachable(without = nil)
      seen = {}
      stack = roots - [without]
      stack.each { |address| seen[address] = true }
      while (address = stack.pop)
        edges[address].each do |target|
          next if target == without || seen[target]

          seen[target] = true
          stack << target
        end
      end
      seen.keys
    end

    def retained(address)
      all - reachable(address)
    end

    def all
      @all ||= reachable
    end
  end

  dumps = %w[ruby-3.1-x86_64 ruby-3.4-x86_64]
  dumps.each do |dump|
    context "with the dump of #{dump}" do
      let(:heap) { HeapInspector.analyze(Helpers::DUMPS.fetch(dump), index: false) }
      let(:graph) { Graph.of(lines(dump), objects(dump)) { |object| references_of(object) } }

      it "tells reachable objects from others" do
        addresses = heap.objects.where(reachable: true).pluck(:address)
        expect(addresses).to match_array(graph.all)
        retained = heap.retained
        expect(retained.reachable_count).to eq(addresses.size)
        expect(retained.reachable_memsize).to eq(addresses.sum { |address| graph.bytes[address] })
        expect(heap.unreachable.total.count).to eq(heap.object_count - addresses.size)
      end

      it "says what objects retain, and what dominates them" do
        [*heap.retained(limit: 8).holders.map(&:object),
         *heap.objects.where(reachable: true).sample(8, random: Random.new(1))].each do |object|
          retained = graph.retained(object.address)
          expect(object.retained_memsize).to eq(retained.sum { |address| graph.bytes[address] })
          expect(object.retained_count).to eq(retained.size)
          expect(object.retained.pluck(:address)).to match_array(retained - [object.address])
          expect(object.dominated.map(&:dominator).uniq).to eq(object.dominated.any? ? [object] : [])
          next unless object.dominator

          expect(graph.retained(object.dominator.address)).to include(object.address)
        end
      end

      it "leads from a root to an object, step by step" do
        heap.objects.where(reachable: true).sample(20, random: Random.new(2)).each do |object|
          steps = object.path_to_root.map { |step| step.object.address }
          expect(graph.roots).to include(steps.first)
          expect(steps.last).to eq(object.address)
          expect(steps.each_cons(2)).to all(satisfy { |from, to| graph.edges[from].include?(to) || through_fields?(from, to) })
        end
      end

      # Where Ruby keeps instance variables in an object of its own, the path leaves that out.
      def through_fields?(from, to)
        graph.edges[from].any? { |address| heap[address].imemo == "fields" && graph.edges[address].include?(to) }
      end

      it "lists references and referrers as the dump has them" do
        heap.objects.sample(50, random: Random.new(3)).each do |object|
          line = objects(dump).fetch(object.index)
          references = object.references
          expect(references.reject { |reference| reference.edge == "class" }.map(&:address)).to match_array(references_of(line))
          expect(references.last.object).to eq(object.klass) if object.klass
          referrers = graph.edges.select { |_, targets| targets.include?(object.address) }.keys
          expect(object.referrers.map(&:address)).to match_array(referrers)
        end
      end
    end
  end

  let(:heap) { HeapInspector.analyze(Helpers::DUMP, index: false) }

  it "groups what is retained without counting twice" do
    heap.retained(by: :class, limit: nil).each do |group|
      expect(group.retained_memsize).to be_between(group.memsize, heap.retained.reachable_memsize)
      expect(heap.objects.where(class: group.key.to_sym).sum(:retained_memsize)).to eq(group.retained_memsize)
    end
    expect(heap.objects.sum(:retained_memsize)).to eq(heap.retained.reachable_memsize)
    expect(heap.objects.group(:class).sum(:retained_memsize)).to eq(heap.retained(by: :class, limit: nil).to_h do |group|
      [group.key, group.retained_memsize]
    end)
  end

  it "counts arrays and hashes as an independent reader does" do
    collections = heap.collections(limit: nil)
    { arrays: "ARRAY", hashes: "HASH" }.each do |name, type|
      found = objects("ruby-3.1-x86_64").select { |object| object["type"] == type }
      expect(collections.public_send(name))
        .to have_attributes(count: found.size, memsize: found.sum { |object| object["memsize"] || 0 },
                            elements: found.sum { |object| object["length"] || object["size"] || 0 })
    end
    expect(collections.sum { |group| group.fill.count }).to eq(collections.arrays.count + collections.hashes.count)
    expect(collections.lengths.values.flatten.sum(&:count)).to eq(collections.arrays.count + collections.hashes.count)
    sizes = objects("ruby-3.1-x86_64").filter_map { |object| object["memsize"] if %w[ARRAY HASH].include?(object["type"]) }
    expect(heap.collections(limit: 20).biggest.map(&:memsize)).to eq(sizes.max(20))
  end

  it "counts pages as an independent reader does" do
    fragmentation = heap.fragmentation
    pages = objects("ruby-3.1-x86_64").group_by { |object| object["address"].hex / fragmentation.page_bytes }
    expect(fragmentation.pages).to have_attributes(count: pages.size, live: heap.object_count)
    expect(fragmentation.by_fullness.sum(&:count)).to eq(pages.size)
    expect(fragmentation.emptiest.map { |page| page.address.hex / fragmentation.page_bytes } - pages.keys).to be_empty
    expect(fragmentation.emptiest.map(&:first)).to all(be_a(HeapInspector::HeapObject))
  end

  it "merges the paths to many objects" do
    merged = heap.paths_to_class("Hash")
    hashes = objects("ruby-3.1-x86_64").select { |object| object["type"] == "HASH" }
    expect(merged.count_of_objects).to eq(heap.instances_of("Hash").count).and be_between(1, hashes.size)
    expect(heap.paths_to(heap.instances_of("Hash")).to_a).to eq(merged.to_a)
    expect(heap.paths_to(where: { class: "Hash" }).to_a).to eq(merged.to_a)
    expect(merged.select { |group| group.depth.zero? }.sum(&:targets)).to be_between(1, merged.count_of_objects)
  end

  it "finds several paths that differ" do
    object = heap.objects.where(type: :class, reachable: true).find { |found| heap.paths_to(found, limit: 3).size == 3 }
    paths = heap.paths_to(object, limit: 3)
    expect(paths.map { |steps| steps.map(&:object) }.uniq.size).to eq(3)
    expect(paths.map { |steps| steps.last.object }).to all(eq(object))
    expect(paths.first).to eq(object.path_to_root)
  end

  it "tells what would hold an object, and what would be freed, without another" do
    text = [
      { type: "ROOT", root: "vm", references: %w[0x7f0000000028 0x7f0000000050] },
      { address: "0x7f0000000028", type: "CLASS", name: "Cache", memsize: 40, references: ["0x7f0000000078"] },
      { address: "0x7f0000000050", type: "ARRAY", length: 2, memsize: 60, references: %w[0x7f0000000078 0x7f00000000a0] },
      { address: "0x7f0000000078", type: "STRING", memsize: 100 },
      { address: "0x7f00000000a0", type: "STRING", memsize: 1000 }
    ].map { |line| "#{JSON.generate(line)}\n" }.join
    heap = HeapInspector.analyze(StringIO.new(text))
    shared = heap.paths_to("0x7f0000000078", without: heap["0x7f0000000050"])
    expect([shared.freed_memsize, shared.freed_count]).to eq [1060, 2]
    expect(shared.map { |steps| steps.map(&:label) }).to eq [["class Cache", "(STRING)"]]
    expect(shared.also_held_by).to contain_exactly(
      have_attributes(holder: "Cache", holder_object: heap["0x7f0000000028"], reference: /\ACache .*→/, count: 1, referrer_count: 1)
    )
    expect(shared.also_held_by.first.to_s).to start_with("Cache (Cache ")
    expect(shared.to_s).to match(/^ *By +Cache \(Cache /)
    expect(shared.also_held_by_more).to eq 0
    alone = heap.paths_to("0x7f00000000a0", without: "0x7f0000000050")
    expect([alone.to_a, alone.freed_count, alone.also_held_by]).to eq [[], 2, []]
    expect(alone.to_s).to include("it would be freed")
    expect([heap.paths_to("0x7f00000000a0").freed_memsize, heap.paths_to("0x7f0000000078", without: "Cache").freed_memsize]).to eq [nil, 40]
    expect { heap.paths_to("0x7f00000000a0", without: "Nobody") }.to raise_error(ArgumentError, /is not an address, fingerprint, class/)
    expect { heap.paths_to("0x7f00000000a0", without: 7) }.to raise_error(TypeError)
    expect { heap.paths_to(where: { type: :string }, without: "Cache") }.to raise_error(ArgumentError, /paths to one object/)
    expect { heap.paths_to("0x7f00000000a0", without: "Cache", limit: 2) }.to raise_error(ArgumentError, /limit: cannot be given/)
  end

  it "tells garbage from what is alive" do
    text = [
      { type: "ROOT", root: "vm", references: ["0x7f0000000028"] },
      { address: "0x7f0000000028", type: "ARRAY", length: 1, memsize: 40, references: ["0x7f0000000050"] },
      { address: "0x7f0000000050", type: "STRING", memsize: 100 },
      { address: "0x7f0000000078", type: "ARRAY", length: 1, memsize: 40, references: ["0x7f00000000a0"] },
      { address: "0x7f00000000a0", type: "STRING", memsize: 1000, references: %w[0x7f0000000050 0x7f00000fffff] }
    ].map { |line| "#{JSON.generate(line)}\n" }.join
    heap = HeapInspector.analyze(StringIO.new(text))
    unreachable = heap.unreachable
    expect(unreachable.total).to eq(HeapInspector::Total.new(count: 2, memsize: 1040, references: 3))
    expect(unreachable.biggest.map { |component| [component.object.address, component.count, component.memsize, component.cycle?] })
      .to eq([["0x7f0000000078", 2, 1040, false]])
    dead = heap["0x7f00000000a0"]
    expect([dead.reachable?, dead.retained_memsize, dead.dominator, dead.path_to_root,
            heap.paths_to(dead).to_a]).to eq([false, 0, nil, nil, []])
    expect(dead.references.map { |reference| [reference.address, reference.dangling?] })
      .to eq([["0x7f0000000050", false], ["0x7f00000fffff", true]])
    expect(heap["0x7f0000000050"].dominator).to eq(heap["0x7f0000000028"])
  end

  it "names what is not there" do
    expect { heap.find("0x1") }.to raise_error(HeapInspector::ObjectNotFound, /no object at 0x1/)
    expect { heap.find("zz") }.to raise_error(ArgumentError, /"zz" is not an address/)
    expect { heap.find(-1) }.to raise_error(ArgumentError)
    expect { heap.find(nil) }.to raise_error(TypeError)
    expect { heap.dominators("0x1") }.to raise_error(HeapInspector::ObjectNotFound)
    expect { heap.paths_to }.to raise_error(ArgumentError, /an object or where/)
    expect { heap.retained(by: :clas) }.to raise_error(ArgumentError, /did you mean :class/)
    expect(heap["0x1"]).to be_nil
  end

  it "works the graph out once, for all threads, and for a Thread that is killed not at all" do
    killed = Thread.new { heap.retained }
    killed.kill.join
    heaps = Array.new(4) { Thread.new { heap.retained(limit: 3).to_s } }.map(&:value)
    expect(heaps.uniq.size).to eq(1)
  end

  it "is asked by Ractors and after a fork" do
    code = <<~RUBY
      heap = HeapInspector.analyze(ARGV[0], index: false)
      [HeapInspector::Relation, HeapInspector::Retained, HeapInspector::Where] rescue NameError
      heap.retained(limit: 1); heap.strings.count; heap.strings.first
      expected = [heap.objects.count, heap.objects.sum(:retained_memsize)]
      pid = fork { exit!([heap.objects.count, heap.objects.sum(:retained_memsize), heap.objects.first.referrers.size].first(2) == expected) }
      print Process.wait2(pid).last.success?
      $VERBOSE = nil
      ractors = Array.new(2) { Ractor.new(heap) { |heap| [heap.objects.count, heap.objects.sum(:retained_memsize)] } }
      print ractors.map { |ractor| ractor.respond_to?(:value) ? ractor.value : ractor.take }.uniq == [expected]
    RUBY
    out, err, = ruby(code, Helpers::DUMP)
    expect(out).to eq("truetrue"), err
  end

  describe "the index file" do
    around do |example|
      Dir.mktmpdir do |folder|
        @dump = File.join(folder, "heap.json.zst")
        FileUtils.cp(Helpers::DUMP, @dump)
        example.run
      end
    end

    let(:index) { "#{@dump}.hidx" }

    it "is written when the graph is first worked out, and read from then on" do
      heap = HeapInspector.analyze(@dump)
      expect(heap.summary.object_count).to eq(heap.object_count)
      expect(File).not_to exist(index)
      retained = heap.retained(limit: 3)
      expect(File.stat(index).mode & 0o777).to eq(0o600)
      expect(HeapInspector.analyze(@dump).retained(limit: 3).to_s).to eq(retained.to_s)
      File.write(index, "damaged")
      expect(HeapInspector.analyze(@dump).retained(limit: 3).to_s).to eq(retained.to_s)
    end

    it "is left alone where it is not wanted" do
      HeapInspector.analyze(@dump, index: false).retained
      expect(File).not_to exist(index)
    end
  end

  describe "#close" do
    it "gives the memory back, and says so from then on" do
      object = heap.objects.first
      relation = heap.strings
      expect { heap.close }.to change(heap, :closed?).from(false).to(true)
      expect(ObjectSpace.memsize_of(heap)).to be < 200
      [-> { heap.object_count }, -> { heap.retained }, -> { object.memsize }, -> { relation.count }, -> { heap.groups(by: :class) },
       -> { object.referrers }].each { |call| expect(&call).to raise_error(HeapInspector::ClosedError, "the heap was closed") }
      expect([heap.inspect, object.inspect, relation.inspect]).to all(include("closed"))
      expect(heap.name).to eq(Helpers::DUMP)
      expect(heap.close).to be_nil
    end
  end

  it "tells the GC of what it worked out" do
    before = ObjectSpace.memsize_of(heap)
    heap.retained
    expect(ObjectSpace.memsize_of(heap)).to be > before + (4 * heap.object_count)
  end

  it "draws what is a tree, and merges dominators by a key" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    merged = heap.dominators(by: :class, depth: 2, min: 0, limit: nil)
    tops = merged.select { |row| row.depth.zero? }
    expect(tops.sum(&:retained_memsize)).to eq(heap.retained.reachable_memsize)
    expect(tops.map(&:retained_memsize)).to eq(tops.map(&:retained_memsize).sort.reverse)
    expect(tops.sum(&:count)).to eq(heap.where(reachable: true).count { |object| object.dominator.nil? })
    expect(merged).to all(have_attributes(object: nil, location: nil))
    [merged, heap.dominators, heap.paths_to_class("Hash")].each do |tree|
      expect(tree.to_dot).to start_with("digraph heap {").and end_with("}\n")
      expect(tree.to_folded.lines).to all(match(/\A.+ \d+\n\z/))
      expect(tree.to_flamegraph).to start_with("<?xml ").and end_with("</svg>\n")
    end
    expect(heap.paths_to(heap.hashes.where(reachable: true).first).to_dot).to start_with("digraph heap {")
    expect { heap.dominators(by: :clas) }.to raise_error(ArgumentError, /did you mean :class/)
  end

  it "says which class may have been meant" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    expect { heap.paths_to_class("Strng") }
      .to raise_error(HeapInspector::ObjectNotFound, /\Athe heap has no object of a class "Strng"; did you mean String/)
    expect do
      heap.paths_to_class("Zyxwvutsr")
    end.to raise_error(HeapInspector::ObjectNotFound, 'the heap has no object of a class "Zyxwvutsr"')
  end

  it "reports how much of the dump is read for duplicate strings, and ends with what that raises" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    reports = []
    heap.duplicate_strings(progress: ->(read, all) { reports << [read, all] })
    expect(reports.last).to eq([File.size(Helpers::DUMP)] * 2)
    expect { heap.duplicate_strings(progress: ->(*) { raise IOError, "enough" }) }.to raise_error(IOError, "enough")
    expect { heap.duplicate_strings(progress: 1) }.to raise_error(ArgumentError, /progress:/)
  end
end
