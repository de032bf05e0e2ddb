# frozen_string_literal: true

# What `HeapInspector.profile { … }` adds to a block, beside memory_profiler (Debian's ruby-memory-profiler): `ruby bench/block_profile.rb`,
# run by `rake bench:profile`. CPU of one process; in each round each way runs once, and the overhead is what it takes more than the block.
require_relative "table"
$LOAD_PATH.unshift File.expand_path("../lib", __dir__)
require "heap_inspector"
require "json"
require "memory_profiler"
require "erb"

ROUNDS = Integer(ENV.fetch("ROUNDS", "7"))
KEPT = [] # rubocop:disable Style/MutableConstant
TEXT = JSON.generate((1..2000).map { |number| { id: number, name: "name #{number}", tags: %w[a b] } })
TEMPLATE = ERB.new("<% @rows.each do |row| %><p><%= row['name'] %>: <%= row['id'] * 2 %></p><% end %>")

BLOCKS = {
  "parses JSON of 2,000 records and keeps it" => -> { KEPT << JSON.parse(TEXT) },
  "does so ten times" => -> { 10.times { KEPT << JSON.parse(TEXT) } },
  "renders 2,000 records by ERB, ten times" => lambda do
    @rows = JSON.parse(TEXT)
    10.times { TEMPLATE.result(binding) }
  end,
  "makes 100,000 objects and keeps a hundredth" => lambda do
    100_000.times do |number|
      made = number.to_s
      KEPT << made if (number % 100).zero?
    end
  end
}.freeze

def cpu
  KEPT.clear
  GC.start
  start = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
  yield
  Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - start
end

ALONE = ->(block) { block.call }
# Both collect garbage before and after, which is most of what a short block pays.
OURS = ->(block) { HeapInspector.profile(&block) }
THEIRS = ->(block) { MemoryProfiler.report(&block) }

targets = []
rows = BLOCKS.map do |name, block|
  [ALONE, OURS, THEIRS].each { |way| way.call(block) }
  rounds = Array.new(ROUNDS) { [ALONE, OURS, THEIRS].map { |way| cpu { way.call(block) } } }
  alone, ours, theirs = rounds.transpose.map { |seconds| Table.median(seconds) }
  times = (theirs - alone) / (ours - alone)
  targets << Table.at_least("a block that #{name}: overhead of memory_profiler / ours", times, 5, digits: 1)
  [name, *[alone, ours - alone, theirs - alone].map { |seconds| (seconds * 1000).round(1) }]
end
puts "#{RUBY_DESCRIPTION}, memory_profiler #{MemoryProfiler::VERSION}, medians of #{ROUNDS}", ""
puts Table.markdown(["a block that", "CPU ms alone", "more by HeapInspector.profile", "by memory_profiler"], rows)
puts "", Table.targets(targets), "", Table.load_average
