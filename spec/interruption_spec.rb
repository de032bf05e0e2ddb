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
      writer.write([heap, HeapInspector.analyze(Helpers::DUMP)].map { |each| each.groups(by: :class).size }.inspect)
      writer.close
      exit!(0)
    end
    writer.close
    expect(reader.read).to eq("[99, 99]")
    expect(Process.wait2(pid).last).to be_success
    reader.close
  end

  it "has answers that Ractors share" do
    code = <<~RUBY
      Warning[:experimental] = false
      heap = HeapInspector.analyze(ARGV[0])
      classes = heap.groups(by: :class, where: { type: :string })
      raise "not shareable" unless [heap, Ractor.make_shareable(classes)].all? { |object| Ractor.shareable?(object) }
      other = Ractor.new(heap) { |mine| mine.groups(by: :class, where: { type: :string }).to_a }
      print((other.respond_to?(:value) ? other.value : other.take) == classes.to_a)
    RUBY
    out, err, = ruby(code, Helpers::DUMP)
    expect([out, err]).to eq(["true", ""])
  end
end
