# frozen_string_literal: true

require_relative "retention"

module HeapInspector
  # Rack middleware for development: says of each request what it allocates and what of it stays, in the log and in a `Server-Timing`
  # header, and shows the worst requests at `/heap_inspector`, to the machine itself alone. Rails inserts it with
  # `config.heap_inspector.requests = true` in development.
  #
  # One request at a time is measured: what comes meanwhile goes by. A measured one takes about twice its time, and a minor collection
  # before. What of a request stays is told when the next one comes: until then the server holds it itself. What a body makes while
  # it is sent is not in it.
  #
  # @example in config.ru
  #   use HeapInspector::Middleware
  class Middleware
    # Where the worst requests are shown.
    PATH = "/heap_inspector"
    # So many requests are remembered.
    REMEMBERED = 200
    # So many are shown, and so many classes and lines of each.
    SHOWN = 20
    GROUPS = 5

    # A request: what was asked, its run, and what stayed when it was done.
    Request = Struct.new(:verb, :path, :run, :kept, :kept_memsize)

    private_constant :REMEMBERED, :SHOWN, :GROUPS, :Request

    # @param app [#call]
    # @param log [#call] what is called with each line; by default the Rails logger, or standard error
    def initialize(app, log: nil)
      @app = app
      @log = log || ->(line) { defined?(::Rails.logger) && ::Rails.logger ? ::Rails.logger.info(line) : warn(line) }
      @requests = []
      @lock = Mutex.new
    end

    # @param env [Hash]
    # @return [Array] status, headers and body
    def call(env)
      return page(env) if env["PATH_INFO"] == PATH
      return @app.call(env) if Tracing.missing || !@lock.try_lock

      begin
        measured(env)
      ensure
        @lock.unlock
      end
    end

    private

    def measured(env)
      settle
      Tracing.tracer.prepare
      request = Request.new(env["REQUEST_METHOD"].to_s, env["PATH_INFO"].to_s)
      status = headers = body = nil
      Native.tracer_start_thread
      begin
        request.run = Retaining.run { status, headers, body = @app.call(env) }
      ensure
        Native.tracer_stop
      end
      say(request, "allocated", request.run.objects, request.run.memsize)
      @last = request
      [status, timed(headers, request), body]
    end

    # What stayed of the last one like it is known; of this one not yet.
    def timed(headers, request)
      like = @requests.reverse_each.find { |one| [one.verb, one.path] == [request.verb, request.path] }
      told = ["heap_allocated;desc=\"#{Size.count(request.run.objects)} objects, #{Size.bytes(request.run.memsize)}\""]
      told << "heap_kept;desc=\"#{Size.count(like.kept)} objects, #{Size.bytes(like.kept_memsize)} by the last one\"" if like
      name = headers.keys.find { |key| key.casecmp?("Server-Timing") } || "Server-Timing"
      headers.merge(name => [*headers[name], *told].join(", "))
    end

    # Says what stayed of the last request.
    def settle
      request = @last
      return unless request

      @last = nil
      found = Retaining.living([request.run], full_mark: false)
      request.kept = found.sum(&:objects)
      request.kept_memsize = found.sum(&:memsize)
      @requests << request
      @requests.shift if @requests.size > REMEMBERED
      say(request, "keeps", request.kept, request.kept_memsize) if request.kept.positive?
    end

    def say(request, does, objects, memsize)
      told = "#{request.verb} #{request.path} #{does} #{Size.count(objects)} objects, #{Size.bytes(memsize)}"
      @log.call(Escape.terminal("[heap_inspector] #{told}"))
    end

    # The header Host as well: another site's page must not read it by a name that leads here.
    def local?(env)
      host = env["HTTP_HOST"].to_s.sub(/:\d+\z/, "")
      ["127.0.0.1", "::1", "::ffff:127.0.0.1"].include?(env["REMOTE_ADDR"]) && ["localhost", "127.0.0.1", "[::1]"].include?(host)
    end

    def page(env)
      return [403, { "content-type" => "text/plain" }, ["Only for this machine.\n"]] unless local?(env)

      headers = { "content-type" => "text/html; charset=utf-8", "cache-control" => "no-store",
                  "content-security-policy" => "default-src 'none'; style-src 'unsafe-inline'" }
      [200, headers, [html]]
    end

    # What stays of each request now, after a full collection.
    def worst
      @lock.synchronize { settle }
      requests = @requests.dup
      by_request = Retaining.living(requests.map(&:run)).group_by { |found| requests[found.interval] }
      by_request.map { |request, found| [request, found.sum(&:objects), found.sum(&:memsize), found] }
                .max_by(SHOWN) { |_, _, memsize,| memsize }
    end

    def html
      rows = worst.map do |request, count, memsize, found|
        groups = found.max_by(GROUPS, &:memsize).map do |one|
          "#{Size.count(one.objects)} × #{one.class_name || "(no name)"}, #{Size.bytes(one.memsize)}, #{one.app_location || one.location}"
        end
        cells = ["#{request.verb} #{request.path}", Size.count(request.run.objects), Size.bytes(request.run.memsize), Size.count(count),
                 Size.bytes(memsize)]
        "<tr>#{cells.map { |cell| "<td>#{text(cell)}</td>" }.join}<td>#{groups.map { |line| text(line) }.join("<br>")}</td></tr>"
      end
      <<~HTML
        <!doctype html><html lang="en"><meta charset="utf-8"><title>What requests keep</title>
        <style>
          :root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem }
          table { border-collapse: collapse } th, td { text-align: right; padding: .3rem .8rem; vertical-align: top; border-bottom: 1px solid #8884 }
          :is(th, td):first-child, :is(th, td):last-child { text-align: left }
        </style>
        <h1>What requests keep</h1>
        <p>Of the last #{@requests.size} measured requests those that keep most, after a full collection just now. What is made once, as a
        cache, is in it: what grows with each request is the leak.</p>
        <table><thead><tr><th>Request<th>Allocated<th>Memory<th>Kept<th>Memory<th>What, and the app's line</tr></thead>
        <tbody>#{rows.join("\n")}</tbody></table></html>
      HTML
    end

    def text(words) = Escape.terminal(words).gsub(/[&<>"']/) { |letter| "&##{letter.ord};" }
  end
end
