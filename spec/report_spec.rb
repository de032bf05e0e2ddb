# frozen_string_literal: true

require "pp" # rubocop:disable Lint/RedundantRequireStatement -- pretty_inspect comes with it alone

RSpec.describe HeapInspector::Report do
  let(:heap) { HeapInspector.analyze(Helpers::DUMP, index: false) }

  # What the command line prints.
  def printed(*words)
    out, err, status = ruby("exit HeapInspector::CommandLine.run(ARGV)", *words)
    raise err unless status.success?

    out
  end

  def reports
    {
      ["read", Helpers::DUMP] => heap.generations,
      ["summary", Helpers::DUMP, "--lines", "7"] => heap.summary(limit: 7),
      ["top", Helpers::DUMP, "--by", "class,type", "--lines", "5", "--where", "generation=12.."] =>
        heap.groups(by: %i[class type], limit: 5, where: "generation=12.."),
      ["top", Helpers::DUMP, "--by", "file", "--sort", "count", "--lines", "5"] => heap.groups(by: :file, limit: 5, sort: :count),
      ["strings", Helpers::DUMP, "--lines", "6"] => heap.duplicate_strings(limit: 6),
      **graph_reports
    }
  end

  def graph_reports
    address = heap.objects.order(retained_memsize: :desc).limit(30).pluck(:address).last
    {
      ["retained", Helpers::DUMP, "--lines", "5"] => heap.retained(limit: 5),
      ["retained", Helpers::DUMP, "--by", "gem,type", "--lines", "5", "--where", "type!=IMEMO"] =>
        heap.retained(by: %i[gem type], limit: 5, where: "type!=IMEMO"),
      ["dominators", Helpers::DUMP, "--depth", "2"] => heap.dominators(depth: 2),
      ["dominators", Helpers::DUMP, address, "--min", "100"] => heap.dominators(address, min: 100),
      ["path", Helpers::DUMP, address, "--paths", "3"] => heap.paths_to(address, limit: 3),
      ["path", Helpers::DUMP, "--class", "Hash"] => heap.paths_to_class("Hash"),
      ["show", Helpers::DUMP, address, "--lines", "4"] => heap.show(address, limit: 4),
      ["unreachable", Helpers::DUMP, "--lines", "5"] => heap.unreachable(limit: 5),
      ["collections", Helpers::DUMP, "--lines", "5"] => heap.collections(limit: 5),
      ["fragmentation", Helpers::DUMP, "--lines", "5"] => heap.fragmentation(limit: 5)
    }.transform_keys { |words| [*words, "--no-index"] }
  end

  it "prints what the command line prints, in every format" do
    reports.each do |words, report|
      expect(report.to_s).to eq(printed(*words)), words.inspect
      expect("#{report.to_json}\n").to eq(printed(*words, "--format", "json")), words.inspect
      expect(report.to_markdown).to eq(printed(*words, "--format", "markdown")), words.inspect
      expect(report.to_csv).to eq(printed(*words, "--format", "csv")), words.inspect
    end
  end

  # Of what a diff grew by, with which trees, nothing is worked out either.
  it "is made when it is printed, and not before" do
    diff = HeapInspector.diff(heap, heap)
    answers = [*reports.values, *heap.summary.then { |summary| [summary.types, summary.classes] }, heap.unreachable.groups, heap.suspects,
               diff, diff.leaks, diff.growth, diff.growth(by: :holder), diff.suspects]
    documents = answers.map { |answer| answer.instance_variable_get(:@document) }
    answers.each { |answer| answer.inspect && answer.to_a }
    expect(documents.map(&:made?)).to all(be(false))
    answers.each(&:to_csv)
    expect(documents.map(&:made?)).to all(be(true))
    expect(answers.map(&:to_s)).to eq(answers.map(&:to_s)).and all(include("\n"))
  end

  it "prints what was answered before the heap was closed" do
    other = HeapInspector.analyze(Helpers::DUMP, index: false)
    diff = HeapInspector.diff(other, other)
    closed = [other.groups(limit: 3), other.generations, other.summary, other.retained(limit: 3), other.dominators, other.collections,
              other.unreachable, other.fragmentation, other.suspects, other.paths_to_class("Hash"), diff, diff.suspects,
              diff.leaks, diff.growth, diff.growth(by: :holder), diff.growth(by: :path)]
    other.close
    expect(closed.map { |answer| answer.to_s.lines.size }).to all(be > 2)
  end

  it "is printed by several threads at once, as by one" do
    report = heap.dominators(depth: 30, min: 0, limit: nil)
    expect(Array.new(4) { Thread.new { report.to_json } }.map(&:value).uniq).to eq([heap.dominators(depth: 30, min: 0, limit: nil).to_json])
  end

  it "goes on from where printing it was interrupted" do
    report = heap.dominators(depth: 30, min: 0, limit: nil)
    thread = Thread.new { report.to_json }
    Thread.pass until thread.stop? || !thread.alive?
    thread.kill.join
    expect(report.to_json).to eq(heap.dominators(depth: 30, min: 0, limit: nil).to_json)
  end

  it "is a hash of what its JSON says" do
    reports.each_value do |report|
      expect(report.to_h).to eq(JSON.parse(report.to_json, symbolize_names: true))
      expect(report.to_h[:dump]).to eq(Helpers::DUMP)
      expect(JSON.parse(JSON.generate([report])).first["verb"]).to eq(report.to_h[:verb])
    end
  end

  it "fits the width it is given, and is coloured when asked" do
    report = heap.groups(by: :location, limit: 5)
    expect(report.to_s(width: 70).lines(chomp: true).map(&:size)).to all(be <= 70)
    expect(report.to_s(color: true)).to include("\e[1m")
    expect(report.to_s).not_to include("\e")
  end

  it "enumerates" do
    reports.each_value do |report|
      count = 0
      expect(report.each).to be_an(Enumerator).and have_attributes(size: report.to_a.size)
      expect(report.each { |*| count += 1 }).to be(report)
      expect(count).to eq(report.to_a.size)
      expect(report.first).to eq(report.to_a.first)
    end
    expect(heap.summary.to_a.map(&:first)).to eq(HeapInspector::Summary::FACTS)
  end

  it "matches patterns" do
    matched = case heap.summary
              in { object_count: 27_801, untraced: { count: Integer => untraced }, truncated: false } then untraced
              end
    expect(matched).to eq(18_844)
  end

  it "shows itself in IRB, but no more than a screen" do
    all = heap.groups(by: :location)
    shown = all.pretty_inspect.lines(chomp: true)
    expect(shown.first).to match(/\A#<HeapInspector::Groups by location: [\d,]+ groups, 27,801 objects, 3,921,857 bytes>\z/)
    expect(shown.last).to match(/\A\.\.\. \(\d+ more lines; puts shows all\)\z/)
    expect(shown.size).to be < 50
    expect(heap.groups(by: :type).pretty_inspect).to include(heap.groups(by: :type).to_s)
    expect(reports.values.map(&:inspect)).to all(match(/\A#<HeapInspector::\w+ [^\n]{10,100}>\z/))
  end

  it "lets no control character of a dump through" do
    lines = Helpers.text(2, value: "red \e[31m \u0007", file: "/evil\e]0;x\u0007.rb", line: 1, generation: 1)
    heap = HeapInspector.analyze(StringIO.new(lines))
    [heap.groups(by: :file), heap.duplicate_strings].each do |report|
      [report.to_s, report.to_s(color: true).gsub(/\e\[\d*m/, ""), report.to_markdown, report.to_csv, report.to_json, report.inspect,
       report.pretty_inspect].each { |text| expect(text).not_to match(/[\u0000-\u0009\u000b-\u001f]/) }
    end
    expect(heap.groups(by: :file).first.key).to eq("/evil\e]0;x\u0007.rb") # values are raw
    expect(heap.groups(by: :file).first.inspect).not_to match(/[[:cntrl:]]/)
  end
end
