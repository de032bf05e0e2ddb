# frozen_string_literal: true

require "json"
require_relative "living"

# Suites of their own: what RSpec tells of examples that are measured is what it tells of the same ones that are not, and a leak is found
# wherever it stands.
RSpec.describe "RSpec's examples that are measured together" do
  include_context "with living processes"
  include_context "with our tracer"

  # Writes down all that a formatter is told, and whether times make sense.
  formatter = <<~'RUBY'
    class Log
      EXAMPLES = %i[example_finished example_passed example_failed example_pending].freeze
      RSpec::Core::Formatters.register self, :example_group_started, :example_group_finished, :example_started, *EXAMPLES, :message, :event, :stop

      def initialize(out) = @out = out

      EXAMPLES.each do |name|
        define_method(name) do |told|
          example = told.example
          result = example.execution_result
          tell(name, example.full_description, result.status, result.exception&.message, result.pending_message,
               RSpec.current_example.equal?(example), example.metadata.values_at(:pending, :skip))
        end
      end

      def example_started(told) = tell(:started, told.example.location, RSpec.current_example.equal?(told.example))
      def example_group_started(told) = tell(:group, told.group.description)
      def example_group_finished(told) = tell(:group_end, told.group.description)
      def message(told) = tell(told.message)
      def event(_) = tell(:event)

      def stop(told)
        [told.examples, told.failed_examples, told.pending_examples].each { |examples| tell(examples.map(&:id)) }
        results = told.examples.map(&:execution_result)
        tell(results.each_cons(2).all? { |one, other| one.finished_at <= other.started_at })
        tell(results.all? { |one| one.run_time == (one.finished_at - one.started_at).to_f })
      end

      def tell(*words) = @out.puts(words.inspect)
    end
  RUBY

  # Runs a suite: its exit status, what it printed, and what its files have, by name.
  def run(suite, *words, before: "", env: {}, files: {})
    File.write(File.join(folder, "it_spec.rb"), suite)
    File.write(File.join(folder, "before.rb"), "require \"rspec/core/sandbox\"\n#{before}")
    formats = files.flat_map { |name, format| ["-f", format, "-o", name] }
    command = ["rspec", "-I", Living::LIB, "-r", "./before", *words, *formats, "-f", "documentation", "it_spec.rb"]
    out, status = Open3.capture2e(environment.merge(env), *command, chdir: folder)
    [status.exitstatus, out, files.to_h { |name, _| [name, File.read(File.join(folder, name))] }]
  end

  # Everything that can happen to an example. Measured they are if MEASURED is set, and may keep what they like.
  suite = <<~'RUBY'
    require "heap_inspector/rspec"
    MEASURED = ENV["MEASURED"] ? { retains: 1000 } : {}
    $hooked = 0
    RSpec.configure do |config|
      config.around { |example| $hooked += 1; example.run }
      config.around(:each, :again) do |example|
        example.run
        example.example.instance_variable_set(:@exception, nil)
        example.run
      end
      config.after(:suite) { puts "#{$hooked} hooked" }
    end
    RSpec.shared_examples("shared") { it("is shared", **MEASURED) { expect(thing).to eq "x" } }

    RSpec.describe "suite" do
      let(:thing) { "x" }
      before(:context) { @all = [1] }
      after(:context) { puts "all is #{@all}" }
      20.times do |number|
        it("passes #{number}", **MEASURED) do |example|
          expect(@all).to eq [1]
          example.reporter.message("told in #{number}")
          example.reporter.publish(:event) if number == 3
        end
      end
      it("fails", **MEASURED) { raise "no" }
      it("", **MEASURED) { expect(1).to eq 1 }
      it("is not measured") { nil }
      it("is pending", **MEASURED) { pending "later"; raise "x" }
      it("is pending, but passes", **MEASURED) { pending "later" }
      it("skips", **MEASURED) { skip "so" }
      xit("is skipped", **MEASURED) { nil }
      it("is pending by metadata", pending: "y", **MEASURED) { raise "x" }
      it("aggregates", :aggregate_failures, **MEASURED) { expect(1).to eq 2; expect(3).to eq 4 }
      it("mocks", **MEASURED) { expect(thing).to receive(:size).and_return(5); thing.size }
      it("mocks what is not called", **MEASURED) { expect(thing).to receive(:size) }
      it("stops clocks", **MEASURED) do
        allow(Process).to receive(:clock_gettime).and_return(5)
        allow(GC).to receive_messages(start: nil, count: -5)
      end
      tries = 0
      it("is tried again", :again, **MEASURED) { tries += 1; raise "first" if tries == 1 }
      it("runs a suite", **MEASURED) do
        ran = []
        RSpec::Core::Sandbox.sandboxed do
          group = RSpec.describe("inner") { 2.times { |number| it("is #{number}", **MEASURED) { ran << number } } }
          expect(group.run(RSpec::Core::NullReporter)).to be true
        end
        expect(ran.sort).to eq [0, 1]
      end
      it("throws", **MEASURED) { throw :x }
      include_examples "shared"
      context "inner" do
        after { raise "after" if thing == "y" }
        it("is in it", **MEASURED) { nil }
        context "deeper" do
          let(:thing) { "y" }
          include_examples "shared"
          it("fails behind", **MEASURED) { nil }
        end
      end
      context "broken" do
        before(:context) { raise "all" }
        it("is never run", **MEASURED) { nil }
        context("deeper") { it("is never run", **MEASURED) { nil } }
      end
      context("left out") { before(:context) { skip "all" }; it("is never run", **MEASURED) { nil } }
      context "around" do
        around do |example|
          raise "around" if example.description == "b"
          example.run unless example.description == "c"
        end
        %w[a b c d].each { |name| it(name, **MEASURED) { nil } }
      end
    end
  RUBY

  ["--order defined", "--order random:3", "--order random:7 --fail-fast=3", "--order defined --dry-run"].each do |words|
    it "are told as they are without measuring, with #{words}" do
      told = [nil, "1"].map do |measured|
        status, out, files = run(suite, *words.split, before: formatter, env: { "MEASURED" => measured },
                                                      files: { "log" => "Log", "json" => "json" })
        json = JSON.parse(files["json"])
        examples = json["examples"].each { |example| example.delete("run_time") && example["exception"]&.delete("backtrace") }
        [status, out.gsub(/[\d.]+ seconds?/, ""), files["log"].lines, examples, json["summary"].except("duration")]
      end
      expect(told.last).to eq told.first
      expect(told.first[2].size).to be > 30
      expect(told.first[2].last(2)).to eq %W[[true]\n [true]\n]
    end
  end

  leaking = <<~'RUBY'
    require "heap_inspector/rspec"
    KEPT = []
    class Order; end
    $runs = Hash.new(0)
    RSpec.describe "shop", retains: 0 do
      before(:context) { @shared = "all"; ($contexts ||= []) << :before }
      after(:context) { $contexts << :after }
      before { |example| $runs[example.description] += 1 }
      let(:order) { Order.new }
      it("is healthy") { expect(@shared).to eq "all" }
      it("leaks first") { KEPT << order }
      it("has variables") { @own = Order.new }
      it("makes a memo") { $memo ||= Order.new }
      it("replaces") { $last = Order.new }
      it("leaks with all") { KEPT << order if @shared == "all" }
      it("can be run once") { raise "again" if $once; $once = true; KEPT << Order.new }
      it("skips the second time") { skip "now" if $skipped; $skipped = true; KEPT << Order.new }
      it("may leak", retains: 1) { KEPT << Order.new }
      it("is left out", retains: false) { KEPT << Order.new }
      it("leaks last") { KEPT << Order.new }
      describe("inner") { it("is healthy") { nil }; it("leaks within") { KEPT << Order.new } }
    end
    RSpec.configure { |config| config.after(:suite) { puts $contexts.inspect, $runs.to_a.inspect } }
  RUBY
  found = ["shop can be run once", "shop inner leaks within", "shop leaks first", "shop leaks last", "shop leaks with all"]

  %w[defined random:5 random:8 random:13].each do |order|
    it "are found to leak one by one, in #{order} order" do
      status, out, files = run(leaking, "--order", order, before: formatter, files: { "log" => "Log" })
      expect(out.scan(/^rspec \S+ # (.*)$/).flatten.sort).to eq found
      expect([status, out[/\d+ examples, .*/], out[/\[:before.*/]]).to eq [1, "13 examples, 5 failures", "[:before, :after]"]
      expect(out.scan("expected the example to retain no objects a run, but it retains 1\n").size).to eq 4
      runs = JSON.parse(out[/^\[\[.*/]).to_h
      expect(runs).to include("leaks first" => 6, "leaks within" => 6, "can be run once" => 2, "makes a memo" => 2)
      expect(runs).to include("may leak" => 1, "is left out" => 1)
      expect(files["log"].lines.grep(/^\[:example_passed/).size).to eq 8
      expect(files["log"].lines.grep(/^\[:example_failed, .*, :failed, "/).size).to eq 5
      expect(files["log"].lines.last(2)).to eq %W[[true]\n [true]\n]
    end
  end

  it "are found to leak where each is looked at by itself, as with --fail-fast and in another RSpec" do
    _, out, = run(leaking, "--order", "defined", "--fail-fast")
    expect(out).to include("2 examples, 1 failure").and match(/^rspec \S+ # shop leaks first$/)

    other = "RSpec::Core::ExampleGroup.singleton_class.send(:private, :set_ivars)"
    _, out, = run(leaking, before: "#{other}\nat_exit { p RSpec::Core::Example.ancestors.first }")
    expect(out.scan(/^rspec \S+ # (.*)$/).flatten.sort).to eq found
    expect(out).to include("RSpec::Core::Example\n")
  end

  it "are found to leak where others trace between them, or make what is known forgotten" do
    between = <<~RUBY
      require "heap_inspector"
      module Between
        def run(...)
          super.tap do
            HeapInspector.profile { "x" * 10 }
            Ractor.new { nil }.take if description == "replaces" && RUBY_VERSION < "3.3"
          end
        end
      end
      RSpec::Core::Example.prepend(Between)
    RUBY
    _, out, = run(leaking, "--order", "random", before: between)
    expect(out.scan(/^rspec \S+ # (.*)$/).flatten.sort).to eq found
  end

  # Runs examples of a group: the descriptions of those that fail, and all that was printed.
  def failing(examples, *words, before: "")
    suite = "#{before}\nrequire \"heap_inspector/rspec\"\nKEPT = []\nRSpec.describe(\"shop\") do\n#{examples}end"
    _, out, = run(suite, "--order", "defined", *words)
    [out.scan(/^rspec \S+ # shop (.*)$/).flatten, out]
  end

  [[], ["--fail-fast=9"]].each do |words|
    it "are run once where their failures are aggregated, and no more when these come in another run, with #{words}" do
      names, out = failing(<<~'RUBY', *words)
        it("fails", :aggregate_failures, retains: 0) { KEPT << :a; expect(1).to eq 2; expect(3).to eq 4 }
        it("fails later", :aggregate_failures, retains: 0) { KEPT << "x" * 9; [1, 2].each { expect(KEPT.size).to be < 3 } }
        after(:context) { puts "#{KEPT.size} runs" }
      RUBY
      expect(names).to eq ["fails", "fails later"]
      expect(out.scan(/Got \d+ failures/)).to eq ["Got 2 failures"] * 2
      expect([out[/^\d+ runs/], out[/it retains.*/]]).to eq ["3 runs", nil]
    end

    it "may begin threads that end, and none that stay, with #{words}" do
      names, out = failing(<<~'RUBY', *words)
        5.times do |number|
          it("begins one #{number}", retains: 0) { Thread.new { nil } }
          it("lets one end #{number}", retains: 0) { queue = Queue.new; Thread.new { queue.pop }; queue << 1 }
          it("has a block that begins one #{number}") { expect { Thread.new { nil } }.to retain_nothing }
        end
        it("begins a process", retains: 0) { Process.detach(spawn("true")) }
        it("begins one that all use", retains: 0) { $memo ||= Thread.new { sleep }; Thread.new { nil } }
        it("begins one that stays", retains: 0) { Thread.new { sleep } }
        it("leaks beside one", retains: 0) { Thread.new { nil }; KEPT << Object.new }
        it("has a block that leaks beside one") { expect { Thread.new { nil }; KEPT << Object.new }.to retain_nothing }
      RUBY
      expect(names).to eq ["begins one that stays", "leaks beside one", "has a block that leaks beside one"]
      expect(out).to match(/2 in 2 runs: Thread allocated at/)
      expect(out.scan(/, but it retains 1$/).size).to eq 2
    end

    it "may tell the reporter something, with #{words}" do
      names, out = failing(<<~'RUBY', *words)
        it("tells", retains: 0) { |example| example.reporter.message("told " + "x" * 50) }
        it("publishes", retains: 0) { |example| example.reporter.publish(:event, a: "x" * 50) }
        it("leaks", retains: 0) { |example| example.reporter.message("all"); KEPT << Object.new }
      RUBY
      expect([names, out.scan(/it retains.*/)]).to eq [["leaks"], ["it retains 1"]]
      expect(out.scan("told x").size).to eq 1
    end

    it "are not run again when RSpec is to end, with #{words}" do
      names, out = failing(<<~'RUBY', *words)
        2.times do |number|
          it("is interrupted #{number}", retains: 0) { KEPT << Object.new; RSpec.world.wants_to_quit = true if KEPT.size == 3 }
        end
        after(:context) { puts "#{KEPT.size} runs" }
      RUBY
      expect([names, out[/^\d+ runs/]]).to eq [[], "3 runs"]
    end

    it "have passed where another run skips or is pending, with #{words}" do
      names, out = failing(<<~'RUBY', *words)
        runs = Hash.new(0)
        [2, 3, 5].each do |last|
          it("skips in run #{last}", retains: 0) { KEPT << Object.new if (runs[-last] += 1) < last; skip if runs[-last] == last }
          it("waits in run #{last}", retains: 0) { KEPT << Object.new; pending("x") || raise("no") if (runs[last] += 1) == last }
        end
      RUBY
      expect([names, out[/^\d+ examples.*/]]).to eq [[], "6 examples, 0 failures"]
    end

    it "cannot trace in another way, with #{words}" do
      names, out = failing(<<~'RUBY', *words)
        it("traces", retains: 0) { HeapInspector.trace_object_allocations { nil } }
        it("ends tracing", retains: 0) { HeapInspector.trace_object_allocations_stop }
        it("profiles", retains: 0) { HeapInspector.profile { nil } }
        it("has a block", retains: 0) { expect { nil }.to retain_nothing }
      RUBY
      expect(names).to eq ["traces", "ends tracing", "profiles"]
      expect(out.scan(/HeapInspector::Error:\n\s+allocations of this block are being measured/).size).to eq 3
    end

    it "have their variables until all hooks are over, those too that were there before, with #{words}" do
      names, out = failing(<<~'RUBY', *words, before: <<~'BEFORE')
        let(:number) { $numbers += 1 }
        before { @text = "x" * 100 }
        it("is healthy", retains: 0) { number }
        it("leaks", retains: 0) { KEPT << Object.new }
      RUBY
        $numbers = 0
        RSpec.configure do |config|
          config.around { |example| first = number; example.run; puts "#{@text.size} #{number - first}" }
        end
        RSpec.describe("shop") { it("was there before", retains: 0) { KEPT << Object.new }; let(:number) { 0 }; before { @text = "" } }
      BEFORE
      expect(names).to eq ["was there before", "leaks"]
      expect(out.scan(/^\d+ \d+$/).tally).to eq("0 0" => words.empty? ? 6 : 5, "100 0" => words.empty? ? 7 : 6)
    end
  end

  it "are told where one ends the process, and not by a child" do
    status, out, = run(<<~RUBY, "--order", "defined", before: "$stdout.sync = true")
      require "heap_inspector/rspec"
      RSpec.describe "shop", retains: 0 do
        it("is before") { nil } # whose collection is the first, and counts as if it took no time
        it("is first") { nil }
        it("forks") { exit unless (child = fork); Process.wait(child) }
        it("is second") { nil }
        it("ends") { exit 5 }
        it("is never run") { nil }
      end
    RUBY
    expect(status).to eq 5
    expect(out.scan(/^  (?:is|forks).*/)).to eq ["  is before", "  is first", "  forks", "  is second"]
  end

  it "are bisected" do
    _, out, = run(<<~RUBY, "--bisect", "--order", "defined")
      require "heap_inspector/rspec"
      RSpec.describe "shop", retains: 1 do
        8.times { |number| it("is \#{number}") { $broken = true if number == 3 } }
        it("needs all") { raise "broken" if $broken }
      end
    RUBY
    expect(out).to match(%r{^  rspec '?(?:\./)?it_spec\.rb\[1:4,1:9\]})
  end

  it "are measured by several processes at once" do
    File.write(File.join(folder, "it_spec.rb"), leaking)
    command = ["rspec", "-I", Living::LIB, "--order", "random", "-f", "documentation", "it_spec.rb"]
    suites = Array.new(3) { started(command, chdir: folder) }
    expect(suites.map { |process| process.wait.exitstatus }).to eq [1, 1, 1]
    expect(suites.map { |process| process.rest.scan(/^rspec \S+ # (.*)$/).flatten.sort }.uniq).to eq [found]
  end
end
