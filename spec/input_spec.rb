# frozen_string_literal: true

require "io/nonblock"
require "pathname"
require "socket"
require "tempfile"
require "tmpdir"
require "zlib"

RSpec.describe "HeapInspector.analyze" do
  let(:dump) { Helpers::DUMP }
  let(:bytes) { File.binread(dump) }
  let(:count) { 27_801 }

  # Reads twice: the objects, and once more for the strings.
  def numbers(heap)
    [heap.object_count, heap.duplicate_strings.string_count]
  end

  let(:numbers_of_dump) { [count, 2190] }

  # A pipe that a thread fills.
  def pipe(text)
    reader, writer = IO.pipe(binmode: true)
    thread = Thread.new { writer.write(text) && writer.close }
    yield(reader).tap { thread.join }
  ensure
    reader.close
  end

  describe "reads" do
    it "paths" do
      to_path = Struct.new(:to_path).new(dump)
      [dump, Pathname(dump), to_path].each do |path|
        heap = HeapInspector.analyze(path)
        expect(numbers(heap)).to eq(numbers_of_dump)
        expect(heap.path).to eq(dump)
      end
    end

    it "an open file, and leaves its position" do
      File.open(dump) do |file|
        expect(numbers(HeapInspector.analyze(file))).to eq(numbers_of_dump)
        expect(file.pos).to eq(0)
      end
    end

    it "an open file from where Ruby code would read on" do
      Tempfile.create do |file|
        file.write("a line before\n", Helpers.text(3))
        file.rewind
        file.gets # Ruby has read ahead all there is
        heap = HeapInspector.analyze(file)
        expect(heap.object_count).to eq(3)
        expect(heap.path).to eq(file.path)
        expect(file.gets).to eq(Helpers.line(1))
      end
    end

    it "a pipe, with what Ruby has read ahead of it" do
      heap = pipe("a line before\n#{Helpers.text(20_000)}") do |reader|
        reader.gets
        HeapInspector.analyze(reader)
      end
      expect(heap).to have_attributes(object_count: 20_000, path: nil, name: "(IO)", warnings: [])
    end

    it "a compressed pipe, twice" do
      expect(numbers(pipe(bytes) { |reader| HeapInspector.analyze(reader) })).to eq(numbers_of_dump)
    end

    it "a pipe that is put back into the state it was in" do
      pipe(Helpers.text(3)) do |reader|
        reader.nonblock = false
        HeapInspector.analyze(reader)
        expect(reader).not_to be_nonblock
      end
    end

    it "a socket" do
      here, there = UNIXSocket.pair
      thread = Thread.new { there.write(bytes) && there.close }
      expect(numbers(HeapInspector.analyze(here))).to eq(numbers_of_dump)
      thread.join
    ensure
      here.close
    end

    it "a process's output" do
      expect(IO.popen(["zstd", "-dcq", dump]) { |io| HeapInspector.analyze(io).object_count }).to eq(count)
    end

    it "a named pipe" do
      Dir.mktmpdir do |folder|
        path = File.join(folder, "fifo")
        File.mkfifo(path)
        thread = Thread.new { File.binwrite(path, bytes) }
        expect(numbers(HeapInspector.analyze(path))).to eq(numbers_of_dump)
        thread.join
      end
    end

    it "a StringIO, and any object with read" do
      expect(numbers(HeapInspector.analyze(StringIO.new(bytes)))).to eq(numbers_of_dump)
      heap = HeapInspector.analyze(Zlib::GzipReader.new(StringIO.new(Zlib.gzip(Helpers.text(3)))))
      expect(heap).to have_attributes(object_count: 3, path: nil, name: "(Zlib::GzipReader)")
    end

    it "an object that gives more or less than was asked for" do
      chunks = Helpers.text(50_000).scan(/.{1,7777}/m)
      reader = Class.new { define_method(:read) { |_| chunks.shift } }.new
      expect(HeapInspector.analyze(reader).object_count).to eq(50_000)
      all = [Helpers.text(50_000), nil]
      expect(HeapInspector.analyze(Class.new { define_method(:read) { |_| all.shift } }.new).object_count).to eq(50_000)
    end

    it "the standard input of a process" do
      out, = ruby("p HeapInspector.analyze($stdin)", stdin_data: bytes)
      expect(out).to eq(%(#<HeapInspector::Heap "-": 27,801 objects, 3,921,857 bytes>\n))
    end
  end

  describe "refuses" do
    it "what the system refuses, by its own errors" do
      expect { HeapInspector.analyze("/no/such/dump.json") }.to raise_error(Errno::ENOENT, %r{/no/such/dump.json})
      expect { HeapInspector.analyze(__dir__) }.to raise_error(Errno::EISDIR)
      expect { HeapInspector.analyze("/proc/self/mem") }.to raise_error(SystemCallError)
    end

    it "a file without permission" do
      skip "root may read all" if Process.uid.zero? && !system("id nobody > /dev/null 2>&1")
      Tempfile.create do |file|
        file.chmod(0)
        code = "Process::Sys.setuid(Etc.getpwnam('nobody').uid) if Process.uid.zero?
                begin; HeapInspector.analyze(ARGV[0]); rescue SystemCallError => error; print error.class; end"
        # Nobody may be kept out of the checkout too, so all is loaded before.
        loads = "require 'etc'; require 'stringio'; HeapInspector.analyze(StringIO.new(#{Helpers.text(1).inspect}))"
        expect(ruby("#{loads}; #{code}", file.path).first).to eq("Errno::EACCES")
      end
    end

    it "what is no dump" do
      { "" => /empty/, "hello\n" => /not a heap dump/, "[1]\n" => /not a heap dump/, %({"a":1}\n) => /not a heap dump/,
        "\x00\xFF".b * 99 => /not a heap dump/ }.each do |text, message|
        expect { HeapInspector.analyze(StringIO.new(text)) }.to raise_error(HeapInspector::FormatError, message), text.inspect
      end
    end

    it "compressed input that cannot be read" do
      expect { HeapInspector.analyze(StringIO.new(bytes[0, 40])) }.to raise_error(HeapInspector::CompressionError, /cut off/)
      expect { HeapInspector.analyze(StringIO.new("BZh9#{"x" * 50}")) }.to raise_error(HeapInspector::CompressionError, /bzip2/)
      expect(HeapInspector::CompressionError).to be < HeapInspector::Error
    end

    it "arguments of the wrong kind" do
      expect { HeapInspector.analyze(nil) }.to raise_error(TypeError, /NilClass/)
      expect { HeapInspector.analyze(42) }.to raise_error(TypeError, /Integer/)
      expect { HeapInspector.analyze("a\0b") }.to raise_error(ArgumentError, /null byte/)
      expect { HeapInspector.analyze(dump, threads: 0) }.to raise_error(ArgumentError, /threads:/)
      expect { HeapInspector.analyze(dump, threads: "2") }.to raise_error(ArgumentError, /threads:/)
      expect { HeapInspector.analyze(dump, progress: 1) }.to raise_error(ArgumentError, /progress:/)
      expect { HeapInspector.analyze(dump, wat: 1) }.to raise_error(ArgumentError, /wat/)
    end

    it "an IO that is closed, not open for reading, or half read by characters" do
      closed = File.open(dump).tap(&:close)
      expect { HeapInspector.analyze(closed) }.to raise_error(IOError, /closed/)
      File.open(File::NULL, "w") { |file| expect { HeapInspector.analyze(file) }.to raise_error(IOError, /not opened for reading/) }
    end

    it "an object whose read gives no string" do
      reader = Class.new { def read(_) = :bytes }.new
      expect { HeapInspector.analyze(reader) }.to raise_error(TypeError, /no String/)
    end
  end

  describe "with damage" do
    let(:damaged) { "#{Helpers.line(1)}{\"address\":\"0x7f1\", \"type\":\n#{Helpers.line(2)}" }

    it "warns of what was lost, and where" do
      heap = HeapInspector.analyze(StringIO.new(damaged))
      expect(heap.object_count).to eq(2)
      expect(heap.warnings.map(&:to_h)).to match([{ kind: :lost, line: 2, byte: Helpers.line(1).bytesize, message: String }])
      expect(heap.warnings.first.to_s).to start_with("line 2, byte #{Helpers.line(1).bytesize}: ")
      expect(heap.summary).to have_attributes(lost_lines: 1, lines: 3)
    end

    it "raises where strict, with line and byte" do
      expect { HeapInspector.analyze(StringIO.new(damaged), strict: true) }.to raise_error(HeapInspector::FormatError) { |error|
        expect(error).to have_attributes(line: 2, byte: Helpers.line(1).bytesize, message: /\A\(StringIO\): line 2, byte/)
      }
    end

    it "says that a dump is cut off" do
      heap = HeapInspector.analyze(StringIO.new(Helpers.text(2)[0..-30]))
      expect(heap).to be_truncated
      expect(heap.warnings.map(&:kind)).to eq([:truncated])
      expect(heap.inspect).to end_with("bytes, truncated>")
    end
  end

  describe "progress:" do
    it "is called with the bytes read and their number in all" do
      calls = []
      HeapInspector.analyze(dump, progress: ->(read, all) { calls << [read, all] })
      expect(calls.last).to eq([bytes.bytesize, bytes.bytesize])
      expect(calls.map(&:first)).to eq(calls.map(&:first).sort)
    end

    it "does not know the bytes of a stream in all" do
      calls = []
      HeapInspector.analyze(StringIO.new(bytes), progress: ->(*call) { calls << call })
      expect(calls.last).to eq([bytes.bytesize, nil])
    end

    it "draws a bar on a terminal alone" do
      out, err, = ruby("HeapInspector.analyze(ARGV[0], progress: true)", dump)
      expect([out, err]).to eq(["", ""])
      allow(ENV).to receive(:[]).with("TERM").and_return("xterm")
      terminal = StringIO.new.tap { |io| io.define_singleton_method(:tty?) { true } }
      bar = HeapInspector.module_eval("ProgressBar", __FILE__, __LINE__) # it is private
      bar = bar.new(terminal)
      bar.call(1 << 20, 4 << 20)
      bar.finish
      expect(terminal.string).to match(/\A\rreading \[={10} {30}\] 25 % 1 MiB\e\[K\r\e\[K\z/)
    end
  end
end
