# frozen_string_literal: true

require_relative "living"
require "json"

RSpec.describe HeapInspector, ".summarize" do
  include_context "with living processes"

  # Holds a secret and what leaks.
  let(:program) do
    <<~RUBY
      class Order; def initialize(text) = @text = text; end
      SECRET = "hunter2-" + "is-secret"
      KEPT = Array.new(3_000) { |number| Order.new("hunter2-" + number.to_s) }
      300.times { KEPT << Order.new("hunter2-twin" + "") }
    RUBY
  end
  let(:duckdb) { ENV.fetch("HEAP_INSPECTOR_DUCKDB", File.expand_path("../../tmp/fleet/bin/duckdb", __dir__)) }

  def rows(sql)
    lacking "there is no #{duckdb}, which bin/setup --test installs" unless File.exist?(duckdb)
    out, err, status = Open3.capture3(duckdb, "-no-init", "-batch", "-bail", "-json", "-c", sql)
    expect(status).to be_success, err
    JSON.parse(out)
  end

  def row(path) = rows("SELECT * FROM '#{path}'").first

  # In none of its columns, and nowhere beside them.
  def expect_no_secret(path)
    expect(rows("SELECT * FROM '#{path}'").to_json).not_to include("hunter2")
    expect(File.binread(path)).not_to include("hunter2")
  end

  it "is asked of a process from outside, and leaves no dump and no secret" do
    named = { "HEAP_INSPECTOR_SERVICE" => "shop", "TMPDIR" => folder }
    process = living("HeapInspector.arm\n#{program}puts 'ready'\ngets", environment: named)
    process.line(/ready/)
    path = File.join(folder, "one.parquet")
    _, err, code = command("summarize", process.pid.to_s, "-o", path)
    expect(code).to eq(0), err
    expect(File.size(path)).to be < 200_000
    expect(File.stat(path).mode & 0o777).to eq 0o600
    expect(row(path)).to include("service" => "shop", "pid" => process.pid, "schema_version" => 1)
    expect(row(path)["process"]).to match(%r{/#{process.pid}/\d+\z})
    expect(rows("SELECT p.count AS count FROM (SELECT unnest(paths) AS p FROM '#{path}') WHERE p.path = 'Object → Array → Order'"))
      .to eq [{ "count" => 3_300 }]
    expect_no_secret(path)
    expect(Dir.children(folder).grep(/summary|heap\.json/)).to eq []
  end

  it "is filed every while" do
    to = File.join(folder, "summaries")
    asked = { "HEAP_INSPECTOR_SUMMARY_EVERY" => "1s", "HEAP_INSPECTOR_SUMMARY_TO" => to, "GIT_SHA" => "a/b" }
    process = living(<<~RUBY, environment: asked)
      require "heap_inspector/autorun"
      #{program}
      sleep
    RUBY
    files = within(120) { Dir.glob("#{to}/**/dump.parquet").then { |found| found if found.size > 1 } }
    folders = "service=__HIVE_DEFAULT_PARTITION__/deploy=a%2Fb/host=[^/]+/pid=#{process.pid}/taken="
    expect(files).to all(match(%r{/#{folders}\d{8}T\d{9}Z/dump\.parquet\z}))
    expect(File.stat(to).mode & 0o777).to eq 0o700
    expect(row(files.first)).to include("deploy" => "a/b", "pid" => process.pid)
    expect_no_secret(files.first)
  end

  it "is put to an address, whose secrets are not told" do
    server = TCPServer.new("127.0.0.1", 0)
    got = Queue.new
    thread = Thread.new do
      ["503 Busy", "200 OK"].each do |answer|
        socket = server.accept
        head = socket.gets("\r\n\r\n")
        got << [head, socket.read(head[/^content-length: (\d+)/i, 1].to_i)]
        socket.write("HTTP/1.1 #{answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        socket.close
      end
    end
    address = "http://127.0.0.1:#{server.addr[1]}/up/{service}/{pid}.parquet?X-Signature=s3cr3t"
    process = living(<<~RUBY, environment: { "HEAP_INSPECTOR_SERVICE" => "shop" })
      #{program}
      HeapInspector.summary_every(1, to: #{address.inspect})
      sleep
    RUBY
    expect(process.line(/no summary/, 120)).to eq "heap_inspector: no summary to #{address.sub(/\?.*/, "?…")}: the server says 503 Busy"
    thread.join(120)
    head, body = Array.new(2) { got.pop }.last
    expect(head).to start_with("PUT /up/shop/#{process.pid}.parquet?X-Signature=s3cr3t HTTP/1.1\r\n")
    path = File.join(folder, "put.parquet")
    File.binwrite(path, body)
    expect(row(path)).to include("service" => "shop", "pid" => process.pid)
    expect_no_secret(path)
  ensure
    thread&.kill
    server&.close
  end

  it "asks for what it can do" do
    expect { described_class.summary_every(0, to: "x") }.to raise_error(ArgumentError, /a summary every 0 s/)
    expect { described_class.summary_every(5) }.to raise_error(ArgumentError, /say where summaries go/)
  end

  # The next value of the block that is one.
  def within(seconds)
    deadline = Time.now + seconds
    loop do
      found = yield
      return found if found
      raise "nothing in #{seconds} s" if Time.now > deadline

      sleep 0.1
    end
  end
end
