# frozen_string_literal: true

require_relative "living"

RSpec.describe HeapInspector::Middleware do
  include_context "with living processes"
  include_context "with our tracer"

  program = <<~RUBY
    class Order; end
    KEPT = []
    app = lambda do |env|
      KEPT << Order.new << "x" * 1000 if env["PATH_INFO"].start_with?("/leak")
      raise "no" if env["PATH_INFO"] == "/raise"
      [200, { "content-type" => "text/plain" }, [100.times.map(&:to_s).join]]
    end
    LINES = []
    APP = HeapInspector::Middleware.new(app, log: LINES.method(:<<))
    def get(path, **env)
      env = { "REQUEST_METHOD" => "GET", "PATH_INFO" => path, "REMOTE_ADDR" => "127.0.0.1", "HTTP_HOST" => "localhost:3000" }.merge(env)
      status, headers, body = APP.call(env)
      text = +""
      body.each { |part| text << part }
      body.close if body.respond_to?(:close)
      [status, headers, text]
    end
  RUBY

  it "says what each request allocates and keeps" do
    lines = told("#{program}#{<<~RUBY}")
      2.times { get("/fine") }
      3.times { get("/leak") }
      puts get("/leak")[1]["Server-Timing"], get("/fine")[2].size, HeapInspector.tracing?, LINES
    RUBY
    timing = /\Aheap_allocated;desc="11\d objects, \d\.\d KiB", heap_kept;desc="[23] objects, 1\.\d KiB by the last one"\z/
    expect(lines[0]).to match(timing)
    expect(lines[1, 2]).to eq %w[190 false]
    # A stray word on the stack may hold one object more.
    allocated = %r{\A\[heap_inspector\] GET /leak allocated 11\d objects, 4\.\d KiB\z}
    kept = %r{\A\[heap_inspector\] GET /leak keeps [23] objects, 1\.\d KiB\z}
    expect(lines.drop(3).grep(%r{ GET /leak })).to match([allocated, kept] * 4)
  end

  it "shows the requests that keep most, as text, to this machine alone" do
    lines = told("#{program}#{<<~RUBY}")
      get("/fine")
      2.times { get("/leak<script>") }
      status, headers, page = get("/heap_inspector")
      puts status, headers["content-security-policy"], page[/<tbody>.*/m].scan(/<tr>.*?<.tr>/m).size, page[/<td>GET.*?(?=<td>)/], page[/1 × Order[^<]*/]
      puts page.include?("<script>")
      puts get("/heap_inspector", "REMOTE_ADDR" => "10.0.0.1").first, get("/heap_inspector", "HTTP_HOST" => "evil.example").first
    RUBY
    expect(lines[0, 4]).to eq ["200", "default-src 'none'; style-src 'unsafe-inline'", "2", "<td>GET /leak&#60;script&#62;</td>"]
    expect(lines[4]).to match(/\A1 × Order, 40 B, -e:\d+\z/)
    expect(lines.drop(5)).to eq %w[false 403 403]
  end

  it "hands on what the app raises, and lets by what comes while it measures or while something else traces" do
    expect(told("#{program}#{<<~RUBY}")).to eq ["no", "false", "1", "", "1"]
      begin
        get("/raise")
      rescue RuntimeError => e
        puts e.message
      end
      p HeapInspector.tracing?
      get("/fine")
      puts LINES.size
      HeapInspector.trace_object_allocations_start
      puts get("/fine")[1]["Server-Timing"]
      puts LINES.size
    RUBY
  end
end
