# frozen_string_literal: true

require "json"
require "open3"
require "tempfile"

# What heapy prints of a dump, as numbers.
class HeapyReading
  COMMAND = "heapy"

  def self.available?
    Open3.capture2e(COMMAND, "--version").last.success?
  rescue Errno::ENOENT
    false
  end

  def initialize(dump)
    @dump = dump
  end

  # { generation or nil => [count, KiB with one digit] }
  def generations
    run.scan(/^Generation: +(nil|\d+) object count: (\d+), mem: ([\d.]+) kb$/).to_h do |number, count, kib|
      [number == "nil" ? nil : number.to_i, [count.to_i, kib.to_f]]
    end
  end

  # { location => bytes }, { location => count }, { location => references } and { text => [copies, ["location (copies)"]] } of a
  # generation or of "all".
  def details(generation)
    names = ["allocated by memory", "object count", "High Ref Counts", "Duplicate strings"]
    parts = run(generation.to_s, "--lines", "1000000").split(/^(#{names.join("|")}).*\n=+\n/).drop(1).each_slice(2).to_h
    names.first(3).map { |name| rows(parts.fetch(name)) } << strings(parts.fetch("Duplicate strings", ""))
  end

  private

  def run(*arguments)
    out, status = Open3.capture2({ "LC_ALL" => "C.UTF-8" }, COMMAND, "read", @dump, *arguments)
    raise "heapy failed: #{out}" unless status.success?

    out
  end

  # Line 0, as Ruby 2.7 prints it, is none, and its "(null)" no file.
  def rows(text)
    rows = text.scan(/^ +(\d+)  (.+)$/).to_h { |number, name| [name.sub(/:0?\z/, ""), number.to_i] }
    rows.except("(null)")
  end

  def strings(text)
    text.split("\n\n").map { |group| group.scan(/^ +(\d+)  (.+)$/) }.reject(&:empty?).to_h do |(copies, string), *sites|
      [string, [copies.to_i, sites.map { |number, name| "#{name} (#{number})" }]]
    end
  end
end

RSpec.describe "the same numbers as heapy" do
  dumps = File.expand_path("../crates/heap_inspector/tests/dumps", __dir__)
  # heapy's details leave out objects without a file.
  filter = "traced,file!=(no Ruby file)"
  program = File.expand_path("../target/release/heap_inspector", __dir__)

  def answer(*arguments)
    out, status = Open3.capture2(*arguments, "--format", "json")
    raise "#{arguments.join(" ")} failed" unless status.success?

    JSON.parse(out)
  end

  before { lacking "there is no heapy here" unless HeapyReading.available? }

  Dir["#{dumps}/*.json.zst"].each do |packed|
    context "with #{File.basename(packed)}" do
      around do |example|
        Tempfile.create("dump") do |file|
          raise "zstd failed" unless system("zstd", "-dcq", packed, out: file)

          @dump = file.path
          example.run
        end
      end

      let(:heapy) { HeapyReading.new(@dump) }
      # Of all generations and of each of the last three: our answer and heapy's.
      let(:details) do
        ["all", *heapy.generations.keys.compact.last(3)].map do |generation|
          [answer(program, "read", @dump, generation.to_s, "--lines", "all", "--where", filter), heapy.details(generation),
           hidden(generation)]
        end
      end

      # The references that heapy does not see, by location: those that the dump does not list.
      define_method(:hidden) do |generation|
        traced = Helpers.lines_of(packed).select do |object|
          object["file"] && object["file"] != "(null)" && ["all", object["generation"]].include?(generation)
        end
        traced.each_with_object(Hash.new(0)) do |object, sums|
          hidden = Helpers.references(object) - object["references"].to_a.size
          sums["#{object["file"]}:#{object["line"]}".sub(/:0?\z/, "")] += hidden if hidden.positive?
        end
      end

      # heapy counts ROOT and SHAPE lines and generation 0 among the objects without one, and 0 bytes for all of these.
      it "counts generations alike" do
        ours = answer(program, "read", @dump).fetch("generations").fetch("rows")
        ours = ours.to_h { |row| [row["generation"], [row["count"], (row["memsize"] / 1024.0).round(1)]] }
        no_objects = File.foreach(@dump, mode: "rb").grep(/\A\{(?:"address":"0x\h+", )?"type":"(?:ROOT|SHAPE)"/).size
        expect(no_objects).to be > 3
        ours[nil] = [ours.fetch(nil).first + ours.delete(0).to_a.first.to_i + no_objects, 0.0]
        expect(ours).to eq(heapy.generations)
      end

      it "sums memory, objects and references by location alike" do
        details.each do |ours, (memory, counts, references, _), hidden|
          by_location = lambda do |table, column|
            ours.fetch(table).fetch("rows").to_h { |row| [row.fetch("location"), row.fetch(column)] }
          end
          expect(by_location["memory", "memsize"]).to eq(memory)
          expect(by_location["objects", "count"]).to eq(counts)
          expect(by_location["references", "references"].reject { |_, number| number.zero? })
            .to eq(references.merge(hidden) { |_, listed, more| listed + more }.reject { |_, number| number.zero? })
        end
      end

      it "counts the copies of strings and their sites alike" do
        details.each do |ours, (_, _, _, strings)|
          rows = ours.fetch("strings").fetch("rows")
          expect(rows.sum { |row| row.fetch("count") }).to eq(strings.values.map(&:first).reject { |copies| copies == 1 }.sum)
          rows.each do |row|
            text = row.fetch("value")
            # Of a long text our answer holds the start: then one that begins alike will do.
            alike = row["value_cut"] ? strings.select { |string, _| string.start_with?(text.inspect.chop) }.values : [strings[text.inspect]]
            sites = row.fetch("sites").select { |site| site["location"] }.map do |site|
              # A file without a line has heapy's colon all the same.
              "#{site["location"][/:\d+\z/] ? site["location"] : "#{site["location"]}:"} (#{site["count"]})"
            end
            expect(alike).to include([row.fetch("count"), include(*sites)])
          end
        end
      end
    end
  end
end
