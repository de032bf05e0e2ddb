# frozen_string_literal: true

require "tmpdir"

# A small real Rails app with a database and the gem in its Gemfile; `bin/setup` installs Rails.
RSpec.describe "In a Rails app" do
  files = {
    "Gemfile" => <<~RUBY,
      gem "rails"
      gem "sqlite3"
      gem "heap_inspector", path: #{Helpers::ROOT.inspect}
    RUBY
    "Rakefile" => <<~RUBY,
      require_relative "config/application"
      Rails.application.load_tasks
    RUBY
    "config/application.rb" => <<~RUBY,
      require "bundler/setup"
      require "rails"
      require "active_record/railtie"
      require "action_controller/railtie"
      Bundler.require

      class App < Rails::Application
        config.load_defaults Rails::VERSION::STRING.to_f
        config.eager_load = true
        config.logger = Logger.new(nil)
        config.secret_key_base = "secret"
        config.heap_inspector.dump_dir = Rails.root.join("tmp").to_s
        config.heap_inspector.requests = true if ENV["REQUESTS"]
        config.heap_inspector.count_work = true if ENV["COUNTS"]
        config.heap_inspector.watch = true if ENV["COUNTS"]
      end
    RUBY
    "config/environment.rb" => <<~RUBY,
      require_relative "application"
      Rails.application.initialize!
    RUBY
    "config/database.yml" => <<~YAML,
      production:
        adapter: sqlite3
        database: db/production.sqlite3
    YAML
    "config/routes.rb" => "Rails.application.routes.draw { root to: \"users#index\" }",
    "app/models/user.rb" => <<~RUBY,
      class User < ActiveRecord::Base
        SEEN = []
      end
    RUBY
    "app/controllers/users_controller.rb" => <<~RUBY,
      class UsersController < ActionController::Base
        def index
          User::SEEN << User.first
          render plain: User.count.to_s
        end
      end
    RUBY
    "db/migrate/20240101000000_create_users.rb" => <<~RUBY,
      class CreateUsers < ActiveRecord::Migration[6.1]
        def change
          create_table(:users) { |table| table.string :name }
        end
      end
    RUBY
    "bin/rails" => <<~RUBY
      APP_PATH = File.expand_path("../config/application", __dir__)
      require "bundler/setup"
      require "rails/commands"
    RUBY
  }

  before(:all) do
    need("sqlite3", "active_record", "action_controller/railtie")
    @app = Dir.mktmpdir
    files.each do |path, text|
      FileUtils.mkdir_p(File.dirname(File.join(@app, path)))
      File.write(File.join(@app, path), text)
    end
    _, err, status = rake("db:migrate")
    expect(status).to be_success, err
  end

  after(:all) { FileUtils.remove_entry(@app) if @app }

  def run(*words, environment: {}, **options)
    environment = { "RAILS_ENV" => "production", "TERM" => "dumb", "HOME" => @app, "RUBYOPT" => nil, "BUNDLE_GEMFILE" => "#{@app}/Gemfile",
                    **environment }
    Open3.capture3(environment, RbConfig.ruby, *words, chdir: @app, **options)
  end

  def rake(*words)
    run("-e", 'load Gem.bin_path("rake", "rake")', "--", *words)
  end

  let(:strings) { objects("ruby-3.1-x86_64").count { |object| object["type"] == "STRING" } }
  let(:load) { "heap = HeapInspector.analyze(#{Helpers::DUMP.inspect}, index: false)" }

  it "measures requests in development, and not in production" do
    File.write("#{@app}/requests.rb", <<~RUBY)
      app = Rack::MockRequest.new(Rails.application)
      app.get("/", "REMOTE_ADDR" => "127.0.0.1", "HTTP_HOST" => "localhost") until User::SEEN.size == 3
      answer = app.get("/", "REMOTE_ADDR" => "127.0.0.1", "HTTP_HOST" => "localhost")
      page = app.get("/heap_inspector", "REMOTE_ADDR" => "127.0.0.1", "HTTP_HOST" => "localhost")
      puts answer.headers["Server-Timing"], page.status, page.body[/<td>GET .*?(?=<td>)/], page.body[/[^>]*users_controller.rb:\\d+/]
    RUBY
    words = ["-e", "ENV['REQUESTS'] = '1'; load 'bin/rails'", "runner", "requests.rb"]
    out, err, status = run(*words, environment: { "RAILS_ENV" => "test", "DATABASE_URL" => "sqlite3:db/production.sqlite3" })
    expect(status).to be_success, err
    lines = out.lines(chomp: true)
    expect(lines[0]).to match(/heap_allocated;desc="[\d,]+ objects, [\d.]+ KiB", heap_kept;desc=/)
    expect(lines[1, 2]).to eq ["200", "<td>GET /</td>"]
    expect(lines[3]).to match(%r{app/controllers/users_controller.rb:3\z})

    out, err, status = run(*words)
    expect(status).to be_success, err
    expect(err).to include("requests are measured in development and tests alone, not in production")
    expect(out.lines.first.chomp).to eq ""
  end

  it "counts requests and jobs, and tells of controllers that should be gone who holds them" do
    File.write("#{@app}/watched.rb", <<~RUBY)
      require "active_job"
      class Job < ActiveJob::Base
        def perform = 4
      end
      class Watched
        ALL = []
      end
      UsersController.after_action { Watched::ALL << self }
      ActiveJob::Base.logger = Logger.new(nil)
      app = Rack::MockRequest.new(Rails.application)
      20.times { app.get("/") }
      3.times { Job.perform_now }
      sleep(5.1)
      dump = HeapInspector.dump(Rails.root.join("heap.json"))
      puts HeapInspector.work.inspect, HeapInspector.uncollected[:left]["controllers"]
      suspect = HeapInspector.analyze(dump.path, index: false).suspects.first
      puts suspect.holder, suspect.class_name, suspect.count, suspect.confidence
    RUBY
    out, err, status = run("bin/rails", "runner", "watched.rb", environment: { "COUNTS" => "1" })
    expect(status).to be_success, err
    lines = out.lines(chomp: true)
    expect(lines[0]).to eq "{:requests=>20, :jobs=>3}"
    expect(lines[1].to_i).to eq 20
    expect(lines.drop(2)).to eq %w[Watched::ALL UsersController 20 high]
  end

  it "finds what requests leave behind, in bin/rails runner" do
    File.write("#{@app}/leak.rb", <<~RUBY)
      User.insert_all(Array.new(100) { |number| { name: "user \#{number}" } })
      app = Rack::MockRequest.new(Rails.application)
      HeapInspector.trace_object_allocations { 50.times { raise unless app.get("/").body == "100" } }
      dump = HeapInspector.dump(Rails.root.join("heap.json"))
      heap = HeapInspector.analyze(dump.path)
      users = heap.instances_of(User).where(traced: true)
      held = users.group(:gem).count
      chain = users.first.path_to_root.map(&:label)
      p [users.count, held.keys.first.split.first, chain.grep(/User/).first, chain.last, heap.instances_of("User").first.klass.name]
    RUBY
    out, err, status = run("bin/rails", "runner", "leak.rb")
    expect(status).to be_success, err
    expect(out).to eq("#{[50, "activerecord", "class User", "User", "User"].inspect}\n")
  end

  it "has a dump that names by what nearly all is held, and says which kind falls short" do
    File.write("#{@app}/named.rb", <<~RUBY)
      app = Rack::MockRequest.new(Rails.application)
      5.times { app.get("/") }
      HeapInspector.dump(Rails.root.join("heap.json.zst"))
    RUBY
    _, err, status = run("bin/rails", "runner", "named.rb")
    expect(status).to be_success, err
    counts = Hash.new { |hash, kind| hash[kind] = [0, 0] }
    Helpers.lines_of("#{@app}/heap.json.zst").each do |line|
      kind = line["type"]
      kind = line["struct"] || line["imemo_type"] if %w[DATA IMEMO].include?(kind)
      references = line["references"] || []
      # The place of an element is its name, where all are references.
      is_told = kind == "ARRAY" && (line["length"] == references.size || line["shared"])
      counts[kind][0] += references.size
      counts[kind][1] += is_told ? references.size : (line["names"] || []).count { |name| name != 0 }
    end
    shares = %w[OBJECT HASH ARRAY STRUCT CLASS MODULE proc env].to_h { |kind| [kind, counts.fetch(kind).reverse.reduce(:fdiv).round(4)] }
    expect(counts.fetch("OBJECT").first).to be > 5_000
    expect(shares.values).to all(be >= 0.98), shares.inspect
  end

  it "answers in bin/rails console" do
    input = "heap_help\nheap\nheap(#{Helpers::DUMP.inspect}).strings.count\nheap.object_count\n#{load}; nil\nheap.strings.count\n"
    out, err, status = run("bin/rails", "console", stdin_data: input)
    expect(status).to be_success, err
    lines = out.lines(chomp: true)
    expect(lines.grep(/\A(=> )?#{strings}\z/).size).to eq(2)
    expect(lines).to include(/\A(=> )?27801\z/, /heap.retained +Show how much/, /no dump is loaded; heap\("heap.json"\) loads one/)
  ensure
    FileUtils.rm_f("#{Helpers::DUMP}.hidx")
  end

  it "has its console complete what a dump answers, once one is loaded" do
    input = "heap(#{Helpers::DUMP.inspect}).name.size\nlocal_variables.grep(/heap|diff/).inspect\ndiff\n" \
            "heap(*[#{Helpers::DUMP.inspect}] * 2).name.size\ndiff.one_process?\nlocal_variables.grep(/heap|diff/).inspect\n"
    out, err, status = run("bin/rails", "console", stdin_data: input)
    expect(status).to be_success, err
    expect(out).to match(/"\[:heaps?, :heaps?\]".*a diff needs several dumps.*^(=> )?true$.*"\[:diff, :heaps?, :heaps?\]"/m)
  ensure
    FileUtils.rm_f("#{Helpers::DUMP}.hidx")
  end

  it "has the rake tasks, without a line" do
    out, err, status = rake("heap:top[#{Helpers::DUMP},type]", "--silent")
    expect(status).to be_success, err
    expect(out).to include("STRING")
    tasks = rake("-T", "heap:").first.scan(/^rake (heap:\w+)/).flatten
    questions = HeapInspector.const_get(:Questions)::LIST.map { |question| "heap:#{question[:name]}" }
    expect(tasks).to match_array(%w[heap:dump heap:ps heap:fleet heap:convert heap:redact] + questions)
  end

  it "has rake tasks for what is no question, which take the command's words and give its exit code" do
    Dir.mktmpdir do |folder|
      copy = File.join(folder, "copy.json")
      expect(rake("heap:redact[#{Helpers::DUMP},#{copy}]", "--silent").last).to be_success
      expect(HeapInspector.analyze(copy, index: false).object_count).to eq(HeapInspector.analyze(Helpers::DUMP, index: false).object_count)
      _, err, status = rake("heap:convert[#{copy},#{folder}/lines.json]", "--silent")
      expect([err, status.exitstatus]).to match([/is not a heap file/, 2])
      _, err, status = rake("heap:fleet[#{folder}/none]", "--silent")
      expect([err, status.exitstatus]).to match([/none/, 1])
    end
    %w[redact convert fleet].each do |name|
      _, err, status = rake("heap:#{name}", "--silent")
      expect([err, status.success?]).to match([/Usage: rake/, false])
    end
  end

  it "loads next to nothing at boot, and neither arms nor traces unasked" do
    code = <<~RUBY
      print $LOADED_FEATURES.grep(%r{heap_inspector/}).map { |file| File.basename(file) }.sort, HeapInspector.armed?, HeapInspector.tracing?
    RUBY
    out, err, = run("bin/rails", "runner", code)
    expect([out, err]).to eq([%(["railtie.rb", "settings.rb", "version.rb"]falsefalse), ""])
  end
end
