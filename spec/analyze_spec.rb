# frozen_string_literal: true

RSpec.describe HeapInspector do
  it "counts the objects of a dump" do
    dump = File.expand_path("../crates/heap_inspector/tests/dumps/ruby-3.1-x86_64.json.zst", __dir__)
    expect(described_class.analyze(dump).object_count).to be > 20_000
  end
end
