# frozen_string_literal: true

RSpec.describe "where:" do
  let(:heap) { HeapInspector.analyze(Helpers::DUMP) }

  def count(where)
    heap.groups(by: :type, where:).total.count
  end

  def expected(&)
    objects("ruby-3.1-x86_64").count(&)
  end

  def strange(**fields)
    HeapInspector.analyze(StringIO.new(Helpers.line(1, generation: 1,
                                                       **fields) + Helpers.line(2, generation: 2, file: "/other.rb", line: 1)))
  end

  it "takes types in any case, as symbols and strings" do
    strings = expected { |object| object["type"] == "STRING" }
    expect([:string, "STRING", "String", :STRING].map { |type| count({ type: }) }).to all(eq(strings))
  end

  it "takes arrays as alternatives" do
    expect(count({ type: [:string, "arr*"] })).to eq(expected { |object| %w[STRING ARRAY].include?(object["type"]) })
    expect(count({ type: [] })).to eq(0)
  end

  it "takes classes, names and patterns" do
    strings = heap.groups(by: :class)["String"].count
    expect([String, "String", :String].map { |klass| count({ class: klass }) }).to all(eq(strings))
    expect(count({ class: "Str*" })).to be >= strings
  end

  it "takes numbers and ranges, with and without ends" do
    generation = ->(range) { expected { |object| object["generation"] && range.cover?(object["generation"]) } }
    [12..14, 12...14, 14.., ..12, 0..].each { |range| expect(count({ generation: range })).to eq(generation[range]), range.inspect }
    expect(count({ generation: 12 })).to eq(generation[12..12])
    expect(count({ memsize: 1024..Float::INFINITY })).to eq(expected { |object| (object["memsize"] || 0) >= 1024 })
    expect(count({ memsize: "1KiB.." })).to eq(count({ memsize: 1024.. }))
    expect(count({ memsize: -5..40 })).to eq(count({ memsize: ..40 }))
  end

  it "takes nil and :untraced for no value" do
    untraced = expected { |object| !object.key?("generation") }
    expect(count({ generation: nil })).to eq(untraced)
    expect(count({ generation: :untraced })).to eq(untraced)
    expect(count({ generation: [nil, 12] })).to eq(untraced + count({ generation: 12 }))
  end

  it "takes flags" do
    frozen = expected { |object| object["frozen"] }
    expect(count({ frozen: true })).to eq(frozen)
    expect(count({ frozen: false })).to eq(heap.object_count - frozen)
    expect(count({ wb_protected: true })).to eq(expected { |object| object.dig("flags", "wb_protected") })
  end

  it "takes not:" do
    expect(count({ not: { type: :string } })).to eq(heap.object_count - count({ type: :string }))
    expect(count({ frozen: true, not: { type: %i[string array] } }))
      .to eq(expected { |object| object["frozen"] && !%w[STRING ARRAY].include?(object["type"]) })
  end

  it "takes the words of the command line" do
    expect(count("type=STRING|ARRAY,!frozen")).to eq(count({ type: %i[string array], frozen: false }))
  end

  it "takes symbols, pathnames and classes to the letter, whatever they hold" do
    require "pathname"
    odd = "/srv/a,b|c*[d]{e}!=\\f.rb"
    heap = strange(file: odd, line: 3)
    count = ->(file) { heap.groups(by: :file, where: { file: }).total.count }
    expect([odd.to_sym, Pathname(odd)].map(&count)).to eq([1, 1])
    expect(count["/srv/*"]).to eq(1)
    expect(count[:"/srv/*"]).to eq(0)
  end

  it "matches relative paths below any directory" do
    heap = strange(file: "/srv/app/models/user.rb", line: 3)
    expect(heap.groups(by: :file, where: { file: "app/**" }).map(&:key)).to eq(["/srv/app/models/user.rb"])
  end

  it "names what is wrong, and what is right" do
    {
      { tipe: 1 } => /:tipe is unknown; did you mean :type; there are .*memsize, method/,
      { type: :sting } => /there is no type "sting"; did you mean string; there are object, class, /,
      { "frozn" => true } => /did you mean :frozen/,
      { frozen: 3 } => /frozen cannot be "3"/,
      { generation: "x" } => /is not a number/,
      { generation: 1.5 } => /cannot be 1.5/,
      { generation: 1.5..2.5 } => /whole numbers/,
      { memsize: 5...5 } => /empty/,
      { memsize: nil } => /memsize cannot be/,
      { class: Class.new } => /anonymous/,
      { class: "[" } => /is not a glob pattern/,
      "clas=3" => /there are .*class/
    }.each do |where, message|
      expect { count(where) }.to raise_error(ArgumentError, message), where.inspect
    end
    expect { count(5) }.to raise_error(TypeError, /Hash or a String/)
  end

  it "holds for generations, summary and strings too" do
    expect(heap.generations(where: { type: :string }).total.count).to eq(count({ type: :string }))
    expect(heap.summary(where: { type: :string }).types.map(&:key)).to eq(["STRING"])
    expect(heap.duplicate_strings(where: { generation: nil }).string_count)
      .to be_between(1, heap.duplicate_strings.string_count - 1)
  end
end
