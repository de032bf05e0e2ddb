# frozen_string_literal: true

# What taking a dump does to the process: how long it takes, and for how long another thread stands still meanwhile. Then what the
# agent and the tracing cost. Run by `rake live:proof`; OBJECTS=200000 for a quicker look.
#
# Each row is a process of its own with a million small objects. An echo thread sleeps for half a millisecond again and again and keeps
# the longest time that this took. fork(2) alone is the floor of all that fork.

require "json"
require "objspace"
require "open3"
require "rbconfig"
require "tmpdir"
require_relative "table"

OBJECTS = Integer(ENV.fetch("OBJECTS", "1000000"))
LIB = File.expand_path("../lib", __dir__)

METHODS = {
  "nothing, for 0.5 s" => "sleep 0.5",
  "fork(2) alone" => "Process.wait(Process.fork { exit!(0) })",
  "dump_all in a thread, as by rbtrace" => "Thread.new { File.open(PATH, 'w') { |io| ObjectSpace.dump_all(output: io) } }.join",
  "HeapInspector.dump, gc: false" => "$file = HeapInspector.dump(PATH, gc: false)",
  "HeapInspector.dump, gc: false, format: :heap" => "$file = HeapInspector.dump(PATH, gc: false, format: :heap)",
  "HeapInspector.dump, gc: true" => "$file = HeapInspector.dump(PATH)"
}.freeze

# Before a program: for how long another thread stood still at most.
STANDSTILL = <<~'RUBY'
  clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
  longest = 0.0
  echo = Thread.new do
    loop do
      start = clock.call
      sleep 0.0005
      longest = [longest, clock.call - start - 0.0005].max
    end
  end
RUBY

PROGRAM = <<~'RUBY'
  require "objspace"
  require "heap_inspector"
  require "heap_inspector/dump" # loading is not what is measured
  PATH, objects, busy, code = ARGV
  $kept = Array.new(Integer(objects) / 2) { |number| [number.to_s] }
  GC.start
  Thread.new { loop { $sum = Array.new(50) { |number| number.to_s }.size } } if busy == "busy"
  sleep 0.2
  longest = 0.0
  start = clock.call
  eval(code)
  total = clock.call - start
  echo.kill
  rss = File.read("/proc/self/status")[/VmRSS:\s+(\d+)/, 1].to_i / 1024
  fork_ms = ($file.fork_seconds * 1000).round(1) if $file
  gc_ms = ($file.gc_seconds * 1000).round(1) if $file
  puts [total.round(2), (longest * 1000).round(1), fork_ms, gc_ms, rss].to_s
RUBY

# The file of a dump's lines; those of a heap file are made.
def lines_of(path)
  return path unless File.binread(path, 5) == "\x91HEAP".b

  made = "#{path}.lines"
  system(RbConfig.ruby, "-I#{LIB}", File.expand_path("../exe/heap_inspector", __dir__), "convert", path, "-o", made, err: File::NULL) ||
    abort("#{path} cannot be converted")
  made
end

# References to objects that are not in the dump, but for those of IMEMO and the machine's stack, which Ruby 3.1 makes up.
def dangling(path)
  return unless File.exist?(path)

  addresses = {}
  references = Hash.new(0)
  File.foreach(lines_of(path)) do |line|
    if (address = line[/\A\{"address":"(0x\h+)"/, 1])
      addresses[address] = true
    end
    next if line.include?('"type":"IMEMO"') || line.start_with?('{"type":"ROOT", "root":"machine_context"')

    line[/"references":\[([^\]]*)\]/, 1]&.scan(/0x\h+/) { |each| references[each] += 1 }
  end
  references.sum { |address, count| addresses.key?(address) ? 0 : count }
end

puts "#{RUBY_DESCRIPTION}, #{OBJECTS} objects"
puts "| method | other threads | total s | longest stall ms | fork ms | gc ms | RSS MiB | dangling |"
puts "|---|---|---|---|---|---|---|---|"
Dir.mktmpdir("hi") do |folder|
  ENV["HEAP_INSPECTOR_DIR"] = File.join(folder, "run")
  %w[idle busy].each do |busy|
    METHODS.each do |name, code|
      path = File.join(folder, "heap.json")
      out, status = Open3.capture2e(RbConfig.ruby, "-I#{LIB}", "-e", STANDSTILL, "-e", PROGRAM, path, OBJECTS.to_s, busy, code)
      abort out unless status.success?

      row = JSON.parse(out.sub("nil", "null").sub("nil", "null")).map { |cell| cell || "-" }
      puts "| #{name} | #{busy} | #{row.join(" | ")} | #{dangling(path) || "-"} |"
      FileUtils.rm_f(path)
    end
  end
end

# What a dump's child has of its own at most: what it shares with its parent is there without it. OBJECTS=8000000 for what is promised.
CHILD = <<~'RUBY'
  require "heap_inspector"
  require "heap_inspector/dump"
  path, objects, format = ARGV
  $kept = Array.new(Integer(objects) / 2) { |number| [number.to_s] }
  GC.start
  most = 0
  watch = Thread.new do
    loop do
      Dir.glob("/proc/self/task/*/children").each do |file|
        File.read(file).split.each do |child|
          own = File.read("/proc/#{child}/smaps_rollup").scan(/^Private_\w+:\s+(\d+)/).sum { |kib,| kib.to_i }
          most = [most, own].max
        end
      rescue SystemCallError
        nil # it is gone
      end
      sleep 0.01
    end
  end
  HeapInspector.dump(path, gc: false, format: format, force: true)
  watch.kill
  rss = File.read("/proc/self/status")[/VmRSS:\s+(\d+)/, 1].to_i
  puts [(most / 1024.0).round(1), rss / 1024, (100.0 * most / rss).round(1)].to_s
RUBY

puts "", "| format | the child's own MiB | the process's MiB | % |", "|---|---|---|---|"
Dir.mktmpdir("hi") do |folder|
  ENV["HEAP_INSPECTOR_DIR"] = File.join(folder, "run")
  %w[ndjson heap].each do |format|
    out, status = Open3.capture2e(RbConfig.ruby, "-I#{LIB}", "-e", CHILD, File.join(folder, "heap"), OBJECTS.to_s, format)
    abort out unless status.success?

    puts "| #{format} | #{JSON.parse(out).join(" | ")} |"
  end
end

# What a look at where the memory is takes in a process of a GiB: in all, of the processor, and for how long another thread stands still. Of
# some looks the median, and of the standstills also the least, since whatever else runs on the machine makes them longer. The agent is
# asked by this process; MEGABYTES=200 for a quicker look.
MEMORY = <<~'RUBY'
  require "heap_inspector"
  megabytes = Integer(ARGV[0])
  $kept = ARGV[1] == "strings" ? Array.new(megabytes * 2100) { |number| "x" * (number % 900) } : Array.new(megabytes * 18_000) { Object.new }
  GC.start
  HeapInspector.arm
  cpu = -> { Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) }
  metrics = HeapInspector::Metrics.new(every: 3600)
  looks = { "memory" => -> { HeapInspector.memory }, "pss" => -> { HeapInspector.memory(pss: true) }, "scrape" => -> { metrics.call({}) },
            "nothing" => -> { sleep 0.03 } }
  $stdout.sync = true
  puts "ready"
  while (line = $stdin.gets&.chomp)
    look = looks[line]
    longest = 0.0 if line == "begin" || look
    start, used = clock.call, cpu.call
    look&.call
    took = [clock.call - start, cpu.call - used]
    sleep 0.02 # whoever stood still is to tell
    puts [*took, longest].to_s
  end
RUBY

LOOKS = 15

def memory_looks(megabytes, kept)
  IO.popen([RbConfig.ruby, "-I#{LIB}", "-e", STANDSTILL, "-e", MEMORY, megabytes.to_s, kept], "r+") do |process|
    abort "the process to look at ended" unless process.gets == "ready\n"
    ask = lambda do |word|
      process.puts(word)
      JSON.parse(process.gets)
    end
    clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
    client, request = HeapInspector.module_eval("[Client, MemoryRequest]", __FILE__, __LINE__)
    outside = { "agent" => -> { client.new(process.pid).ask(:memory) }, "command" => -> { request.look(process.pid) } }
    rss = File.read("/proc/#{process.pid}/status")[/VmRSS:\s+(\d+)/, 1].to_i / 1024
    rows = %w[nothing memory pss scrape].to_h { |word| [word, Array.new(LOOKS) { ask.call(word) }] }
    outside.each do |word, look|
      rows[word] = Array.new(LOOKS) do
        ask.call("begin")
        start = clock.call
        look.call
        [clock.call - start, nil, ask.call("end").last]
      end
    end
    process.close_write
    [rss, rows]
  end
end

LOOKED = {
  "nothing" => "nothing, for 30 ms", "memory" => "`HeapInspector.memory`", "agent" => "asked through the agent",
  "command" => "`heap_inspector memory`, less Ruby's start", "pss" => "`HeapInspector.memory(pss: true)`",
  "scrape" => "a scrape of `HeapInspector::Metrics`"
}.freeze

$LOAD_PATH.unshift(LIB)
require "heap_inspector"
puts "", "| a look at memory | kept | MiB | ms in all | CPU ms | stall ms, least | median | most |", "|---|---|---|---|---|---|---|---|"
Dir.mktmpdir("hi") do |folder|
  ENV["HEAP_INSPECTOR_DIR"] = File.join(folder, "run")
  %w[strings objects].each do |kept|
    rss, rows = memory_looks(Integer(ENV.fetch("MEGABYTES", "1024")), kept)
    LOOKED.each do |word, name|
      times = rows.fetch(word).transpose.map { |values| values.compact.sort.map { |value| (value * 1000).round(1) } }
      took, used, stall = times.map { |values| values[values.size / 2] || "-" }
      puts "| #{name} | #{kept} | #{rss} | #{took} | #{used} | #{times.last.first} | #{stall} | #{times.last.last} |"
    end
  end
end

# What a million allocations cost, and a second of waiting, by what is switched on.
COSTS = {
  "without the gem" => "",
  "required" => "require 'heap_inspector'",
  "armed" => "require 'heap_inspector'; HeapInspector.arm",
  "tracing was on, and is off" => "require 'heap_inspector'; HeapInspector.trace_object_allocations { Object.new }",
  "tracing" => "require 'heap_inspector'; HeapInspector.trace_object_allocations_start"
}.freeze

COST = <<~'RUBY'
  eval(ARGV[0])
  cpu = -> { Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) }
  kept = nil
  rounds = Array.new(5) do
    start = cpu.call
    1_000_000.times { kept = Object.new }
    cpu.call - start
  end
  start = cpu.call
  sleep 10
  puts [(rounds.min * 1000).round, ((cpu.call - start) * 10).round(3)].inspect
RUBY

puts "", "| | ns an allocation | % of a processor while it waits |", "|---|---|---|"
Dir.mktmpdir("hi") do |folder|
  ENV["HEAP_INSPECTOR_DIR"] = File.join(folder, "run")
  COSTS.each do |name, code|
    out, status = Open3.capture2e(RbConfig.ruby, "-I#{LIB}", "-e", COST, code)
    abort out unless status.success?

    puts "| #{name} | #{JSON.parse(out).join(" | ")} |"
  end
end
puts "", Table.load_average
