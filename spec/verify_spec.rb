# frozen_string_literal: true

require_relative "live/living"

# Real programs before and after a fix, in processes of their own: one process loads the gem, and forks one for each series.
RSpec.describe "Whether a leak is fixed" do
  include Living

  # What a request does before a fix and after it, and what is right to say.
  pairs = {
    "list" => ["Shop::KEPT << Order.new(n)", "Order.new(n)", "fixed"],
    "cache" => ["Shop::CACHE[n] = Order.new(n)", "Shop::CACHE[n % 10] = Order.new(n)", "fixed"],
    "closure" => ["order = Order.new(n); Shop::HOOKS << -> { order }", "order = Order.new(n); Shop::HOOKS.replace([-> { order }])",
                  "fixed"],
    "text" => ["Shop::LOG << ('line ' * 20)", "Shop::LOG.replace('line ' * 20)", "fixed"],
    "thread" => ["(Thread.current[:orders] ||= []) << Order.new(n)", "Thread.current[:orders] = [Order.new(n)]", "fixed"],
    "half" => ["Shop::KEPT << Order.new(n)", "Shop::KEPT << Order.new(n) if n.even?", "not fixed: better by 50 %"],
    "half of four" => ["4.times { Shop::KEPT << Order.new(n) }", "2.times { Shop::KEPT << Order.new(n) }", "not fixed: better by 50 %"],
    "unchanged" => ["Shop::KEPT << Order.new(n)", "Shop::KEPT << Order.new(n); n.to_s", "not fixed: unchanged"],
    "unchanged cache" => ["Shop::CACHE[n] = Order.new(n)", "Shop::CACHE.store(n, Order.new(n))", "not fixed: unchanged"],
    "another" => ["Shop::KEPT << Order.new(n)", "Audit::ENTRIES << Entry.new(n)", "not fixed: new leak"]
  }.freeze

  program = <<~RUBY
    Order = Struct.new(:number, :lines) { def initialize(number) = super(number, ["a", "b"]) }
    Entry = Struct.new(:number, :text) { def initialize(number) = super(number, "entry of \#{number}") }
    class Shop; KEPT = []; CACHE = {}; HOOKS = []; LOG = +""; end
    class Audit; ENTRIES = []; end
    # Each process serves as much as it does; the counts tell.
    def series(folder, requests, &request)
      Process.wait(fork do
        number = 0
        3.times do |round|
          requests.times { request.call(number += 1) }
          HeapInspector.dump(File.join(folder, "\#{round}.json.zst"), force: true)
        end
      end)
      raise folder unless $?.success?
    end
  RUBY

  before(:context) do
    @folder = Dir.mktmpdir("hi")
    code = pairs.each_with_index.flat_map do |(_, (before, after)), place|
      { "before" => [before, 150], "after" => [after, 220] }.map do |name, (request, requests)|
        folder = File.join(@folder, "#{place}-#{name}")
        FileUtils.mkdir_p(folder)
        "series(#{folder.inspect}, #{requests}) { |n| #{request}; HeapInspector.count(:requests) }"
      end
    end
    told("#{program}#{code.join("\n")}")
  end

  after(:context) { clean }

  def dumps(place, name) = Array.new(3) { |round| File.join(@folder, "#{place}-#{name}", "#{round}.json.zst") }

  it "is told right of ten pairs, five of which are fixed, two half and two not, and one leaks elsewhere" do
    answers = pairs.each_with_index.to_h do |(name, _), place|
      found = HeapInspector.verify(dumps(place, "before"), dumps(place, "after"), index: false)
      [name, [found.outcome.to_s.tr("_", " "), *(found.details unless found.details.empty?)].join(": ")]
    end
    expect(answers).to eq(pairs.transform_values(&:last))
  end

  it "is the exit code of the command, with the rate of each request" do
    out, err, code = command("verify", *dumps(0, "before"), "--format", "json", "--", *dumps(0, "after"))
    expect([err, code]).to eq ["", 0]
    leak = JSON.parse(out)["leaks"]["rows"].first
    expect(leak).to include("fate" => "fixed", "unit" => "requests", "gone" => be > 0.95)
    expect(leak["before_count"]).to be_within(0.05).of(1)
    expect(command("verify", *dumps(5, "before"), "--", *dumps(5, "after")).last).to eq 1
    out, _, code = command("verify", *dumps(0, "after"), "--", *dumps(0, "after"))
    expect(code).to eq 2
    expect(out).to match(/nothing grows in each step of the\s+series before/)
  end

  it "says in Ruby what became of each leak, and refuses what is no series" do
    found = HeapInspector.verify(dumps(9, "before"), dumps(9, "after"), index: false)
    expect(found.map { |leak| [leak.class_name, leak.fate] }).to eq [["Order", :fixed], ["Entry", :new]]
    expect(found.first.before.unit).to eq "requests"
    expect(found.inspect).to eq "#<HeapInspector::Verification not fixed: new leak>"
    expect(HeapInspector.verify(dumps(9, "before"), dumps(9, "after"), leak: found.first.fingerprint, index: false)).to be_fixed
    few = HeapInspector.verify(dumps(9, "before").first(2), dumps(9, "after"), index: false)
    expect([few.outcome, few.reasons.first]).to match([:cannot_tell, /has 2 dumps/])
    expect { HeapInspector.verify([], dumps(9, "after")) }.to raise_error(ArgumentError, /two series/)
    expect { HeapInspector.verify(dumps(9, "before"), dumps(9, "after"), leak: 1) }.to raise_error(TypeError)
  end

  it "is told of suspects of three processes by path" do
    processes = [dumps(0, "before")[0], dumps(7, "before")[1], dumps(5, "before")[2]]
    out, err, code = command("suspects", *processes, "--format", "json")
    expect([err, code]).to eq ["", 0]
    answer = JSON.parse(out)
    first = answer["suspects"].first
    expect(first.values_at("holder", "class", "unit")).to eq %w[Shop::KEPT Order requests]
    expect(first["count_per_unit"]).to be_within(0.05).of(1)
    expect(answer["notes"].map { |note| note["text"] }).to include(/\Athe dumps are of several processes, so it is told by path/)
    growth = HeapInspector.diff(*processes, index: false).growth(by: :path)
    expect(growth.map(&:key)).to include("Shop → Array → Order")
    page = HeapInspector.diff(*processes, index: false).to_html(rules: ["Order stuck it was served"])
    told = JSON.parse(page[%r{<script id="data"[^>]*>(.*?)</script>}m, 1])["suspects"].first
    expect(told).to include("holder" => "Shop::KEPT", "fingerprint" => first["fingerprint"],
                            "rate" => /\A\+1\.00 Order and .* per request\z/)
    expect(told["path"].last).to include("Order", "stuck", "it was served", "the faulty reference")
  end
end
