# frozen_string_literal: true

# What tests that measure retention take beside those that do not: a block under a matcher, and a suite whose examples all say `retains: 0`.
# Run by `rake bench:retention`; ROUNDS=3 for a quicker look.
#
# Each figure is processor time, since others are at work on the machine, of a process with RSpec and some 250,000 objects; in each round
# every program runs once. Of the rounds the median quotient counts, and where it is above its limit the program ends with 1.
require "open3"
require "rbconfig"
require "tmpdir"
require_relative "table"

ROUNDS = Integer(ENV.fetch("ROUNDS", "7"))
LIB = File.expand_path("../lib", __dir__)

BEFORE = <<~'RUBY'
  require "heap_inspector/rspec"
  KEPT = Array.new(80_000) { |number| { number => number.to_s } }
  4.times { GC.start }

  def cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)

  # Five objects, and what an app does between.
  def work(count, loops)
    number = 0
    while number < count
      made = { number => number.to_s, pair: [number, number.to_s] }
      loop = 0
      loop += 1 while loop < loops
      number += 1
    end
    made.size
  end
RUBY

# Examples of some milliseconds and 3,000 objects, and such that do nothing.
SUITE = <<~'RUBY'
  RSpec.configure do |config|
    config.before(:suite) { $began = cpu }
    config.after(:suite) { puts "took #{cpu - $began}" }
  end
  RSpec.describe "suite" do
    10.times do |group|
      describe "group #{group}" do
        let(:thing) { "x" }
        40.times { |example| it("does #{example}", **METADATA) { WORK.call; expect(thing).to eq "x" } }
      end
    end
  end
RUBY

# A block alone, and under a matcher.
BLOCK = <<~'RUBY'
  include HeapInspector::RSpecMatchers
  block = lambda { WORK.call }
  3.times { block.call }
  began = cpu
  METADATA.empty? ? block.call : (retain_nothing.matches?(block) or abort "it keeps something")
  puts "took #{cpu - began}"
RUBY

# What is measured: the code of one example or block, the program, and how many times as long it may take.
Row = Struct.new(:name, :work, :program, :limit) do
  # Processor seconds, with what is measured or without.
  def take(folder, metadata)
    path = File.join(folder, "it_spec.rb")
    File.write(path, [BEFORE, "METADATA = #{metadata}.freeze", "WORK = -> { #{work} }", program].join("\n"))
    command = program == SUITE ? ["rspec", "-I", LIB, path] : [RbConfig.ruby, "-I#{LIB}", path]
    out, status = Open3.capture2e(*command, chdir: folder)
    abort out unless status.success?
    Float(out[/took ([\d.e-]+)/, 1])
  end
end

ROWS = [
  Row.new("400 examples of 4 ms and 3,000 objects", "work(600, 600)", SUITE, 1.3),
  Row.new("400 examples that do nothing", "", SUITE, nil),
  Row.new("a block of 100,000 objects, in 120 ms", "work(20_000, 600)", BLOCK, 3.0),
  Row.new("a block of 100,000 objects that does nothing else", "work(20_000, 0)", BLOCK, nil)
].freeze

taken = Hash.new { |hash, row| hash[row] = [] }
Dir.mktmpdir("hi") do |folder|
  ROUNDS.times { ROWS.each { |row| taken[row] << [row.take(folder, "{}"), row.take(folder, "{ retains: 0 }")] } }
end

puts "#{RUBY_DESCRIPTION}, #{ROUNDS} rounds"
puts "| | CPU ms without | with | times | at most | met |", "|---|---|---|---|---|---|"
met = ROWS.map do |row|
  without, with = taken[row].transpose.map { |seconds| (Table.median(seconds) * 1000).round(1) }
  times = Table.median(taken[row].map { |alone, measured| measured / alone }).round(2)
  is_met = row.limit.nil? || times <= row.limit
  puts "| #{row.name} | #{without} | #{with} | #{times} | #{row.limit || "-"} | #{row.limit ? is_met : "-"} |"
  is_met
end
puts "", Table.load_average
exit 1 unless met.all?
