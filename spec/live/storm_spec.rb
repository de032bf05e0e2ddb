# frozen_string_literal: true

require_relative "living"

# Dumps of a process that does all that a fork may find half done, and children that end at any moment. `STORM=300` takes that many dumps
# and kills a fifth as many children: a quarter of an hour.
RSpec.describe HeapInspector, "and dumps in a storm" do
  include_context "with living processes"

  let(:dumps) { Integer(ENV.fetch("STORM", "40")) }
  let(:deaths) { dumps / 5 }

  # Threads that hold, most of the time, a lock of the C library's, of the gem's or of the app's.
  def busy
    <<~RUBY
      require "zlib"
      require "logger"
      require "socket"
      log = Logger.new(#{File.join(folder, "log").inspect})
      lock = Mutex.new
      turns = Hash.new(0)
      work = {
        malloc: -> { Array.new(50) { |number| "x" * (number * 997) }.map(&:hash) },
        deflate: -> { Zlib::Inflate.inflate(Zlib::Deflate.deflate("text " * 20_000)) },
        names: -> { Addrinfo.getaddrinfo("localhost", nil) rescue nil },
        log: -> { log.info("a line " * 20) },
        lock: -> { lock.synchronize { sleep(0.0005) } },
        files: -> { File.open(#{File.join(folder, "log").inspect}) { |file| file.flock(File::LOCK_SH) } },
        names_of_code: -> { Class.new { define_method("method_\#{rand(200)}") { self } } }
      }
      work.each { |name, one| Thread.new { loop { one.call; turns[name] += 1; sleep(0.0002) } } }
    RUBY
  end

  { ndjson: "heap.json.zst", heap: "app.heap" }.each do |format, name|
    it "takes one after the other as #{format}, each whole, and the threads go on" do
      path = File.join(folder, name)
      process = living(<<~RUBY)
        #{busy}
        #{dumps}.times do |number|
          before = turns.dup
          file = HeapInspector.dump(#{path.inspect}, format: :#{format}, gc: (number % 8).zero?, timeout: 60)
          raise file.inspect unless file.dumper == :native && file.fallback.nil?
          puts file.bytes
        end
        before = turns.dup
        sleep(0.01) until work.keys.all? { |name| turns[name] > before[name] }
        puts "all go on"
      RUBY
      sizes = Array.new(dumps) { Integer(process.line(/\A\d+\z/, 90)) }
      expect(sizes).to all(be > 500_000)
      expect(process.line(/go on/)).to eq "all go on"
      expect(process.wait).to be_success, process.rest
      expect(HeapInspector.analyze(path, index: false).warnings).to be_empty
      expect(Dir.children(folder)).to contain_exactly(name, "log", "run")
    end

    it "leaves nothing half under the name and no child where this is killed at any moment, as #{format}" do
      path = File.join(folder, name)
      process = living(<<~RUBY)
        #{busy}
        strings = Array.new(60_000) { |number| "text \#{number}" }
        file = HeapInspector.dump(#{path.inspect}, format: :#{format}, gc: false)
        puts "takes \#{file.seconds}"
        while gets
          begin
            puts HeapInspector.dump(#{path.inspect}, format: :#{format}, gc: false).dumper
          rescue HeapInspector::DumpFailed => e
            puts e.message
          end
        end
        puts strings.size
      RUBY
      seconds = Float(process.line(/takes/).split.last)
      whole = File.binread(path)
      answers = Array.new(deaths) do |number|
        process.say("dump")
        child = eventually { children(process.pid).first }
        sleep(seconds * number / deaths)
        begin
          Process.kill(:KILL, child)
        rescue Errno::ESRCH
          nil # it was done before
        end
        answer = process.line
        expect(children(process.pid)).to be_empty
        # What was there stays, or is replaced by another that is whole.
        expect(HeapInspector.analyze(path, index: false).warnings).to be_empty unless File.binread(path) == whole
        expect(Dir.children(folder)).to contain_exactly(name, "log", "run")
        whole = File.binread(path)
        answer
      end
      expect(answers.uniq - ["native"]).to eq ["the dumping child was killed by SIGKILL (out of memory?); this process is not affected"]
      process.say("again")
      expect(process.line).to eq "native"
      expect(process.wait).to be_success, process.rest
    end
  end
end
