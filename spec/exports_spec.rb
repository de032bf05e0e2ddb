# frozen_string_literal: true

require "objspace"
require "digest"
require "tmpdir"

# What is exported, opened by the readers it is for, which bin/setup --test installs.
RSpec.describe "Exported files" do
  shop = (1..3).map { |number| File.join(Helpers::ROOT, "crates/heap_inspector_cli/tests/dumps/shop-#{number}.json.zst") }

  before(:all) do
    @folder = Dir.mktmpdir
    @heaps = shop.map { |path| HeapInspector.analyze(path, index: false) }
    @diff = HeapInspector.diff(@heaps)
  end

  after(:all) { FileUtils.remove_entry(@folder) }

  let(:heap) { @heaps.last }

  def path(name) = File.join(@folder, name)

  def exported(name, **options) = heap.export(path(name), **options)

  # DevTools' names of classes as ours: strings whose text is known are `(string)` there, and a class is its own.
  def classes(summary)
    summary.each_with_object(Hash.new { |all, name| all[name] = [0, 0] }) do |(name, (count, bytes)), all|
      name = { "(string)" => "String", "(symbol)" => "Symbol" }.fetch(name, name)
      name = name.sub(/\A(singleton class|class) .*/m, "Class").sub(/\Amodule .*/m, "Module")
      all[name] = all[name].zip([count, bytes]).map(&:sum)
    end
  end

  # The same of a heap; a class whose own class the dump does not say is one, too.
  def own_classes(heap)
    sums = Hash.new { |all, name| all[name] = [0, 0] }
    heap.objects.pluck(:class, :memsize).each do |name, bytes|
      name = "Class" if name == "(CLASS)"
      sums[name] = sums[name].zip([1, bytes]).map(&:sum)
    end
    sums
  end

  describe "heap snapshots" do
    before(:all) { @files = @diff.export(path("shop")) }

    it "are one for each dump, for the owner alone, and never overwrite a file" do
      expect(@files).to eq((1..3).map { |number| path("shop/shop-#{number}.heapsnapshot") })
      modes = [path("shop"), *@files].map { |file| File.stat(file).mode & 0o777 }
      expect(modes).to eq [0o700, 0o600, 0o600, 0o600]
      before = Digest::SHA256.file(@files.first)
      expect { @diff.export(path("shop")) }.to raise_error(Errno::EEXIST)
      expect(Digest::SHA256.file(@files.first)).to eq before
      expect(Dir.children(path("shop")).size).to eq 3
    end

    it "show in DevTools the classes, counts, own and retained sizes that we do" do
      answer = read_by("devtools.mjs", @files.last)
      expect(classes(answer["classes"])).to eq own_classes(heap)
      reachable = heap.objects.where(reachable: true)
      expect(answer["retained"].map { |_, own, retained| [own, retained] }.reject { |own, _| own.zero? })
        .to match_array(reachable.pluck(:memsize, :retained_memsize))
      orders = answer["retained"].select { |name,| name == "object Order" }
      expect(orders.map(&:last)).to match_array(reachable.where(class: "Order").pluck(:retained_memsize))
    end

    it "show in DevTools' Comparison what came between two dumps" do
      comparison = read_by("devtools.mjs", @files.first, @files.last)["comparison"]
      expect(comparison["Order"]).to eq("addedCount" => 200, "removedCount" => 0, "countDelta" => 200,
                                        "sizeDelta" => @diff.new_objects.where(class: "Order").sum(:memsize))
      added = classes(comparison.transform_values { |row| row.values_at("addedCount", "removedCount") })
      expect(added.values.sum(&:first)).to eq @diff.new_count
      expect(added.values.sum(&:last)).to eq @diff.gone_count
    end

    it "show in DevTools where objects were allocated, where that is asked" do
      answer = read_by("devtools.mjs", exported("sites.heapsnapshot", sites: true))
      of_line = answer["sites"].select { |site| site["scriptName"].end_with?("shop.rb") && site["line"] == 27 }
      ours = heap.objects.where(location: "shop.rb:27")
      expect(%w[liveCount liveSize].map { |key| of_line.sum { |site| site[key] } }).to eq [ours.count, ours.sum(:memsize)]
      serve = ours.where(method: "serve")
      expect(of_line.find { |site| site["name"] == "serve" }.values_at("liveCount", "liveSize")).to eq [serve.count, serve.sum(:memsize)]
    end

    it "show in DevTools the duplicate strings, unless they are confidential" do
      answer = read_by("devtools.mjs", @files.last)
      ours = heap.duplicate_strings(where: { class: "String" }, limit: nil).select { |string| string.count > 1 && string.value }
      expect(answer["duplicates"]).to eq(ours.sum(&:count))
      hidden = exported("hidden.heapsnapshot", confidential: true)
      answer = read_by("devtools.mjs", hidden)
      expect(answer["duplicates"]).to eq 0
      expect(classes(answer["classes"])).to eq own_classes(heap)
      text = heap.strings.where(file: "shop.rb").first.value
      expect([@files.last, hidden].map { |file| File.read(file).include?(text.to_json) }).to eq [true, false]
    end

    # The larger ones of a dump that is too large, what lies below them summed up.
    it "retain the same where they are cut" do
      answer = read_by("devtools.mjs", exported("cut.heapsnapshot", min: 2000))
      kept = heap.objects.where(retained_memsize: 2000.., reachable: true)
      rows = answer["retained"].reject { |name, own,| own.zero? || name == "native (left out)" }
      expect(rows.map { |_, own, retained| [own, retained] }).to match_array(kept.pluck(:memsize, :retained_memsize))
      expect(answer["total"]).to eq heap.objects.where(reachable: true).sum(:memsize)
    end

    it "are read by VS Code" do
      found = read_by("vscode.cjs", @files.last).to_h { |name, count, bytes| [name, [count, bytes]] }
      expect(found.fetch("Order")).to eq [heap.objects.where(class: "Order").count, heap.objects.where(class: "Order").sum(:memsize)]
    end

    it "name the planted leak first in memlab's search" do
      dumps = path("leak")
      _, err, status = Open3.capture3(RbConfig.ruby, File.join(Helpers::ROOT, "spec/leaks/programs/constant_array.rb"), dumps)
      expect(status).to be_success, err
      files = HeapInspector.diff(%w[a b c].map { |name| File.join(dumps, "#{name}.json") }, index: false).export(path("leaks"))
      first, *others = read_by("memlab.cjs", *files).map { |steps| steps.join("\n") }
      expect(first).to match(/\[module Audit\].*\[Array\].*\[Audit::Event\]/m)
      expect(others.join).not_to include("Audit::Event")
    end
  end

  describe "profiles" do
    go = %w[/usr/bin/go /usr/local/go/bin/go].find { |path| File.executable?(path) }

    # The own values of pprof's functions.
    def top(go, file, index)
      lacking "go is missing" unless go
      out, err, status = Open3.capture3({ "HOME" => @folder }, go, "tool", "pprof", "-top", "-nodecount=10000", "-nodefraction=0",
                                        "-unit=B", "-sample_index=#{index}", file)
      expect(status).to be_success, err
      out.lines.filter_map { |line| line.match(/^ *(\d+)B? +\S+ +\S+ +\d+B? +\S+ +(.*)$/) }.to_h { |match| [match[2], match[1].to_i] }
    end

    it "are read by pprof: objects and bytes by the allocating line" do
      file = exported("sites.pb.gz", format: :pprof)
      sums = ->(measure) { heap.objects.where(method: "serve").then { |objects| measure ? objects.sum(measure) : objects.count } }
      expect(top(go, file, "inuse_objects")["serve"]).to eq sums[nil]
      expect(top(go, file, "inuse_space")["serve"]).to eq sums[:memsize]
    end

    it "are read by pprof: own sizes by what dominates" do
      file = exported("dominators.pb.gz", format: :pprof, by: :dominators, min: 1)
      orders = heap.objects.where(class: "Order", reachable: true)
      found = %w[inuse_objects inuse_space].map { |index| top(go, file, index)["Order"] }
      expect(found).to eq [orders.count, orders.sum(:memsize)]
    end

    it "are read by speedscope's importer in each form" do
      reachable = heap.objects.where(reachable: true).sum(:memsize)
      [%i[speedscope speedscope.json], %i[folded folded], %i[pprof pb.gz]].each do |format, ending|
        sites, dominators = %i[site dominators].map do |by|
          read_by("speedscope.mjs", exported("#{by}-#{format}.#{ending}", format: format, by: by))
        end
        expect(sites.first["total"]).to eq(heap.memsize), format.to_s
        expect(dominators.first["total"]).to eq(reachable), format.to_s
      end
      objects = read_by("speedscope.mjs", exported("objects.speedscope.json", format: :speedscope)).last
      expect(objects).to include("name" => "Objects", "total" => heap.object_count)
      expect(objects["own"]["Order"]).to eq heap.objects.where(class: "Order").count
    end

    it "have the stacks where the dump has any" do
      skip "Ruby's own tracer, which has no stacks, serves in #{RUBY_DESCRIPTION}" if Helpers.tracer_missing
      dump = path("stacks.json")
      program = <<~RUBY
        require "heap_inspector"
        KEPT = []
        def inner = KEPT << "kept " * 40
        def outer = inner
        HeapInspector.trace_object_allocations_start(mode: :full, every: 2)
        2_000.times { outer }
        HeapInspector.dump(#{dump.inspect}, compression: :plain)
      RUBY
      _, err, status = Open3.capture3({ "HEAP_INSPECTOR_DIR" => path("run") }, RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "-e", program)
      expect(status).to be_success, err
      traced = HeapInspector.analyze(dump, index: false)
      traced.export(path("stacks.folded"), format: :folded)
      line = File.read(path("stacks.folded"))[/^.*outer -e:4;.*inner -e:3;(?:String#\*;)?String (\d+)$/, 1]
      bytes = 2_000 * ObjectSpace.memsize_of("kept " * 40)
      expect(line.to_i).to be_within(bytes / 4).of(bytes)
      answer = read_by("devtools.mjs", traced.export(path("stacks.heapsnapshot"), sites: true))
      # Those with a stack are of a method in C, the others of its caller's line.
      inner = answer["sites"].select { |site| site["name"] == "String#*" || site.values_at("scriptName", "line") == ["-e", 3] }
      expect(inner.sum { |site| site["liveCount"] }).to be_between(2_000, 2_200)
    end
  end

  it "are asked for by the command line and by Rake" do
    out, err, code = ruby(<<~RUBY)
      require "heap_inspector"
      exit HeapInspector::CommandLine.run(["export", #{shop.last.inspect}, "--no-index", "-o", #{path("own.heapsnapshot").inspect}])
    RUBY
    expect([err, code]).to eq(["", 0])
    expect(out).to include("own.heapsnapshot", "References")
    exported("same.heapsnapshot")
    expect(FileUtils.identical?(path("own.heapsnapshot"), path("same.heapsnapshot"))).to be true
    environment = { "OUTPUT" => path("rake"), "FORMAT" => "folded" }
    out, status = Open3.capture2e(environment, "rake", "-I#{Helpers::ROOT}/lib", "-rheap_inspector/tasks", "-f/dev/null",
                                  "heap:export[#{shop.join(",")}]")
    expect(status).to be_success, out
    expect(Dir.children(path("rake")).sort).to eq %w[shop-1.folded shop-2.folded shop-3.folded]
  end

  it "refuse what cannot be" do
    expect { exported("x", format: :pdf) }.to raise_error(ArgumentError, /format: :pdf is unknown; there are .*heapsnapshot/)
    expect { exported("x", format: :pprof, by: :class) }.to raise_error(ArgumentError, /by: :class is unknown/)
    expect { exported("x", min: -1) }.to raise_error(ArgumentError, "min: expected bytes, got -1")
    expect { exported("x", format: :folded, sites: true) }.to raise_error(ArgumentError, /--sites is of heap snapshots/)
    expect { heap.export(nil) }.to raise_error(TypeError)
    expect { heap.export(path("nowhere/x")) }.to raise_error(Errno::ENOENT)
    expect(File).not_to exist(path("x"))
  end
end
