# frozen_string_literal: true

require_relative "living"

# The tracer in a process that does all that moves, ends and interrupts allocations, while it is switched between its modes at random.
# `ALLOCATIONS=1000000000` allocates that many, in some minutes.
RSpec.describe HeapInspector, "and tracing in a storm" do
  include_context "with living processes"
  include_context "with our tracer"

  let(:allocations) { Integer(ENV.fetch("ALLOCATIONS", "4000000")) }
  let(:program) { <<~'RUBY' }
    class Foo; def initialize(text) = @text = text; end
    def make(number) = Foo.new("text #{number}")
    random = Random.new(Integer(ARGV.first))
    keep = Array.new(4_000) { |number| make(number) }
    renew = -> { 200.times { keep[random.rand(keep.size)] = make(0) } }
    # Right, or unknown since it was not traced or is no sample; how many are known.
    check = lambda do
      keep.sample(300, random: random).count do |object|
        site = HeapInspector.allocation(object) or next
        is_right = site.to_h.values_at(:file, :line, :method_name, :class_name) == [__FILE__, 2, "new", "Foo"] &&
                   (site.stack.empty? || site.stack[1].line == 2 && site.stack[1].label.end_with?("make"))
        is_right || raise("wrong: #{site.inspect} of #{object.inspect}")
      end
    end
    modes = %i[full sampled continuous]
    ways = {
      plain: -> { 30_000.times { |number| make(number) } },
      others: -> { 20_000.times { |number| [number.to_s, { number => 1.5 * number }, number..(number + 1)] } },
      threads: -> { Array.new(4) { Thread.new { 5_000.times { |number| make(number) } } }.each(&:join) },
      fibers: lambda do
        fibers = Array.new(40) { Fiber.new { 20.times { |number| make(number); Fiber.yield } } }
        20.times { fibers.each(&:resume) }
      end,
      code: -> { eval("def made_#{random.rand(50)} = #{'"text" + ' * random.rand(9)}make(1).to_s"); GC.start if random.rand(9).zero? },
      stress: -> { GC.stress = true; 2.times { |number| make(number) }; GC.stress = false },
      compact: -> { GC.respond_to?(:compact) && GC.compact },
      collect: -> { GC.start(full_mark: random.rand(2).zero?) },
      forked: lambda do
        _, status = Process.wait2(fork { 3_000.times { |number| make(number) }; GC.start; check.call; exit!(0) })
        raise status.inspect unless status.success?
      end,
      killed: lambda do
        child = fork { loop { make(1) } }
        sleep(random.rand * 0.01)
        Process.kill(:KILL, child)
        Process.wait(child)
      end,
      off: -> { HeapInspector.trace_object_allocations_stop(clear: random.rand(2).zero?) },
      on: -> { HeapInspector.trace_object_allocations_start(mode: modes.sample(random: random), every: [3, 50, 512].sample(random: random)) }
    }
    # Where tracing outlives a Ractor.
    ways[:ractor] = -> { Ractor.new { 3_000.times { Object.new }; nil } } if RUBY_VERSION >= "3.3"
    rare = %i[stress compact collect forked killed ractor]
    order = ways.keys - rare
    resident = -> { File.read("/proc/self/statm").split[1].to_i * 4096 }
    wanted, known, at_first, rounds = Integer(ARGV.last), 0, nil, 0
    HeapInspector.trace_object_allocations_start(mode: :full)
    until (done = GC.stat(:total_allocated_objects)) >= wanted
      way = (rounds += 1) % 12 == 0 ? rare.sample(random: random) : order.sample(random: random)
      ways[way]&.call
      renew.call
      known += check.call
      at_first ||= resident.call if done > wanted / 3
    end
    puts "known #{known}, grown #{resident.call - at_first}"
  RUBY

  it "neither fails, nor grows, nor tells a wrong line" do
    path = File.join(folder, "storm.rb")
    File.write(path, program)
    seed = RSpec.configuration.seed.to_s
    process = living("ARGV.replace([#{seed.dump}, #{allocations.to_s.dump}])\nload #{path.dump}")
    known, grown = process.line(/\Aknown/, 60 + (allocations / 100_000)).scan(/-?\d+/).map(&:to_i)
    expect(known).to be > 1000
    expect(grown).to be < 30 << 20
    expect(process.wait).to be_success, process.rest
    expect(Dir.children(folder)).to eq ["storm.rb"]
  end
end
