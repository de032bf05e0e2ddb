# frozen_string_literal: true

require_relative "living"

# What a process did, in the first line of its dumps.
RSpec.describe "Work" do
  include_context "with living processes"

  let(:path) { File.join(folder, "heap.json.zst") }

  it "is counted by name, and dumps tell it with the time since the process began and its gems" do
    expect(told(<<~RUBY.to_s)).to eq ["{}", { requests: 3, imports: 5 }.inspect]
      p HeapInspector.work
      app = HeapInspector::RequestCounter.new(HeapInspector::RequestCounter.new(->(env) { [200, {}, []] }))
      3.times { app.call({}) }
      HeapInspector.count(:imports)
      HeapInspector.count("imports", 4)
      require "rack"
      HeapInspector.dump(#{path.inspect})
      p HeapInspector.work
    RUBY
    expect(meta(path)).to include("work" => { "requests" => 3, "imports" => 5 }, "uptime" => be_between(0.01, 60))
    expect(meta(path)["gems"]).to include("rack" => Gem::Specification.find_by_name("rack").version.to_s)
    expect(meta(path)).not_to have_key("uncollected")
  end

  it "begins at zero in a fork, whoever holds the lock, and is not lost between threads" do
    expect(told(<<~RUBY)).to eq [{ imports: 1 }, { imports: 40_000 }].map(&:inspect)
      threads = Array.new(4) { Thread.new { 10_000.times { HeapInspector.count(:imports) } } }
      threads.each(&:join)
      busy = Thread.new { loop { HeapInspector.count(:others, 0) } }
      sleep(0.01) until busy.status != "run" || HeapInspector.work.key?(:others)
      Process.wait(fork { HeapInspector.count(:imports) && nil; p HeapInspector.work })
      busy.kill
      p HeapInspector.work.slice(:imports)
    RUBY
  end

  it "of no more sorts than a few is counted, and says so once" do
    process = living("40.times { |number| HeapInspector.count(\"sort \#{number}\") }; p HeapInspector.work.size")
    expect(process.wait).to be_success
    expect(process.rest.lines(chomp: true)).to contain_exactly("32", /more than 32 sorts of work: :"sort 32" is not counted/)
  end

  it "says what is wrong with its words" do
    bad = { "" => ArgumentError, "a" * 61 => ArgumentError, "\xff" => ArgumentError, "\xff".b.to_sym => ArgumentError,
            "a".encode("UTF-16LE") => ArgumentError, nil => TypeError, 1 => TypeError, Object.new => TypeError }
    bad.each do |word, error|
      expect { HeapInspector.count(word) }.to raise_error(error)
      expect { HeapInspector.expect_collected(+"", word) }.to raise_error(error) unless word.nil?
    end
    [-1, 1.5, nil, "1"].each { |number| expect { HeapInspector.count(:imports, number) }.to raise_error(ArgumentError) }
    [nil, true, 1, 1.5, :a].each do |object|
      expect do
        HeapInspector.expect_collected(object)
      end.to raise_error(ArgumentError, /never collected/)
    end
  end

  it "of an Active Job inside of Sidekiq is one job, and what performed it should be gone" do
    need("active_job", "sidekiq")
    expect(told(<<~RUBY)).to eq ["{:jobs=>2}", "2", "[5, 4]"]
      require "active_job"
      hooks = HeapInspector.module_eval("Hooks")
      ActiveJob::Base.prepend(hooks::CountedJobs, hooks::WatchedJobs)
      ActiveJob::Base.logger = Logger.new(nil)
      class Job < ActiveJob::Base
        def perform = 4
      end
      middleware = hooks::SidekiqJobs.new(hooks.watched("jobs"))
      middleware.call(Object.new, {}, "default") { Job.new.perform_now }
      Job.new.perform_now
      p HeapInspector.work, HeapInspector.uncollected[:waiting].clamp(2, 2), [5, middleware.call(Object.new, {}, "default") { 4 }]
    RUBY
  end
end

RSpec.describe "What should be gone" do
  include_context "with living processes"

  let(:path) { File.join(folder, "heap.json.zst") }

  # Nobody waits that long in a test.
  impatient = <<~RUBY
    require "heap_inspector/uncollected"
    HeapInspector.module_eval("Uncollected").then do |it|
      it.send(:remove_const, :GRACE_PERIOD)
      it.const_set(:GRACE_PERIOD, 0)
    end
    class Order; end
    KEPT = []
    def give(count, reason, kept) = count.times { Order.new.then { |it| KEPT << it if kept; HeapInspector.expect_collected(it, reason) } }
  RUBY

  it "is told by status and in dumps where it outlives the grace period and a full collection" do
    lines = told("#{impatient}#{<<~RUBY}")
      give(30, :orders, true)
      give(2000, :gone, false)
      give(3, "of Bob", true)
      HeapInspector.uncollected
      GC.start
      p HeapInspector.uncollected[:left].slice("orders", "of Bob"), HeapInspector.uncollected[:waiting] < 100
      HeapInspector.dump(#{path.inspect}, redact: true)
      puts KEPT[0, 30].map { |order| order.to_s[/0x\\h+/].sub(/0x0*/, "0x") }
    RUBY
    expect(lines[0, 2]).to eq [{ "orders" => 30, "of Bob" => 3 }.inspect, "true"]
    orders, bob = meta(path)["uncollected"].sort_by { |one| -one["count"] }.first(2)
    expect(orders).to include("reason" => "orders", "count" => 30, "seconds" => be_between(0, 30))
    expect(orders["addresses"]).to match_array(lines.drop(2))
    # A reason that is a text is a value.
    expect(bob).to include("reason" => "", "count" => 3)
  end

  it "is not yet left while it is young, and is forgotten by a fork" do
    expect(told(<<~RUBY)).to eq [{ waiting: 1, left: {}, skipped: 0 }, { waiting: 0, left: {}, skipped: 0 }].map(&:inspect)
      KEPT = Object.new
      HeapInspector.expect_collected(KEPT)
      3.times { GC.start; HeapInspector.uncollected }
      puts HeapInspector.uncollected.inspect
      Process.wait(fork { puts HeapInspector.uncollected.inspect })
    RUBY
  end

  it "is waited for in bounds, and told of a process that is asked" do
    process = living("#{impatient}#{<<~RUBY}")
      give(10_050, :orders, true)
      HeapInspector.arm
      HeapInspector.uncollected
      GC.start
      puts 1
      gets
    RUBY
    process.line(/1/)
    out, = command("trace", process.pid.to_s, "status")
    expect(out).to eq "process #{process.pid} does not trace allocations\n" \
                      "process #{process.pid} holds what should be gone: 10,000 orders; a dump tells who holds it\n"
    row = JSON.parse(command("ps", "--format", "json").first).find { |one| one["pid"] == process.pid }
    expect(row["uncollected"]).to eq("waiting" => 0, "left" => { "orders" => 10_000 }, "skipped" => 50)
  end
end
