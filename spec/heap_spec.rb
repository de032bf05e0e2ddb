# frozen_string_literal: true

RSpec.describe HeapInspector::Heap do
  # What an independent count says of a dump: count and bytes by a key.
  def sums(objects, &)
    objects.group_by(&).transform_values { |group| [group.size, group.sum { |object| object["memsize"] || 0 }] }
  end

  def found(groups)
    groups.to_h { |group| [group.key, [group.count, group.memsize]] }
  end

  def tracer?(object)
    object["struct"] == "ObjectTracing/allocation_info_tracer"
  end

  def location(object)
    return "(allocation tracer)" if tracer?(object)
    return "(untraced)" unless object.key?("file") || object.key?("generation")
    return "(no Ruby file)" if [nil, "", "(null)"].include?(object["file"])

    object["line"].to_i.positive? ? "#{object["file"]}:#{object["line"]}" : object["file"]
  end

  Helpers::DUMPS.each do |dump, path|
    context "with the dump of #{dump}" do
      let(:heap) { HeapInspector.analyze(path) }

      it "counts objects and bytes as an independent reader does" do
        expect(heap).to have_attributes(object_count: objects(dump).size, memsize: objects(dump).sum { |object| object["memsize"] || 0 },
                                        path: path, name: path, warnings: [], truncated?: false)
      end

      it "groups by type, location and generation as an independent reader does" do
        expect(found(heap.groups(by: :type, limit: nil))).to eq(sums(objects(dump)) { |object| object["type"] })
        expect(found(heap.groups(by: :location, limit: nil))).to eq(sums(objects(dump)) { |object| location(object) })
        expect(found(heap.generations)).to eq(sums(objects(dump)) { |object| object["generation"] })
      end

      it "summarizes as an independent reader does" do
        traced = objects(dump).select { |object| object.key?("generation") || object.key?("file") }
        roots = lines(dump).select { |line| line["type"] == "ROOT" }
        expect(heap.summary).to have_attributes(
          object_count: objects(dump).size, lines: lines(dump).size, lost_lines: 0,
          shapes: lines(dump).count { |line| line["type"] == "SHAPE" },
          references: objects(dump).sum { |object| Helpers.references(object) },
          traced: HeapInspector::Total.new(count: traced.size, memsize: traced.sum { |object| object["memsize"] || 0 }, references: nil),
          roots: roots.group_by { |root| root["root"] }.transform_values { |group| group.sum { |root| root["references"]&.size || 0 } }
        )
        expect(heap.summary.ruby_series).to include(dump[/\d\.\d/])
      end

      it "finds the duplicate strings that an independent reader finds" do
        texts = objects(dump).select { |object| object["type"] == "STRING" }
                             .filter_map { |object| [object["value"] || next, object["memsize"]] }
                             .reject { |text, _| text.empty? }.group_by(&:first).select { |_, group| group.size > 1 }
        strings = heap.duplicate_strings(limit: nil).reject { |string| string.cut? || string.value.empty? }
        expect(strings.to_h { |string| [string.value, string.count] })
          .to eq(texts.transform_values(&:size).slice(*strings.map(&:value)))
        expect(strings.size).to be > 0.9 * texts.size
        strings.each do |string|
          sizes = texts.fetch(string.value).map(&:last)
          expect(string).to have_attributes(memsize: sizes.sum, wasted: sizes.sum - sizes.max)
        end
      end
    end
  end

  let(:heap) { HeapInspector.analyze(Helpers::DUMP) }

  describe "#groups" do
    it "orders by bytes, count or references" do
      { bytes: :memsize, count: :count, references: :references }.each do |sort, number|
        numbers = heap.groups(by: :class, sort:).map(&number)
        expect(numbers).to eq(numbers.sort.reverse)
      end
    end

    it "sums up what the limit cuts off, and the parts make the whole" do
      all = heap.groups(by: :class, limit: nil)
      some = heap.groups(by: :class, limit: 3)
      expect(all.rest).to be_nil
      expect(some.to_a).to eq(all.first(3))
      expect(some.rest).to have_attributes(rows: all.size - 3, count: all.drop(3).sum(&:count), memsize: all.drop(3).sum(&:memsize))
      expect(some.total).to eq(HeapInspector::Total.new(count: heap.object_count, memsize: heap.memsize, references: all.sum(&:references)))
      expect(all.sum(&:share)).to be_within(1e-9).of(1)
      expect(heap.groups(by: :class, limit: 0)).to be_empty
    end

    it "takes several keys, whose values make an array" do
      groups = heap.groups(by: %i[type frozen])
      expect(found(groups)).to eq(sums(objects("ruby-3.1-x86_64")) { |object| [object["type"], object["frozen"] == true] })
      expect(groups.by).to eq(%i[type frozen])
      expect(heap.groups(by: "type,frozen").to_a).to eq(groups.to_a)
      expect(groups[["STRING", true]]).to be_a(HeapInspector::Group)
    end

    it "has every key that it says it has" do
      HeapInspector::Heap::KEYS.each do |key|
        groups = heap.groups(by: key, limit: nil)
        expect(groups.sum(&:count)).to eq(heap.object_count), key.to_s
      end
    end

    it "names what is wrong, and what is right" do
      expect { heap.groups(by: :clas) }.to raise_error(ArgumentError, /:clas is unknown; did you mean :class; there are app_location/)
      expect { heap.groups(by: []) }.to raise_error(ArgumentError, /needs a key/)
      expect { heap.groups(by: :class, sort: :size) }.to raise_error(ArgumentError, /there are bytes, count, references/)
      expect { heap.groups(by: :class, limit: -1) }.to raise_error(ArgumentError, /limit:/)
      expect { heap.groups(by: :class, limit: 2.5) }.to raise_error(ArgumentError, /limit:/)
      expect { heap.duplicate_strings(threads: 0) }.to raise_error(ArgumentError, /threads:/)
    end
  end

  describe "values" do
    let(:group) { heap.groups(by: :class)["String"] }

    it "match patterns" do
      matched = case group
                in { key: "String", count: Integer => count, share: 0.0..1.0 } then count
                end
      expect(matched).to eq(group.count)
      in_order = case group
                 in [String => key, Integer, Integer, Integer, Float, nil] then key
                 end
      expect(in_order).to eq("String")
    end

    it "are frozen, and equal where they hold the same" do
      same = HeapInspector.analyze(Helpers::DUMP).groups(by: :class)["String"]
      expect(group).to be_frozen.and eq(same).and eql(same)
      expect(group.key).to be_frozen
      expect({ group => 1 }[same]).to eq(1)
      expect(group).not_to eq(heap.groups(by: :class)["Array"])
    end

    it "become hashes and JSON" do
      expect(group.to_h).to include(key: "String", count: group.count, memsize: group.memsize)
      expect(JSON.parse(group.to_json)).to eq(group.to_h.transform_keys(&:to_s))
      expect(JSON.parse({ group: }.to_json)["group"]["key"]).to eq("String")
    end

    it "take exactly their members" do
      expect { HeapInspector::Total.new(count: 1) }.to raise_error(ArgumentError, /has the values count, memsize, references, not count/)
    end
  end

  it "prints a line about itself, never the heap" do
    expect(heap.inspect).to eq("#<HeapInspector::Heap #{Helpers::DUMP.inspect}: 27,801 objects, 3,921,857 bytes>")
    expect(heap.to_s).to eq(heap.inspect)
  end

  it "is the summary as JSON and as a hash" do
    expect(JSON.parse(heap.to_json, symbolize_names: true)).to eq(heap.to_h)
    expect(heap.to_h).to include(schema_version: Integer, verb: "summary", dump: Helpers::DUMP)
  end

  it "is made by loading alone, and cannot be copied half" do
    expect { described_class.new }.to raise_error(NoMethodError)
    expect { described_class.allocate }.to raise_error(TypeError)
    expect { heap.dup.object_count }.to raise_error(TypeError)
  end
end
