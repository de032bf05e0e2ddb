# frozen_string_literal: true

require "fileutils"
require "json"
require "open3"
require "rbconfig"

# The programs of spec/leaks/programs: runs them, asks `heap_inspector suspects` about their dumps, and compares with the truth.
module Leaks
  ROOT = File.expand_path("../..", __dir__)
  SOURCES = File.join(__dir__, "programs")

  # One program and its dumps in DIR/NAME.
  class Program
    attr_reader :name, :missing

    def self.all(dir) = Dir.children(SOURCES).sort.map { |file| new(File.basename(file, ".rb"), dir) }

    # Some of them, run in another way.
    def self.some(names, dir, env) = names.map { |name| new(name, dir, env) }

    # All of them by our own tracer and dumper, in tmp/leaks/named.
    def self.named
      all(nil).map { |program| new(program.name, File.join(ROOT, "tmp/leaks/named"), { "LEAKS_TRACER" => "full" }) }
    end

    # Runs programs, two at a time.
    def self.run(programs, jobs: 2)
      queue = programs.each_with_object(Queue.new) { |program, all| all << program }.close
      worker = -> { while (program = queue.pop) do program.run end }
      Array.new(jobs) { Thread.new(&worker) }.each(&:join)
    end

    def initialize(name, dir, env = {})
      @name = name
      @env = env
      @dir = File.join(dir.to_s, name)
      @source = File.join(SOURCES, "#{name}.rb")
    end

    # Makes the dumps; notes the reason where a library is missing.
    def run
      FileUtils.mkdir_p(File.dirname(@dir), mode: 0o700)
      out, status = Open3.capture2e(@env, RbConfig.ruby, @source, @dir)
      return @missing = out.strip if status.exitstatus == 77

      raise "#{name} failed: #{out}" unless status.success?
    end

    # Throws the dumps away.
    def clear = FileUtils.rm_rf(@dir)

    def fresh?
      made = [@source, File.join(__dir__, "harness.rb")].map { |file| File.mtime(file) }.max
      File.exist?(truth_file) && File.mtime(truth_file) > made
    end

    def leaky? = !name.start_with?("none_")
    def dumps = %w[a b c].map { |dump| File.join(@dir, "#{dump}.json") }
    def leaks = truth.fetch("leaks").map { |leak| Leak.new(leak, named: named?) }
    def at_most = truth["at_most"]

    # Whether its dumps name constants and variables.
    def named? = truth["named"]

    # How many requests came between two dumps.
    def requests = truth.fetch("requests")
    def truth_file = File.join(@dir, "truth.json")

    private

    def truth = JSON.parse(File.read(truth_file))
  end

  # A program whose dumps are another's without the values of strings.
  class Redacted < Program
    def initialize(program, command)
      @program = program
      @command = command
      super(program.name, File.join(ROOT, "tmp/leaks/again/redacted"))
    end

    def run
      return @missing = @program.missing if @program.missing

      FileUtils.rm_rf(@dir)
      FileUtils.mkdir_p(@dir, mode: 0o700)
      @program.dumps.zip(dumps) { |from, to| @command.redact(from, to) }
      FileUtils.cp(@program.truth_file, truth_file)
    end
  end

  # What one leak is, as truth.json has it.
  class Leak
    attr_reader :holders, :classes, :lines

    # named: whether the dumps name constants and variables; others tell the class or module that has them, or the root.
    def initialize(truth, named: false)
      @holders, @classes, @lines = %w[holder leaked line].map { |key| truth.fetch("#{key}_any") { [truth.fetch(key)] } }
      @holders = @holders.map { |holder| unnamed(holder) }.uniq unless named
    end

    # What a suspect (as JSON has it) says wrongly: :holder, :class, :location.
    def errors(suspect)
      right = { holder: holder?(suspect["holder"]), class: class?(suspect["class"]), location: location?(suspect["location"]) }
      right.reject { |_, ok| ok }.keys
    end

    def match?(suspect) = errors(suspect).empty?

    def holder?(text) = holders.include?(text)

    # "#<Class" stands for every class without a name.
    def class?(text) = classes.any? { |name| text == name || (name == "#<Class" && text.to_s.start_with?("#{name}:")) }

    # A file without a line stands for all its lines.
    def location?(text) = lines.any? { |line| text.to_s.match?(%r{(\A|/)#{Regexp.escape(line)}(:\d+)?\z}) }

    private

    # `Audit::EVENTS` and `Audit@events` are Audit's.
    def unnamed(holder) = holder.start_with?("$") ? "root global_tbl" : holder.sub(/(?:::[A-Z][A-Z0-9_]*|@@?\w+)\z/, "")
  end

  # The command line.
  class Command
    PATH = File.join(ROOT, "target/release/heap_inspector")

    def initialize(path = PATH)
      @path = path
    end

    # Why suspects cannot be asked for, or nil.
    def missing
      return "#{@path} is not built" unless File.executable?(@path)

      _, status = Open3.capture2e(@path, "suspects", "--help")
      "heap_inspector has no verb suspects" unless status.success?
    end

    def suspects(*dumps) = ask("suspects", *dumps).fetch("suspects")

    def redact(from, to)
      err, status = Open3.capture2e(@path, "redact", from, to)
      raise "redact #{from}: #{err}" unless status.success?
    end

    # Bytes of what leaks in a dump, of the whole dump without the tracer's.
    def weigh(leak, dump)
      rows, totals = of_lines(leak, dump)
      rows.select! { |row| leak.class?(row["class"]) }
      [rows.sum { |row| row["memsize"] || row["estimated_memsize"].to_i }, totals["memsize"] - totals.fetch("tracer_memsize", 0)]
    end

    # How many objects of a class a line allocated, by nothing but the dump's text.
    def count(class_name, location, dump)
      lines = File.foreach(dump, mode: "rb").filter_map { |line| JSON.parse(line.scrub) if line.match?(/"type":"CLASS"|"file":/) }
      classes = lines.filter_map { |line| [line["address"], line] if line["type"] == "CLASS" }.to_h
      lines.count do |line|
        location == "#{line["file"]}:#{line["line"]}" && !line["singleton"] && class_name == name(line, classes)
      end
    end

    # Elements and bytes of text in the collections and strings that leak: these grow while their memory is large enough.
    def fill(leak, dump)
      sizes = { "HASH" => "size", "ARRAY" => "length", "STRING" => "bytesize" }
      File.foreach(dump, mode: "rb").sum do |line|
        next 0 unless line.match?(/"type":"(?:HASH|ARRAY|STRING)".*"file":/)

        object = JSON.parse(line.scrub)
        right = leak.class?(object["type"].capitalize) && leak.location?("#{object["file"]}:#{object["line"]}")
        right ? object.fetch(sizes[object["type"]], 0) : 0
      end
    end

    private

    # The class of an object as a programmer knows it.
    def name(line, classes)
      return "(IMEMO #{line["imemo_type"]})" if line["type"] == "IMEMO"

      known = classes[line["class"]]
      known = classes[known["superclass"]] while known && known["name"].nil?
      known ? known["name"] : "(#{line["type"]})"
    end

    # What the lines that leak allocated, by class, and the whole dump.
    def of_lines(leak, dump)
      files = leak.lines.map { |line| line.sub(/:\d+\z/, "") }.uniq.join("|")
      answer = ask("top", dump, "--by", "class,location", "--where", "file=#{files}", "--lines", "all")
      [answer.dig("groups", "rows").select { |row| leak.location?(row["location"]) }, answer.fetch("totals")]
    end

    def ask(*arguments)
      out, err, status = Open3.capture3(@path, *arguments, "--format", "json")
      raise "heap_inspector #{arguments.join(" ")}: #{err}" unless status.success?

      JSON.parse(out)
    end
  end

  # How the answers about one program compare with its truth.
  class Verdict
    FIRST = 5 # with one dump
    CONFIDENCES = [nil, "low", "medium", "high"].freeze # nil: not named
    LIGHT = 1000 # a leak that is less than this part of the heap may go unseen in one dump

    attr_reader :program, :unanswered

    # Whether a suspicion is more than a program without a leak allows.
    def self.above?(confidence, at_most) = CONFIDENCES.index(confidence) > CONFIDENCES.index(at_most)

    # Asks; `unanswered` is the reason where that is not possible.
    def initialize(program, command)
      @program = program
      @unanswered = program.missing || command.missing
      return if @unanswered

      @leaks = program.leaks
      @three = command.suspects(*program.dumps)
      @one = command.suspects(program.dumps.last)
      @heavy = @leaks.select do |leak|
        bytes, heap = command.weigh(leak, program.dumps.last)
        bytes * LIGHT >= heap
      end
    end

    # What is wrong with the answer to three dumps: each leak in its place, and nothing where there is none.
    def three_dumps
      return above.map { |suspect| "#{name(suspect)} is none" } if @leaks.empty?

      @leaks.each_with_index.filter_map do |leak, place|
        next "no suspect #{place + 1}" unless (suspect = @three[place])

        errors = leak.errors(suspect)
        "#{place + 1}: #{name(suspect)}: wrong #{errors.join(", ")}" if errors.any?
      end
    end

    # The fingerprints of the leaks as three dumps tell them, and the references that are said to be at fault.
    def fingerprints = found.map { |suspect| suspect["fingerprint"] }

    # Those told by the holder, since without tracing no line is known.
    def fingerprints_by_holder
      @leaks.filter_map { |leak| @three.find { |suspect| leak.holder?(suspect["holder"]) }&.fetch("fingerprint") }
    end

    def faults = found.map { |suspect| suspect["faulty_references"] }

    # What is wrong with the answer to the last dump alone: each heavy leak is among the first.
    def one_dump
      @heavy.reject { |leak| rank(leak, @one.first(FIRST)) }.map { |leak| "#{leak.classes.first} is not among #{FIRST}" }
    end

    def right? = unanswered.nil? && three_dumps.empty? && one_dump.empty?

    # A row of the table.
    def row
      return [program.name, "", "", "", "", "", "not run", ""] if unanswered
      return [program.name, "none", "", "", "", "", healthy, ""] if @leaks.empty?

      leak = @leaks.first
      [program.name, leak.holders.first, leak.classes.first, leak.lines.first, faults.first.to_a.join(" or "), fingerprints.first.to_s,
       ranks(@three), ranks(@one)]
    end

    private

    # The suspects of three dumps that are the leaks.
    def found = @leaks.filter_map { |leak| @three.find { |suspect| leak.match?(suspect) } }

    # The suspects of a program without a leak that are more than it allows.
    def above = @three.select { |suspect| Verdict.above?(suspect.fetch("confidence"), @program.at_most) }

    def healthy
      return three_dumps.join("; ") if above.any?

      @three.empty? ? "none named" : "at most #{@program.at_most}"
    end

    def name(suspect) = suspect.values_at("holder", "class", "location").join(", ")
    def rank(leak, suspects) = suspects.index { |suspect| leak.match?(suspect) }&.succ
    def ranks(suspects) = @leaks.map { |leak| rank(leak, suspects)&.then { |place| "no. #{place}" } || "not found" }.join(", ")
  end

  # The verdicts as a Markdown table.
  module Table
    HEAD = ["Program", "Holder", "Leaked", "Line", "Faulty reference", "Fingerprint", "Three dumps", "One dump"].freeze

    def self.of(verdicts)
      rows = [HEAD, *verdicts.map { |verdict| verdict.row.map { |cell| cell.gsub("|", "\\|") } }]
      widths = rows.transpose.map { |column| column.map(&:size).max }
      lines = rows.map { |row| "| #{row.zip(widths).map { |cell, width| cell.ljust(width) }.join(" | ")} |" }
      lines.insert(1, "|#{widths.map { |width| "-" * (width + 2) }.join("|")}|").join("\n")
    end
  end
end
