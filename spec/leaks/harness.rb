# frozen_string_literal: true

# Runs a program with a planted leak, or with none, and dumps its heap three times as it works.
#
# `ruby PROGRAM.rb DIR` writes DIR/a.json after the warm-up, b.json and c.json each after as much work again, and truth.json with what
# a tool should find. A program requires this file, marks the lines that allocate what leaks with `# LEAK`, and calls `leak`, `leaks`
# or `no_leak` with a block that is one request; the block gets the request's number. Exit status 77: a library is missing.
#
# LEAKS_TRACER=full or sampled traces with the gem's tracer instead of Ruby's, and takes the dumps by the gem; none traces nothing.
# LEAKS_COMPACT=1 compacts the heap before each dump. LEAKS_ROUNDS=100 writes but a.json, after so many requests: a dump of a fresh process.
# LEAKS_LONG=1 does so many requests between two dumps that some 30 of the objects that leak are expected among the samples of a tracer that
# takes one allocation of 512, where the program does not say otherwise.
# LEAKS_COUNT=1 takes the dumps by the gem, which tell how many requests there were.
require "fileutils"
require "json"
require "objspace"
tracer = ENV.fetch("LEAKS_TRACER", nil)
if ENV["LEAKS_COUNT"] || %w[full sampled].include?(tracer)
  $LOAD_PATH.unshift File.expand_path("../../lib", __dir__)
  require "heap_inspector"
end
case tracer
when "none" then nil
when nil then ObjectSpace.trace_object_allocations_start
else HeapInspector.trace_object_allocations_start(mode: tracer)
end

# What any app has in memory from the start: larger than the leak, and it does not grow. Text with a dash is in no dump, which keeps
# the dumps small.
module Boot
  Word = Struct.new(:text, :rank, :tags)
  DICTIONARY = Array.new(800) { |i| Word.new("word number #{i}", i, ["tag#{i % 50}", "lang-en"]) }
  SETTINGS = Array.new(200) { |i| ["setting.#{i}", { default: i, doc: "documentation – of setting #{i} " * 150 }] }.to_h
end

Encoding.default_external = Encoding::UTF_8 # of the programs, whatever the locale

# Makes the dumps and the truth.
class Harness
  MISSING = 77
  # Of two such steps 31 samples are expected where a request leaves one object.
  LONG = 8000

  def initialize(requests, long = LONG)
    @dir = ARGV.fetch(0) { abort "usage: ruby #{$PROGRAM_NAME} DIR" }
    rounds = ENV.fetch("LEAKS_ROUNDS", nil)
    @names = rounds ? %w[a] : %w[a b c]
    requests = long if ENV["LEAKS_LONG"]
    @requests = rounds ? Integer(rounds) : requests
    @each = ENV["LEAKS_LONG"] ? @requests / 6 : 50 # requests for each collection
  end

  def run(truths, at_most: nil, &request)
    FileUtils.mkdir_p(@dir)
    @names.each.with_index do |name, round|
      @requests.times { |i| serve((round * @requests) + i + 1, &request) }
      4.times { GC.start }
      write("#{name}.json") { |file| dump(file) }
    end
    truth = { leaks: truths.map { |leak| complete(**leak) }, at_most:, requests: @requests, named: named? }.compact
    write("truth.json") { |file| file.puts JSON.generate(truth) }
  end

  private

  # Every request makes garbage, and collections come and go: their number is the generation of what is born.
  def serve(number)
    Array.new(20) { |i| { id: i, body: "temporary #{number} #{i}" } }
    yield number
    HeapInspector.count(:requests) if ENV["LEAKS_COUNT"]
    GC.start if (number % @each).zero?
  end

  # Several right answers: the best is first, `…_any` has all.
  def complete(holder:, leaked:, elsewhere: [], mark: "LEAK")
    { holder: Array(holder), leaked: Array(leaked), line: lines(mark) + Array(elsewhere) }.each_with_object({}) do |(key, right), truth|
      truth[key] = right.first
      truth[:"#{key}_any"] = right if right.size > 1
    end
  end

  # Whether the dumps name constants and variables.
  def named? = File.open(File.join(@dir, "#{@names.last}.json"), "rb") { |file| file.gets.match?(/dumper\W+native/) }

  def lines(mark)
    marked = File.foreach($PROGRAM_NAME).with_index(1).filter_map { |text, number| number if text =~ /\S.*# #{mark}\b/ }
    raise "no line is marked with # #{mark}" if marked.empty?

    marked.map { |number| "#{File.basename($PROGRAM_NAME)}:#{number}" }
  end

  def dump(file)
    GC.compact if ENV["LEAKS_COMPACT"]
    return ObjectSpace.dump_all(output: file) unless defined?(HeapInspector)

    ENV["HEAP_INSPECTOR_DIR"] = File.join(File.expand_path(@dir), "run") # two programs dump at a time
    HeapInspector.dump(file, compression: :plain, gc: false, force: true)
  end

  def write(name, &)
    path = File.join(@dir, name)
    FileUtils.rm_f(path) # an old file would keep its mode
    File.open(path, "w", 0o600, &)
  end
end

# Ruby 3.1.2 refuses `&` without a name beside keywords.

# One leak: who keeps it, by constant or variable where that is a class's or module's; the class that grows; arrays where several answers
# are right. elsewhere: a file of a library that allocates it. long: requests between two dumps under LEAKS_LONG.
def leak(holder:, leaked:, elsewhere: [], requests: 300, long: Harness::LONG, &request)
  Harness.new(requests, long).run([{ holder:, leaked:, elsewhere: }], &request)
end

# Several leaks, the heaviest first; each has a mark of its own.
def leaks(*truths, requests: 300, &request)
  Harness.new(requests).run(truths, &request)
end

# None, however it looks. at_most: what three dumps cannot tell from a leak may be named, with this confidence.
def no_leak(requests: 300, at_most: nil, &request)
  Harness.new(requests).run([], at_most:, &request)
end

# Requires libraries that not every machine has.
def needs(*libraries)
  libraries.each { |library| require library }
rescue LoadError => e
  warn "#{File.basename($PROGRAM_NAME)}: #{e.message}"
  exit Harness::MISSING
end
