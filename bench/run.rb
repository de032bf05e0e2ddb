# frozen_string_literal: true

# Measures heap_inspector against its peers and limits: `ruby bench/run.rb medium large churn` (see `rake bench`).
#
# In each round every program runs once, one after the other, so that a slow minute of the machine hits all alike; heapy, which takes
# longest, has fewer rounds. Figures are medians. Wall time is of the whole process; `inside` is what programs that report it took
# without their start (DuckDB's query, the load without its process), and is what they are judged by. Peak memory is from GNU time.
require "etc"
require "fileutils"
require "json"
require "open3"
require "tempfile"
require "tmpdir"
require_relative "table"

# A program to measure.
Tool = Struct.new(:name, :command, :rounds) do
  # Runs once: seconds of wall, of CPU, of the work inside where it prints them, and peak bytes.
  def run
    Tempfile.create("time") do |times|
      start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      out, status = Open3.capture2e("time", "-q", "-f", "%U %S %M", "-o", times.path, *command)
      wall = Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
      abort "#{command.join(" ")} failed: #{out.lines.last(5).join}" unless status.success?
      user, system, kib = File.read(times.path).split.map(&:to_f)
      { wall: wall, cpu: user + system, inside: out[/^(\d+\.\d+) s\b/, 1]&.to_f || wall, peak: kib * 1024 }
    end
  end
end

# What was measured of a tool: medians, and the greatest peak.
Figures = Struct.new(:wall, :cpu, :inside, :peak, :rounds) do
  def self.of(runs)
    median = ->(key) { Table.median(runs.map { |run| run[key] }) }
    new(median[:wall], median[:cpu], median[:inside], runs.map { |run| run[:peak] }.max, runs.size)
  end
end

# One dump measured with all tools.
class Bench
  OURS = "target/release/heap_inspector"
  LOAD = "target/release/examples/load"
  DOMINATORS = "target/release/examples/dominators"
  PLAIN = "target/release/examples/plain_dominators"
  REOPEN = "target/release/examples/reopen"
  LIMITS = "target/release/examples/limits"
  PYTHON = "tmp/duckdb/bin/python"
  # harb (github.com/csfrancis/harb) reads a dump and makes its dominator tree before it asks what to show.
  HARB = ENV.fetch("HARB") { ENV.fetch("PATH").split(":").map { |place| "#{place}/harb" }.find { |path| File.executable?(path) } }
  STREAMING = ["read", "read all", "top", "summary", "strings"].freeze
  MIB = 1 << 20

  def initialize(size, rounds:, slow_rounds:)
    @size = size
    @dump = "tmp/#{size}.json"
    @rounds = rounds
    @slow_rounds = slow_rounds
  end

  def run
    make_dump
    dumps.each { |dump| IO.copy_stream(dump, File::NULL) } # into the page cache
    @bytes = dumps.sum { |dump| File.size(dump) }
    runs = Hash.new { |hash, name| hash[name] = [] }
    @rounds.times do |round|
      tools.each do |tool|
        next if round >= tool.rounds

        warn "#{@size}, round #{round + 1}: #{tool.name}"
        FileUtils.rm_rf(tool.command.select { |word| @made && word.start_with?(@made) }) # nothing is overwritten
        runs[tool.name] << tool.run
      end
    end
    @figures = runs.transform_values { |of_tool| Figures.of(of_tool) }
    "## #{@size}: #{mib(@bytes)} MiB, #{objects} objects\n\n#{table}\n#{Table.targets(targets)}"
  ensure
    FileUtils.rm_rf(@made) if @made
  end

  private

  def dumps = [@dump]

  def make_dump
    return if File.exist?(@dump)

    warn "makes #{@dump}"
    system(RbConfig.ruby, "bench/make_dumps.rb", @size, "#{@dump}.part", exception: true)
    File.rename("#{@dump}.part", @dump)
  end

  def tools
    @tools ||= [
      Tool.new("read", [OURS, "read", @dump], @rounds),
      Tool.new("heapy read", ["heapy", "read", @dump], @slow_rounds),
      Tool.new("read all", [OURS, "read", @dump, "all"], @rounds),
      Tool.new("heapy read all", ["heapy", "read", @dump, "all"], @slow_rounds),
      Tool.new("top", [OURS, "top", @dump, "--by", "location"], @rounds),
      Tool.new("DuckDB GROUP BY", [PYTHON, "bench/group_by.py", @dump], @rounds),
      Tool.new("summary", [OURS, "summary", @dump], @rounds),
      Tool.new("strings", [OURS, "strings", @dump], @rounds),
      Tool.new("load, 1 thread", [LOAD, @dump, "1"], @rounds),
      Tool.new("load, 2 threads", [LOAD, @dump, "2"], @rounds),
      Tool.new("load and dominators, 1 thread", [DOMINATORS, @dump, "1"], @rounds),
      Tool.new("load and dominators", [DOMINATORS, @dump], @rounds),
      Tool.new("serde_json and petgraph", [PLAIN, @dump], @slow_rounds),
      *[(Tool.new("harb", ["sh", "-c", 'echo quit | "$0" "$1"', HARB, @dump], @slow_rounds) if HARB)].compact,
      Tool.new("retained, 1 thread", [OURS, "retained", @dump, "--no-index", "--threads", "1"], @rounds),
      Tool.new("suspects, 1 thread", [OURS, "suspects", @dump, "--no-index", "--threads", "1"], @rounds),
      Tool.new("retained", [OURS, "retained", @dump, "--no-index"], @rounds),
      Tool.new("open from the index", [REOPEN, @dump], @rounds), # makes it, where there is none
      Tool.new("retained, from the index", [OURS, "retained", @dump], @rounds),
      Tool.new("suspects", [OURS, "suspects", @dump, "--no-index"], @rounds),
      Tool.new("report", [OURS, "report", @dump, "-o", made("report.html"), "--no-index"], @slow_rounds),
      Tool.new("export heapsnapshot", export("heapsnapshot"), @slow_rounds),
      Tool.new("export parquet", export("parquet"), @slow_rounds),
      Tool.new("newlines", [LIMITS, "newlines", @dump], @rounds),
      Tool.new("serde_json", [LIMITS, "serde_json", @dump], @rounds)
    ]
  end

  def made(name) = File.join(@made ||= Dir.mktmpdir, name)

  def export(format) = [OURS, "export", @dump, "--format", format, "-o", made(format), "--no-index"]

  def objects
    out, = Open3.capture2(LOAD, @dump)
    out[/\A(\d+) objects/, 1].gsub(/(?<=\d)(?=(\d{3})+$)/, ",")
  end

  def table
    newlines = @figures.fetch("newlines").inside
    rows = @figures.map do |name, of|
      [name, seconds(of.wall), seconds(of.inside), seconds(of.cpu), format("%.2f", @bytes / 1e9 / of.inside),
       format("%.1f", of.inside / newlines), mib(of.peak), format("%.2f", of.peak / @bytes.to_f), of.rounds]
    end
    Table.markdown(["", "wall s", "inside s", "CPU s", "GB/s", "x newlines", "peak MiB", "peak / file", "rounds"], rows)
  end

  def targets
    one = @figures.fetch("load, 1 thread")
    two = @figures.fetch("load, 2 threads")
    [
      faster("read", "heapy read", 30),
      faster("read all", "heapy read all", 50),
      faster("top", "DuckDB GROUP BY", 2.5),
      Table.at_least("full load, one thread, GB/s", @bytes / 1e9 / one.inside, 1.5),
      Table.at_least("full load, two threads over one", one.inside / two.inside, 1.7),
      Table.at_most("full load, peak / file", [one.peak, two.peak].max / @bytes.to_f, 0.25),
      *graph_targets,
      *file_targets,
      *STREAMING.map { |name| Table.at_most("`#{name}`, peak MiB", @figures.fetch(name).peak / MIB, 64) }
    ]
  end

  def graph_targets
    one = @figures.fetch("load and dominators, 1 thread")
    open = @figures.fetch("load and dominators")
    [
      faster("load and dominators", "serde_json and petgraph", 15),
      *[(faster("load and dominators, 1 thread", "harb", 10) if HARB)].compact,
      Table.at_least("load and dominators, one thread, GB/s", @bytes / 1e9 / one.inside, 1.2),
      Table.at_most("load and dominators, peak / file", [one.peak, open.peak].max / @bytes.to_f, 0.21),
      Table.at_most("load and dominators, two threads / one", open.inside / one.inside, 0.6),
      Table.at_most("open from the index / first open", @figures.fetch("open from the index").inside / open.inside, 0.05),
      Table.at_most("`retained` from the index / without", ratio("retained, from the index", "retained", :wall), 0.05),
      Table.at_most("`suspects` / `retained`, CPU", ratio("suspects, 1 thread", "retained, 1 thread", :cpu), 1.15)
    ]
  end

  def file_targets
    [
      Table.at_most("`report` / `suspects`, wall", ratio("report", "suspects", :wall), 2),
      Table.at_most("the page, MB", File.size(made("report.html")) / 1e6, 5),
      Table.at_most("`export --format heapsnapshot` / load and dominators, CPU", exported("heapsnapshot"), 3),
      Table.at_most("`export --format parquet` / load and dominators, CPU", exported("parquet"), 2.5)
    ]
  end

  def exported(format) = ratio("export #{format}", "load and dominators", :cpu)

  def ratio(one, other, figure) = @figures.fetch(one)[figure] / @figures.fetch(other)[figure]

  # Ours takes the whole process, the peer what it reports itself.
  def faster(ours, peer, times)
    ratio = @figures.fetch(peer).inside / @figures.fetch(ours).wall
    Table.at_least("`#{ours}` faster than #{peer}, times", ratio, times)
  end

  def seconds(value) = format("%.3f", value)

  def mib(bytes) = (bytes / MIB.to_f).round
end

# Three dumps of one process, measured with all tools that compare them.
class DiffBench < Bench
  def initialize(size, **rounds)
    super
    @dump = "tmp/#{size}"
  end

  private

  def dumps = %w[a b c].map { |name| "#{@dump}/#{name}.json" }

  def tools
    ours = ->(name, *words) { Tool.new(name, [OURS, *words.first(1), *dumps, *words.drop(1), "--no-index"], @rounds) }
    @tools ||= [
      ours["diff", "diff"],
      Tool.new("heapy diff", ["heapy", "diff", *dumps], @slow_rounds),
      ours["diff by holder", "diff", "--by", "holder"],
      ours["diff of what is retained", "diff", "--retained"],
      ours["suspects", "suspects"]
    ]
  end

  def objects
    dumps.map { |dump| Open3.capture2(LOAD, dump).first[/\A(\d+) objects/, 1].gsub(/(?<=\d)(?=(\d{3})+$)/, ",") }.join(", ")
  end

  def table
    rows = @figures.map do |name, of|
      [name, seconds(of.wall), seconds(of.cpu), format("%.2f", @bytes / 1e9 / of.wall), mib(of.peak), format("%.2f", of.peak / @bytes.to_f),
       of.rounds]
    end
    Table.markdown(["", "wall s", "CPU s", "GB/s", "peak MiB", "peak / files", "rounds"], rows)
  end

  def targets
    [
      faster("diff", "heapy diff", 20),
      faster("suspects", "heapy diff", 10),
      *@figures.except("heapy diff").map { |name, of| Table.at_most("`#{name}`, peak / files", of.peak / @bytes.to_f, 0.5) },
      retained,
      suspected
    ]
  end

  def answer(*words)
    JSON.parse(Open3.capture2(OURS, words.first, *dumps, *words.drop(1), "--no-index", "--format", "json").first)
  end

  # The orders leaked between the first two dumps, and beside them what Ruby itself keeps: inline caches and the like.
  def retained
    counts = answer("diff", "--lines", "all").dig("retained", "rows").map { |row| row["count"] }
    leaked, others = counts.partition { |count| count >= 5_000 }.map(&:sum)
    text = "retained: 5,000 orders of 14 objects, beside some of Ruby's own"
    Table::Target.new(text, "#{leaked} + #{others}", leaked == 70_000 && others < 50)
  end

  def suspected
    named = answer("suspects")["suspects"].map { |suspect| suspect.values_at("count", "class").join(" ") }
    Table::Target.new("suspects: the orders, and no cache", named.join(", "), named.size == 1 && named.first.start_with?("10000 "))
  end
end

# The commit, the machine and the programs, as text.
module Machine
  def self.facts
    cpu = File.read("/proc/cpuinfo")[/^model name\s*: (.*)/, 1]
    memory = File.read("/proc/meminfo")[/^MemTotal:\s*(\d+)/, 1].to_i >> 20
    duckdb, = Open3.capture2(Bench::PYTHON, "-c", "import duckdb; print(duckdb.__version__, end='')")
    "#{commit}; #{cpu}, #{Etc.nprocessors} cores, #{memory} GiB, Linux #{Etc.uname[:release]}; #{`rustc --version`.strip}; " \
      "Ruby #{RUBY_VERSION}; heapy #{Gem::Specification.find_by_name("heapy").version}; DuckDB #{duckdb}; " \
      "load average before #{File.read("/proc/loadavg").split.first}"
  end

  # Figures of several commits must not get into one table.
  def self.commit
    commit, = Open3.capture2("git", "log", "-1", "--format=commit %h of %cs", err: File::NULL)
    changes, = Open3.capture2("git", "status", "--porcelain", "--untracked-files=no", err: File::NULL)
    return "no commit" if commit.empty?

    changes.empty? ? commit.strip : "#{commit.strip} and changes since"
  rescue Errno::ENOENT
    "no commit"
  end

  def self.prepare
    FileUtils.mkdir_p("tmp")
    system("cargo", "build", "--release", "-p", "heap_inspector_cli", exception: true)
    system("cargo", "build", "--release", "-p", "heap_inspector", "--examples", exception: true)
    return if File.exist?(Bench::PYTHON)

    system("python3", "-m", "venv", "tmp/duckdb", exception: true)
    system(Bench::PYTHON, "-m", "pip", "install", "--quiet", "duckdb", exception: true)
  end
end

Dir.chdir(File.dirname(__dir__)) do
  Machine.prepare
  facts = Machine.facts
  sizes = ARGV.empty? ? %w[medium large churn] : ARGV
  rounds = { rounds: Integer(ENV.fetch("ROUNDS", 7)), slow_rounds: Integer(ENV.fetch("SLOW_ROUNDS", 3)) }
  warn "harb is not in the PATH and HARB is not set: it is not measured" unless Bench::HARB
  reports = sizes.map do |size|
    (size == "churn" ? DiffBench : Bench).new(size, **rounds).run
  end
  report = "#{facts}\n\n#{reports.join("\n")}"
  File.write("tmp/bench.md", report)
  puts report
end
