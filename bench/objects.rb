# frozen_string_literal: true

# How long questions to a loaded heap take in Ruby: `ruby bench/objects.rb large medium` (see `rake bench`). The load is not counted.
# `first` is the first time a question is asked, `again` the median of the times after it.
#
# sheap (one file of plain Ruby, github.com/jhawthorn/sheap) is asked the same where the gem is installed, or where SHEAP is the path of
# its sheap.rb; not on large dumps, since it keeps a String for each line. Also measures what the Railtie costs an app's boot.
require "json"
require "open3"
require "rbconfig"
require_relative "table"

# One question: its name, and the code that asks heap_inspector and sheap.
Question = Struct.new(:name, :ours, :theirs)

# Questions to a dump, in a process of its own for each of the two, so that neither collects the other's garbage.
class ObjectsBench
  ROOT = File.dirname(__dir__)
  SHEAP = ENV.fetch("SHEAP") { Gem::Specification.find_all_by_name("sheap").first&.then { |gem| "#{gem.full_gem_path}/lib/sheap.rb" } }
  ROUNDS = Integer(ENV.fetch("ROUNDS", 7))

  SUM = ".transform_values { |list| list.sum(&:memsize) }.size"
  QUESTIONS = [
    Question.new("strings, bytes by location", "heap.strings.group(:location).sum(:memsize).size",
                 "heap.strings.group_by(&:location)#{SUM}"),
    Question.new("strings of app/ over a slot, bytes by location",
                 "heap.strings.where(file: /app/, memsize: 41..).group(:location).sum(:memsize).size",
                 "heap.strings.select { |one| one.memsize > 40 && one.file&.match?(/app/) }.group_by(&:location)#{SUM}"),
    Question.new("a million objects, address and memsize of each",
                 "heap.objects.limit(1_000_000).each { |one| one.address; one.memsize }.size",
                 "heap.objects.first(1_000_000).each { |one| one.address; one.memsize }.size"),
    Question.new("a million objects, type and memsize of each",
                 "heap.objects.limit(1_000_000).each { |one| one.type; one.memsize }.size",
                 "heap.objects.first(1_000_000).each { |one| one.type_str; one.memsize }.size"),
    Question.new("instances of a class", "heap.instances_of('Set').count",
                 "heap.instances_of(heap.class_named('Set').first).size"),
    Question.new("what refers to an object", "object.referrers.size", "object.inverse_references.size"),
    Question.new("a path from a root to it", "object.path_to_root.size", "heap.find_path(object).size")
  ].freeze

  OURS = <<~RUBY
    require "heap_inspector"
    heap = HeapInspector.analyze(DUMP, index: false)
    object = heap.instances_of("Set").first
  RUBY
  THEIRS = <<~RUBY
    require ENV.fetch("SHEAP")
    heap = Sheap::Heap.new(DUMP)
    object = heap.instances_of(heap.class_named("Set").first).first
  RUBY
  PROGRAM = <<~'RUBY'
    require "json"
    DUMP, rounds, *questions = ARGV
    clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
    %s
    GC.start
    answers = questions.map do |code|
      question = eval("-> { #{code} }", binding)
      Array.new(Integer(rounds)) { start = clock.call; question.call; clock.call - start }
    end
    puts JSON.generate(answers)
  RUBY

  def initialize(size)
    @size = size
    @dump = "tmp/#{size}.json"
  end

  # @return [String] a table, and what of the promises holds
  def report
    ours = times(OURS, QUESTIONS.map(&:ours), ROUNDS)
    theirs = times(THEIRS, QUESTIONS.map(&:theirs), 2) if SHEAP && @size != "large"
    rows = QUESTIONS.each_with_index.map { |question, at| row(question.name, ours[at], theirs && theirs[at]) }
    ["## Objects in Ruby: #{@size}", *(" (sheap is not measured)" unless theirs), "\n\n", Table.markdown(HEADER, rows), "\n",
     Table.targets(targets(ours, theirs))].join
  end

  # The places of the questions that are mostly Ruby's own time, an object and two calls each, in the first a String too.
  WALKS = [2, 3].freeze

  HEADER = ["", "first ms", "again ms", "sheap first ms", "again ms", "times faster"].freeze

  private

  def times(load, questions, rounds)
    command = [RbConfig.ruby, "-I#{ROOT}/lib", "-e", format(PROGRAM, load), @dump, rounds.to_s, *questions]
    out, status = Open3.capture2({ "SHEAP" => SHEAP }, *command)
    abort "#{load} failed" unless status.success?
    JSON.parse(out).map { |first, *again| [first, again.sort[again.size / 2]] }
  end

  def row(name, ours, theirs)
    [name, *ours.map { |seconds| ms(seconds) }, *(theirs ? theirs.map { |seconds| ms(seconds) } : %w[- -]),
     theirs ? format("%.0f", faster(ours, theirs)) : "-"]
  end

  # Of both times together: what is worked out once is not asked for once only.
  def faster(ours, theirs)
    theirs.sum / ours.sum
  end

  def targets(ours, theirs)
    rows = [Table.at_most("bytes by location of what a filter lets through, ms", ours.first(2).flatten.max * 1000, 50, digits: 1),
            Table.at_most("a million objects, ms", ours.values_at(*WALKS).flatten.max * 1000, 1000, digits: 1)]
    return rows unless theirs

    ratios = ours.zip(theirs).map { |pair| faster(*pair) }
    walks = ratios.slice!(WALKS.first, WALKS.size)
    rows << Table.at_least("over sheap, times, the least of the questions that make no objects", ratios.min, 50, digits: 0)
    rows << Table.at_least("over sheap, times, a walk over objects that makes a String of each", walks.first, 10, digits: 1)
    rows << Table.at_least("over sheap, times, a walk over objects that makes none", walks.last, 10, digits: 1)
  end

  def ms(seconds) = format(seconds < 0.01 ? "%.3f" : "%.1f", seconds * 1000)
end

# What the gem adds to the boot of a Rails app, median of processes that each measure the require and the initializer.
module RailtieCost
  PROGRAM = <<~RUBY
    require "rails"
    require "active_support/ordered_options"
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    require "heap_inspector"
    loaded = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    HeapInspector::Settings.apply(environment: false, agent: false)
    puts (loaded - start) * 1000, (Process.clock_gettime(Process::CLOCK_MONOTONIC) - loaded) * 1000
  RUBY

  def self.report
    runs = Array.new(11) { Open3.capture2(RbConfig.ruby, "-I#{ObjectsBench::ROOT}/lib", "-e", PROGRAM).first.split.map(&:to_f) }
    load, apply = runs.transpose.map { |times| times.sort[times.size / 2] }
    "The Railtie: #{load.round(2)} ms to load, #{apply.round(2)} ms after initialization\n"
  end
end

Dir.chdir(ObjectsBench::ROOT) do
  sizes = ARGV.empty? ? %w[medium large] : ARGV
  warn "sheap is not installed and SHEAP is not set: it is not measured" unless ObjectsBench::SHEAP
  report = [*sizes.map { |size| ObjectsBench.new(size).report }, RailtieCost.report].join("\n")
  File.write("tmp/bench_objects.md", report)
  puts report
end
