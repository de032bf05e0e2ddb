# frozen_string_literal: true

RSpec.describe HeapInspector::Relation do
  let(:heap) { HeapInspector.analyze(Helpers::DUMP, index: false) }
  let(:all) { objects("ruby-3.1-x86_64") }

  def addresses(objects)
    objects.map { |object| object["address"] }
  end

  def location(object)
    "#{object["file"]}:#{object["line"]}" if object["file"]
  end

  # What a plain reader selects for conditions.
  def conditions
    {
      { type: :string } => ->(object) { object["type"] == "STRING" },
      { type: %i[array hash], frozen: false } => ->(object) { %w[ARRAY HASH].include?(object["type"]) && !object["frozen"] },
      { memsize: 100..1000 } => ->(object) { (object["memsize"] || 0).between?(100, 1000) },
      { generation: 12..., traced: true } => ->(object) { object["generation"]&.>=(12) },
      { generation: nil, type: "struct" } => ->(object) { !object["generation"] && object["type"] == "STRUCT" },
      { file: /leak|rubygems/ } => ->(object) { object["file"]&.match?(/leak|rubygems/) },
      { type: :array, length: 3.. } => ->(object) { object["type"] == "ARRAY" && object["length"] >= 3 },
      { type: :hash, length: [0, 5] } => ->(object) { object["type"] == "HASH" && [0, 5].include?(object["size"]) },
      { reference_count: 10.. } => ->(object) { (object["references"]&.size || 0) >= 10 },
      { line: 1..40 } => ->(object) { object["line"]&.between?(1, 40) },
      { frozen: true, not: { type: :string } } => ->(object) { object["frozen"] && object["type"] != "STRING" }
    }
  end

  it "selects what a plain reader selects" do
    conditions.each do |where, test|
      expected = all.select(&test)
      expect(expected).not_to be_empty, where.inspect unless where.key?(:file)
      relation = heap.objects.where(where)
      expect(relation.pluck(:address)).to eq(addresses(expected)), where.inspect
      expect(relation.count).to eq(expected.size)
      expect(relation.sum(:memsize)).to eq(expected.sum { |object| object["memsize"] || 0 })
      expect(heap.objects.not(where).count).to eq(heap.object_count - expected.size), where.inspect unless where.size > 1
    end
  end

  it "joins conditions with and, or and not" do
    strings = heap.where(type: :string)
    big = heap.where(memsize: 200..)
    expected = all.select { |object| object["type"] == "STRING" || (object["memsize"] || 0) >= 200 }
    expect(strings.or(big).pluck(:address)).to eq(addresses(expected))
    expect(strings.or(big).where(frozen: true).pluck(:address)).to eq(addresses(expected.select { |object| object["frozen"] }))
    expect(strings.and(big).count).to eq(strings.where(memsize: 200..).count)
    expect(strings.or(big).count + strings.and(big).count).to eq(strings.count + big.count)
    expect(heap.where.not(type: :string, frozen: true).count)
      .to eq(all.count { |object| object["type"] != "STRING" && !object["frozen"] })
    expect(strings.and(heap.arrays)).to be_empty
    expect(heap.where(reachable: true).where(reachable: false)).to be_none
    other = HeapInspector.analyze(Helpers::DUMP, index: false)
    expect { strings.or(other.strings) }.to raise_error(ArgumentError, /another heap/)
  end

  it "orders, limits and leaves out" do
    ordered = all.each_with_index.sort_by { |object, index| [-(object["memsize"] || 0), index] }.map { |object, _| object["address"] }
    relation = heap.objects.order(memsize: :desc)
    expect(relation.pluck(:address)).to eq(ordered)
    expect(relation.limit(5).pluck(:address)).to eq(ordered.first(5))
    expect(relation.offset(3).limit(5).pluck(:address)).to eq(ordered[3, 5])
    expect(relation.offset(3).limit(5).offset(2).limit(9).pluck(:address)).to eq(ordered[5, 3])
    expect(relation.last(2).map(&:address)).to eq(ordered.last(2))
    expect(relation.first.address).to eq(ordered.first)
    expect(relation.reverse_order.first(3).map(&:memsize)).to eq(relation.last(3).map(&:memsize).reverse)
    expect(relation.offset(heap.object_count + 1).to_a).to eq([])
    expect(relation.limit(10).where(type: :string).count).to eq(relation.first(10).count { |object| object.type == :string })
    by_class = heap.objects.order(:class, generation: :desc).pluck(:class_name, :generation)
    expect(by_class).to eq(by_class.sort_by { |name, generation| [name, -(generation || -1)] })
    expect(heap.objects.top(3).pluck(:address)).to eq(ordered.first(3))
    expect([relation[2], relation[-2]].map(&:address)).to eq(ordered.values_at(2, -2))
    expect([relation[ordered.size], relation[-ordered.size - 1]]).to eq([nil, nil])
  end

  it "measures" do
    strings = heap.strings
    sizes = all.select { |object| object["type"] == "STRING" }.map { |object| object["memsize"] || 0 }
    generations = all.filter_map { |object| object["generation"] }
    expect([strings.sum(:memsize), strings.minimum(:memsize), strings.maximum(:memsize)]).to eq([sizes.sum, *sizes.minmax])
    expect(strings.average(:memsize)).to be_within(1e-9).of(sizes.sum.fdiv(sizes.size))
    expect(heap.objects.average(:generation)).to be_within(1e-9).of(generations.sum.fdiv(generations.size))
    expect(strings.limit(10).sum(:memsize)).to eq(sizes.first(10).sum)
    none = heap.where(class: "Nothing")
    expect([none.count, none.sum(:memsize), none.average(:memsize), none.maximum(:memsize), none.first, none.sample, none.to_a])
      .to eq([0, 0, nil, nil, nil, nil, []])
    expect(strings.sum(&:memsize)).to eq(sizes.sum)
  end

  it "groups" do
    strings = all.select { |object| object["type"] == "STRING" && object["file"] }
    traced = heap.strings.where(traced: true).where.not(file: "(no Ruby file)")
    expect(traced.group(:location).count).to eq(strings.map { |object| location(object) }.tally)
    by_line = strings.group_by { |object| object.values_at("file", "line") }
    sums = by_line.transform_values { |group| group.sum { |object| object["memsize"] } }
    expect(traced.group(:file, :line).sum(:memsize)).to eq(sums)
    sums = heap.objects.group(:type).sum(:memsize)
    expect(sums.values).to eq(sums.values.sort.reverse)
    expect(sums).to eq(heap.groups(by: :type).to_h { |group| [group.key, group.memsize] })
    expect(heap.objects.group(:class).top(3)).to eq(heap.objects.group(:class).sum(:memsize).first(3).to_h)
    expect(heap.objects.group(:class).top(2, :count).values).to eq(heap.objects.group(:class).count.values.first(2))
    expect(heap.objects.group(:type).maximum(:memsize)["STRING"]).to eq(heap.strings.maximum(:memsize))
    expect(heap.objects.group(:type).minimum(:memsize)["STRING"]).to eq(heap.strings.minimum(:memsize))
    expect(heap.objects.group(:type).average(:memsize)["STRING"]).to eq(heap.strings.average(:memsize))
    expect(heap.strings.limit(7).group(:type).count).to eq("STRING" => 7)
  end

  it "plucks what objects say" do
    relation = heap.objects.where(traced: true).limit(200)
    names = %i[index address type class_name memsize generation file line location method_name gem frozen traced bytesize encoding]
    rows = relation.map do |object|
      names.map { |name| object.public_send(%i[frozen traced].include?(name) ? :"#{name}?" : name) }
    end
    expect(relation.pluck(*names)).to eq(rows)
    expect(relation.pluck(:class)).to eq(relation.pluck(:class_name))
    texts = all.first(500).map { |object| object["value"] if object["type"] == "STRING" }
    expect(heap.objects.limit(500).pluck(:value)).to eq(texts)
  end

  it "is Enumerable, lazily" do
    strings = heap.strings
    expect(strings.each).to be_an(Enumerator).and have_attributes(size: strings.count)
    expect(strings.lazy.select(&:frozen?).first(2).size).to eq(2)
    expect(strings.map(&:address)).to eq(strings.pluck(:address))
    expect(strings.find { |string| string.memsize > 100 }.memsize).to be > 100
    expect(strings.count(&:frozen?)).to eq(strings.where(frozen: true).count)
    expect(strings.any?(&:frozen?)).to be(true)
    expect([strings.any?, strings.none?, strings.empty?, strings.exists?(memsize: 1 << 40)]).to eq([true, false, false, false])
    expect(strings.sample(3, random: Random.new(1)).uniq.size).to eq(3)
    expect(strings.include?(strings.first)).to be(true)
    expect(strings.include?(heap.arrays.first)).to be(false)
    expect(strings.size).to eq(strings.to_a.size)
  end

  it "finds by address, among its own" do
    address = heap.strings.first.address
    expect(heap.strings.find(address)).to eq(heap[address])
    expect(heap[address.hex]).to eq(heap[address])
    expect { heap.arrays.find(address) }.to raise_error(HeapInspector::ObjectNotFound, /not among these/)
  end

  it "has short ways to what is asked most" do
    expect(heap.strings.count).to eq(heap.where(type: :string).count)
    expect([heap.hashes, heap.arrays, heap.classes].map { |found| found.first.type }).to eq(%i[hash array class])
    expect(heap.instances_of("String").count).to eq(heap.groups(by: :class)["String"].count)
    expect(heap.instances_of(Hash).count).to eq(heap.groups(by: :class)["Hash"].count)
  end

  it "names what is wrong, and what is right" do
    expect { heap.where(clas: "A") }.to raise_error(ArgumentError, /:clas is unknown; did you mean :class; there are/)
    expect { heap.where(length: "long") }.to raise_error(ArgumentError, /length: expected a number or a range/)
    expect { heap.where(reachable: 1) }.to raise_error(ArgumentError, /reachable: expected true or false/)
    expect { heap.where(memsize: 5..1) }.to raise_error(ArgumentError, /empty/)
    expect { heap.where(3) }.to raise_error(TypeError, /a Hash or a String/)
    expect { heap.objects.order(:memsiz) }.to raise_error(ArgumentError, /did you mean :memsize/)
    expect { heap.objects.order(memsize: :down) }.to raise_error(ArgumentError, /there are asc, desc/)
    expect { heap.objects.sum(:size) }.to raise_error(ArgumentError, /there are address/)
    expect { heap.objects.group(:clas) }.to raise_error(ArgumentError, /did you mean :class/)
    expect { heap.objects.pluck(:adress) }.to raise_error(ArgumentError, /did you mean :address/)
    expect { heap.objects.pluck }.to raise_error(ArgumentError, /needs a name/)
    expect { heap.objects.limit(-1) }.to raise_error(ArgumentError, /limit:/)
    expect { heap.objects.offset(-1) }.to raise_error(ArgumentError, /offset/)
    expect { heap.objects.not("frozen") }.to raise_error(ArgumentError, /in words/)
  end

  it "has its counts and values by property" do
    expect(heap.objects.count(:file)).to eq(all.count { |object| object["file"] })
    expect(heap.strings.distinct.count(:encoding)).to eq(heap.strings.pluck(:encoding).compact.uniq.size)
    expect(heap.objects.distinct.pluck(:type)).to eq(all.map { |object| object["type"].downcase.to_sym }.uniq)
    expect(heap.objects.distinct.limit(5).pluck(:type).uniq.size).to eq(heap.objects.limit(5).pluck(:type).uniq.size)
    expect(heap.objects.count { |object| object.type == :hash }).to eq(heap.hashes.count)
    expect(heap.strings.ids).to eq(addresses(all.select { |object| object["type"] == "STRING" }))
    expect(heap.find(heap.strings.ids.last)).to eq(heap.strings.last)
    expect { heap.objects.count(:fil) }.to raise_error(ArgumentError, /did you mean :file/)
  end

  it "finds by conditions, and each" do
    expect(heap.find_by(class: "Hash")).to eq(heap.instances_of("Hash").first)
    expect(heap.hashes.find_by(length: 10_000_000..)).to be_nil
    expect(heap.hashes.find_each.to_a).to eq(heap.hashes.to_a)
  end

  it "selects by text, as a plain reader does" do
    texts = ->(test) { addresses(all.select { |object| object["type"] == "STRING" && test.call(object["value"]) }) }
    expect(heap.strings.where(value: /leak/i).ids).to eq(texts.call(->(text) { text&.match?(/leak/i) }))
    expect(texts.call(->(text) { text == "class" })).not_to be_empty
    expect(heap.strings.where(value: "class").ids).to eq(texts.call(->(text) { text == "class" }))
    expect(heap.where(value: %w[class module], type: :string).ids).to eq(texts.call(->(text) { %w[class module].include?(text) }))
    expect(heap.strings.where(value: nil).ids).to eq(texts.call(:nil?.to_proc))
    expect(heap.strings.not(value: /leak/i).ids).to eq(texts.call(->(text) { !text&.match?(/leak/i) }))
    expect(heap.strings.where.not(value: nil).count).to eq(texts.call(->(text) { text }).size)
    expect(heap.strings.order(memsize: :desc).where(value: /a/).ids).to eq(heap.strings.where(value: /a/).order(memsize: :desc).ids)
    expect(heap.where(value: "*").ids).to eq(addresses(all.select { |object| object["value"] == "*" }))
    expect { heap.where(value: 3) }.to raise_error(ArgumentError, /value: expected a String, a Regexp or nil/)
  end

  it "suggests what was meant where a name is misspelt and nothing has it" do
    [-> { heap.where(class: "Strng").count }, -> { heap.where(class: "Strng").to_a }, -> { heap.where(class: "string").sum(:memsize) },
     -> { heap.instances_of("Strng").first }, -> { heap.where(class: "Strng").group(:file).count },
     -> { heap.groups(by: :file, where: { class: "Strng" }) }, -> { heap.where(class: "Strng").pluck(:address) }].each do |ask|
      expect(&ask).to raise_error(ArgumentError, /\Awhere: no object has the class "(?:Strng|string)"; did you mean "String"\?\z/)
    end
    expect { heap.where(encoding: "UTF8").count }.to raise_error(ArgumentError, /did you mean "UTF-8"/)
    expect([heap.where(class: :Strng).count, heap.where(class: "Str?g").count, heap.where(class: "Something Else").count]).to eq([0, 0, 0])
    misspelt = heap.instances_of("Strng")
    expect([misspelt.exists?, misspelt.empty?, misspelt.any?, misspelt.none?]).to eq([false, true, false, true])
    expect(heap.where(class: %w[Strng String]).count).to eq(heap.instances_of("String").count)
    expect(heap.strings.where(class: "Hash").count).to eq(0)
    expect(heap.where.not(class: "Strng").count).to eq(heap.object_count)
  end

  it "takes no block where Enumerable's methods do" do
    [-> { heap.where { nil } }, -> { heap.objects.where(type: :hash) { nil } }, -> { heap.objects.not(type: :hash) { nil } },
     -> { heap.where.not(type: :hash) { nil } }, -> { heap.find_by(type: :hash) { nil } }].each do |ask|
      expect(&ask).to raise_error(ArgumentError, /takes conditions and no block; (?:select|reject|find) \{ \|object\| ... \} takes one/)
    end
  end

  it "has groups in another order, only some of them, and each" do
    counts = all.map { |object| object["type"] }.tally
    sums = counts.to_h { |type, _| [type, all.sum { |object| object["type"] == type ? object["memsize"] || 0 : 0 }] }
    groups = heap.objects.group(:type)
    expect(groups.order(:key).count.keys).to eq(counts.keys.sort)
    expect(groups.order(key: :desc).limit(3).count.to_a).to eq(counts.sort.reverse.first(3))
    expect(groups.order(:count).count.values).to eq(counts.values.sort)
    expect(groups.order(memsize: :desc).limit(2).count).to eq(sums.max_by(2, &:last).to_h { |type, _| [type, counts[type]] })
    expect(groups.having(count: 100..1000).count).to eq(counts.select { |_, count| count.between?(100, 1000) })
    expect(groups.having(count: 100..).having(memsize: ...100_000).sum(:memsize))
      .to eq(sums.select { |type, sum| counts[type] >= 100 && sum < 100_000 })
    expect(groups.limit(2).count.to_a).to eq(counts.max_by(2, &:last))
    expect(groups.to_a).to eq(groups.count.to_a)
    expect(groups.map { |type, _| type }).to eq(groups.count.keys)
    expect([groups.each.size, groups.size, groups.limit(0).count]).to eq([counts.size, counts.size, {}])
    two = heap.objects.group(:type, :file)
    expect(two.order(:key).count.keys.map(&:first)).to eq(two.count.keys.map(&:first).sort)
    expect([groups.order(:count).frozen?, Ractor.shareable?(groups.order(:count).having(count: 1..))]).to eq([true, true])
    expect { groups.order(:memsiz) }.to raise_error(ArgumentError, /order: :memsiz is unknown; did you mean :memsize/)
    expect { groups.having(count: "3") }.to raise_error(ArgumentError, /having: count: expected a number or a range/)
    expect { groups.having(3) }.to raise_error(TypeError, /having: expected a Hash, got/)
  end

  it "takes wrong arguments for what they are" do
    wrong = {
      ArgumentError => [
        -> { heap.groups(by: :class, sort: nil) }, -> { heap.duplicate_strings(sort: nil) },
        -> { heap.groups(by: :class, where: "class=\xff".b) },
        -> { heap.groups(by: "\xff".b) }, -> { heap.where(class: "\xff").count }, -> { heap.where(class: "\xff".b.to_sym).count },
        -> { heap.where("class=\xff").count }, -> { heap.where(file: "\xff").count },
        -> { HeapInspector.analyze(Helpers::DUMP, threads: 1 << 64) },
        -> { HeapInspector.analyze(Helpers::DUMP, threads: 1 << 20) }, -> { heap.duplicate_strings(threads: -1) },
        -> { heap.objects.offset(1 << 70) }, -> { heap.objects.order(nil) }, -> { heap.objects.pluck(nil) }, -> { heap.objects.group(nil) },
        -> { heap.objects.average(nil) }, -> { heap.objects.group(:type).top(3, nil) }, -> { heap.retained(by: 5) }
      ],
      TypeError => [
        -> { heap.paths_to_class(5) }, -> { heap.paths_to_class(nil) }, -> { heap.instances_of(nil) }, -> { heap.objects[nil] },
        -> { heap[nil] }, -> { heap.show(Object.new) }
      ]
    }
    wrong.each { |error, asks| asks.each { |ask| expect(&ask).to raise_error(error) { |raised| expect(raised.class).to eq(error) } } }
    expect([heap.where(memsize: 1 << 70).count, heap.where(memsize: 0..(1 << 70)).count]).to eq([0, heap.object_count])
  end

  it "shows the first rows and what all come to" do
    shown = heap.strings.inspect.lines(chomp: true)
    expect(shown.first).to match(/\A#<HeapInspector::Relation: [\d,]+ objects, [\d,]+ bytes:\z/)
    expect(shown.size).to eq(12)
    expect(shown.last).to match(/\A  \.\.\. \([\d,]+ more\)>\z/)
    expect(heap.where(class: "Nothing").inspect).to eq("#<HeapInspector::Relation: 0 objects, 0 bytes>")
  end

  it "is frozen, and shareable between Ractors" do
    relations = [heap.objects, heap.where(class: /S/, file: "a*", memsize: 3..), heap.strings.or(heap.arrays).limit(3),
                 heap.strings.group(:class)]
    expect(relations.map { |relation| [relation.frozen?, Ractor.shareable?(relation)] }.uniq).to eq([[true, true]])
    name = +"String"
    relation = heap.where(class: name)
    expect { name << "s" }.not_to(change { relation.count })
  end
end
