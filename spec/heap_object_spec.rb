# frozen_string_literal: true

require "pp" # rubocop:disable Lint/RedundantRequireStatement -- of pretty_inspect Ruby does not know

RSpec.describe HeapInspector::HeapObject do
  Helpers::DUMPS.each do |dump, path|
    it "says what the lines of #{dump} say" do
      heap = HeapInspector.analyze(path, index: false)
      lines = objects(dump)
      heap.objects.each_with_index do |object, index|
        next unless (index % 7).zero?

        line = lines[index]
        file = line["file"] unless ["", "(null)"].include?(line["file"])
        expect(object).to have_attributes(
          address: line["address"], type: line["type"].downcase.to_sym, memsize: line["memsize"] || 0, generation: line["generation"],
          file: file, method_name: line["method"], slot_size: line["slot_size"],
          reference_count: references_of(line).size, imemo: line["imemo_type"], frozen?: line["frozen"] == true,
          old?: line.dig("flags", "old") == true, embedded?: line["embedded"] == true, shared?: line["shared"] == true
        ), line.inspect
        expect(object.line).to eq(line["line"]) if line["line"]&.positive?
        expect(object.length).to eq(line["length"] || line["size"]) if %w[ARRAY HASH].include?(line["type"])
        expect(object.klass&.address).to eq(line["type"] == "IMEMO" || heap[line["class"].to_s.hex].nil? ? nil : line["class"])
      end
    end
  end

  let(:heap) { HeapInspector.analyze(Helpers::DUMP, index: false) }
  let(:object) { heap.objects.where(traced: true, type: :string).first }

  it "is the dump's own line, whole" do
    [object, heap.classes.first, heap.hashes.last].each do |found|
      expect(found.attributes).to eq(objects("ruby-3.1-x86_64")[found.index])
      expect(found.attributes).to be_frozen
    end
  end

  it "has the text that the dump has" do
    lines = objects("ruby-3.1-x86_64")
    heap.strings.limit(40).each { |string| expect(string.value).to eq(lines[string.index]["value"]) }
  end

  it "shows the beginning of a string's text, escaped, and all of itself" do
    Dir.mktmpdir do |folder|
      path = File.join(folder, "texts.json")
      texts = ["short", "x" * 100, "\u202ered\e[2J", nil]
      File.write(path, texts.each_with_index.map { |text, at| Helpers.line(at + 1, **{ value: text }.compact) }.join)
      strings = HeapInspector.analyze(path, index: false).strings
      expected = [/ "short", 40 bytes>\z/, / "x{40}\.\.\.", 40 bytes>/, / "\\u\{202e\}red\\e\[2J", 40 bytes>/, /[^"], 40 bytes>/]
      expect(strings.map(&:inspect)).to match(expected)
      expect(strings.inspect.delete_suffix(">").lines(chomp: true).drop(1)).to match(expected)
      File.write(path, "another file")
      expect([strings.first.inspect, strings.inspect.lines[1]]).to all(match(/40 bytes>$/)).and all(satisfy { |line| !line.include?('"') })
    end
    expect(object.show(limit: 1).to_s).to eq(heap.show(object, limit: 1).to_s)
  end

  it "compares, and is a key" do
    same = heap[object.address]
    expect(object).to eq(same).and eql(same)
    expect(object).not_to equal(same)
    expect({ object => 1 }[same]).to eq(1)
    other = HeapInspector.analyze(Helpers::DUMP, index: false)[object.address]
    expect(object).not_to eq(other)
    expect(object <=> other).to be_nil
    expect(heap.objects.first <=> object).to eq(-1)
    expect(heap.strings.first(5).reverse.sort).to eq(heap.strings.first(5))
  end

  it "matches patterns" do
    matched = case object
              in { type: :string, memsize: 1..., file: String => file, value: _, reachable: true } then file
              end
    expect(matched).to eq(object.file)
    matched = case object
              in { type: :hash } then 1
              else 2
              end
    expect(matched).to eq(2)
  end

  it "becomes a Hash and JSON" do
    expect(object.to_h).to include(index: object.index, address: object.address, memsize: object.memsize, frozen: object.frozen?)
    expect(object.to_h.values).to all(satisfy { |value| !value.nil? })
    expect(JSON.parse(object.to_json)["address"]).to eq(object.address)
  end

  it "knows classes" do
    lines = objects("ruby-3.1-x86_64")
    klass = heap.classes.where(reachable: true).find { |found| found.name == "String" }
    superclass = lines[klass.index]["superclass"]
    expect(klass.superclass.address).to eq(superclass)
    expect(klass.instances.pluck(:address))
      .to eq(lines.select { |line| line["class"] == klass.address && line["type"] != "IMEMO" }.map { |line| line["address"] })
    expect(object.name).to be_nil
    expect(object.instances).to be_empty
  end

  it "names edges" do
    named = HeapInspector.analyze(Helpers::DUMPS.fetch("ruby-3.4-x86_64"), index: false)
    edges = named.objects.where(type: :object).first(50).flat_map(&:references).map(&:edge)
    expect(edges.grep(/\A@\w+/)).not_to be_empty
    array = named.arrays.where(length: 2.., shared: false).find { |found| found.reference_count == found.length }
    expect(array.references.map(&:edge)).to eq([*(0...array.length).map { |place| "[#{place}]" }, "class"])
    expect(array.references.first.object.referrers.map(&:edge)).to include("[0]")
  end

  it "gives what it holds by a name that the dump proves, and says where it cannot" do
    found = HeapInspector.analyze(Helpers::DUMPS.fetch("ruby-3.4-x86_64"), index: false)
    held = found.objects.where(type: :object).first(200).flat_map do |object|
      object.references.select { |reference| reference.certain? && reference.edge&.start_with?("@") }.map { |one| [object, one] }
    end
    expect(held).not_to be_empty
    held.each { |object, reference| expect(object[reference.edge.to_sym]).to eq(reference.object) }
    array = found.arrays.where(length: 2.., shared: false).find { |one| one.reference_count == one.length }
    expect([array[0], array[-1], array[array.length]]).to eq [array.references[0].object, array.references[-2].object, nil]
    hash = found.hashes.find { |one| one.references.any? { |reference| reference.edge&.start_with?('["') } }
    pair = hash.references.each_cons(2).find { |_, value| value.edge&.start_with?('["') }
    expect(hash[pair[0].object.value]).to eq pair[1].object
    expect(hash[pair[0].object]).to eq pair[1].object
    # Ruby 3.1 says nothing of instance variables.
    plain = heap.objects.where(type: :object)
    expect { plain.where(reference_count: 1..).first[:@x] }.to raise_error(HeapInspector::NameUnknown, /does not say by what/)
    expect(plain.where(reference_count: 0).first[:@x]).to be_nil
  end

  it "takes no name of a hostile dump for another" do
    one, two = [1, 2].map { |number| format("0x7f%010x", number * 40) }
    scope = { type: "IMEMO", imemo_type: "env" }
    text = Helpers.line(1, **scope, references: [two], names: ["(outer scope)"])
    text += Helpers.line(2, **scope, references: [one, "0x1"], names: ["(outer scope)", "gone"])
    text += Helpers.line(3, type: "HASH", size: 1, references: [one], names: ['["a"]'])
    named = HeapInspector.analyze(StringIO.new(text)).objects.to_a
    expect([named[0][:none], named[0][:gone], named[0][:"(outer scope)"], named[2]["a"]]).to all(be_nil)
  end

  it "is frozen and shareable, and keeps its heap" do
    expect([object, object.references, object.path_to_root, object.attributes]).to all(satisfy { |list| Ractor.shareable?(list) })
    alone = HeapInspector.analyze(Helpers::DUMP, index: false).strings.first
    GC.start
    expect(alone.type).to eq(:string)
  end

  it "has a location where the file's name is like the words for none, and none where there is none" do
    text = Helpers.text(1, file: "(erb)", line: 12, generation: 1)
    text += Helpers.line(2, type: "ARRAY", generation: 1) + Helpers.line(3, type: "ARRAY")
    text += "#{JSON.generate(type: "ROOT", root: "vm", references: (1..3).map { |number| format("0x7f%010x", number * 40) })}\n"
    named = HeapInspector.analyze(StringIO.new(text))
    expect(named.objects.map(&:location)).to eq(["(erb):12", nil, nil])
    expect(named.objects.map(&:gem)).to match([String, nil, nil])
    expect(named.objects.map(&:directory)).to eq([".", nil, nil])
    held = named.retained.holders.to_h { |holder| [holder.object.index, holder.location] }
    expect(held).to eq({ 0 => "(erb):12", 1 => nil, 2 => nil })
    expect(named.groups(by: :location).map(&:key)).to contain_exactly("(erb):12", "(no Ruby file)", "(untraced)")
    expect(named.objects.where(location: nil).map(&:index)).to eq([1, 2])
    expect(named.objects.where(location: "(untraced)").map(&:index)).to eq([2])
  end

  Helpers::DUMPS.each do |dump, path|
    it "says one by one what columns say, the first time and again, of #{dump}" do
      heap = HeapInspector.analyze(path, index: false)
      names = HeapInspector.const_get(:Native)::ATTRIBUTES
      readers = names.to_h { |name| [name, heap.objects.first.respond_to?("#{name}?") ? :"#{name}?" : name] }
      2.times { readers.each { |name, reader| expect(heap.objects.map(&reader)).to eq(heap.objects.pluck(name)), name.to_s } }
      untouched = HeapInspector.analyze(path, index: false)
      readers.each { |name, reader| expect(untouched.objects.pluck(name)).to eq(heap.objects.map(&reader)), name.to_s }
      # Groups know nothing of the Strings that are kept.
      { class: :class_name, gem: :gem, directory: :directory, encoding: :encoding, struct: :struct, imemo: :imemo }.each do |key, reader|
        groups = heap.objects.group(key).count
        groups = groups.reject { |name, _| name.nil? || /\A\((untraced|no |allocation tracer)/.match?(name) } unless key == :class
        expect(heap.objects.map(&reader).tally.except(nil)).to eq(groups), key.to_s
      end
    end
  end

  it "has one String for all that are named alike" do
    strings = heap.strings.where(traced: true).first(2)
    %i[class_name location gem encoding].each do |name|
      first, *others = strings.first(1).cycle(2).map(&name)
      expect(others).to all(be(first).and(be_frozen)), name.to_s
    end
    expect(strings.map(&:class_name).map(&:object_id).uniq.size).to eq(1)
  end

  it "is the same however many there are" do
    text = (1..66_000).map { |number| Helpers.line(number, memsize: 40 + (number % 7)) }.join
    many = HeapInspector.analyze(StringIO.new(text))
    all = many.objects.to_a
    expect(all.map(&:index)).to eq((0...66_000).to_a)
    expect(all.map(&:memsize)).to eq((1..66_000).map { |number| 40 + (number % 7) })
    addresses = [1, 65_536, 65_537, 66_000].map { |number| format("0x7f%010x", number * 40) }
    expect(all.values_at(0, 65_535, 65_536, -1).map(&:address)).to eq(addresses)
    expect(all.map(&:hash).uniq.size).to be > 65_900
    expect(all.uniq.size).to eq(66_000)
    expect(many.objects.first).not_to eq(many.objects.offset(65_536).first)
  end

  it "outlives collections, and is found again after memory is compacted" do
    code = <<~RUBY
      heap = HeapInspector.analyze(ARGV[0], index: false)
      read = -> (object) { [object.index, object.address, object.class_name, object.location, object.type, object.heap.equal?(heap)] }
      expected = heap.objects.map(&read)
      kept = heap.objects.to_a
      compact = -> { GC.verify_compaction_references(toward: :empty) if GC.respond_to?(:verify_compaction_references) }
      2.times { compact.call; GC.start }
      print kept.map(&read) == expected && kept == heap.objects.to_a
      kept = nil
      GC.start
      compact.call
      print heap.objects.map(&read) == expected
      GC.stress = true
      print heap.objects.limit(20).map(&read) == expected.first(20)
    RUBY
    out, err, = ruby(code, Helpers::DUMP)
    expect(out).to eq("truetruetrue"), err
  end

  it "is read by Ractors until its heap is closed" do
    code = <<~RUBY
      $VERBOSE = nil
      heap = HeapInspector.analyze(ARGV[0], index: false)
      heap.objects.first
      reading = Array.new(2) do
        Ractor.new(heap, Ractor.current) do |heap, main|
          objects, told = heap.objects.to_a, false
          loop do
            objects.each { |object| object.memsize; object.type; object.class_name; object.location; object.address }
            main.send(:read) unless told
            told = true
          end
        rescue HeapInspector::ClosedError
          :closed
        end
      end
      2.times { Ractor.receive }
      heap.close
      print reading.map { |ractor| ractor.respond_to?(:value) ? ractor.value : ractor.take }.inspect
      print (heap.objects.first rescue $!.class)
    RUBY
    out, err, = ruby(code, Helpers::DUMP)
    expect(out).to eq("[:closed, :closed]HeapInspector::ClosedError"), err
  end

  it "is its own copy" do
    expect([object.dup, object.clone, object.clone(freeze: true)]).to all(be(object))
    expect { object.clone(freeze: false) }.to raise_error(ArgumentError, "can't unfreeze HeapInspector::HeapObject")
    expect { Marshal.dump(object) }.to raise_error(TypeError)
    expect { object.instance_variable_set(:@name, 1) }.to raise_error(FrozenError)
  end

  it "is made by heaps alone" do
    expect { described_class.new(heap, 1) }.to raise_error(NoMethodError)
    expect { described_class.allocate.memsize }.to raise_error(TypeError)
    expect(HeapInspector::HeapObject.at(heap, 1).memsize).to eq(heap.objects.to_a[1].memsize)
    expect { HeapInspector::HeapObject.at(heap, heap.object_count) }.to raise_error(HeapInspector::Error, /no object/)
    expect { HeapInspector::HeapObject.at(heap, 1 << 31).memsize }.to raise_error(HeapInspector::Error, /no object/)
  end

  it "lets no control character of a dump through" do
    text = Helpers.text(2, file: "/evil\e]0;x\u0007.rb", line: 1, generation: 1, type: "DATA", struct: "\e[31m", class: nil)
    hostile = HeapInspector.analyze(StringIO.new(text))
    found = hostile.objects.first
    [found.inspect, found.pretty_inspect, hostile.objects.inspect, hostile.objects.pretty_inspect, hostile.show(found).to_s,
     hostile.show(found).inspect].each { |shown| expect(shown).not_to match(/[\u0000-\u0009\u000b-\u001f]/) }
    expect(found.file).to eq("/evil\e]0;x\u0007.rb")
  end
end
