# frozen_string_literal: true

require_relative "living"

# What our own dumper says beyond Ruby's lines stands where other tools read on: they count the same objects, bytes and references.
RSpec.describe "A dump of ours" do
  include_context "with living processes"

  let(:path) { File.join(folder, "heap.json") }
  let(:lines) { File.foreach(path).map { |line| JSON.parse(line) } }
  let(:objects) { lines.reject { |line| line["type"] == "ROOT" } }

  # With names of all sorts, and with stacks.
  before do
    process = living(<<~RUBY)
      HeapInspector.trace_object_allocations_start(mode: :sampled, every: 4)
      Pair = Struct.new(:left, :right)
      Keys = { symbol: "a", "text" => ["b"], 1 => nil, "quote \\" [references]" => Pair.new("x", ["y"]) }
      Hooks = Array.new(50) { |number| [number, -> { number }] }
      class Request; def initialize = (@references = ["0x1"]; @memsize = "9"); end
      $variable = Array.new(50) { Request.new }
      Thread.new { Thread.current.name = "worker"; Thread.current[:request] = Request.new; Thread.stop }.tap { |one| Thread.pass until one.stop? }
      HeapInspector.dump(#{path.inspect})
    RUBY
    status = process.wait
    expect(status).to be_success, process.rest
    expect(lines.filter_map { |line| line["root"] }).to include("heap_inspector", "heap_inspector_names")
    expect(lines.count { |line| line["names"] }).to be > 1000
  end

  def output(*words, **options)
    out, err, status = Open3.capture3({ "LC_ALL" => "C.UTF-8" }, *words, **options)
    expect(status).to be_success, err
    out
  end

  # The objects that references lead to from the roots, that to a class not counted.
  def reached
    held = objects.to_h { |line| [line["address"], line["references"] || []] }
    left = lines.select { |line| line["type"] == "ROOT" }.flat_map { |line| line["references"] || [] }
    seen = {}
    while (address = left.pop)
      next if seen[address] || !held[address]

      seen[address] = true
      left.concat(held[address])
    end
    seen.size
  end

  it "is read by heapy" do
    lacking("heapy is missing") unless system("heapy", "--version", out: File::NULL, err: File::NULL)
    # It counts every line, those of roots too.
    expect(output("heapy", "read", path).scan(/object count: (\d+)/).sum { |number,| number.to_i }).to eq lines.size
  end

  it "is read by reap" do
    reap = File.join(Helpers::ROOT, "tmp/readers/bin/reap")
    lacking("reap is missing") unless File.executable?(reap)
    types = output(reap, "--count", "1000000", path)[/live memory:\n(.*?)\n\n/m, 1]
    # Its count of what is alive has the root of all.
    expect(types.scan(/\((\d+) objects\)$/).sum { |number,| number.to_i }).to eq reached + 1
    request = objects.find { |line| line["name"] == "Request" && line["type"] == "CLASS" }.fetch("address")
    expect(types[/^Request: .*\((\d+) objects\)$/, 1].to_i).to eq(objects.count { |line| line["class"] == request })
  end

  it "is read by sheap" do
    sheap = ENV.fetch("SHEAP") { Gem::Specification.find_all_by_name("sheap").first&.then { |gem| "#{gem.full_gem_path}/lib/sheap.rb" } }
    skip "there is no gem sheap here, and no SHEAP=path/to/sheap.rb" unless sheap
    told = output(RbConfig.ruby, "-r", File.expand_path(sheap), "-e", <<~RUBY, path)
      all = Sheap::Heap.new(ARGV.fetch(0)).objects
      objects = all.reject(&:root?)
      p [all.size, objects.size, objects.sum(&:memsize), all.sum { |object| object.referenced_addrs.size }]
    RUBY
    references = lines.sum { |line| (line["references"] || []).size }
    # It looks for a comma behind bytes: flags.
    expect(JSON.parse(told)).to eq [lines.size, objects.size, objects.sum { |line| line["flags"] ? line["memsize"] : 0 }, references]
  end

  it "is read by harb" do
    skip "there is no harb in the PATH" unless ENV.fetch("PATH").split(":").any? { |folder| File.executable?(File.join(folder, "harb")) }
    told = output("harb", path, stdin_data: "summary\nquit\n")
    bytes = objects.sum { |line| line["memsize"] || 0 }
    expect(told).to include("total objects: #{objects.size}\n", "total heap memsize: #{bytes} bytes\n")
  end
end
