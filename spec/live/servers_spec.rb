# frozen_string_literal: true

require_relative "living"
require_relative "rails_shop"

# Debian's Puma, Rails and Unicorn. `LIVE_ROUNDS=20` (or `rake live:proof`) makes the full number of dumps.
RSpec.describe "servers" do
  include_context "with living processes"

  let(:rounds) { Integer(ENV.fetch("LIVE_ROUNDS", "3")) }
  let(:port) { free_port }

  app = <<~RUBY
    CACHE = Array.new(100_000) { |number| "cached \#{number}" }
    run(lambda do |env|
      sum = Array.new(3000) { |number| "request \#{number}".hash }.sum
      [200, {"content-type" => "text/plain"}, ["ok \#{Process.pid} \#{sum.class}"]]
    end)
  RUBY

  # Puma before #3940 hangs at its end, with us or without: a trap writes to a pipe that a thread closes meanwhile, and on Ruby 3.3 the
  # closing then waits for good (puma #3677; these two alone, in 12 lines of Ruby, hung 22 times of 60). A write that does not wait
  # never did.
  ends = <<~RUBY
    require "puma/server"
    Puma::Server.prepend(Module.new do
      def notify_safely(message)
        @notify&.write_nonblock(message)
      rescue IOError, SystemCallError
        nil
      end
    end)
  RUBY

  def write(name, text)
    File.write(File.join(folder, name), text)
  end

  define_method(:puma) do |workers:, extra: "", environment: {}|
    need("puma", "puma/puma_http11")
    write("puma.rb", <<~RUBY)
      #{ends}
      workers #{workers}
      threads 2, 2
      bind "tcp://127.0.0.1:#{port}"
      plugin :heap_inspector
      #{extra}
    RUBY
    started(["puma", "-C", "puma.rb", "config.ru"], environment: environment, chdir: folder, log: File.join(folder, "log"))
  end

  def rows
    out, err, code = command("ps", "--format", "json")
    raise err unless code.zero?

    JSON.parse(out).select { |row| @started.any? { |process| ancestors(row["pid"]).include?(process.pid) } }
  end

  # Waits until these workers, and no others, trace or do not; a worker answers a little before it has its title and traces.
  def traced(expected)
    found = nil
    eventually(40) do
      found = rows.select { |row| row["answers"] }.map { |row| row.values_at("worker", "tracing") }
      found.sort_by(&:to_s) == expected.to_a.sort_by(&:to_s)
    end
  rescue RuntimeError => e
    raise "#{e.message}: #{found}"
  end

  def ancestors(pid)
    pid.zero? ? [] : [pid, *ancestors(parent(pid))]
  end

  def parent(pid)
    File.read("/proc/#{pid}/stat").rpartition(")").last.split[1].to_i
  rescue SystemCallError
    0
  end

  def armed(count)
    found = eventually(40) { (found = rows.select { |row| row["answers"] }).size == count && found }
    eventually { listening? }
    found
  end

  def listening?
    TCPSocket.open("127.0.0.1", port, &:close)
    true
  rescue Errno::ECONNREFUSED
    false
  end

  def get
    Net::HTTP.start("127.0.0.1", port, open_timeout: 10, read_timeout: 20) { |http| http.get("/").body }
  end

  # Ends a server as its operator would, and waits until all of it is gone.
  def stop(server, signal = :TERM)
    pids = [server.pid, *children(server.pid)]
    server.kill(signal)
    eventually(60) { !alive?(server.pid) }
    server.wait
    eventually { pids.none? { |pid| alive?(pid) } }
    expect(Dir.children(File.join(folder, "run")).grep(/sock/)).to be_empty
  end

  # Requests by so many clients while the block runs: [answered, failed].
  def under_load(clients)
    over = false
    counts = Queue.new
    threads = Array.new(clients) do
      Thread.new do
        counts << ((body = get).start_with?("ok") ? :answered : body) until over
      rescue StandardError => e
        counts << e
      end
    end
    eventually { counts.size >= clients } if clients.positive?
    yield
  ensure
    over = true
    threads&.each(&:join)
    @counts = Array.new(counts.size) { counts.pop }
  end

  def dump(word, name, *options)
    path = File.join(folder, "#{name}.json.zst")
    _, err, code = command("dump", word.to_s, "-o", path, *options)
    expect(code).to eq(0), err
    path
  end

  # Where the memory of a server's process is: it adds up, the kernel agrees, and an owner or the kernel names 95 %. What it runs for the
  # first time is there at the second look. While a collection marks, slots are not looked at.
  def expect_named(word, pid)
    2.times { @look = command("memory", word.to_s, "--format", "json") }
    out, err, code = @look
    expect([err, code]).to eq ["", 0]
    told = JSON.parse(out)
    rows = told["rows"]
    expect(rows.sum { |row| row["bytes"] }).to eq told["rss"]
    named = rows.select { |row| row["named"] }.sum { |row| row["bytes"] }
    expect(named).to be >= told["rss"] * 0.95, out
    mapped = File.read("/proc/#{pid}/smaps").scan(/^Rss: +(\d+) kB/).sum { |number,| Integer(number, 10) * 1024 }
    expect(told["rss"]).to be_within(mapped * 0.05).of(mapped)
    expect(told).to include("pid" => pid, "missing" => be_nil.or(start_with("Ruby's slots could not be looked at")))
    told
  end

  { "idle" => 0, "loaded as it has threads" => 4, "saturated" => 16 }.each do |state, clients|
    it "dumps a Puma worker that is #{state}, every time, and no request fails" do
      write("config.ru", app)
      server = puma(workers: 2)
      armed(2)
      under_load(clients) do
        rounds.times do |number|
          path = dump("worker-#{number % 2}", "heap-#{number}")
          heap = HeapInspector.analyze(path)
          expect(heap.warnings).to be_empty
          expect(heap.object_count).to be > 100_000
          File.unlink(path)
        end
      end
      expect(@counts.tally.keys - [:answered]).to be_empty
      expect(@counts.size).to be >= clients
      stop(server)
    end
  end

  it "leaves no more references dangling in a dump under load than in a quiet one" do
    write("config.ru", app)
    puma(workers: 1)
    armed(1)
    get
    quiet = dangling(dump("worker-0", "quiet"))
    loud = nil
    under_load(6) { loud = dangling(dump("worker-0", "loud")) }
    expect(loud).to be <= quiet + 2
  end

  it "knows the workers of a cluster, and traces in the one it is told" do
    write("config.ru", app)
    server = puma(workers: 2, environment: { "HEAP_INSPECTOR_TRACE" => "1" })
    traced(0 => false, 1 => true)
    expect(armed(2).map { |row| row["what"] }).to contain_exactly("puma worker 0", "puma worker 1")
    expect(rows.find { |row| row["pid"] == server.pid }).to include("what" => "puma master", "armed" => false)
    _, err, code = command("dump", "all", chdir: folder)
    expect(code).to eq 0
    expect(err.lines.size).to eq 2
    stop(server)
  end

  it "serves a cluster that loads the app before it forks, and its replaced workers" do
    write("config.ru", app)
    server = puma(workers: 2, extra: "preload_app!", environment: { "HEAP_INSPECTOR_TRACE" => "one" })
    found = armed(2)
    elected = eventually { rows.find { |row| row["tracing"] } }["pid"]
    expect(rows.count { |row| row["tracing"] }).to eq 1
    Process.kill(:KILL, elected)
    eventually(40) { rows.count { |row| row["tracing"] } == 1 && rows.none? { |row| row["pid"] == elected } && armed(2) }
    expect(meta(dump("worker-#{found[0]["worker"]}", "again"))).to include("worker" => found[0]["worker"])
    stop(server)
  end

  it "counts the requests of each worker from its own beginning, and dumps tell them" do
    write("config.ru", "use HeapInspector::RequestCounter\n#{app}")
    server = puma(workers: 2, extra: "preload_app!")
    armed(2)
    pids = Array.new(12) { get[/\Aok (\d+)/, 1].to_i }
    told = rows.select { |row| row["answers"] }.to_h { |row| [row["pid"], row.dig("work", "requests").to_i] }
    expect(told).to eq(told.to_h { |pid, _| [pid, pids.count(pid)] })
    expect(meta(dump(pids.last, "counted"))).to include("work" => { "requests" => pids.count(pids.last) }, "uptime" => be_between(0.1, 120))
    stop(server)
  end

  it "serves workers that are forked from the first one, which alone traces where it was meant" do
    write("config.ru", app)
    server = puma(workers: 3, extra: "fork_worker", environment: { "HEAP_INSPECTOR_TRACE" => "0" })
    traced(0 => true, 1 => false, 2 => false)
    expect(command("trace", armed(3).find { |row| row["worker"] == 1 }["pid"].to_s, "on").first).to match(/ traces/)
    dump("worker-2", "forked")
    expect(get).to start_with("ok ")
    stop(server)
  end

  it "serves Puma in single mode" do
    write("config.ru", app)
    server = puma(workers: 0, environment: { "HEAP_INSPECTOR_TRACE" => "0" })
    row = armed(1).first
    expect(row).to include("pid" => server.pid, "worker" => nil, "tracing" => true)
    get
    expect(HeapInspector.analyze(dump("worker-0", "single")).groups(by: :traced)[true].count).to be > 20 # samples
    stop(server)
  end

  it "ends a leak hunt with a phased restart, and names the new worker" do
    write("config.ru", app)
    settings = { "HEAP_INSPECTOR_TRACE" => "of", "HEAP_INSPECTOR_DUMP_ABOVE" => "2XB" }
    server = puma(workers: 1, environment: settings)
    old = armed(1).first["pid"]
    hunt = started([RbConfig.ruby, Living::EXE, "watch", "worker-0", "--every", "2s", "--count", "9", "-d", folder])
    first = hunt.line(/uncompressed/)[/\A\S+(?=:)/]
    server.kill(:USR1)
    words = hunt.line(/\Aheap_inspector:/)
    now = words[/worker-0 is process (\d+) now/, 1].to_i
    expect(words).to eq "heap_inspector: process #{old} has ended; worker-0 is process #{now} now, and a hunt is for one process: " \
                        "heap_inspector watch worker-0 begins anew"
    expect(armed(1).map { |row| row.values_at("pid", "worker", "tracing") }).to eq [[now, 0, false]]
    expect(hunt.line).to match(/\Awhat there is of it: heap_inspector \w+ #{first}/)
    expect(hunt.wait.exitstatus).to eq 1
    stop(server)
    told = File.readlines(File.join(folder, "log"), chomp: true).grep(/heap_inspector:/)
    expect(told).to match [/trace: "of" is not a choice/, /"2XB" is not a size/] # once, and not by each worker
  end

  it "does not let Puma warn of a hook that single mode does not run, where Puma can be told" do
    write("config.ru", app)
    server = puma(workers: 0)
    armed(1)
    stop(server)
    version = Gem::Specification.find_by_name("puma").version.segments.first
    skip "Puma #{version} warns of whatever hook there is" if [6, 7].include?(version)
    expect(File.read(File.join(folder, "log"))).not_to match(/warning.*worker_boot|worker_boot.*will not/i)
  end

  it "is there again after a phased restart (USR1) and a restart (USR2) of a cluster" do
    write("config.ru", app)
    server = puma(workers: 2, environment: { "HEAP_INSPECTOR_TRACE" => "1" })
    traced(0 => false, 1 => true)
    %i[USR1 USR2].each do |signal|
      pids = armed(2).map { |row| row["pid"] }
      server.kill(signal)
      eventually(60) { (found = rows.select { |row| row["answers"] }).size == 2 && (found.map { |row| row["pid"] } & pids).empty? }
      traced(0 => false, 1 => true)
      eventually { listening? }
      expect(get).to start_with("ok ")
      expect(meta(dump("worker-1", signal))).to include("worker" => 1, "tracing" => include("mode" => "sampled"))
    end
    stop(server)
  end

  it "is there again after a restart (USR2) in single mode, which keeps the process" do
    write("config.ru", app)
    server = puma(workers: 0, environment: { "HEAP_INSPECTOR_TRACE" => "all" })
    armed(1)
    get # before that Puma 5 cannot be restarted
    born = Dir.glob(File.join(folder, "run", "*.sock")).map { |path| File.mtime(path) }
    server.kill(:USR2)
    eventually(60) { Dir.glob(File.join(folder, "run", "*.sock")).any? { |path| !born.include?(File.mtime(path)) } }
    row = armed(1).first
    expect(row).to include("pid" => server.pid, "tracing" => true)
    expect(get).to start_with("ok ")
    dump(server.pid, "restarted")
    stop(server)
  end

  it "serves a Rails app by its Railtie, and its rake tasks" do
    need(*RailsShop::LIBRARIES)
    RailsShop.write(folder, <<~RUBY)
      config.heap_inspector.trace = :all
      config.heap_inspector.trace_mode = :full
      config.heap_inspector.dump_above = "8GB"
      routes.append { get "/", to: ->(_) { [200, {}, ["ok \#{Process.pid}"]] } }
    RUBY
    write("Rakefile", "require_relative 'app'\nRails.application.load_tasks")
    write("plain.rb", "#{ends}workers 2\nthreads 2, 2\nbind \"tcp://127.0.0.1:#{port}\"\npreload_app!\n")
    server = started(["puma", "-C", "plain.rb", "config.ru"], chdir: folder, log: File.join(folder, "log"))
    found = armed(3)
    expect(found.map { |row| row["tracing"] }).to eq [true, true, true]
    expect(get).to start_with("ok ")
    path = File.join(folder, "rails.json.zst")
    out, status = Open3.capture2e(environment, "rake", "heap:dump[worker-1,#{path}]", chdir: folder)
    expect(status).to be_success, out
    expect(HeapInspector.analyze(path).groups(by: :gem).map(&:key)).to include(/\Aactionpack/)
    out, status = Open3.capture2e(environment, "rake", "heap:ps", chdir: folder)
    expect(status).to be_success
    expect(out).to match(/puma worker 1 .* armed  on since /)
    stop(server)
    expect(File.read(File.join(folder, "log"))).not_to match(/heap_inspector/) # as Puma warns of threads before a fork
  end

  it "names where the memory of a Rails app's worker is, at rest and under load" do
    need(*RailsShop::LIBRARIES)
    RailsShop.write(folder, <<~RUBY, <<~CODE)
      config.heap_inspector.count_work = true
      config.cache_store = :memory_store, { size: 4 << 20 }
      routes.append { get "/", to: "pages#show" }
    RUBY
      class PagesController < ActionController::Base
        def show
          text = Rails.cache.fetch(rand(2000)) { "x" * 3000 }
          render plain: "ok \#{Array.new(3000) { |number| text[number, 30] }.join.size}"
        end
      end
    CODE
    write("plain.rb", "#{ends}workers 1\nthreads 4, 4\nbind \"tcp://127.0.0.1:#{port}\"\npreload_app!\n")
    server = started(["puma", "-C", "plain.rb", "config.ru"], chdir: folder, log: File.join(folder, "log"))
    armed(2)
    expect(get).to start_with("ok ")
    worker = eventually { rows.find { |row| row["worker"]&.zero? } }["pid"]
    rest = expect_named("worker-0", worker)
    expect_named(server.pid, server.pid)
    looks = nil
    under_load(8) { looks = Array.new(rounds) { expect_named("worker-0", worker) } }
    expect(@counts.tally.keys).to eq [:answered]
    expect(looks.last["work"]["requests"]).to be > rest["work"]["requests"].to_i + 8
    expect_named("worker-0", worker)
    stop(server)
  end

  it "accuses no cache of a Rails app, and names the list that keeps its controllers" do
    need(*RailsShop::LIBRARIES)
    shop = RailsShop.new
    found = ->(*dumps) { JSON.parse(command("suspects", "--format", "json", *dumps).first)["suspects"] }
    filling = Array.new(3) { |number| shop.take("filling-#{number}") }
    full = Array.new(3) { |number| shop.take("full-#{number}") }
    kept = shop.take("kept", "/kept", 40)
    shop.stop
    expect(found.call(*filling).map { |suspect| suspect["confidence"] }).not_to include("high")
    expect(found.call(*full).map { |suspect| suspect["confidence"] }).not_to include("high", "medium")
    first = found.call(kept).first
    expect(first).to include("class" => "ShopController", "count" => 40, "confidence" => "medium")
    expect(first["holder"]).to eq "Audit::SEEN"
  ensure
    shop&.clean
  end

  it "names what nearly all references of a Rails app are" do
    need(*RailsShop::LIBRARIES)
    skip "dumps are taken by Ruby's own dumper in #{RUBY_DESCRIPTION}" if Helpers.dumper_missing
    shop = RailsShop.new
    counts = named(Helpers.lines_of(shop.take("named")))
    shop.stop
    counts["closures"] = counts.values_at("proc", "env").transpose.map(&:sum)
    %w[OBJECT HASH ARRAY STRUCT CLASS MODULE closures].each do |kind|
      all, named = counts.fetch(kind)
      expect(all).to be > 300
      expect(named.fdiv(all)).to be >= 0.98, "#{kind}: #{named} of #{all}"
    end
  ensure
    shop&.clean
  end

  it "serves Unicorn by its after_fork" do
    lacking "there is no unicorn here" unless program("unicorn")
    need("unicorn")

    write("config.ru", app)
    write("unicorn.rb", <<~RUBY)
      worker_processes 2
      listen "127.0.0.1:#{port}"
      require "heap_inspector"
      after_fork { |_server, worker| HeapInspector.arm(worker: worker.nr) }
    RUBY
    server = started(["unicorn", "-c", "unicorn.rb", "config.ru"], chdir: folder, log: File.join(folder, "log"))
    found = armed(2)
    expect(found.map { |row| row["what"] }).to contain_exactly("unicorn worker 0", "unicorn worker 1")
    under_load(2) { rounds.times { |number| dump("worker-1", "unicorn-#{number}") } }
    expect(@counts.tally.keys).to eq [:answered]
    stop(server, :QUIT) # by TERM its workers run no at_exit
  end

  it "serves Sidekiq by its startup event, and jobs go on" do
    server = sidekiq(<<~RUBY, 2)
      class Job
        include Sidekiq::Worker
        def perform(name) = File.write(name, "done")
      end
    RUBY
    rounds.times do |number|
      dump(server.pid, "sidekiq-#{number}")
      name = File.join(folder, "job-#{number}")
      expect(system(environment, RbConfig.ruby, "-r./jobs.rb", "-e", "Job.perform_async(ARGV[0])", name, chdir: folder)).to be true
      eventually { File.exist?(name) }
    end
    stop(server)
  end

  it "names where the memory of Sidekiq is, at rest and with jobs" do
    server = sidekiq(<<~RUBY, 4)
      class Job
        include Sidekiq::Worker
        KEPT = Queue.new
        def perform(name)
          KEPT << Array.new(2000) { |number| "job \#{number} \#{name}" }
          KEPT.pop if KEPT.size > 20
          File.open(name, "a") { |file| file.puts("done") }
        end
      end
    RUBY
    expect_named(server.pid, server.pid)
    done = File.join(folder, "done")
    call = "Sidekiq::Client.push_bulk('class' => Job, 'args' => [[ARGV[0]]] * 300)"
    expect(system(environment, RbConfig.ruby, "-r./jobs.rb", "-e", call, done, chdir: folder)).to be true
    eventually { File.exist?(done) }
    expect_named(server.pid, server.pid)
    eventually(60) { File.readlines(done).size == 300 }
    told = expect_named(server.pid, server.pid)
    expect(told["work"]).to eq("jobs" => 300)
    stop(server)
  end

  # Sidekiq that runs such jobs, with its hook; it answers.
  def sidekiq(jobs, threads)
    redis = program("redis-server") || program("redis-check-rdb") # redis-tools has it under this name
    lacking "there is no Sidekiq or no Redis here" unless program("sidekiq") && redis
    need("sidekiq")
    store = File.join(folder, "redis.sock")
    started([[redis, "redis-server"], "--port", "0", "--unixsocket", store, "--save", ""], chdir: folder, log: File.join(folder, "redis"))
    eventually { File.socket?(store) }
    write("jobs.rb", <<~RUBY)
      require "sidekiq"
      [:configure_server, :configure_client].each { |each| Sidekiq.public_send(each) { |config| config.redis = {url: "unix://#{store}"} } }
      require "heap_inspector/sidekiq"
      #{jobs}
    RUBY
    server = started(["sidekiq", "-r", "./jobs.rb", "-c", threads.to_s], chdir: folder, log: File.join(folder, "log"))
    # Its title comes with the first heartbeat.
    eventually(40) { rows.any? { |row| row["answers"] && row["pid"] == server.pid && row["what"] == "sidekiq single" } }
    server
  end

  # No Debian has Pitchfork, and Puma 8 is in the newest alone: their hooks and titles as their sources have them.
  it "serves servers that call their hooks by other names" do
    need("puma")
    write("hooks.rb", <<~RUBY)
      require "puma"
      require "puma/plugin"
      require "heap_inspector"
      # What Puma 8 has of its configuration's words.
      dsl = Object.new
      def dsl.before_worker_boot(key = nil, &block) = @block = block
      def dsl.boot(index) = @block.call(index)
      Puma::Plugins.find("heap_inspector").new.config(dsl)
      fork do
        $0 = "puma: cluster worker 4: \#{Process.ppid} [shop]"
        dsl.boot(4)
        sleep
      end
      # Pitchfork calls after_worker_fork with the server and the worker; a mold is a worker that forks others.
      worker = Struct.new(:nr)
      after_worker_fork = ->(_server, each) { HeapInspector.arm(worker: each.nr) }
      $0 = "pitchfork master"
      fork do
        $0 = "pitchfork (gen:0) worker[1] - requests: 13, waiting"
        after_worker_fork.call(nil, worker.new(1))
        fork do
          $0 = "pitchfork (gen: 1) mold"
          fork do
            $0 = "pitchfork (gen:1) worker[2] - requests: 0, waiting"
            after_worker_fork.call(nil, worker.new(2))
            sleep
          end
          sleep
        end
        sleep
      end
      sleep
    RUBY
    server = started([RbConfig.ruby, "hooks.rb"], chdir: folder, log: File.join(folder, "log"))
    expected = { "puma worker 4" => 4, "pitchfork worker 1" => 1, "pitchfork worker 2" => 2, "pitchfork mold" => nil }
    found = nil
    eventually(40) do
      found = rows.select { |row| row["answers"] }
      found.size == 4 && found.to_h { |row| row.values_at("what", "worker") } == expected
    end
    expect(rows.find { |row| row["pid"] == server.pid }["what"]).to eq "pitchfork master"
    expect(meta(dump("worker-2", "pitchfork"))).to include("worker" => 2)
    found.each { |row| Process.kill(:KILL, row["pid"]) }
  end

  def program(name)
    ENV.fetch("PATH").split(":").map { |place| File.join(place, name) }.find { |path| File.executable?(path) }
  end

  # References to no line of the dump, without those that Ruby 3.1 makes up: class of an IMEMO, guesses from the machine's stack.
  def dangling(path)
    lines = Helpers.lines_of(path)
    addresses = lines.filter_map { |line| line["address"] }.to_h { |address| [address, true] }
    sound = lines.reject { |line| line["root"] == "machine_context" || line["type"] == "IMEMO" }
    sound.sum { |line| (line["references"] || []).count { |address| !addresses[address] } }
  end
end
