# frozen_string_literal: true

# What taking a dump costs beside `ObjectSpace.dump_all` in a fork, and until the first answer: `ruby bench/dumps.rb [objects]`, run by
# `rake bench:dump`. Some four million objects by default; ROUNDS=3 for a quicker look.
#
# One process that holds orders dumps itself in each way, in turn; medians count. CPU is that of the processes that were forked.
require "objspace"
require "tmpdir"
require_relative "table"
$LOAD_PATH.unshift File.expand_path("../lib", __dir__)
require "heap_inspector"

ORDERS = Integer(ARGV.first || "4000000") / 5
ROUNDS = Integer(ENV.fetch("ROUNDS", "5"))
COMMAND = File.expand_path("../target/release/heap_inspector", __dir__)

# Five objects.
class Order
  def initialize(number)
    @number = number
    @items = [number, number + 1]
    @name = "order #{number}"
    @options = { number: number, kind: "book" }
  end
end
KEPT = Array.new(ORDERS) { |number| Order.new(number) }
LEAKED = [] # rubocop:disable Style/MutableConstant
GC.start

def clock = Process.clock_gettime(Process::CLOCK_MONOTONIC)

# Seconds of wall and of the children's processor.
def take
  used = Process.times.then { |times| times.cutime + times.cstime }
  start = clock
  yield
  [clock - start, Process.times.then { |times| times.cutime + times.cstime } - used]
end

WAYS = {
  "`ObjectSpace.dump_all` in a fork" => lambda do |path|
    pid = Process.fork do
      File.open(path, "w") { |file| ObjectSpace.dump_all(output: file) }
      exit!
    end
    Process.wait(pid)
  end,
  "`HeapInspector.dump`" => ->(path) { HeapInspector.dump(path, gc: false) },
  "`HeapInspector.dump(compression: :zstd)`" => ->(path) { HeapInspector.dump(path, gc: false, compression: :zstd) },
  "`HeapInspector.dump(format: :heap)`" => ->(path) { HeapInspector.dump(path, gc: false, format: :heap) }
}.freeze
RUBY, LINES, PACKED, COLUMNS = WAYS.keys

# Wall, CPU and bytes of each way.
def dumps(folder)
  taken = Hash.new { |hash, way| hash[way] = [] }
  path = File.join(folder, "heap")
  ROUNDS.times do
    WAYS.each do |name, way|
      taken[name] << [*take { way.call(path) }, File.size(path)]
      File.delete(path)
    end
  end
  taken.transform_values { |rounds| rounds.transpose.map { |numbers| Table.median(numbers) } }
end

# How many times as long the walk itself takes with names, into lines.
def names(folder)
  native = HeapInspector.module_eval("Dump; Native", __FILE__, __LINE__)
  File.open(File.join(folder, "lines"), "w") do |file|
    walk = lambda do |has_names|
      file.rewind
      start = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
      native.walk_heap(file.fileno, has_names, true, nil)
      Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - start
    end
    walk.call(true)
    Table.median(Array.new(ROUNDS) { [walk.call(false), walk.call(true)] }.map { |without, with| with / without })
  end
end

# Three dumps of a process that leaks, copied to another folder, and the first `suspects` of the copies: seconds and bytes.
def answer(folder, way)
  seconds = 0.0
  copies = Array.new(3) do |number|
    path = File.join(folder, "heap")
    copy = File.join(folder, "copy#{number}")
    seconds += take do
      WAYS.fetch(way).call(path)
      IO.copy_stream(path, copy)
    end.first
    File.delete(path)
    LEAKED.concat(Array.new(2000) { |order| Order.new(order) })
    copy
  end
  seconds += take { system(COMMAND, "suspects", *copies, "--no-index", out: File::NULL, exception: true) }.first
  bytes = copies.sum { |copy| File.size(copy) }
  copies.each { |copy| File.delete(copy) }
  [seconds, bytes]
end

# A network or disk between the two machines.
RATE = 100 * 1e6

Dir.mktmpdir("hi", File.directory?("/dev/shm") ? "/dev/shm" : nil) do |folder|
  ENV["HEAP_INSPECTOR_DIR"] = File.join(folder, "run")
  figures = dumps(folder)
  by_ruby, by_lines, by_columns = figures.values_at(RUBY, LINES, COLUMNS)
  puts "#{RUBY_DESCRIPTION}, #{GC.stat(:heap_live_slots)} objects, medians of #{ROUNDS}", ""
  puts Table.markdown(["", "wall s", "CPU s", "MB", "wall / dump_all"], figures.map do |name, (wall, used, bytes)|
    [name, wall.round(2), used.round(2), (bytes / 1e6).round(1), (wall / by_ruby.first).round(3)]
  end)
  answers = [RUBY, COLUMNS].to_h { |way| [way, Array.new(2) { answer(folder, way) }.last] }
  carried = ->((wall, bytes)) { wall + (bytes / RATE) }
  header = ["three dumps, copied, and the first `suspects`", "s", "MB", "s, carried at 100 MB/s"]
  puts "", Table.markdown(header, answers.map do |name, taken|
    [name, taken.first.round(2), (taken.last / 1e6).round(1), carried[taken].round(2)]
  end)
  ours, theirs = answers.values_at(COLUMNS, RUBY)
  puts "", Table.targets([
                           Table.at_most("ndjson, wall / dump_all", by_lines.first / by_ruby.first, 0.5),
                           Table.at_most("heap file with names, wall / dump_all", by_columns.first / by_ruby.first, 0.125, digits: 3),
                           Table.at_most("heap file, bytes / ndjson packed with zstd", by_columns.last / figures[PACKED].last.to_f, 1),
                           Table.at_most("the walk with names / without, CPU", names(folder), 1.5),
                           Table.at_most("until the first answer / by dump_all, on one machine", ours.first / theirs.first, 0.25),
                           Table.at_most("the same, carried at 100 MB/s", carried[ours] / carried[theirs], 0.25)
                         ])
end
puts "", Table.load_average
