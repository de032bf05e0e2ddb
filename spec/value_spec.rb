# frozen_string_literal: true

RSpec.describe HeapInspector::Value do
  let(:sum) { { count: 2, memsize: 80, references: 3 } }

  it "is made of its values by name, and of no others" do
    total = HeapInspector::Total.new(**sum)
    expect(total).to have_attributes(**sum, frozen?: true, to_h: sum)
    expect(total).to eq(HeapInspector::Total.new(**sum.to_a.reverse.to_h)).and have_attributes(hash: HeapInspector::Total.new(**sum).hash)
    wrong = [sum.except(:count), sum.merge(more: 1), sum.except(:count).merge(more: 1), {}]
    wrong.each do |values|
      expect { HeapInspector::Total.new(**values) }
        .to raise_error(ArgumentError, /HeapInspector::Total has the values count, memsize, references, not #{values.keys.join(", ")}/)
    end
    expect { HeapInspector::Total.new(2, 80, 3) }.to raise_error(ArgumentError)
  end

  it "takes from an answer what it has a name for" do
    expect(HeapInspector::Total.of({ **sum, more: 1 }, references: nil)).to eq(HeapInspector::Total.new(**sum, references: nil))
    expect { HeapInspector::Total.of({ count: 2 }) }.to raise_error(KeyError, /memsize/)
    expect(HeapInspector::Rest.unless_none(0, sum)).to be_nil
    expect(HeapInspector::Rest.unless_none(4, sum)).to have_attributes(rows: 4, memsize: 80)
  end

  # What becomes of an answer's parts: numbers, words, flags, none, lists, objects, texts that are frozen.
  it "has parts that cannot be changed, and objects of its heap" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    answers = [heap.retained(limit: 3), heap.collections(limit: 3), heap.unreachable(limit: 3), heap.fragmentation(limit: 3),
               heap.groups(by: %i[class line frozen generation], limit: 50), heap.dominators(limit: 3), heap.paths_to_class("Hash")]
    values = answers.flat_map { |answer| answer.flat_map(&:deconstruct) }
    others = (values + values.flatten).grep_v(HeapInspector::HeapObject) # which says of its original whether that was frozen
    expect(others.map(&:frozen?)).to all(be(true))
    expect(values.flatten.map(&:class).uniq).to include(String, Integer, Float, NilClass, TrueClass, FalseClass, HeapInspector::HeapObject)
    objects = values.grep(HeapInspector::HeapObject)
    expect(objects.map { |object| heap[object.address] }).to eq(objects)
    expect(Ractor.shareable?(answers.first.to_a.freeze)).to be(true)
  end
end
