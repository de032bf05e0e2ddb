# frozen_string_literal: true

require "pathname"
require_relative "living"

RSpec.describe "The process's own dumper" do
  include_context "with living processes"

  let(:path) { File.join(folder, "heap.json.zst") }

  # Runs a program to its end; its last line is what it printed.
  def run(program)
    process = living(program)
    status = process.wait
    expect(status).to be_success, process.rest
  end

  # A program's end that looks at one heap in two ways, into a file each; the code is of one round, and has `native` and both files. What
  # the first round makes, as caches, is there at the second.
  def two_looks(first, second, code)
    <<~RUBY
      File.open(#{first.inspect}, "w") do |first|
        File.open(#{second.inspect}, "w") do |second|
          native = HeapInspector.module_eval("Dump; Native")
          3.times { GC.start }
          GC.disable
          2.times do
            [first, second].each { |file| file.rewind; file.truncate(0) }
            #{code}
          end
        end
      end
    RUBY
  end

  # A heap file as lines, and what was said.
  def converted(file)
    out, err, status = Open3.capture3(RbConfig.ruby, "-I", Living::LIB, Living::EXE, "convert", file, "-o", "-", binmode: true)
    expect(status).to be_success, err
    [out, err]
  end

  describe "its lines" do
    # What changes between two looks at one heap: stacks of what runs, what the looks themselves made, caches of calls.
    def compared(lines)
      lines.reject { |line| line.include?('"root":"machine_context"') || line.match?(%r{"struct":"(VM/thread|fiber)"}) }
    end

    it "are those of ObjectSpace.dump_all, byte for byte" do
      native, ruby = %w[native ruby].map { |name| File.join(folder, name) }
      run(<<~RUBY)
        require "objspace"; require "set"
        class Thing; def initialize(n) = (@name = "thing \#{n}"; @nothing = nil; @list = [n]); end
        class Holder; CONSTANT = ["c"]; @ivar = {}; @@cvar = "x"; class << self; attr_accessor :reg; end; end
        keep = [Array.new(50) { |n| Thing.new(n) }, [1.5e300 * 10, -1.0 / 0, 0.0 / 0, 1.0e-310, 2**70, 3.7r, 2i], "ü" * 50, "\\xff".b, "\\xff a",
                "quote \\" back \\\\ \\t\\n\\r\\b\\f\\0\\e\\x7f", "long" * 500, ("long" * 500)[3..], (1..100).to_a, (1..100).to_a[5..], [], {}, { a: 1 },
                Hash.new { |hash, key| hash[key] = 1 }, { "a" => 1 }.compare_by_identity, Struct.new(:x, :y).new(1, "y"), Class.new, Module.new,
                Class.new(Thing) { define_method(:x) { 1 } }, :"dynamic \#{rand}", File.open(__FILE__ == "-e" ? "/dev/null" : "/dev/null"), /a\#{1}b/,
                "abc".match(/b/), [1, 2].each.tap(&:next), Fiber.new { Fiber.yield }.tap(&:resume), Thread.new { sleep }, proc { keep }, 1.method(:+),
                binding, "frozen".freeze, "x".encode("UTF-16LE"), Set[1, "two"], Object.new.tap { |o| def o.x = 1 }, Mutex.new, Time.now,
                "generic".dup.tap { |text| text.instance_variable_set(:@generic, "value") }, Array.new(200) { |n| Object.new.tap { |o| o.instance_variable_set("@v\#{n}", [n]) } }]
        #{two_looks(native, ruby, "native.walk_heap(first.fileno, false, false, nil); ObjectSpace.dump_all(output: second); second.flush")}
        puts keep.size
      RUBY
      native, ruby = [native, ruby].map { |file| compared(File.binread(file).lines) }
      differing = (native - ruby) + (ruby - native)
      expect(native.size).to be > 10_000
      expect(native & ruby).not_to be_empty
      expect(differing.size).to be <= 20, differing.first(12).map { |line| line[0, 300] }.join
      kinds = native.to_h { |line| [line[/"type":"(\w+)"/, 1], true] }
      expect(kinds.keys).to include(*%w[ROOT OBJECT CLASS ICLASS MODULE FLOAT STRING REGEXP ARRAY HASH STRUCT BIGNUM FILE DATA MATCH SYMBOL
                                        RATIONAL COMPLEX IMEMO])
    end
  end

  describe "its names" do
    def program(redact: false)
      <<~RUBY
        module Catalog
          LISTENERS = ["constant value"]
          autoload :Never, "/nowhere/never"
          @registry = ["module's variable"]
          @@count = ["class variable"]
        end
        class Request; def initialize = (@session = ["session"]; @nothing = nil; @number = 7; @last = ["last"]); end
        Pair = Struct.new(:left, :right)
        Coordinate = defined?(Data.define) ? Data.define(:lat, :lng) : Struct.new(:lat, :lng)
        $recent_searches = ["recent search"]
        Holes = [1, ["behind a number"], nil]
        Keys = { symbol: ["by symbol"], 12 => ["by number"], 1.5 => ["by float"], "text \\"q\\"" => ["by text"], ("long" * 30) => ["by long text"],
                 nil => ["by nil"], String => ["by class"], Object.new => ["by object"], "\\xff".b => ["by bytes"] }
        Others = [Pair.new(["left"], ["right"]), Coordinate.new(["lat"], ["lng"]), Request.new,
                  "generic".dup.tap { |text| text.instance_variable_set(:@extra, ["extra"]) }]
        def Catalog.hook
          request = ["local variable"]
          -> { request }
        end
        Hook = Catalog.hook
        Bound = ["receiver"].method(:push)
        Enumerated = ["enumerated"].each
        Thread.new do
          Thread.current[:fiber_local] = ["fiber-local"]
          Thread.current.thread_variable_set(:thread_local, ["thread-local"])
          only = ["stack of another thread"]
          Thread.stop
          only
        end.tap { |thread| Thread.pass until thread.stop? }
        Defaults = Hash.new { |hash, key| hash[key] = 1 }
        HeapInspector.dump(#{path.inspect}, redact: #{redact})
      RUBY
    end

    it "say by what each sort of object holds each" do
      run(program)
      lines = Helpers.lines_of(path)
      expect(meta(path)).to include("version" => 2, "dumper" => "native", "stacks" => "all")
      texts = lines.select { |line| line["type"] == "STRING" }.to_h { |line| [line["address"], line["value"]] }
      # By what each array of one of the program's texts is held.
      arrays = lines.select { |line| line["type"] == "ARRAY" && line["length"] == 1 }
                    .to_h { |line| [line["address"], texts[line["references"]&.first]] }
      edges = lines.flat_map do |line|
        next [] unless line["names"]

        line["references"].zip(line["names"]).filter_map { |address, name| [arrays[address], name] if arrays[address] }
      end
      expect(edges.to_h).to include(
        "constant value" => "LISTENERS", "module's variable" => "@registry", "class variable" => "@@count", "session" => "@session",
        "last" => "@last", "left" => ".left", "right" => ".right", "lat" => ".lat", "lng" => ".lng", "by symbol" => "[:symbol]",
        "by number" => "[12]", "by float" => "[1.5]", "by text" => '["text "q""]', "by long text" => "[\"#{"long" * 15}…\"]",
        "by nil" => "[nil]", "by class" => "[String]", "by object" => "(value)", "by bytes" => "(value)", "extra" => "@extra",
        "local variable" => "request", "receiver" => "(receiver)", "enumerated" => "(receiver)", "thread-local" => "[:thread_local]",
        "behind a number" => "[1]"
      )
      named = lines.select { |line| line["root"] == "heap_inspector_names" }.map { |line| JSON.parse(line["value"]) }
      globals = named.flat_map { |value| value["globals"] || [] }.to_h
      expect(arrays[globals.fetch("$recent_searches")]).to eq "recent search"
      locals = named.flat_map { |value| value["threads"] || [] }
      expect(locals.map { |_, name, address| [name, arrays[address]] }).to include(["[:fiber_local]", "fiber-local"])
      hook = lines.find { |line| line["struct"] == "proc" && line["block"]&.match?(/\A-e:\d+\z/) }
      expect(hook["names"]).to eq ["(self)", "(code)", "(local variables)"]
      defaults = lines.find { |line| line["type"] == "HASH" && line["default"] && line["size"].zero? && line["names"] == ["(default)"] }
      expect(defaults).not_to be_nil
    end

    it "say where each constant was set, as Ruby does" do
      run(<<~RUBY)
        require "json"
        require "set"
        require "logger"
        module Catalog
          LISTENERS = []; NUMBER = 1

          class Entry; end
          private_constant :LISTENERS
          autoload :Never, "/nowhere/never"
        end
        modules = ObjectSpace.each_object(Module).select { |one| one.name && !one.singleton_class? && Object.const_get(one.name).equal?(one) rescue false }
        places = modules.flat_map do |one|
          (one.constants(false) - one.constants(false).select { |name| one.autoload?(name, false) }).map do |name|
            ["\#{one.name} \#{name}", one.const_source_location(name, false)]
          end
        end
        File.write(#{"#{path}.places".inspect}, JSON.generate(places.to_h))
        HeapInspector.dump(#{path.inspect})
      RUBY
      expected = JSON.parse(File.read("#{path}.places")).select { |_, place| place&.first }
      lines = Helpers.lines_of(path)
      texts = lines.select { |line| line["type"] == "STRING" }.to_h { |line| [line["address"], line["value"]] }
      modules = lines.select { |line| %w[CLASS MODULE].include?(line["type"]) && line["name"] && line["names"] }
      found = modules.flat_map do |line|
        line["references"].zip(line["names"]).filter_map do |address, name|
          constant, number = name.to_s.match(/\A\(file of (.*), line (\d+)\)\z/)&.captures
          ["#{line["name"]} #{constant}", [texts[address], number.to_i]] if constant
        end
      end
      expect(found.to_h).to include("Catalog LISTENERS" => ["-e", 6], "Catalog NUMBER" => ["-e", 6], "Catalog Entry" => ["-e", 8])
      expect(found.to_h.slice(*expected.keys)).to eq(expected.slice(*found.map(&:first)))
      expect(expected.keys - found.map(&:first)).to eq([])
      expect(expected.size).to be > 200
    end

    it "are what a path, an object's references and a suspect's holder are told by" do
      run(<<~RUBY)
        class Session; def initialize = @data = "x" * 100; end
        class Request; def initialize = @session = Session.new; end
        module Catalog; LISTENERS = []; end
        def hook = Request.new.then { |request| -> { request } }
        200.times { Catalog::LISTENERS << hook }
        $recent = [Object.new]
        HeapInspector.dump(#{path.inspect})
      RUBY
      2.times do # from the dump, then with its index file
        heap = HeapInspector.analyze(path)
        session = heap.where(class: "Session").first
        edges = session.path_to_root.map(&:edge)
        expect(edges.last(6)).to match ["::Catalog", "::LISTENERS", /\A\[\d+\]\z/, "local variables", "local variable request", "@session"]
        expect(session.path_to_root.map(&:label)).to include("Proc, block (2 levels) in hook, -e:5")
        request = heap.where(class: "Request").first
        expect(request.references.map { |reference| [reference.edge, reference.certain?] }).to include(["@session", true])
        expect(request.referrers.map(&:edge)).to include("local variable request")
        globals = Helpers.lines_of(path).find { |line| line["value"]&.include?('"$recent"') }.fetch("value")
        recent = heap.find(JSON.parse(globals).fetch("globals").to_h.fetch("$recent"))
        expect(recent.path_to_root.first.edge).to eq "$recent"
        expect(heap.suspects.first.holder).to eq "Catalog::LISTENERS"
      end
    end

    # What is held by names, in words: a text is the only text in an Array.
    def held(from, *names)
      found = names.reduce(from) { |object, name| object[name] }
      found&.type == :array ? found[0].value || found[0].bytesize : found&.label
    rescue HeapInspector::NameUnknown => e
      e.class
    end

    def holders
      <<~RUBY
        module Catalog
          LISTENERS = []
          @registry = ["module's variable"]
          @@count = ["class variable"]
          def lookup = nil
          def self.listen(request)
            [1].each { inner = ["inner"]; LISTENERS << -> { [request, inner] } }
          end
        end
        class Session; end
        class Request; def initialize = (@session = Session.new; @number = 7); end
        class Keys < Hash; end
        200.times { Catalog.listen(Request.new) }
        Pair = Struct.new(:left, :right)
        LONG = "long" * 20
        BY_KEY = Keys.new.merge!(
          { symbol: ["symbol"], 12 => ["number"], 1.5 => ["float"], nil => ["nil"], 'a "q"' => ["text"],
            LONG => ["long"], "\#{LONG[0..-2]}h" => ["long, too"], "\\xff".b => ["bytes"], ("ä" * 40) => ["no ASCII"],
            String => ["class"], "a number" => 5, LISTS = [] => ["object"] }
        )
        BY_KEY.instance_variable_set(:@extra, ["extra"])
        PAIR = Pair.new(["left"], 7)
        HOLES = [1, ["behind a number"], nil]
        WHOLE = ("1".."30").map { |text| [text] }.freeze
        SHARED = WHOLE.dup
        PART = ("1".."30").map { |text| [text] }[5..]
        BOUND = ["receiver"].method(:push)
        THREAD = Thread.new { Thread.current.name = "worker"; Thread.current[:local] = ["fiber-local"]; Thread.stop }
        Thread.pass until THREAD.stop?
      RUBY
    end

    it "are what an object is asked by" do
      files = %w[lines.zst columns.heap redacted.zst ruby.zst].map { |name| File.join(folder, name) }
      run(<<~RUBY)
        #{holders}
        HeapInspector.dump(#{files[0].inspect})
        HeapInspector.dump(#{files[1].inspect}, format: :heap)
        HeapInspector.dump(#{files[2].inspect}, redact: true)
        HeapInspector.dump(#{files[3].inspect}, dumper: :ruby)
      RUBY
      files.first(3).each_with_index do |file, at|
        redacted = at == 2
        heap = HeapInspector.analyze(file, index: false)
        top = heap.classes.find { |found| found.name == "Object" }
        # Texts of a redacted dump are others.
        text = ->(words) { redacted ? an_instance_of(String).and(satisfy { |told| told.size == words.size }) : eq(words) }
        string = heap.classes.find { |found| found.name == "String" }
        { %i[Catalog @registry] => "module's variable", %w[Catalog @registry] => "module's variable",
          %i[Catalog @@count] => "class variable", [:Catalog, :LISTENERS, 150, :inner] => "inner", %i[PAIR left] => "left",
          %i[BOUND receiver] => "receiver",
          [:HOLES, 1] => "behind a number", [:HOLES, -2] => "behind a number", [:WHOLE, 4] => "5", [:SHARED, -1] => "30",
          %i[THREAD local] => "fiber-local", %i[BY_KEY symbol] => "symbol", [:BY_KEY, 12] => "number", [:BY_KEY, 1.5] => "float",
          [:BY_KEY, nil] => "nil", %i[BY_KEY @extra] => "extra", [:BY_KEY, string] => "class", [:BY_KEY, top[:LISTS]] => "object" }
          .each do |names, words|
          expect(held(top, *names)).to text[words], names.inspect
        end
        expect(held(top, :Catalog, :LISTENERS, 150, :request, :@session)).to eq "Session"
        expect([held(top, :Catalog, :LISTENERS, 150, :self), held(top, :Catalog)]).to eq ["module Catalog"] * 2
        expect(top[:Catalog][:lookup].imemo).to eq "ment"
        expect(top[:THREAD][:name].bytesize).to eq 6
        # What is no object, and what is not there.
        [%i[PAIR right], [:HOLES, 0], [:HOLES, 9], [:HOLES, -4], %i[Catalog NOTHING], [:Catalog, :LISTENERS, 0, :nothing],
         %i[BY_KEY nothing], [:BY_KEY, 13], [:BY_KEY, 2.5], [:BY_KEY, true], [:BY_KEY, top[:HOLES]],
         [:Catalog, :LISTENERS, 0, :request, :@number]].each do |names|
          expect(held(top, *names)).to be_nil, names.inspect
        end
        long = "long" * 20
        { "a \"q\"" => "text", long => "long", "#{long[0..-2]}h" => "long, too", "#{long[0..-2]}i" => nil }.each do |key, words|
          expect(held(top, :BY_KEY, key)).to eq(redacted ? HeapInspector::NameUnknown : words), key
        end
        expect(["a number", "nothing"].map { |key| held(top, :BY_KEY, key) }).to eq [nil, nil]
        # The dump has neither these keys nor which of another's elements an Array has.
        [[:BY_KEY, "\xff".b], [:BY_KEY, "ä" * 40], [:PART, 3]].each do |names|
          expect(held(top, *names)).to eq(HeapInspector::NameUnknown), names.inspect
        end
        expect { top[3] }.to raise_error(TypeError, "class Object holds nothing by Integer; expected one of Symbol, String")
        expect { top[:BY_KEY][Object.new] }.to raise_error(TypeError)
        expect { top[:BY_KEY][HeapInspector.analyze(file, index: false).objects.first] }.to raise_error(ArgumentError, /another heap/)
      end
      # Ruby's own tells by what a constant is held where it is a class, and the places of elements.
      heap = HeapInspector.analyze(files.last, index: false)
      top = heap.classes.find { |found| found.name == "Object" }
      expect(held(top, :Catalog)).to eq "module Catalog"
      expect { top[:PAIR] }.to raise_error(HeapInspector::NameUnknown, /\Athe dump does not say by what class Object 0x\h+ holds /)
      whole = heap.arrays.find { |found| found.length == 30 && held(found, 29) == "30" }
      expect(held(whole, 2)).to eq "3"
    end

    it "cover nearly all that objects, hashes, structs, classes and closures hold" do
      run(program)
      lines = Helpers.lines_of(path)
      counts = named(lines)
      shares = counts.transform_values { |all, named| named.fdiv(all) }
      expect(shares.keys).to include("OBJECT", "HASH", "ARRAY", "STRUCT", "CLASS", "MODULE", "proc", "env")
      expect(counts.values.sum(&:last).fdiv(counts.values.sum(&:first))).to be >= 0.98, shares.inspect
    end

    it "say where threads, fibers and enumerators wait, and what threads are called" do
      run(<<~RUBY)
        class Feed
          def each
            yield 1
            yield 2
          end
        end
        worker = Thread.new do
          Thread.current.name = "worker one"
          Thread.stop
        end
        waiting = Thread.new do
          only = "a frozen string of a thread without a name".freeze
          Queue.new.pop
          only
        end
        fiber = Fiber.new do
          number = 1

          Fiber.yield(number)
        end
        fiber.resume
        ended = Fiber.new { nil }.tap(&:resume)
        new = Fiber.new { nil }
        enumerator = Feed.new.to_enum.tap(&:next)
        in_c = [1, 2].each.tap(&:next)
        Thread.pass until worker.stop? && waiting.stop?
        HeapInspector.dump(#{path.inspect})
        HeapInspector.dump(#{File.join(folder, "app.heap").inspect}, format: :heap)
        p [ended, new, in_c, enumerator, fiber].size
      RUBY
      [path, File.join(folder, "app.heap")].each do |file|
        heap = HeapInspector.analyze(file, index: false)
        threads = heap.threads.select { |one| one.kind == :thread && one.code }
        expect(threads.map { |one| [one.name, one.waits_in] }).to contain_exactly(["worker one", "-e:10"], [nil, "-e:14"])
        fibers = heap.threads.select { |one| one.kind == :fiber }
        expect(fibers.filter_map(&:waits_in)).to include("-e:4", "-e:20")
        expect(fibers.count { |one| one.waits_in.nil? }).to be >= 2
        fiber = fibers.find { |one| one.waits_in == "-e:4" }.object
        expect(fiber.path_to_root.map(&:label)).to include("Fiber, waits in -e:4")
        enumerator = fiber.referrers.find { |reference| reference.edge == "fiber" }.object
        expect(enumerator.show.fields.fetch("waits_in")).to eq "-e:4"
        worker = threads.find(&:name).object
        expect(worker.references.map(&:edge)).to include("name")
      end
    end

    it "tell no key's text where the dump is redacted" do
      run(program(redact: true))
      bytes = IO.popen(["zstd", "-dcq", path], &:read)
      expect(["[:symbol]", '"@session"', '"LISTENERS"'].reject { |name| bytes.include?(name) }).to be_empty
      expect(["text \\\"q", "longlonglong"].select { |text| bytes.include?(text) }).to be_empty
    end
  end

  describe "its heap file" do
    let(:heap_file) { File.join(folder, "app.heap") }

    # The lines that `convert` makes of it.
    def app(**options)
      <<~RUBY
        class Session; def initialize(n) = (@user = "user \#{n}"; @data = { token: "secret token \#{n}", "key \#{n}" => [n, 1.5]}); end
        module Catalog; LISTENERS = []; end
        $recent = ["a recent search"]
        Pair = Struct.new(:left, :right)
        Odd = ["quote \\" back \\\\ \\t\\n\\0\\e\\x7f", "ü" * 50, "\\xff", "long" * 9_000, Pair.new("l" * 30, 2.5), 2**70, :"a \#{1} symbol"]
        300.times { |n| session = Session.new(n); Catalog::LISTENERS << -> { session } }
        file = HeapInspector.dump(#{heap_file.inspect}, format: :heap, **#{options.inspect})
        raise file.inspect unless file.format == :heap && file.dumper == :native && file.compressed_bytes == File.size(#{heap_file.inspect})
        raise "anyone may read it" unless File.stat(#{heap_file.inspect}).mode & 0o777 == 0o600
      RUBY
    end

    it "becomes the lines of the same moment, byte for byte" do
      lines, columns = %w[lines columns].map { |name| File.join(folder, name) }
      run("#{app}\n#{two_looks(lines, columns, "native.walk_heap(first.fileno, true, true, second.fileno)")}")
      plain = File.binread(lines).lines
      out, err = converted(columns)
      expect(err).to match(/\Aheap_inspector: [\d,]+ records, [\d,]+ bytes\n\z/)
      # The second of two looks at a heap sees what the first made to ask for names.
      differing = ((plain - out.lines) + (out.lines - plain)).reject { |line| line.include?('"root":"machine_context"') }
      expect(plain.size).to be > 10_000
      expect(differing.size).to be <= 20, differing.first(9).map { |line| line[0, 300] }.join
      expect(out.lines.select { |line| line.include?('"names"') }.size).to be > 2_000
      expect(File.size(columns)).to be < IO.popen(["zstd", "-qc", lines], &:read).bytesize
    end

    it "answers as lines do, with names and stacks" do
      run("HeapInspector.trace_object_allocations_start\n#{app}")
      file = File.join(folder, "heap.json")
      File.binwrite(file, converted(heap_file).first)
      [heap_file, file].each do |dump|
        2.times do # from the dump, then with its index file
          heap = HeapInspector.analyze(dump, index: true)
          expect(heap.warnings).to be_empty
          expect(heap.retained).not_to be_nil
          sessions = heap.where(class: "Session")
          expect(sessions.count).to eq 300
          session = sessions.first
          edges = session.path_to_root.map(&:edge).last(4)
          expect(edges).to match ["::LISTENERS", /\A\[\d+\]\z/, "local variables", "local variable session"]
          expect([session.file, session.line, session.generation.nil?]).to eq ["-e", 8, false]
          expect(session.references.map(&:edge)).to include("@user", "@data")
        end
      end
      of_file, of_lines = [heap_file, file].map do |dump|
        Open3.capture2(RbConfig.ruby, "-I", Living::LIB, Living::EXE, "suspects", dump, "--format", "json").first.gsub(dump, "DUMP")
      end
      expect(of_file).to eq of_lines
      expect(File.file?("#{heap_file}.hidx")).to be true
    end

    it "is read up to where it is cut, from a path and a pipe, and refused where it is of a newer version" do
      run(app)
      whole = File.binread(heap_file)
      count = HeapInspector.analyze(heap_file).object_count
      FileUtils.rm_f("#{heap_file}.hidx")
      File.binwrite(heap_file, whole[0, whole.size * 9 / 10])
      heap = HeapInspector.analyze(heap_file)
      expect(heap.object_count).to be_between(1, count - 1)
      expect(heap.warnings.map(&:message)).to include(/\Athe heap file is not whole: it ends inside of block \d+, behind [\d,]+ records/)
      expect(converted(heap_file).last).to include("it was probably cut off")
      out, err, = Open3.capture3(RbConfig.ruby, "-I", Living::LIB, Living::EXE, "summary", "-", stdin_data: whole[0..-33], binmode: true)
      expect(out).to include("Session")
      expect(out + err).to include("the heap file is not whole: it ends behind")
      File.binwrite(heap_file, whole.tap { |bytes| bytes.setbyte(8, 2) })
      refused = /the heap file is of version 2, and this heap_inspector reads version 1; read it with a newer one/
      expect { HeapInspector.analyze(heap_file) }.to raise_error(HeapInspector::FormatError, refused)
    end

    it "is written by lines where Ruby's own dumper takes the dump" do
      run(<<~RUBY)
        HeapInspector.module_eval("Dump").unfit = "it broke before"
        file = HeapInspector.dump(#{heap_file.inspect}, format: :heap)
        raise file.inspect unless file.format == :ndjson && file.dumper == :ruby && file.compression == :zstd
        { dumper: :ruby, compression: :gzip, format: :lies }.each do |name, value|
          HeapInspector.dump(#{heap_file.inspect}, **{ format: :heap, name => value })
          raise "it took \#{name}"
        rescue ArgumentError
          nil
        end
      RUBY
      expect(HeapInspector.analyze(heap_file).warnings).to be_empty
    end
  end

  describe "where it is redacted" do
    # Where each secret stands; its own text is `secret of <name>`.
    places = {
      value: "$value = SECRET", literal: "def literal = \"secret of literal\"", long: "$long = SECRET * 900",
      part: "$part = (SECRET * 90)[3..]",
      frozen: "$frozen = SECRET.freeze", key: "$key = { SECRET => 1 }", long_key: "$long_key = { SECRET * 9 => [1] }",
      identity_key: "$identity = { SECRET => Object.new }.compare_by_identity", member: "$member = Struct.new(:member).new(SECRET)",
      data: "$data = (defined?(Data.define) ? Data.define(:x) : Struct.new(:x)).new(SECRET)",
      variable: "$variable = Object.new.tap { |it| it.instance_variable_set(:@variable, SECRET) }", constant: "CONSTANT = SECRET",
      class_variable: "class Holder; def self.keep(it) = @@it = it; end; Holder.keep(SECRET)",
      closure: "$closure = SECRET.then { |it| -> { it } }",
      thread: "Thread.new { Thread.current.name = SECRET; Thread.stop }", thread_local: "Thread.current.thread_variable_set(:x, SECRET)",
      fiber_local: "Thread.current[:x] = SECRET", element: "$element = [1, SECRET, nil]",
      generic: "$generic = +''; $generic.instance_variable_set(:@x, SECRET)",
      exception: "$exception = (raise(SECRET) rescue $!)", pattern: "$pattern = /\#{SECRET}/", queue: "$queue = Queue.new << SECRET",
      default: "$default = Hash.new(SECRET)",
      stack: "Fiber.new { |it| Fiber.yield; it }.tap { |fiber| $fiber = fiber; fiber.resume(SECRET) }"
    }.freeze

    { ndjson: "heap.json", heap: "app.heap" }.each do |format, name|
      it "holds none of #{places.size} secrets, as #{format}, and does where it is not" do
        file = File.join(folder, name)
        program = lambda do |redact|
          places.map { |place, code| code.gsub("SECRET", "[\"secret\", \"of\", \"#{place} \"].join(\" \")") }.join("\n") + <<~RUBY
            \nsleep(0.01)
            symbols = { a_key: [1], 77 => [2.75], ["typed", "by", "a user"].join(" ").to_sym => [2] }
            HeapInspector.dump(#{file.inspect}, format: :#{format}, redact: #{redact})
            p symbols.size
          RUBY
        end
        found = lambda do
          # Blocks are packed, but not all.
          bytes = File.binread(file)
          bytes << command("convert", file, "-o", "-").first.b if format == :heap
          [places.keys.select { |place| bytes.include?("secret of #{place}".b) }, bytes]
        end
        run(program.call(false))
        expect(found.call.first).to match_array(places.keys)
        run(program.call(true))
        left, bytes = found.call
        expect(left).to be_empty
        # What SECURITY.md says is kept.
        expect(bytes).to include('"@variable"', '"CONSTANT"', "$value", "[:a_key]", "[77]", "typed by a user", '\"redacted\":true')
        expect(bytes).not_to match(/secret/)
        expect(HeapInspector.analyze(file, index: false).where(type: "STRING").count).to be > 1_000
      end
    end
  end

  it "keeps what only another thread's stack, or a fiber that waits, holds" do
    run(<<~RUBY)
      thread = Thread.new { only = ["kept by ", "a stack"].join; Thread.stop; only }
      Thread.pass until thread.stop?
      fiber = Fiber.new { only = ["kept by ", "a fiber"].join; Fiber.yield; only }
      fiber.resume
      HeapInspector.dump(#{path.inspect})
      fiber.resume
    RUBY
    heap = HeapInspector.analyze(path)
    held = Helpers.lines_of(path).select { |line| ["kept by a stack", "kept by a fiber"].include?(line["value"]) }
    expect(held.map { |line| line["value"] }).to contain_exactly("kept by a stack", "kept by a fiber")
    expect(held.map { |line| heap.find(line["address"]).reachable? }).to all(be true)
  end

  it "has ObjectSpace.dump_all take the dump where its child ends by a fault, and from then on" do
    process = living(<<~RUBY)
      strings = Array.new(300_000) { |number| "text \#{number}" }
      puts "waiting"
      file = HeapInspector.dump(#{path.inspect}, compression: :gzip)
      puts "\#{file.dumper}: \#{file.fallback}"
      puts HeapInspector.dump(#{path.inspect}, compression: :plain).dumper
      File.open(#{path.inspect}, "w") { |io| puts HeapInspector.dump(io, compression: :plain).dumper }
      puts strings.size
    RUBY
    process.line(/waiting/)
    child = eventually { Dir.glob("#{path}.*.tmp").any? && children(process.pid).first }
    Process.kill(:SEGV, child)
    reason = "the child that walked the heap was killed by SIGSEGV"
    expect(process.line).to eq "heap_inspector: the dump is taken by ObjectSpace.dump_all, without names: #{reason}"
    expect(process.line(/: /)).to eq "ruby: #{reason}"
    2.times { expect(process.line(/\A(?:ruby|native)\z/)).to eq "ruby" }
    expect(process.wait).to be_success, process.rest
    expect(HeapInspector.analyze(path).warnings).to be_empty
  end

  it "takes back what a child that broke wrote into an open file" do
    process = living(<<~RUBY)
      strings = Array.new(300_000) { |number| "text \#{number}" }
      puts "waiting"
      File.open(#{path.inspect}, "w") do |io|
        io.write("before")
        puts HeapInspector.dump(io, compression: :gzip).dumper
      end
      puts strings.size
    RUBY
    process.line(/waiting/)
    child = eventually { File.size?(path).to_i > 100_000 && children(process.pid).first }
    Process.kill(:SEGV, child)
    expect(process.line(/\A(?:ruby|native)\z/)).to eq "ruby"
    expect(process.wait).to be_success, process.rest
    bytes = File.binread(path)
    expect(bytes).to start_with("before\x1f\x8b".b)
    File.binwrite(path, bytes.delete_prefix("before"))
    expect(HeapInspector.analyze(path).warnings).to be_empty
  end

  describe "in several processes" do
    before { skip "one processor" if processors == 1 }

    # As Rust counts them: those that may be used, and as many as the quota of the cgroup or of one around it pays for.
    def processors
      cgroup = File.read("/proc/self/cgroup")[/^0::(.+)/, 1].to_s
      quotas = Pathname("/sys/fs/cgroup#{cgroup}").ascend.filter_map do |folder|
        quota, period = (folder / "cpu.max").read.split.map(&:to_i)
        quota / period if quota.positive?
      rescue SystemCallError
        nil
      end
      [Etc.nprocessors, *quotas].min.clamp(1..)
    end

    # A heap that is worth more than one.
    let(:large) { "strings = Array.new(1_500_000) { |number| \"text \#{number}\" }" }

    # A process that writes its dump to a pipe which nobody reads, the child that walks its heap, and the helper of that.
    def waiting
      process = living(<<~RUBY)
        #{large}
        reader, writer = IO.pipe
        puts "waiting"
        begin
          HeapInspector.dump(writer, compression: :plain)
        rescue HeapInspector::DumpFailed => error
          puts error.message
        end
        puts [strings.size, reader.closed?].inspect
      RUBY
      process.line(/waiting/)
      child = eventually { children(process.pid).first }
      [process, child, eventually { children(child).first }]
    end

    it "writes what one writes, each object once and in its place, as lines and as a heap file" do
      alone, lines, heap_file = %w[alone lines heap].map { |name| File.join(folder, name) }
      run(<<~RUBY)
        Pair = Struct.new(:left, :right)
        keep = Array.new(150_000) { |n| [Pair.new("text \#{n}", n % 3 == 0 ? { "key \#{n}" => [n] } : nil)] }
        threads = Array.new(3) { |n| Thread.new { Thread.current[:role] = "role \#{n}"; sleep } }
        Thread.pass until threads.all?(&:stop?)
        native = HeapInspector.module_eval("Dump; Native")
        3.times { GC.start }
        GC.disable
        2.times do
          File.open(#{alone.inspect}, "w") { |file| native.walk_heap(file.fileno, true, true, nil) }
          HeapInspector.dump(#{lines.inspect}, gc: false, compression: :plain)
          HeapInspector.dump(#{heap_file.inspect}, gc: false, format: :heap)
        end
        puts [keep, threads].size
      RUBY
      alone = File.binread(alone).lines
      [File.binread(lines).lines, converted(heap_file).first.lines].each do |together|
        # Others are what the dumps make of themselves. What they change are the stacks of what runs and the like.
        changed = alone - together
        expect(changed.size).to be <= 20, changed.first(12).map { |line| line[0, 300] }.join
        expect(together & alone).to eq(alone & together)
        addresses = together.filter_map { |line| line[/\A{"address":"(0x\h+)", "type":"(?!SHAPE)/, 1] }
        expect(addresses.size).to be > 600_000
        expect(addresses.uniq.size).to eq addresses.size
        expect(together.last).to include("heap_inspector_names", "threads", ":role")
      end
      expect(HeapInspector.analyze(heap_file).warnings).to be_empty
    end

    it "ends all of them where one is killed, and where who asked is" do
      process, child, helper = waiting
      Process.kill(:KILL, helper)
      expect(process.line).to eq "the dumping child was killed by SIGKILL (out of memory?); this process is not affected"
      expect(process.line).to eq "[1500000, false]"
      expect([child, helper].map { |pid| alive?(pid) }).to eq [false, false]
      [0, 1].each do |index|
        pids = waiting
        process = pids.shift
        Process.kill(:KILL, [process.pid, pids.first][index])
        eventually { pids.none? { |pid| alive?(pid) } }
        expect(process.line).to match(/killed by SIGKILL/) if index == 1
      end
    end

    it "has ObjectSpace.dump_all take the dump where another than the first breaks" do
      process = living(<<~RUBY)
        #{large}
        puts "waiting"
        puts HeapInspector.dump(#{path.inspect}, format: :heap).dumper
        puts strings.size
      RUBY
      process.line(/waiting/)
      helper = eventually { children(process.pid).first&.then { |child| children(child).first } }
      Process.kill(:SEGV, helper)
      expect(process.line(/\A(?:ruby|native)\z/)).to eq "ruby"
      expect(process.wait).to be_success, process.rest
      expect(HeapInspector.analyze(path).object_count).to be > 1_500_000
    end

    it "leaves no process to an app that is the first of its container, also where the dump is given up" do
      code = <<~RUBY
        #{large}
        tries = [0.02, 0.05, 0.1, 0.15].product(%i[ndjson heap]).map do |seconds, format|
          HeapInspector.dump(#{path.inspect}, format: format, compression: format == :ndjson ? :plain : nil, timeout: seconds)
        rescue HeapInspector::DumpTimeout => error
          error.message
        end
        puts tries.grep(/\\Athe dump was not done after 0\\.\\d+ s and was given up; give it more time\\z/).any?
        begin
          puts Process.wait2(-1).inspect
        rescue Errno::ECHILD
          puts "alone: \#{Process.pid} \#{strings.size}"
        end
      RUBY
      words = %w[unshare --pid --fork --mount-proc]
      skip "the system gives no namespace of processes" unless system(*words, "true", out: File::NULL, err: File::NULL)
      process = started([*words, RbConfig.ruby, "-W1", "-rheap_inspector", "-e", code])
      expect(process.wait).to be_success, process.rest
      expect(process.rest.lines(chomp: true)).to eq ["true", "alone: 1 1500000"]
    end

    it "goes on with fewer where the system grants no more processes or threads" do
      nobody = 54_321 # has no other processes
      as = %W[setpriv --reuid #{nobody} --regid #{nobody} --clear-groups --inh-caps=-all --bounding-set=-all]
      skip "no other user can be, or may read the gem" unless system(*as, "test", "-r", Living::EXE, err: File::NULL)
      FileUtils.chmod(0o711, File.dirname(folder))
      FileUtils.chown(nobody, nobody, folder)
      code = <<~RUBY
        #{large}
        own = Dir.children("/proc/self/task").size
        (4..10).each do |more|
          Process.setrlimit(:NPROC, own + more, Process.getrlimit(:NPROC).last)
          puts HeapInspector.dump(#{path.inspect}, format: :heap).dumper
        end
        puts strings.size
      RUBY
      process = started([*as, RbConfig.ruby, "-W1", "-rheap_inspector", "-e", code])
      expect(process.wait).to be_success, process.rest
      expect(process.rest.lines(chomp: true)).to eq((["native"] * 7) + ["1500000"])
    end

    it "says that the disk is full, whichever of them finds it so" do
      %i[ndjson heap].each do |format|
        lines = told(<<~RUBY)
          #{large}
          begin
            HeapInspector.dump("/dev/full", format: #{format.inspect})
          rescue HeapInspector::DumpFailed => error
            puts error.message
          end
          puts strings.size
        RUBY
        expect(lines).to eq ["no space left for the dump; give a path on another disk", "1500000"]
      end
    end
  end

  describe "beside other Ractors" do
    # Of a text that is moved Ruby 3.4 moves 40 bytes of its slot, so it is a short one.
    def ractors
      <<~RUBY
        Warning[:experimental] = false
        busy = Ractor.new do
          only = ["held by ", "a busy stack"].join
          Ractor.current[:local] = ["held by ", "a local"].join
          numbers = Array.new(100) { |number| "text \#{number}" }
          puts "is there"
          $stdout.flush
          numbers.map { |text| text + "x" } until only.nil?
        end
        waiting = Ractor.new do
          only = ["held by ", "a waiting stack"].join
          puts "is there"
          $stdout.flush
          sleep
          only
        end
        waiting.send(["held by ", "a post"].join, move: true)
      RUBY
    end

    it "keeps what only these hold: on their stacks, in their variables, in their mailboxes" do
      process = living(<<~RUBY)
        #{ractors}
        gets
        4.times do |number|
          file = HeapInspector.dump([#{path.inspect}, "\#{#{path.inspect}}.heap"][number % 2], format: %i[ndjson heap][number % 2], gc: number < 2)
          puts "\#{file.dumper} \#{file.fallback}."
        end
      RUBY
      2.times { process.line(/is there/) }
      process.say("dump")
      4.times { expect(process.line).to eq "native ." }
      [path, "#{path}.heap"].each do |file|
        heap = HeapInspector.analyze(file, index: false)
        held = heap.strings.where(value: /\Aheld by a /).to_a
        expect(held.map(&:value).sort).to eq ["held by a busy stack", "held by a local", "held by a post", "held by a waiting stack"]
        expect(held.map(&:reachable?)).to all(be true)
        expect(heap.warnings).to be_empty
      end
    end

    it "goes on while these allocate, come and go, and has them go on, too" do
      process = living(<<~RUBY)
        #{ractors}
        # Ruby 3.4 itself comes to a stop in GC.start beside Ractors that come and go.
        made = Thread.new do
          (1..).each do |number|
            RUBY_VERSION.start_with?("3.4") ? [1] * 9 : Ractor.new { [1] * 9 }.then { |one| one.respond_to?(:value) ? one.value : one.take }
            Thread.current[:made] = number
          end
        end
        sleep(0.01) until made[:made]
        6.times { |number| puts HeapInspector.dump(#{path.inspect}, gc: number.even?).dumper }
        before = made[:made]
        sleep(0.01) until made[:made] > before
        puts "went on"
      RUBY
      6.times { expect(process.line(/\A(?:native|ruby)\z/)).to eq "native" }
      process.line(/went on/)
    end

    it "leaves the dump to ObjectSpace.dump_all where these cannot be stopped" do
      process = living(<<~RUBY)
        #{ractors}
        def GC.start(...) = nil
        puts HeapInspector.dump(#{path.inspect}).fallback
        begin
          HeapInspector.dump(#{path.inspect}, dumper: :native)
        rescue HeapInspector::DumpFailed => e
          puts e.message
        end
      RUBY
      reason = "the other Ractors could not be stopped"
      expect(process.line(/\Athe other/)).to eq reason
      expect(process.line(/\Athe other/)).to eq "#{reason}; take it with dumper: :ruby"
      expect(meta(path)).to include("dumper" => "ruby")
    end
  end

  it "leaves the dump to ObjectSpace.dump_all where it is told to, and where it broke before" do
    run(<<~RUBY)
      file = HeapInspector.dump(#{path.inspect}, dumper: :ruby)
      raise file.inspect unless file.dumper == :ruby && file.fallback.nil?
      HeapInspector.module_eval("Dump").unfit = "it broke before"
      File.write(#{"#{folder}/fallback".inspect}, HeapInspector.dump(#{path.inspect}).fallback)
    RUBY
    expect(File.read(File.join(folder, "fallback"))).to eq "it broke before"
    expect(Helpers.lines_of(path).none? { |line| line["names"] }).to be true
    expect(meta(path)).to include("dumper" => "ruby")
  end
end
