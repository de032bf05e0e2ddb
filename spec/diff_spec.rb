# frozen_string_literal: true

require "pathname"
require "pp" # rubocop:disable Lint/RedundantRequireStatement -- pretty_inspect comes with it alone
require "shellwords"
require "tempfile"
require "tmpdir"

# Three dumps of a process that leaks orders, beside a bounded cache; and against them a plain reader that tells an object by the whole of
# what its line says of its allocation.
RSpec.describe HeapInspector::Diff do
  shop = (1..3).map { |number| File.join(Helpers::ROOT, "crates/heap_inspector_cli/tests/dumps/shop-#{number}.json.zst") }

  let(:diff) { HeapInspector.diff(*shop, index: false) }

  # What tells an object. The class of an IMEMO is no class before Ruby 3.2.
  def identities(path)
    lines = Helpers.lines_of(path)
    names = lines.to_h { |line| [line["address"], line["name"]] }
    lines.select { |line| line["address"] }.to_h do |line|
      klass = line["class"] unless line["type"] == "IMEMO"
      identity = line.values_at("address", "type", "file", "line", "method", "generation", "imemo_type", "struct")
      [[*identity, klass, names[klass]], line]
    end
  end

  let(:all) { shop.map { |path| identities(path) } }

  # The lines of the last dump that were new in a dump.
  def new_since(number)
    all.last.reject { |identity, _| all[number].key?(identity) }
  end

  def addresses(lines)
    lines.each_value.map { |line| line["address"] }
  end

  it "tells new, gone, kept and retained objects as a plain reader does" do
    expect(diff.new_objects.pluck(:address)).to match_array(addresses(new_since(0)))
    expect(diff.kept.pluck(:address)).to match_array(addresses(all.last) - addresses(new_since(0)))
    expect(diff.gone.pluck(:address)).to match_array(addresses(all.first.except(*all.last.keys)))
    retained = new_since(0).except(*new_since(1).keys)
    expect(diff.retained_objects.pluck(:address)).to match_array(addresses(retained))
    bytes = ->(lines) { lines.each_value.sum { |line| line["memsize"] } }
    expect(diff).to have_attributes(new_count: new_since(0).size, new_memsize: bytes[new_since(0)],
                                    retained_count: retained.size, retained_memsize: bytes[retained],
                                    gone_count: diff.gone.count, one_process?: true, warnings: [])
  end

  it "has relations, to be asked on" do
    lines = new_since(0).values
    orders = diff.new_objects.where(type: :struct)
    expected = lines.select { |line| line["type"] == "STRUCT" }
    expect(orders.count).to eq(expected.size).and be >= 200
    expect(orders.sum(:memsize)).to eq(expected.sum { |line| line["memsize"] })
    expect(orders.group(:line).count).to eq(expected.map { |line| line["line"] }.tally.sort_by { |_, count| -count }.to_h)
    expect(diff.new_objects.where.not(type: :struct).count).to eq(lines.size - expected.size)
    expect(diff.new_objects.order(memsize: :desc).first.memsize).to eq(lines.map { |line| line["memsize"] }.max)
    expect(diff.new_objects.where(type: :struct).or(diff.kept.where(type: :hash)).count)
      .to eq(expected.size + diff.heaps.last.hashes.and(diff.kept).count)
    expect(diff.new_objects.and(diff.kept)).to be_empty
    reachable = diff.retained_objects.where(reachable: true)
    expect(reachable.sum(:retained_memsize)).to be_between(reachable.sum(:memsize), diff.new_memsize)
    expect([diff.new_objects, diff.kept, diff.retained_objects, diff.gone].map { |relation| relation.heap.equal?(diff.heaps.last) })
      .to eq([true, true, true, false])
    expect { diff.new_objects.or(diff.gone) }.to raise_error(ArgumentError, /another heap/)
  end

  it "groups what came and stayed" do
    leaks = diff.leaks(by: :class, limit: nil)
    expect(leaks).to be_a(HeapInspector::Groups)
    expect(leaks.to_h { |group| [group.key, group.memsize] }).to eq(diff.retained_objects.group(:class).sum(:memsize))
    expect(diff.leaks(where: { class: /\AOrd/ }).map(&:key)).to eq([["Order", "shop.rb:27"]])
    expect(diff.leaks(limit: 1).rest.count).to eq(diff.retained_count - diff.leaks(limit: 1).first.count)
  end

  describe "#growth" do
    it "is what a plain reader counts in each dump" do
      sums = shop.map do |path|
        objects = Helpers.lines_of(path).select { |line| line["address"] && line["struct"] != "ObjectTracing/allocation_info_tracer" }
        objects.group_by { |line| line["type"] }.transform_values { |lines| [lines.size, lines.sum { |line| line["memsize"] || 0 }] }
      end
      growth = diff.growth(by: :type, limit: nil)
      expected = sums.flat_map(&:keys).uniq.to_h { |type| [type, sums.map { |sum| sum.fetch(type, [0, 0]) }] }
      grown = expected.select { |_, (first, *, last)| last[1] > first[1] }
      expect(growth.to_h { |group| [group.key, [group.counts, group.memsizes]] }).to eq(grown.transform_values(&:transpose))
      expect(growth.map(&:memsize_delta)).to eq(growth.map(&:memsize_delta).sort.reverse)
      expect(growth.map(&:count_delta)).to eq(growth.map { |group| group.counts.last - group.counts.first })
      expect(growth.map(&:retained_memsizes).uniq).to eq([nil])
    end

    it "tells steady growth from a step" do
      growth = diff.growth
      expect(growth[["Order", "shop.rb:27"]]).to have_attributes(counts: [100, 200, 300], trend: :steady)
      expect(growth[["File", "shop.rb:37"]].trend).to eq(:step)
    end

    it "says what groups retain" do
      growth = diff.growth(by: :class, retained: true, limit: nil)
      expected = diff.heaps.map { |heap| heap.retained(by: :class, limit: nil)["Array"].retained_memsize }
      expect(growth["Array"]).to have_attributes(retained_memsizes: expected, retained_memsize_delta: expected.last - expected.first)
    end

    it "says who holds what came" do
      growth = diff.growth(by: :holder, retained: true)
      held = growth.first
      expect(held).to have_attributes(holder: "Audit", label: "Array, 300 elements", trend: :steady, key: "Audit")
      expect(held.object).to eq(diff.suspects.first.object)
      expect(held.memsizes).to eq([0, *diff.suspects.first.steps].each_with_object([]) { |step, sums| sums << (step + (sums.last || 0)) })
      before = diff.heaps.map { |heap| heap[held.object.address].retained_memsize }
      expect(held.retained_memsizes).to eq(before)
      # All that is new and alive, but what roots hold or the tracer does, is under such an object.
      expect(diff.growth(by: :holder, limit: nil).sum(&:count))
        .to eq(diff.new_objects.where(reachable: true).where.not(struct: "ObjectTracing/allocation_info_tracer").count)
      expect(diff.growth(by: :holder, where: { class: "Order" }).map(&:count)).to eq([200])
    end

    it "sums up what a limit cut off" do
      %i[class holder].each do |by|
        all = diff.growth(by: by, limit: nil)
        expect(all.rest).to be_nil
        expect(diff.growth(by: by, limit: 2).rest).to have_attributes(rows: all.size - 2, memsize: all.drop(2).sum(&:memsize_delta))
      end
    end

    it "says what may be asked" do
      expect { diff.growth(by: :clas) }.to raise_error(ArgumentError, /did you mean :class/)
      expect { diff.growth(by: %i[holder class]) }.to raise_error(ArgumentError, /not by several/)
      expect { diff.growth(by: :path, retained: true) }.to raise_error(ArgumentError, /what paths retain is not told/)
      expect { diff.growth(where: { clas: "A" }) }.to raise_error(ArgumentError, /unknown/)
      expect { diff.growth(limit: -1) }.to raise_error(ArgumentError, /limit/)
    end
  end

  describe "#suspects" do
    it "names the leak, and who holds it" do
      suspects = diff.suspects
      expect(suspects.size).to eq(1)
      suspect = suspects.first
      expect(suspect).to have_attributes(
        holder: "Audit", class_name: "Order", count: 200, location: "shop.rb:27", label: "Array, 300 elements", confidence: :high,
        reasons: include(/in each step/), since: diff.new_objects.where(class: "Order").minimum(:generation)
      )
      expect(suspect.steps.sum).to eq(suspect.memsize)
      expect(suspect.object).to be_a(HeapInspector::HeapObject).and have_attributes(type: :array, length: 300)
      expect(suspect.holder_object).to have_attributes(type: :class, name: "Audit")
      # The path leads on, to one of the objects that pile up.
      *way, last = suspect.path
      expect(way).to eq(suspect.object.path_to_root)
      expect(last.object.class_name).to eq("Order")
      expect(suspect.path.map(&:object)).to include(suspect.holder_object)
      expect(suspect.next.shellsplit).to eq(["heap_inspector", "show", shop.last, suspect.object.address])
      expect(suspects.inspect).to eq("#<HeapInspector::Suspects of 3 dumps: 200 × Order, 17.2 KiB new, held by Audit>")
      expect(suspect.inspect).to eq("#<HeapInspector::Suspect 200 × Order, 17.2 KiB new, held by Audit, confidence high>")
    end

    it "says of one dump what it can" do
      suspects = diff.heaps.last.suspects
      expect(suspects.first).to have_attributes(holder: "Audit", class_name: "Order", count: 300, steps: [])
      expect(suspects.map(&:confidence)).not_to include(:high)
      expect(diff.heaps.last.suspects(limit: 1).size).to eq(1)
      expect(diff.heaps.last.suspects(limit: 0).inspect).to eq("#<HeapInspector::Suspects of 1 dump: none>")
    end

    it "leaves out what is meant to be" do
      expect(diff.suspects(except: ["Nobody", "Aud*"])).to be_empty
      expect(diff.suspects(except: %w[Nobody])).not_to be_empty
      # Those left out do not take the places of others.
      expect(diff.heaps.last.suspects(limit: 1, except: %w[Audit]).map(&:holder)).to eq(["Cache"])
      Dir.mktmpdir do |folder|
        file = Pathname(folder).join("except")
        file.write("# meant to be\nOrder # fine\n")
        [file, file.to_s].each { |path| expect(diff.suspects(except: path)).to be_empty }
        file.write("Or[der\n")
        expect { diff.suspects(except: file) }.to raise_error(ArgumentError, /#{file}: "Or\[der" is not a glob pattern/)
        expect { diff.suspects(except: "#{folder}/missing") }.to raise_error(Errno::ENOENT, /missing/)
      end
      expect { diff.suspects(except: ["[a"]) }.to raise_error(ArgumentError, /\Aexcept: "\[a" is not a glob pattern/)
      expect { diff.suspects(except: [1]) }.to raise_error(TypeError, /a path or an Array of patterns/)
    end
  end

  it "tells exactly what stays where slots are used again, and suspects no bounded cache" do
    program = <<~RUBY
      require "objspace"
      ObjectSpace.trace_object_allocations_start
      Item = Struct.new(:name)
      LEAKED = []
      RECENT = {}
      3.times do |step|
        5_000.times { |n| RECENT[n] = ["recent"] }
        GC.start
        1_000.times { |n| LEAKED << Item.new("leaked \#{n}") }
        GC.start
        File.open("\#{ARGV[0]}/\#{step}.json", "w") { |file| ObjectSpace.dump_all(output: file) }
      end
    RUBY
    Dir.mktmpdir do |folder|
      File.write("#{folder}/churn.rb", program)
      system(RbConfig.ruby, "#{folder}/churn.rb", folder, exception: true)
      diff = HeapInspector.diff(*(0..2).map { |step| "#{folder}/#{step}.json" }, index: false)
      lines = { recent: 7, leaked: 9 }
      retained = diff.retained_objects.where(file: "#{folder}/churn.rb").group(:line).count
      expect(retained.fetch(lines[:leaked])).to eq(2_000) # items and their names
      expect(retained).not_to have_key(lines[:recent])
      # By their addresses alone many of the cache's would seem to have stayed.
      recent = diff.heaps.map { |heap| heap.objects.where(file: "#{folder}/churn.rb", line: lines[:recent]).pluck(:address) }
      expect((recent[1] & recent[2]).size + (recent[0] & recent[2]).size).to be > 1_000
      expect(diff.suspects.map { |suspect| [suspect.class_name, suspect.count] }).to eq([["Item", 2_000]])
    end
  end

  describe "dumps that do not belong together" do
    def doubts(*dumps)
      HeapInspector.diff(*dumps, index: false).warnings
    end

    def untraced(path)
      StringIO.new(Helpers.lines_of(path).map { |line| "#{JSON.generate(line.except("file", "line", "method", "generation"))}\n" }.join)
    end

    it "are told" do
      expect(doubts(shop[0], shop[1], shop[1])).to eq(["#{shop[1]} and #{shop[1]} hold the same objects: are they one dump twice?"])
      expect(doubts(shop[2], shop[0])).to eq(["#{shop[2]} is newer than #{shop[0]}: give the oldest dump first"])
      expect(doubts(shop[0], untraced(shop[1]), shop[2])).to include(/\A#{Regexp.escape(shop[0])} was traced and \(StringIO\) was not/)
      expect(doubts(untraced(shop[0]), untraced(shop[1]))).to include(/were not traced/)
    end

    it "are told where they are of several processes or Rubies, and nothing is suspected" do
      rubies = Helpers::DUMPS.values_at("ruby-3.1-x86_64", "ruby-3.4-x86_64")
      [[shop[0], rubies.first], rubies].each do |dumps|
        diff = HeapInspector.diff(*dumps, index: false)
        expect(diff.warnings).to contain_exactly(/are not of one process: (the same classes lie|Ruby 3.1 wrote the one)/)
        expect(diff).not_to be_one_process
        expect(diff.suspects).to be_empty
        expect(diff.growth(by: :holder, retained: true)).to be_empty
        expect(diff.growth(by: :type)).not_to be_empty
      end
    end

    it "still have the best answer that is true" do
      diff = HeapInspector.diff(shop[0], untraced(shop[1]), shop[2], index: false)
      expect(diff.growth(by: :class)["Order"].counts).to eq([100, 200, 300])
      expect(diff.retained_objects.where(class: "Order").count).to eq(100)
      expect(diff.suspects.first).to have_attributes(holder: "Audit", class_name: "Order", count: 200)
      diff = HeapInspector.diff(*shop.map { |path| untraced(path) }, index: false)
      expect(diff.suspects.first).to have_attributes(holder: "Audit", class_name: "Order", location: nil, since: nil)
    end
  end

  it "prints what the command line prints, in every format" do
    answers = { ["diff"] => diff, ["suspects"] => diff.suspects }
    answers.each do |(verb), report|
      { "text" => report.to_s, "json" => "#{report.to_json}\n", "markdown" => report.to_markdown, "csv" => report.to_csv }
        .each do |format, printed|
          out, err, status = ruby("exit HeapInspector::CommandLine.run(ARGV)", verb, *shop, "--no-index", "--format", format)
          expect(status).to be_success, err
          expect(printed).to eq(out), "#{verb} #{format}"
        end
    end
    expect(diff.heaps.last.suspects.to_h[:suspects].size).to eq(diff.heaps.last.suspects.size)
    expect(diff.growth(limit: 2).to_h[:growth]).to eq(JSON.parse(
      ruby("exit HeapInspector::CommandLine.run(ARGV)", "diff", *shop, "--no-index", "--lines", "2", "--format", "json").first,
      symbolize_names: true
    )[:growth])
  end

  it "lets no control character of a dump through" do
    name = "A\e[31m\u0007"
    dumps = (1..3).map do |step|
      held = (1..step * 200).map { |number| format("0x7f%010x", 0x10000 + (number * 40)) }
      lines = [{ type: "ROOT", root: "vm", references: ["0x7f0000000028"] },
               { address: "0x7f0000000028", type: "CLASS", name: name, references: ["0x7f0000000050"], memsize: 40 },
               { address: "0x7f0000000050", type: "ARRAY", references: held, memsize: 40 }]
      lines += held.map.with_index do |address, at|
        { address: address, type: "OBJECT", class: "0x7f0000000028", file: "/a\e]0;x.rb", line: 1, generation: (at / 10) + 1, memsize: 40 }
      end
      HeapInspector.analyze(StringIO.new(lines.map { |line| "#{JSON.generate(line)}\n" }.join))
    end
    diff = HeapInspector.diff(*dumps)
    suspect = diff.suspects.first
    expect(suspect.class_name).to eq(name) # values are raw
    held = diff.growth(by: :holder).first
    [suspect, suspect.inspect, diff.suspects.inspect, diff.growth.inspect, diff.growth.first.inspect, held.inspect, diff.inspect,
     *suspect.path].each do |text|
      expect(text.to_s).not_to match(/[[:cntrl:]]/)
    end
    [diff, diff.suspects, diff.growth, diff.growth(by: :holder), diff.leaks].each do |report|
      [report.to_s, report.to_markdown, report.to_csv, report.to_json].each do |text|
        expect(text).not_to match(/[\u0000-\u0009\u000b-\u001f]/)
      end
    end
  end

  it "shows itself in IRB" do
    expect(diff.inspect).to match(/\A#<HeapInspector::Diff of 3 dumps: 459 new objects, 54 gone, 205 retained>\z/)
    expect(diff.pretty_inspect.lines.size).to be < 50
    expect(diff.each.size).to eq(described_class::FACTS.size)
    matched = case diff
              in { one_process: true, retained_count: Integer => count, warnings: [] } then count
              end
    expect(matched).to eq(diff.retained_objects.size)
    expect(diff.to_h).to include(verb: "diff", changes: include(retained_count: diff.retained_count))
  end

  it "takes heaps, paths and what can be read, two at least" do
    heaps = shop.map { |path| HeapInspector.analyze(path, index: false) }
    mixed = HeapInspector.diff(heaps[0], shop[1], heaps[2], index: false)
    expect(mixed.heaps.values_at(0, 2)).to eq(heaps.values_at(0, 2))
    expect(mixed.to_s).to eq(diff.to_s)
    expect { HeapInspector.diff(shop[0]) }.to raise_error(ArgumentError, /two dumps or more/)
    expect { HeapInspector.diff(*shop, stric: true) }.to raise_error(ArgumentError, /stric/)
    expect { HeapInspector.diff(shop[0], "/missing.json") }.to raise_error(Errno::ENOENT, /missing/)
    Tempfile.create("no-dump") do |file|
      file.write("[1, 2]\n")
      file.flush
      expect { HeapInspector.diff(shop[0], file.path) }.to raise_error(HeapInspector::FormatError, /\A#{Regexp.escape(file.path)}: /)
    end
  end

  it "is shared by threads and Ractors, and frozen" do
    code = <<~RUBY
      diff = HeapInspector.diff(*ARGV, index: false)
      reports = [diff.growth, diff.growth(by: :holder), diff.suspects, diff.leaks]
      raise "not shareable" unless [diff, *reports].all? { |report| report.frozen? && Ractor.shareable?(Ractor.make_shareable(report)) }
      ask = ->(diff) { [diff.new_objects.count, diff.growth(by: :holder).first.holder, diff.suspects.first.headline] }
      print Array.new(4) { Thread.new { ask.call(diff) } }.map(&:value).uniq == [ask.call(diff)]
      $VERBOSE = nil
      ractor = Ractor.new(diff) { |mine| [mine.new_objects.count, mine.growth(by: :holder).first.holder, mine.suspects.first.headline] }
      print (ractor.respond_to?(:value) ? ractor.value : ractor.take) == ask.call(diff)
    RUBY
    out, err, = ruby(code, *shop)
    expect(out).to eq("truetrue"), err
  end

  it "ends when its thread is killed, and says when a heap was closed" do
    heaps = shop.map { |path| HeapInspector.analyze(path, index: false) }
    killed = Thread.new { loop { HeapInspector.diff(*heaps).suspects } }
    killed.kill
    expect(killed.join(20)).to be(killed)
    diff = HeapInspector.diff(*heaps)
    text = diff.to_s
    heaps[1].close
    [-> { diff.new_objects }, -> { diff.growth }, -> { diff.suspects }, -> { diff.leaks }].each do |call|
      expect(&call).to raise_error(HeapInspector::ClosedError, "the heap was closed")
    end
    expect(diff.to_s).to eq(text)
  end
end
