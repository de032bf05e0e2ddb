# frozen_string_literal: true

require "yard"

RSpec.describe "The list of questions" do
  let(:list) { HeapInspector.const_get(:Questions)::LIST }

  # What an option of the command line is called in Ruby.
  let(:names) { { lines: "limit:", by: "by:", sort: "sort:", depth: "depth:", min: "min:", retained: "retained:", except: "except:" } }

  before(:all) do
    YARD::Registry.clear
    YARD::Logger.instance.enter_level(YARD::Logger::ERROR) { YARD.parse(["#{Helpers::ROOT}/lib/**/*.rb"]) }
  end

  def documented(method)
    YARD::Registry.at(method.start_with?("HeapInspector.") ? method : "HeapInspector::#{method}")
  end

  it "names methods that are there and have a comment" do
    list.each do |question|
      expect(question[:methods]).not_to be_empty
      question[:methods].each { |method| expect(documented(method)&.docstring.to_s).not_to be_empty, method }
    end
  end

  # paths_to has a limit of its own for one object and for many, which stands in its body.
  it "has the defaults of these methods" do
    compared = list.flat_map do |question|
      (question[:methods] - ["Heap#paths_to", "HeapInspector.diff"]).flat_map do |method|
        question[:options].filter_map do |option, default|
          parameter = documented(method).parameters.assoc(names[option])
          next if parameter.nil?

          # YARD takes the comma behind it for a part of it on some Rubies.
          literal = eval(parameter.last.delete_suffix(",")) # rubocop:disable Security/Eval -- a literal of our own
          expect(literal).to eq(default), "#{method}: #{option} is #{literal.inspect} there, and #{default.inspect} in the list"
          [method, option]
        end
      end
    end
    expect(compared.size).to be > 20
    expect(compared).to include(["Heap#groups", :lines], ["Heap#dominators", :depth], ["Heap#show", :lines], ["Diff#growth", :by])
  end

  it "has the defaults of what a diff prints" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    options = list.find { |question| question[:name] == "diff" }[:options]
    diff = HeapInspector.diff(heap, heap)
    expect(diff.to_h[:growth]).to eq(diff.growth(by: options[:by], limit: options[:lines], retained: options[:retained]).to_h[:growth])
    printed, = ruby("HeapInspector::CommandLine.run(ARGV)", "diff", Helpers::DUMP, Helpers::DUMP, "--no-index", "--format", "json")
    expect("#{diff.to_json}\n").to eq(printed)
  end

  it "has the defaults of paths_to" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    options = list.find { |question| question[:name] == "path" }[:options]
    object = heap.hashes.where(reachable: true).first
    expect(heap.paths_to(object).to_s).to eq(heap.paths_to(object, limit: options[:paths]).to_s)
    many = heap.paths_to(where: { class: "Hash" })
    expect(many.to_a).to eq(heap.paths_to(where: { class: "Hash" }, limit: options[:lines]).to_a)
  end

  it "has all options that the methods have, under one name" do
    known = { "Heap#groups" => %i[by sort lines], "Heap#unreachable" => %i[by sort lines], "Heap#retained" => %i[by lines],
              "Heap#dominators" => %i[by depth min lines], "Heap#suspects" => %i[lines except], "Diff#suspects" => %i[lines except],
              "Diff#growth" => %i[by retained lines] }
    known.each do |method, options|
      question = list.find { |one| one[:methods].include?(method) }
      expect(question[:options].keys).to include(*options)
      expect(documented(method).parameters.map(&:first)).to include(*names.values_at(*options)), method
    end
  end

  # A picture of one object is drawn by the command line alone.
  it "has what can be drawn drawn in Ruby, too, and nothing else" do
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    asked = list.select { |question| question[:dumps].end && !question[:word]&.fetch(:needed) }
    answers = asked.to_h { |question| [question, [heap.public_send(question[:methods].first.delete_prefix("Heap#"))]] }
    path = list.find { |question| question[:name] == "path" }
    answers[path] = [heap.paths_to(heap.hashes.where(reachable: true).first), heap.paths_to_class("Hash")]
    answers.each do |question, reports|
      drawn = %w[dot folded flamegraph].select { |format| reports.any? { |report| report.respond_to?(:"to_#{format}") } }
      expect(drawn).to eq(question[:formats] & %w[dot folded flamegraph]), question[:name]
    end
    expect(answers.size).to be > 9
  end

  it "is read without the extension" do
    out, err, = ruby(<<~RUBY)
      require "rake"
      require "heap_inspector/tasks"
      puts Rake::Task.tasks.map(&:name)
      puts $LOADED_FEATURES.grep(/heap_inspector_ext|heap_inspector.heap/)
    RUBY
    tasks = list.map { |question| "heap:#{question[:name]}" } + %w[heap:convert heap:dump heap:fleet heap:ps heap:redact]
    expect([out.lines(chomp: true), err]).to eq([tasks.sort, ""])
  end
end
