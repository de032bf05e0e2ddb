# frozen_string_literal: true

require_relative "living"

# Any user's process can put a socket where an agent's belongs, and say what it likes: root asks all the same.
RSpec.describe "agents that lie" do
  include_context "with living processes"

  def armed(worker = nil)
    process = living("HeapInspector.arm(worker: #{worker.inspect})\nputs \"armed\"\ngets")
    process.line(/armed/)
    process
  end

  def seconds
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
  end

  status = { pid: 1, version: "1", ruby: "ruby", worker: nil, tracing: false, tracing_since: nil }.freeze
  nonsense = /\Aheap_inspector: process \d+ (?:sent an invalid reply; is it an agent of another version\?|went away .*)\n\z/
  no_status = {
    "ready" => '{"ready":true}', "another shape" => '{"ok":{}}', "a list" => '{"ok":[]}', "a number" => "7",
    "progress" => '{"progress":1}', "ready and ok" => { ready: true, ok: status }.to_json,
    "a worker that is not a number" => { ok: status.merge(worker: "\e[2J") }.to_json,
    "a worker below 0" => { ok: status.merge(worker: -1) }.to_json,
    "a time in a million years" => { ok: status.merge(tracing_since: 10**40) }.to_json,
    "an endless line" => "x" * 200_000, "deep nesting" => "[" * 60_000, "an error that is none" => '{"error":{"a":1}}',
    "invalid text" => "{\"error\":\"\xff\"}", "nothing, and the end" => ""
  }

  no_status.each do |name, reply|
    it "takes #{name} for no answer to ps and trace" do
      process = armed
      hostile_instead_of(process, reply.empty? ? "\n" : reply)
      out, err, code = command("ps", "--format", "json")
      expect([err, code]).to eq ["", 0]
      row = JSON.parse(out).find { |each| each["pid"] == process.pid }
      expect(row).to include("armed" => true, "answers" => false, "tracing" => nil, "worker" => nil)
      out, err, code = command("trace", process.pid.to_s, "on")
      expect([out, code]).to eq ["", 1]
      expect(err).to match(nonsense)
    end
  end

  it "asks all at once: silent ones, one that drips, and one that lets nobody in cost one deadline" do
    honest = armed(3)
    silent = Array.new(4) { armed.tap { |process| hostile_instead_of(process) } }
    hostile_instead_of(silent.last, *Array.new(500) { "x" * 10 }, pause: 0.1)
    # Its queue is full from the start.
    path = socket(silent.first.pid)
    @servers.first.close
    File.unlink(path)
    closed = Socket.new(:UNIX, :STREAM).tap { |server| server.bind(Addrinfo.unix(path)) && server.listen(0) }
    connections = Array.new(3) { Socket.new(:UNIX, :STREAM) }
    expect { connections.each { |connection| connection.connect_nonblock(Addrinfo.unix(path)) } }.to raise_error(Errno::EAGAIN)
    out = nil
    expect(seconds { out, = command("ps", "--format", "json") }).to be < 12 # one by one they took 20, and the last one for ever
    rows = JSON.parse(out).to_h { |row| [row["pid"], row["answers"]] }
    expect(rows.values_at(honest.pid, *silent.map(&:pid))).to eq [true, false, false, false, false]
    err = nil
    Dir.mkdir(File.join(folder, "all"))
    expect(seconds { _, err, = command("dump", "all", "-o", File.join(folder, "all")) }).to be < 25
    expect(err.scan(/process \d+ did not answer in 5 s/).size).to eq 4
    expect(err).to match(%r{^#{folder}/all/heap-#{honest.pid}-})
    expect(command("dump", "worker-3", "-o", File.join(folder, "one.json")).last).to eq 0
  ensure
    [closed, *connections].compact.each(&:close)
  end

  dump = { path: nil, bytes: 10, compressed_bytes: 10, compression: "plain", fork_seconds: 0.1, gc_seconds: 0, seconds: 1, lost: 0 }.freeze
  no_dump = {
    "an empty answer" => ['{"ok":{}}', nonsense],
    "an answer before the file was asked for" => [{ ok: dump }.to_json, /says that it wrote 10 bytes, and 0 came\n\z/],
    "bytes that are not in the file" => ["{\"ready\":true}\n#{{ ok: dump }.to_json}", /says that it wrote 10 bytes, and 4 came\n\z/],
    "a file of something else" => ["{\"ready\":true}\n#{{ ok: dump.merge(compressed_bytes: 4) }.to_json}",
                                   /wrote something that is not a dump\n\z/],
    "asking for the file twice" => ["{\"ready\":true}\n{\"ready\":true}", nonsense],
    "numbers that are none" => ["{\"ready\":true}\n#{{ ok: dump.merge(compressed_bytes: 4, seconds: "\e[2J") }.to_json}", nonsense],
    "progress that is none" => ["{\"progress\":\"x\"}\n{\"progress\":-1}", nonsense]
  }
  no_dump.each do |name, (reply, message)|
    it "leaves no file and fails where a dump is #{name}" do
      process = armed
      hostile_instead_of(process, reply, files: ->(file) { file.write("text") && file.close })
      out, err, code = command("dump", process.pid.to_s, "-o", File.join(folder, "x.json"))
      expect([out, code, err]).to match ["", 1, message]
      expect(Dir.children(folder).grep(/\Ax/)).to be_empty
    end
  end

  it "writes out what would reorder or hide text, in errors as in titles" do
    process = armed
    hostile = "\u{202e}\u{2066}\u{200b}\u{feff}\u{1bca0}\u{1d173}\u{e0041}\e[2J"
    hostile_instead_of(process, { error: hostile }.to_json)
    err = command("trace", process.pid.to_s, "on")[1]
    expect(err).to eq "heap_inspector: \\u{202e}\\u{2066}\\u{200b}\\u{feff}\\u{1bca0}\\u{1d173}\\u{e0041}\\e[2J\n"
    titled = living("$0 = 'puma 5.6 [' + #{hostile.inspect} + ']'; puts 'up'; gets")
    titled.line(/up/)
    row = command("ps").first.force_encoding("UTF-8").lines.find { |line| line.include?(titled.pid.to_s) }
    expect(row).to include('puma 5.6 [\u{202e}\u{2066}\u{200b}\u{feff}\u{1bca0}')
    out = command("ps", "--format", "json").first.force_encoding("UTF-8")
    expect(out.delete("\n")).not_to match(/[\p{Cc}\p{Cf}]/)
    expect(JSON.parse(out).find { |each| each["pid"] == titled.pid }["command"]).to eq "puma 5.6 [#{hostile}]"
  end
end
