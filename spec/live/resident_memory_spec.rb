# frozen_string_literal: true

require_relative "living"

# Where the resident memory of real processes is.
RSpec.describe "resident memory" do
  include_context "with living processes"

  around do |example|
    before = ENV.fetch("HEAP_INSPECTOR_DIR", nil)
    ENV["HEAP_INSPECTOR_DIR"] = File.join(folder, "run")
    example.run
  ensure
    ENV["HEAP_INSPECTOR_DIR"] = before
  end

  def inside(name) = HeapInspector.module_eval(name, __FILE__, __LINE__)

  def look(process) = inside("MemoryRequest").look(process.pid)

  # An armed process that runs `grow` for each line it is sent.
  def growing(code, **options)
    process = living("#{code}\nHeapInspector.arm\nputs \"armed\"\nwhile gets do grow; puts \"grown\" end", **options)
    process.line(/armed/)
    process
  end

  # The looks before and after it grew, after it did so often.
  def course(process, times)
    times.times do
      process.say("grow")
      process.line(/grown/)
    end
    before = look(process)
    process.say("grow")
    process.line(/grown/)
    [before, look(process)]
  end

  def smaps(pid)
    File.read("/proc/#{pid}/smaps").scan(/^Rss: +(\d+) kB/).sum { |number,| Integer(number, 10) * 1024 }
  end

  # What it runs for the first time is there at the second look, and for its answer after it.
  def expect_whole(pid)
    inside("MemoryRequest").look(pid)
    before = smaps(pid)
    memory = inside("MemoryRequest").look(pid)
    expect(memory.rows.sum(&:bytes)).to eq memory.rss
    expect(memory.rss).to be_between(before * 0.98, smaps(pid) * 1.02)
    expect(memory.named_share).to be >= 0.95
    expect(memory.missing).to be_nil
    memory
  end

  jemalloc = Dir.glob("/usr/lib/*/libjemalloc.so.2").first

  {
    "a fresh process" => ["def grow = nil", {}],
    "one with 200 threads" => ["def grow = nil\n200.times { Thread.new { sleep } }\nsleep(0.3)", {}],
    "one with many fibers" => ["def grow = nil\nF = Array.new(300) { Fiber.new { Fiber.yield }.tap(&:resume) }", {}],
    "one with large blocks" => ["def grow = nil\nK = Array.new(40) { \"x\" * 3_000_000 }", {}],
    "one under jemalloc" => ["def grow = nil\nK = Array.new(50_000) { |i| \"x\" * (i % 900) }", { "LD_PRELOAD" => jemalloc }]
  }.each do |name, (code, environment)|
    it "is named at 95 % at least, and adds up, of #{name}" do
      lacking("there is no libjemalloc.so.2") if environment.key?("LD_PRELOAD") && jemalloc.nil?
      process = growing(code, environment: environment.compact)
      memory = expect_whole(process.pid)
      expect(memory.allocator).to eq(environment.empty? ? "glibc" : "jemalloc")
      expect(memory.pss).to be_between(1, memory.rss)
    end
  end

  it "is named after a fork of a big parent" do
    process = living(<<~RUBY)
      K = Array.new(200_000) { |i| "x" * (100 + i % 500) }
      HeapInspector.arm
      puts(fork { sleep })
      gets
    RUBY
    child = Integer(process.line(/\A\d+\z/), 10)
    eventually { socket(child) }
    memory = expect_whole(child)
    expect(memory.facts[:shared]).to be > memory.rss / 2
  ensure
    Process.kill(:KILL, child) if child
  end

  # What malloc itself says, by its own walk over every free chunk.
  it "tells free from used memory as malloc does" do
    process = growing(<<~'RUBY')
      require "fiddle"
      def free
        buffer = Fiddle::Pointer.malloc(80)
        got = Fiddle::Function.new(Fiddle::Handle::DEFAULT["mallinfo2"], [Fiddle::TYPE_VOIDP], Fiddle::TYPE_VOIDP).call(buffer)
        buffer[0, 80].unpack("Q*")[8]
      end
      K = []
      def grow
        all = Array.new(150_000) { |i| "x" * (100 + i % 900) }
        all.each_with_index { |text, i| K << text if (i % 3).zero? }
        all = nil
        GC.start
        puts "free #{free}"
      end
      Array.new(6) { Thread.new { list = Array.new(9000) { "y" * 1500 }; list.each_with_index { |text, i| K << text if (i % 30).zero? } } }.each(&:join)
    RUBY
    process.say("grow")
    free = Integer(process.line(/free \d+/)[/\d+/], 10)
    memory = look(process)
    expect(free).to be > 50_000_000
    expect(memory.bytes("malloc_free") + memory.bytes("malloc_free_arenas")).to be_within(free / 10).of(free)
  end

  planted = {
    ruby_leak: "K = []\ndef grow = 60_000.times { |i| K << \"x\" * (50 + i % 400) }",
    code_growth: <<~'RUBY',
      N = [0]
      def grow = 9000.times { Object.class_eval("def made_#{N[0] += 1}(a) = a.to_s + 'text' * 3") }
    RUBY
    native_leak: <<~'RUBY',
      require "fiddle"
      MALLOC = Fiddle::Function.new(Fiddle::Handle::DEFAULT["malloc"], [Fiddle::TYPE_SIZE_T], Fiddle::TYPE_VOIDP)
      def grow = 20_000.times { Fiddle::Pointer.new(MALLOC.call(1000).to_i)[0, 1000] = "x" * 1000 }
    RUBY
    mapping_leak: <<~'RUBY',
      require "fiddle"
      MMAP = Fiddle::Function.new(Fiddle::Handle::DEFAULT["mmap"], [Fiddle::TYPE_VOIDP, Fiddle::TYPE_SIZE_T, *[Fiddle::TYPE_INT] * 3,
                                                                    Fiddle::TYPE_LONG], Fiddle::TYPE_VOIDP)
      PAGE = "x" * 4096
      def grow
        12.times do
          memory = Fiddle::Pointer.new(MMAP.call(nil, 2 << 20, 3, 34, -1, 0).to_i)
          512.times { |page| memory[page * 4096, 4096] = PAGE }
        end
      end
    RUBY
    threads: "def grow = 30.times { Thread.new { sleep } }",
    fragmentation: <<~'RUBY',
      K = Queue.new
      def grow
        Array.new(6) do
          Thread.new do
            list = Array.new(6000) { "y" * 3000 }
            list.each_with_index { |text, at| K << text if (at % 30).zero? }
            list = nil
          end
        end.each(&:join)
        GC.start
      end
    RUBY
    bloat: <<~'RUBY'
      K = []
      def grow
        return if K.any?
        # A thread of its own: what calls leave on the machine stack of this one is held by a collection.
        Thread.new do
          all = Array.new(900_000) { |i| "short #{i}" }
          all.each_with_index { |text, at| K << text if (at % 50).zero? }
          nil
        end.join
        GC.start
      end
    RUBY
  }
  planted.each do |kind, code|
    it "speaks for #{kind.to_s.tr("_", " ")} where there is one" do
      before, after = course(growing(code), %i[fragmentation bloat].include?(kind) ? 0 : 1)
      found = after.diagnosis(since: before)
      expect(found.map(&:kind).first).to eq(kind), [found.map(&:text), before.to_s, after.to_s, after.facts].join("\n")
      expect(found.first.evidence.except(:gems).values).to all be_a(Numeric)
      expect(found.first.text).to match(/\d/)
    end
  end

  # A library of Ruby's as if it were a gem's.
  it "names the gems with C code that are loaded where C code leaks" do
    library = %w[zlib etc].map { |name| File.join(RbConfig::CONFIG["archdir"], "#{name}.so") }.find { |path| File.exist?(path) }
    lacking("Ruby has no library of its own here") unless library
    place = File.join(folder, "gems", "leaky-1.2.3", "lib", File.basename(library))
    FileUtils.mkdir_p(File.dirname(place))
    FileUtils.cp(library, place)
    before, after = course(growing("require #{place.inspect}\n#{planted[:native_leak]}"), 1)
    expect(before.extensions).to include("leaky 1.2.3") # some Rubies have gems of their own
    found = after.diagnosis(since: before).first
    expect(found).to have_attributes(kind: :native_leak, evidence: include(gems: before.extensions))
    expect(found.text).to include("(gems with C code that are loaded: #{before.extensions.join(", ")}); go on with heaptrack")
  end

  it "tells a gem by where its library lies" do
    {
      "/var/lib/gems/3.1.0/extensions/x86_64-linux/3.1.0/msgpack-1.7.2/msgpack/msgpack.so" => "msgpack 1.7.2",
      "/app/vendor/bundle/ruby/3.3.0/gems/nokogiri-1.15.4-x86_64-linux-gnu/lib/nokogiri/3.3/nokogiri.so" => "nokogiri 1.15.4",
      "/usr/local/bundle/bundler/gems/leaky-3f9a1c0b2d4e/lib/leaky.so" => "leaky 3f9a1c0b2d4e",
      "/gems/app/gems/google-protobuf-3.25.1/lib/google/3.3/protobuf_c.so (deleted)" => "google-protobuf 3.25.1",
      "/usr/lib/x86_64-linux-gnu/ruby/vendor_ruby/3.1.0/sqlite3/sqlite3_native.so" => "sqlite3",
      "/usr/lib/x86_64-linux-gnu/ruby/vendor_ruby/3.1.0/kgio_ext.so" => "kgio_ext",
      "/usr/lib/ruby/vendor_ruby/3.1.0/x86_64-linux/a/b.so" => "a",
      "/usr/lib/x86_64-linux-gnu/ruby/3.1.0/zlib.so" => nil, "/usr/lib/x86_64-linux-gnu/libc.so.6" => nil,
      "/gems/leaky-1.0/data.bin" => nil, "/gems/\e[2J-1.0/a.so" => nil,
      "/gems/\xff-1/a.so".b => nil, "/gems/\xff-1/b.so" => nil, "/gems/a.so" => nil,
      "/gems/#{"x" * 90}-1.0/a.so" => nil
    }.each { |path, name| expect(inside("ExtensionGems").among({ path => 1 })).to eq([name].compact), path }
    files = { "/gems/b-1/a.so" => 1, "/gems/a-2/a.so" => 2, "/gems/b-1/b.so" => 2, "/gems/c-1/a.so" => 2 }
    expect(inside("ExtensionGems").among(files)).to eq ["b 1", "a 2", "c 1"]
    expect(inside("ExtensionGems").among((1..90).to_h { |at| ["/gems/g-#{at}/a.so", 1] }).size).to eq 40
  end

  it "names so many gems as one can look at" do
    before, after = series_of([0, {}], [20 << 20, {}]).looks.map do |look|
      values = look.class.members.to_h { |name| [name, look.public_send(name)] }
      rows = look.rows.map { |row| row.name == "objects" ? row.class.new(**row.to_h, name: "malloc_used") : row }
      look.class.new(**values, rows: rows, extensions: %w[a b c d e f g])
    end
    told = after.diagnosis(since: before).first
    expect(told.text).to include("loaded: a, b, c, d, e and 2 more)")
    expect(told.evidence[:gems].size).to eq 7
    none = after.class.new(**after.to_h, extensions: [])
    expect(none.diagnosis(since: before).first.text).to include("no gem with C code is loaded")
    expect(after.class.new(**after.to_h, extensions: nil).diagnosis(since: before).first.evidence.keys).not_to include(:gems)
  end

  it "blames no mapping where only the kernel tells" do
    process = living("K = []\nputs 'up'\nwhile gets do 20.times { K << \"x\" * 1_000_000 }; puts 'grown' end")
    process.line(/up/)
    before, after = course(process, 0)
    expect(after.rss - before.rss).to be > 15_000_000
    expect(after.diagnosis(since: before)).to eq []
  end

  it "speaks for lost copy-on-write where a child writes to what it shares" do
    process = living(<<~RUBY)
      K = Array.new(300_000) { |i| "x" * (30 + i % 200) }
      HeapInspector.arm
      child = fork do
        $stdout.sync = true
        sleep(0.01) until HeapInspector.armed?
        puts Process.pid
        while gets
          K.each { |text| text.setbyte(0, 121) }
          puts "grown"
        end
      end
      Process.wait(child)
    RUBY
    child = Integer(process.line(/\A\d+\z/), 10)
    eventually { socket(child) }
    before = inside("MemoryRequest").look(child)
    process.say("write")
    process.line(/grown/)
    after = inside("MemoryRequest").look(child)
    expect(after.diagnosis(since: before).map(&:kind)).to eq([:copy_on_write]),
                                                          [before.to_s, after.to_s, before.facts, after.facts].join("\n")
  ensure
    Process.kill(:KILL, child) if child
  end

  {
    "one that waits" => "def grow = sleep(0.2)",
    "one that makes garbage" => "CACHE = {}\ndef grow = 200_000.times { |i| CACHE[i % 5000] = \"x\" * (i % 300) }"
  }.each do |name, code|
    it "speaks for nothing of #{name}" do
      before, after = course(growing(code), 3)
      expect(after.diagnosis(since: before).map(&:text)).to eq []
    end
  end

  describe "of the command line" do
    it "gives JSON of one process, and of all" do
      process = growing("def grow = nil")
      out, err, code = command("memory", process.pid.to_s, "--format", "json")
      expect([err, code]).to eq ["", 0]
      told = JSON.parse(out)
      expect(told["rows"].sum { |row| row["bytes"] }).to eq told["rss"]
      expect(told["rows"]).to all match("name" => String, "bytes" => Integer, "named" => be(true).or(be(false)), "by" => String)
      expect(told).to include("pid" => process.pid, "diagnosis" => [])
      expect(JSON.parse(command("memory", "all", "-f", "json").first).map { |one| one["pid"] }).to eq [process.pid]
      text = command("memory", process.pid.to_s).first
      expect(text).to match(/\Aprocess #{process.pid}: [\d.]+ MiB resident, its share [\d.]+ MiB, \d+ % named\n/)
      expect(text).to include("Ruby's heap: slots in use")
    end

    it "looks again and again, and says which row carries the growth" do
      process = living("HeapInspector.arm\nputs 'armed'\nK = []\nloop { 500.times { K << \"x\" * 900 }; sleep(0.02) }")
      process.line(/armed/)
      words = ["memory", process.pid.to_s, "--every", "0.5s", "--for", "1.6s"]
      lines = command(*words, "--format", "jsonl").first.lines.map { |line| JSON.parse(line) }
      expect(lines.size).to be_between(3, 5)
      expect(lines.last).to include("carried_by" => "objects", "rss_per_minute" => be > 10_000_000)
      expect(lines.last["diagnosis"].map { |one| one["kind"] }).to eq ["ruby_leak"]
      course = /resident memory [▁-█]+ \+[\d.]+ [MG]iB a minute\n( +\+.* a minute  .*\n)+ruby leak: /
      expect(command(*words).first.force_encoding("UTF-8")).to match(course)
    end

    it "tells growth by request of a process that counts them" do
      process = living(<<~RUBY)
        HeapInspector.arm
        puts "armed"
        K = []
        loop do
          50.times { HeapInspector.count(:requests); K << "x" * 9000 }
          HeapInspector.count(:ticks)
          sleep(0.02)
        end
      RUBY
      process.line(/armed/)
      words = ["memory", process.pid.to_s, "--every", "0.5s", "--for", "1.6s"]
      lines = command(*words, "--format", "jsonl").first.lines.map { |line| JSON.parse(line) }
      looks = lines[..-2]
      expect(looks.map { |look| look["work"]["requests"] }).to eq(looks.map { |look| look["work"]["requests"] }.sort)
      done = looks.last["work"].to_h { |name, count| [name, count - looks.first["work"][name]] }
      expect(lines.last["work"]).to eq done
      expect(lines.last["per_work"]).to include("unit" => "requests", "work" => done["requests"], "rss" => be_between(8000, 12_000))
      expect(lines.last["per_work"]["rows"]["objects"]).to be_between(4000, 18_000) # an estimate
      told = command(*words).first.force_encoding("UTF-8")
      expect(told).to match(/^resident memory [▁-█]+ \+[\d.]+ [MG]iB a minute, \+[\d.]+ KiB for each of [\d,]+ requests$/)
      expect(told).to match(/^ +\+[\d.]+ [MG]iB a minute +\+[\d.]+ KiB each  malloc: held by Ruby's objects$/)
    end

    it "asks the kernel where a process is not armed, and says so" do
      process = living("puts 'up'\ngets")
      process.line(/up/)
      out, err, code = command("memory", process.pid.to_s, "-f", "json")
      expect([err, code]).to eq ["", 0]
      told = JSON.parse(out)
      expect(told["rows"].sum { |row| row["bytes"] }).to eq told["rss"]
      expect(told["rss"]).to be_within(told["rss"] / 20).of(smaps(process.pid))
      expect(told["missing"]).to match(%r{\Aby /proc alone, .*not armed})
    end

    it "asks the kernel where the agent lies" do
      row = { name: "stacks", bytes: 5, named: true, by: "kernel" }
      memory = { pid: 1, time: 1, rss: 5, allocator: nil, missing: nil, facts: {}, rows: [row] }
      [memory.merge(rss: 6), memory.merge(rows: [row.merge(bytes: -5)], rss: -5), memory.merge(rows: [row.merge(named: "no")]),
       memory.merge(rows: [row.merge(name: "x" * 500)]), memory.merge(facts: { threads: "\e[2J" }),
       memory.merge(work: { requests: -1 }), memory.merge(work: [1]), memory.merge(extensions: ["\e[2J"]),
       memory.merge(extensions: ["a"] * 50),
       memory.merge(rows: [row.merge(bytes: 0)] * 300, rss: 0),
       memory.merge(rows: nil)].each do |lie|
        process = growing("def grow = nil")
        hostile_instead_of(process, { ok: lie }.to_json)
        told = look(process)
        expect(told.missing).to include("sent an invalid reply"), lie.inspect
        expect(told.rss).to be > 1_000_000
      end
    end

    it "says what is wrong" do
      {
        %w[memory 4000000] => /there is no process 4000000/, %w[memory] => /expected `heap_inspector memory/,
        %w[memory 1 --for 1s] => /--for says how long/, %w[memory 1 --every 0s] => /some time between/,
        %w[memory 1 -f yaml] => /invalid argument/, %w[memory nobody] => /is not a pid, worker-N or all/
      }.each { |words, told| expect(command(*words)[1]).to match(told), words.inspect }
    end

    it "says that a process ended, before its look and between two" do
      process = growing("def grow = nil")
      process.finish
      expect(command("memory", process.pid.to_s)).to eq ["", "heap_inspector: there is no process #{process.pid}\n", 1]
      process = growing("def grow = nil")
      looking = started([RbConfig.ruby, Living::EXE, "memory", process.pid.to_s, "--every", "0.3s", "--for", "60s", "--format", "jsonl"])
      looks = Array.new(3) { JSON.parse(looking.line(/\A\{/)) }
      process.finish
      expect(looks.map { |look| look["pid"] }.uniq).to eq [process.pid]
      expect(looking.wait.exitstatus).to eq 1
      expect(looking.rest).to match(/^heap_inspector: (?:there is no process #{process.pid}|process #{process.pid} .*)$/)
      expect(JSON.parse(looking.rest.lines.grep(/"growth"/).first)).to include("rss_per_minute" => Integer)
    end

    it "says that a process is ending where its parent has not taken notice" do
      parent = living("child = fork { exit!(0) }\nsleep(0.01) until File.read(\"/proc/\#{child}/stat\").match?(/\\) Z /)\nputs child\ngets")
      child = parent.line(/\A\d+\z/)
      expect(command("memory", child)).to match ["", /\Aheap_inspector: .*process #{child}\b/, 1]
    end

    it "trims a process, and says what it had before" do
      process = growing(<<~'RUBY')
        KEEP = []
        def grow
          # In a thread of its own: nothing of the list is left on this one's machine stack.
          Thread.new do
            all = Array.new(200_000) { |i| "x" * (100 + i % 900) }
            all.each_with_index { |text, i| KEEP << text if (i % 400).zero? }
            nil
          end.join
          GC.start
        end
      RUBY
      process.say("grow")
      process.line(/grown/)
      out, err, code = command("trim", process.pid.to_s)
      expect([err, code]).to eq ["", 0]
      told = /\Aprocess \d+: ([\d.]+) MiB before, ([\d.]+) MiB after; its threads stood still for \d+ ms\n/
      before, after = out.match(told).captures.map(&:to_f)
      expect(after).to be < before - 30
    end
  end

  # Looks a minute apart at a process of so many bytes that did so much.
  def series_of(*looks)
    row = HeapInspector::MemoryRow
    inside("MemorySeries").new.tap do |series|
      looks.each_with_index do |(bytes, work), at|
        rows = { "objects" => bytes, "bss" => 7 }.map { |name, size| row.new(name: name, bytes: size, named: true, by: "kernel") }
        series.looks << HeapInspector::Memory.new(pid: 1, time: 60.0 * at, rss: bytes + 7, pss: nil, allocator: "glibc", rows: rows,
                                                  facts: {}, work: work, extensions: [], missing: nil)
      end
    end
  end

  it "tells growth by the sort of work that it goes with" do
    even = series_of([1000, { requests: 10, jobs: 0 }], [3000, { requests: 900, jobs: 2 }], [3000, { requests: 1800, jobs: 2 }],
                     [6000, { requests: 1900, jobs: 5 }])
    expect(even.work).to eq(requests: 1890, jobs: 5)
    expect(even.per_work).to eq(unit: "jobs", work: 5, rss: 1000.0, rows: { "objects" => 1000.0, "bss" => 0.0 })
    most = series_of([0, { jobs: 1, requests: 0 }], [500, { jobs: 2, requests: 10 }])
    expect(most.per_work).to include(unit: "requests", work: 10, rss: 50.0)
  end

  it "tells no growth by work where none was done, or counts go back, and leaves looks out that do not tell" do
    [[{}, {}], [{ requests: 4 }, { requests: 4 }], [{ requests: 9 }, { requests: 12 }, { requests: 10 }], [nil, nil], [nil, { jobs: 1 }],
     [{ jobs: 4 }, {}]].each do |counts|
      expect(series_of(*counts.map.with_index { |work, at| [at * 100, work] }).per_work).to be_nil, counts.inspect
    end
    gap = series_of([0, { jobs: 1 }], [900, nil], [200, { jobs: 3 }])
    expect(gap.per_work).to eq(unit: "jobs", work: 2, rss: 100.0, rows: { "objects" => 100.0, "bss" => 0.0 })
    expect(gap.to_h).to include(work: { jobs: 2 }, rss_per_minute: 100)
  end

  # What smaps may hold: a name that looks like a head, one that is no text, sizes without end.
  it "reads what others named" do
    smaps = "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \nRss: 4 kB\n7f0000002000-7f0000003000 r--p 00000000 08:01 7 /a\xff\n" \
            "Rss: 8 kB\n7f0000004000-7f0000005000 rw-p 00000000 00:00 0                          [anon:\e[2J]\nRss: 4 kB\n" \
            "Rss: 99999999999999999999 kB\nnonsense\n"
    memory = inside("MemoryOutside").new(1, "why").memory(smaps.b, { "Threads" => 3 })
    expect(memory.rows.to_h { |row| [row.name, row.bytes] }).to eq("anonymous" => 4096, "file:/a?" => 8192, "mapping:[anon:\e[2J]" => 4096)
    expect(memory.to_s).not_to include("\e")
  end

  it "says what a kernel tells without smaps" do
    memory = inside("MemoryOutside").new(1, "why").memory("", { "VmRSS" => 9, "RssAnon" => 4, "RssFile" => 3, "RssShmem" => 2 })
    expect(memory.rows.map do |row|
             [row.name, row.bytes, row.named]
           end).to eq [["anonymous", 4, false], ["files", 3, true], ["shared_memory", 2, true]]
    expect(memory.missing).to include("cannot be read")
    expect(inside("MemoryOutside").new(1, "why").memory("", { "VmRSS" => 9 }).rows.map(&:bytes)).to eq [9]
  end

  it "is in a dump's first line, and in its summary" do
    process = growing("def grow = nil")
    path = File.join(folder, "heap.json.zst")
    expect(command("dump", process.pid.to_s, "-o", path).last).to eq 0
    memory = meta(path).fetch("memory")
    expect(memory["rows"].sum { |row| row["bytes"] }).to eq memory["rss"]
    expect(command("summary", path).first).to match(/Resident memory: the dump's objects are [\d.]+ % of it/).and include("heap_live")
  end

  it "refuses an earlier look that is none" do
    memory = HeapInspector.memory
    values = memory.class.members.to_h { |name| [name, memory.public_send(name)] }
    later = { pid: memory.pid + 1, time: memory.time + 9 }.map { |name, value| memory.class.new(**values, name => value) }
    [1, *later].each { |since| expect { memory.diagnosis(since: since) }.to raise_error(ArgumentError, /is not an earlier look/) }
    expect(memory.named_share).to be_between(0.9, 1)
    expect(memory.to_json).to include("\"rss\":#{memory.rss}")
  end
end
