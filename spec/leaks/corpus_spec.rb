# frozen_string_literal: true

require_relative "corpus"

RSpec.describe Leaks::Leak do
  subject(:leak) { described_class.new(truth) }

  let(:truth) do
    { "holder_any" => ["Journal::BOOK", "Journal@entries", "$journal", "root end_proc"], "leaked_any" => ["Entry", "#<Class"],
      "line_any" => ["journal.rb:4", "gem/core.rb"] }
  end

  def errors(holder: "Journal", class: "Entry", location: "journal.rb:4")
    leak.errors("holder" => holder, "class" => binding.local_variable_get(:class), "location" => location)
  end

  it "takes a holder by its whole name where the dumps name constants and variables" do
    named = described_class.new(truth, named: true)
    expect(["Journal::BOOK", "Journal@entries", "$journal", "root end_proc"]).to all(satisfy { |text| named.holder?(text) })
    others = ["Journal", "Journal::BOOKS", "Journal@", "My::Journal::BOOK", "journal", "", nil]
    expect(others.select { |text| named.holder?(text) }).to be_empty
  end

  it "takes a holder by the class, module or root alone where they do not" do
    ["Journal", "root global_tbl", "root end_proc"].each { |text| expect(errors(holder: text)).to eq [] }
    others = ["Journals", "MyJournal", "Journal::Entry", "Journal::BOOK", "$journal", "", nil]
    expect(others.map { |text| errors(holder: text) }).to all(eq([:holder]))
  end

  it "takes no class for a constant" do
    ledger = described_class.new({ "holder" => "Shop::Billing::Ledger", "leaked" => "Posting", "line" => "a.rb:1" })
    expect(ledger.holder?("Shop::Billing::Ledger")).to be true
    expect(ledger.holder?("Shop::Billing")).to be false
  end

  it "takes a class by its whole name, nameless ones by their beginning" do
    expect(errors(class: "#<Class:0x1234>")).to eq []
    ["Entry2", "Journal::Entry", "#<Module:0x1>", nil].each { |name| expect(errors(class: name)).to eq [:class] }
  end

  it "takes a line in any directory, and any line of a file that is named without" do
    ["/app/journal.rb:4", "/usr/lib/gem/core.rb:99"].each { |text| expect(errors(location: text)).to eq [] }
    ["journal.rb:41", "ajournal.rb:4", "journal_rb:4", "gem/core.rb:9:1", nil].each do |text|
      expect(errors(location: text)).to eq [:location]
    end
  end
end

RSpec.describe Leaks::Verdict do
  let(:command) { instance_double(Leaks::Command, missing: nil, weigh: [2, 1000]) }
  let(:heavy) { { "holder" => "Outbox", "class" => "Mail", "location" => "a.rb:1" } }
  let(:light) { { "holder" => "Metrics", "class" => "Sample", "location" => "a.rb:2" } }
  let(:other) { { "holder" => "Boot", "class" => "Word", "location" => "b.rb:1", "confidence" => "low" } }
  let(:truths) do
    [heavy, light].map { |one| Leaks::Leak.new({ "holder" => one["holder"], "leaked" => one["class"], "line" => one["location"] }) }
  end

  def verdict(three:, one: [], leaks: truths, at_most: nil)
    program = instance_double(Leaks::Program, name: "x", missing: nil, leaks:, at_most:, dumps: %w[a b c])
    allow(command).to receive(:suspects).with("a", "b", "c").and_return(three)
    allow(command).to receive(:suspects).with("c").and_return(one)
    described_class.new(program, command)
  end

  it "wants every leak in its place of the answer to three dumps" do
    expect(verdict(three: [heavy, light, other]).three_dumps).to be_empty
    expect(verdict(three: [light, heavy]).three_dumps.size).to eq 2
    expect(verdict(three: [heavy]).three_dumps).to eq ["no suspect 2"]
  end

  it "wants no suspect where there is no leak" do
    expect(verdict(three: [], leaks: [])).to be_right
    expect(verdict(three: [other], leaks: [])).not_to be_right
  end

  it "lets no more be named than a program allows where there is no leak" do
    low, medium = %w[low medium].map { |confidence| other.merge("confidence" => confidence) }
    expect(verdict(three: [low], leaks: [])).not_to be_right
    expect(verdict(three: [low], leaks: [], at_most: "low")).to be_right
    expect(verdict(three: [low, medium], leaks: [], at_most: "low").three_dumps.size).to eq 1
  end

  it "wants heavy leaks among the first five of one dump, and lets light ones go" do
    expect(verdict(three: [], one: [other, other, other, light, heavy]).one_dump).to be_empty
    expect(verdict(three: [], one: [other, other, other, other, light, heavy]).one_dump).to eq ["Mail is not among 5"]
    allow(command).to receive(:weigh).and_return([1, 1001])
    expect(verdict(three: []).one_dump).to be_empty
  end
end
