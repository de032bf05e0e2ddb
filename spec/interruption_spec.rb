# frozen_string_literal: true

require "timeout"

RSpec.describe "An analysis" do
  # Lines without end.
  let(:endless) do
    chunk = Helpers.text(20_000)
    Class.new { define_method(:read) { |_| chunk } }.new
  end

  # A thread that analyzes, once it has begun.
  def analyzing(source)
    begun = Queue.new
    thread = Thread.new do
      Thread.current.report_on_exception = false
      HeapInspector.analyze(source, progress: ->(*) { begun << true })
    end
    eventually { !begun.empty? || !thread.alive? }
    thread
  end

  # A thread that analyzes a pipe of which some has come, and nothing more does.
  def analyzing_silence
    reader, writer = IO.pipe
    feeder = Thread.new { writer.write(Helpers.text(20_000)) }
    thread = analyzing(reader)
    feeder.join
    yield thread
  ensure
    [reader, writer].each(&:close)
  end

  it "runs while other threads do" do
    analyzing_silence do |thread|
      expect(thread).to be_alive
      thread.kill
      expect(thread.join(20)).to be(thread)
    end
  end

  it "ends when its thread is killed" do
    thread = analyzing(endless)
    thread.kill
    expect(thread.join(20)).to be(thread)
    expect(thread.value).to be_nil
  end

  it "ends when something is raised in its thread" do
    analyzing_silence do |thread|
      thread.raise(ArgumentError, "enough")
      expect { eventually { thread.join(1) } }.to raise_error(ArgumentError, "enough")
    end
  end

  it "ends when its time is over" do
    reader, writer = IO.pipe
    [endless, reader].each do |source|
      expect { Timeout.timeout(0.2) { HeapInspector.analyze(source) } }.to raise_error(Timeout::Error)
    end
  ensure
    [reader, writer].each(&:close)
  end

  it "may be put off, as Ruby code may" do
    reader, writer = IO.pipe
    writer.write(Helpers.text(100))
    writer.close
    heap = nil
    expect do
      Thread.handle_interrupt(RuntimeError => :never) do
        main = Thread.current
        Thread.new { main.raise("later") }.join
        heap = HeapInspector.analyze(reader)
      end
    end.to raise_error("later")
    expect(heap.object_count).to eq(100)
  end

  it "goes on where a trap handler returns" do
    trapped = 0
    before = trap("USR1") { trapped += 1 }
    text = Helpers.text(60_000)
    stream = StringIO.new(text)
    progress = ->(*) { Process.kill("USR1", Process.pid) if trapped.zero? }
    expect(HeapInspector.analyze(stream, progress:).object_count).to eq(60_000)
    eventually { trapped.positive? }
  ensure
    trap("USR1", before || "DEFAULT")
  end

  it "ends with what progress raises" do
    expect { HeapInspector.analyze(endless, progress: ->(*) { raise IOError, "full" }) }.to raise_error(IOError, "full")
    expect(catch(:out) { HeapInspector.analyze(endless, progress: ->(*) { throw :out, 42 }) }).to eq(42)
  end

  it "ends with what the object's read raises" do
    reader = Class.new { def read(_) = raise(EOFError, "gone") }.new
    expect { HeapInspector.analyze(reader) }.to raise_error(EOFError, "gone")
  end

  # A process that analyzes its standard input; gives its output once it is interrupted by `signal`.
  def interrupted(code, signal)
    out, child_out = IO.pipe
    child_in, input = IO.pipe
    pid = spawn(RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "-rheap_inspector", "-e", code, in: child_in, out: child_out, err: child_out)
    [child_in, child_out].each(&:close)
    feeder = Thread.new { input.write(Helpers.text(20_000)) }
    expect(out.gets).to eq("begun\n")
    feeder.join
    Process.kill(signal, pid)
    status = Timeout.timeout(20) { Process.wait2(pid).last }
    [out.read, status]
  ensure
    [out, input].each(&:close)
  end

  it "leaves no thread behind where the object's read gives control to another fiber" do
    threads = -> { Dir.children("/proc/self/task").size }
    reader = Class.new do
      def read(_length)
        Fiber.yield(:away)
      end
    end
    asked = -> { Fiber.new { HeapInspector.analyze(reader.new) }.resume }
    expect(&asked).to raise_error(FiberError, /gives control to another fiber/)
    before = threads.call
    20.times { expect(&asked).to raise_error(FiberError) }
    GC.start
    expect(threads.call).to be < before + 10
  end

  it "has the object's read find the thread's own, and throw" do
    Thread.current[:mine] = "7"
    reader = Object.new
    def reader.read(_length) = throw(:out, Thread.current[:mine])
    expect(catch(:out) { HeapInspector.analyze(reader) }).to eq("7")
  ensure
    Thread.current[:mine] = nil
  end

  it "is ended by Ctrl-C, which raises Interrupt" do
    code = <<~RUBY
      $stdout.sync = true
      begun = false
      begin
        HeapInspector.analyze($stdin, progress: ->(*) { puts "begun" unless begun; begun = true })
      rescue Interrupt
        puts "interrupted"
        exit 7
      end
    RUBY
    out, status = interrupted(code, "INT")
    expect([out, status.exitstatus]).to eq(["interrupted\n", 7])
  end

  it "is ended by a signal that comes when the last other thread has ended" do
    code = <<~RUBY
      HeapInspector::Heap
      silent, _held_open = IO.pipe # which the GC would close else
      Thread.new { sleep(0.2) && Process.kill("INT", Process.pid) }
      begin
        HeapInspector.analyze(silent)
      rescue Interrupt
        print "interrupted"
      end
    RUBY
    expect(Timeout.timeout(20) { ruby(code).first }).to eq("interrupted")
  end

  it "is ended by SIGTERM, which ends the process" do
    code = '$stdout.sync = true; HeapInspector.analyze($stdin, progress: ->(*) { puts "begun" unless $begun; $begun = true })'
    expect(interrupted(code, "TERM").last.termsig).to eq(Signal.list["TERM"])
  end

  it "may run with others at the same time" do
    alone = Helpers::DUMPS.transform_values { |path| HeapInspector.analyze(path).groups(by: :class).to_a }
    threads = Helpers::DUMPS.to_a.map do |name, path|
      Thread.new { [name, HeapInspector.analyze(path, threads: 2).groups(by: :class).to_a] }
    end
    expect(threads.to_h(&:value)).to eq(alone)
  end

  it "answers several threads at once" do
    heap = HeapInspector.analyze(Helpers::DUMP)
    alone = heap.duplicate_strings.to_a
    expect(Array.new(4) { Thread.new { heap.duplicate_strings.to_a } }.map(&:value)).to all(eq(alone))
  end

  it "works after a fork, and in the child" do
    heap = HeapInspector.analyze(Helpers::DUMP)
    reader, writer = IO.pipe
    pid = fork do
      writer.write([heap, HeapInspector.analyze(Helpers::DUMP)].map { |each| each.groups(by: :class, limit: nil).size }.inspect)
      writer.close
      exit!(0)
    end
    writer.close
    expect(reader.read).to eq("[99, 99]")
    expect(Process.wait2(pid).last).to be_success
    reader.close
  end

  it "makes an error of a bug in Rust, and goes on" do
    native = HeapInspector::Heap && HeapInspector.const_get(:Native)
    [true, false].each do |beside_ruby|
      expect { native.panic("a bug", beside_ruby) }
        .to raise_error(HeapInspector::Error, "internal error, please report it: a bug")
        .and output(/panicked at/).to_stderr_from_any_process
    end
    expect(HeapInspector.analyze(Helpers::DUMP, index: false).object_count).to eq(27_801)
  end

  it "lets other threads run while interrupted work comes to its end" do
    # The work is stuck in a pipe that only another thread of Ruby's empties.
    code = <<~RUBY
      reader, writer = IO.pipe
      writer.fcntl(1031, 4096) # F_SETPIPE_SZ: the answer does not fit
      native = HeapInspector::Heap && HeapInspector.const_get(:Native)
      out = $stdout.dup
      $stdout.reopen(writer)
      work = Thread.new { native.command_line(%w[top #{Helpers::DUMP} --by class,location --format json -n all]) }
      Thread.pass until IO.select([reader], nil, nil, 0)
      work.raise(Interrupt)
      work.report_on_exception = false
      emptier = Thread.new { reader.readpartial(1 << 20) while true }
      begin
        work.join
      rescue Interrupt
        out.print "interrupted"
      end
      emptier.kill
    RUBY
    expect(Timeout.timeout(60) { ruby(code).first }).to eq("interrupted")
  end

  it "frees a large heap on a thread of its own" do
    native = HeapInspector::Heap && HeapInspector.const_get(:Native)
    text = Helpers.text(600_000)
    before = native.freed_beside
    2.times do |at|
      heap = HeapInspector.analyze(StringIO.new(text))
      heap.close
      eventually { native.freed_beside == before + at + 1 }
    end
    HeapInspector.analyze(Helpers::DUMP, index: false).close # which is done sooner than a thread is made
    expect(native.freed_beside).to eq(before + 2)
  end

  it "renders a long report while other threads run, and ends when it is killed" do
    text = Helpers.line(0, type: "ARRAY", references: (1..60_000).map { |number| format("0x7f%010x", number * 40) }) +
           %({"type":"ROOT", "root":"vm", "references":["#{format("0x7f%010x", 0)}"]}\n) + Helpers.text(60_000)
    heap = HeapInspector.analyze(StringIO.new(text))
    report = heap.dominators(depth: nil, min: 0, limit: nil)
    ticks = Queue.new
    ticker = Thread.new { loop { (ticks << true) && Thread.pass } }
    before = ticks.size
    json = report.to_json
    expect(ticks.size).to be > before
    expect(JSON.parse(json).dig("dominators", 0, "children").size).to eq(60_000)
    ticker.kill
    thread = Thread.new { loop { report.to_json } }
    sleep(0.05)
    thread.kill
    expect(thread.join(20)).to be(thread)
  end

  describe "of a loaded heap" do
    let(:heap) { HeapInspector.analyze(Helpers::DUMP, index: false) }

    # All that works beside Ruby.
    let(:questions) do
      {
        groups: -> { heap.groups(by: :class) }, generations: -> { heap.generations }, summary: -> { heap.summary },
        strings: -> { heap.duplicate_strings }, retained: -> { heap.retained(by: :class) }, dominators: -> { heap.dominators(min: 0) },
        paths: -> { heap.paths_to_class("String") }, unreachable: -> { heap.unreachable }, collections: -> { heap.collections },
        fragmentation: -> { heap.fragmentation }, show: -> { heap.show(heap.hashes.first) },
        relation: -> { heap.objects.order(:location).limit(10).pluck(:address) },
        sums: -> { heap.objects.group(:class, :location).sum(:retained_memsize) },
        values: -> { heap.strings.pluck(:value) }, objects: -> { heap.strings.limit(100).map { |one| [one.referrers, one.path_to_root] } },
        ids: -> { heap.objects.where(file: /ruby/).or(heap.strings).pluck(:address) }, attributes: -> { heap.hashes.first.attributes }
      }
    end

    it "is frozen and may be shared by Ractors" do
      questions.except(:objects).each { |name, question| expect(Ractor.shareable?(question.call)).to be(true), name.to_s }
      one = heap.strings.where(reachable: true).first
      answers = [heap, one, one.references, one.referrers, one.path_to_root, one.to_h, one.attributes, one.deconstruct_keys(nil),
                 heap.warnings, heap.summary.to_h, heap.groups(by: :class).first.to_h, heap.objects.group(:class), heap.where]
      expect(answers).to all(satisfy { |answer| Ractor.shareable?(answer) })
    end

    # In a process of its own, where nothing was loaded by asking before.
    it "may be asked by other Ractors" do
      out, err, = Open3.capture3(RbConfig.ruby, "-W:no-experimental", "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/spec/questions.rb",
                                 "ractor")
      expect([out.lines.first, err]).to eq(["0 wrong answers\n", ""])
    end

    # A thread that asks again and again, until the heap is closed, when it gives what the block says; and a queue of how often it did.
    def asking(question)
      begun = Queue.new
      thread = Thread.new do
        loop do
          question.call
          begun << true
        end
      rescue HeapInspector::ClosedError
        yield
      end
      [thread, begun]
    end

    it "ends when its thread is killed, whatever it does" do
      questions.each do |name, question|
        thread, begun = asking(question)
        begun.pop
        thread.kill
        expect(thread.join(20)).to be(thread), name.to_s
        expect(question.call).to be_a(Object)
      end
    end

    it "goes on or says so where another thread closes the heap" do
      threads = questions.map { |name, question| asking(question) { name } }
      threads.each { |_, begun| begun.pop }
      heap.close
      expect(threads.map { |thread, _| thread.join(20)&.value }).to eq(questions.keys)
    end

    it "is the same in a forked process, also one that is forked while the graph is worked out" do
      wanted = questions.except(:values).transform_values { |question| question.call.inspect }
      fresh = HeapInspector.analyze(Helpers::DUMP, index: false)
      busy = Thread.new { fresh.retained.inspect }
      reader, writer = IO.pipe
      pid = fork do
        wrong = wanted.keys.reject { |name| questions[name].call.inspect == wanted[name] }
        wrong << :fresh unless fresh.retained.inspect == heap.retained.inspect
        writer.write(wrong.inspect)
        writer.close
        exit!(0)
      end
      writer.close
      expect(reader.read).to eq("[]")
      expect(Process.wait2(pid).last).to be_success
      expect(busy.value).to eq(heap.retained.inspect)
    ensure
      reader&.close
    end
  end
end
