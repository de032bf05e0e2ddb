# frozen_string_literal: true

require "json"
require "tmpdir"

# What a suspect says beside who holds it: verdicts, the faulty reference, its fingerprint, what is known.
RSpec.describe HeapInspector::Suspect do
  shop = (1..3).map { |number| File.join(Helpers::ROOT, "crates/heap_inspector_cli/tests/dumps/shop-#{number}.json.zst") }

  let(:diff) { HeapInspector.diff(*shop, index: false) }
  let(:suspect) { diff.suspects.first }

  it "has a fingerprint that one dump gives it as well" do
    expect(suspect.fingerprint).to match(/\Aleak-\h{6}\z/)
    expect(suspect.normalised_path).to eq(%w[Audit Array Order])
    expect(diff.heaps.last.suspects.find { |one| one.holder == "Audit" }.fingerprint).to eq(suspect.fingerprint)
  end

  it "has a verdict for each step, and the reference to cut" do
    expect(suspect.verdicts.map(&:verdict)).to eq(%i[expected expected expected stuck])
    expect(suspect.verdicts.map(&:fault)).to eq([nil, nil, nil, :faulty])
    expect(suspect.verdicts.last.to_s).to eq("stuck: such objects pile up here")
    expect(suspect.faulty_references).to eq(["Array […] → Order"])
  end

  it "follows the rules of an app" do
    last = diff.suspects(rules: ["Order expected orders are for ever"]).first.verdicts.last
    expect(last).to have_attributes(verdict: :expected, reason: "orders are for ever", fault: nil)
    expect { diff.suspects(rules: ["Order"]) }.to raise_error(ArgumentError, /rules: line 1: "Order" is not a rule/)
    expect { diff.suspects(rules: [1]) }.to raise_error(TypeError, /rules: expected a path or an Array of rules, got/)
  end

  it "has its path judged by the same rules as any other" do
    heap = diff.heaps.last
    order = heap.objects.where(class: "Order").first
    steps = heap.paths_to(order).verdicts.first
    expect(steps.map(&:verdict)).to eq(%i[expected expected unknown unknown])
    expect(steps.map(&:fault)).to eq([nil, nil, :candidate, :candidate])
    expect(heap.paths_to(order, rules: ["Order stuck it is shipped"]).verdicts.first.last).to have_attributes(
      verdict: :stuck, reason: "it is shipped", fault: :candidate
    )
    expect { heap.paths_to(order, rules: ["Order"]) }.to raise_error(ArgumentError, /rules: line 1: "Order" is not a rule/)
    expect { heap.paths_to(where: { class: "Order" }, rules: []) }.to raise_error(ArgumentError, /paths to one object/)
  end

  it "is new or known by its fingerprint" do
    expect(suspect.known).to be_nil
    expect(diff.suspects(known: [suspect.fingerprint]).first.known).to be(true)
    expect(diff.suspects(known: []).first.known).to be(false)
    Dir.mktmpdir do |folder|
      file = File.join(folder, "last.json")
      File.write(file, diff.suspects.to_json)
      expect(diff.suspects(known: file).first.known).to be(true)
    end
    expect { diff.suspects(known: ["leak-1"]) }.to raise_error(ArgumentError, /"leak-1" is not a fingerprint/)
  end

  it "says what cutting would free, and is left out by its fingerprint" do
    expect(suspect).to have_attributes(accumulation_point_count: 1, freed_memsize: 300 * 80, kept_count: 0, also_held_by: [],
                                       also_held_by_more: 0)
    expect(diff.suspects(except: [suspect.fingerprint])).to be_empty
  end
end
