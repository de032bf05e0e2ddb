# frozen_string_literal: true

# What tracing costs: nanoseconds of CPU an allocation, bytes a retained object, CPU of a Rails request, and how near the estimates of
# samples come to the truth. All in one run, in turn; each number is the median of the differences to no tracing beside it.
#
#   ruby bench/tracing.rb [rounds]
require_relative "table"
$LOAD_PATH.unshift File.expand_path("../lib", __dir__)
require "heap_inspector"
require "objspace"

ROUNDS = Integer(ARGV.first || "9")
COUNT = 500_000

def cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
def deep(frames, &) = frames.zero? ? yield : deep(frames - 1, &)
TARGETS = [] # rubocop:disable Style/MutableConstant

# Traces while the block runs, in one of the ways that are compared.
def traced(mode)
  case mode
  when :none then return yield
  when :ruby then ObjectSpace.trace_object_allocations_start
  else HeapInspector.trace_object_allocations_start(mode: mode)
  end
  begin
    yield
  ensure
    if mode == :ruby
      ObjectSpace.trace_object_allocations_stop
      ObjectSpace.trace_object_allocations_clear
    else
      HeapInspector.trace_object_allocations_stop(clear: true)
    end
  end
end

MODES = %i[ruby full sampled continuous].freeze

# The CPU seconds of `work` without tracing and in each mode, round by round; first and last without, so that a drift shows. In each it
# was done before, so that what a tracer learns once, lines and stacks, is known; and all begin with the heap collected.
def compare(work)
  Array.new(ROUNDS) do
    [:none, *MODES, :off].to_h do |mode|
      seconds = traced(mode == :off ? :none : mode) do
        work.call
        GC.start
        time(&work)
      end
      [mode, seconds]
    end
  end
end

def time
  start = cpu
  yield
  cpu - start
end

puts "#{RUBY_DESCRIPTION}, #{ROUNDS} rounds"

allocate = lambda do
  deep(25) do
    number = 0
    while number < COUNT
      Object.new
      number += 1
    end
  end
end
rounds = compare(allocate)
puts "\nan allocation, 25 frames deep: #{(Table.median(rounds.map { |times| times[:none] }) * 1e9 / COUNT).round} ns; more by"
[*MODES, :off].each do |mode|
  more = Table.median(rounds.map { |times| times[mode] - times[:none] }) * 1e9 / COUNT
  puts format("  %<mode>-10s %<more>+7.1f ns", mode: mode, more: more)
  limit = { full: 50, sampled: 25, continuous: 3, off: 0.5 }[mode]
  TARGETS << Table.at_most("#{mode}: an allocation, ns more", more, limit, digits: 1) if limit
end

puts "\na retained object"
kept = 300_000
MODES.each do |mode|
  next if mode == :ruby # its table is counted by memsize_of alone

  bytes = traced(mode) do
    before = HeapInspector.tracing_status[:memory]
    list = Array.new(kept) { Object.new }
    list.size && ((HeapInspector.tracing_status[:memory] - before) / kept.to_f)
  end
  puts format("  %<mode>-10s %<bytes>7.2f B", mode: mode, bytes: bytes)
  TARGETS << Table.at_most("#{mode}: bytes a retained object", bytes, mode == :full ? 10 : 0.5)
end

# A list of 50 records rendered by ERB, and a small request, without a server between.
begin
  require "erb"
  require "action_controller/railtie"
  class BenchApp < Rails::Application
    config.eager_load = false
    config.logger = Logger.new(File::NULL)
    config.secret_key_base = "x" * 32
    config.hosts.clear if config.respond_to?(:hosts)
    routes.append do
      get "/list" => "bench#list"
      get "/small" => "bench#small"
    end
  end

  class BenchController < ActionController::Base
    TEMPLATE = "<% @rows.each do |row| %><p><%= row[:name] %>: <%= row[:text] %></p><% end %>"

    def list
      @rows = Array.new(50) { |number| { name: "name #{number}", text: "text #{number}" * 3 } }
      render inline: TEMPLATE
    end

    def small = render(plain: "ok")
  end
  Rails.application = BenchApp.instance
  BenchApp.initialize!
  { "a list of 50 rendered by ERB" => ["/list", 300], "a small request" => ["/small", 600] }.each do |name, (path, count)|
    request = Rack::MockRequest.new(BenchApp)
    rounds = compare(-> { count.times { raise unless request.get(path).status == 200 } })
    puts "\nCPU of a Rails request, #{name} (#{(Table.median(rounds.map { |times| times[:none] }) * 1e6 / count).round} µs): times"
    [*MODES, :off].each do |mode|
      times = Table.median(rounds.map { |taken| taken[mode] / taken[:none] })
      puts format("  %<mode>-10s %<times>5.2f", mode: mode, times: times)
      limit = { full: 1.20, sampled: 1.08, continuous: 1.01 }[mode]
      TARGETS << Table.at_most("#{mode}: CPU of a Rails request, #{name}, times", times, limit) if limit
    end
  end
rescue LoadError => e
  puts "\nno Rails here: #{e.message}"
end

# Ten lines that keep ever less, and others that keep nothing; what each mode says they keep, against the truth. It goes on for some
# seconds, since continuous tracing looks for some hundredths of each.
KEEPING = 45_000
puts "\nbytes alive by line, estimated, beside the truth (greatest error of the ten biggest lines)"
SHARES = [20, 18, 16, 14, 12, 10, 9, 8, 7, 6].freeze
FIRST = __LINE__ + 2
KEEPERS = [
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new },
  ->(list) { list << Object.new }
].freeze
MODES.drop(2).unshift(:full).each do |mode|
  list = []
  said = traced(mode) do
    KEEPING.times do
      SHARES.each_with_index { |share, line| share.times { KEEPERS[line].call(list) } }
      1_500.times { |number| number.to_s * 2 }
    end
    HeapInspector.heap_profile.to_h
  end
  frames = said["frames"]
  line_of = lambda do |at|
    at = frames[at]["parent"] while at && frames[at]["file"].empty?
    at && frames[at]["line"]
  end
  sums = said["rows"].group_by { |row| line_of.call(row["frame"]) }.transform_values { |rows| rows.sum { |row| row["inuse_objects"] } }
  told = SHARES.each_index.map { |line| sums.fetch(FIRST + line, 0.0) }
  errors = SHARES.each_with_index.map { |share, line| ((told[line] / (KEEPING.to_f * share)) - 1).abs }
  ordered = told == told.sort.reverse
  puts "  #{mode.to_s.ljust(10)} #{(errors.max * 100).round(1)} %, in #{ordered ? "the same" : "another"} order"
  TARGETS << Table.at_most("#{mode}: the ten biggest lines, greatest error in %", errors.max * 100, 15, digits: 1) unless mode == :full
end

puts "", Table.targets(TARGETS), "", Table.load_average
