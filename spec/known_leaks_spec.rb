# frozen_string_literal: true

require_relative "live/living"

# Each known leak of a gem as a program of the gem's own shape, with the version that leaks and with one that does not.
RSpec.describe "A known leak of a gem" do
  include Living

  # By gem: versions that leak and do not, what the classes are, what a request leaves behind.
  leaks = {
    "activerecord" => ["7.2.0", "7.2.1", <<~RUBY, "POOL.query_cache(Fiber.new { n })"],
      require "concurrent"
      module ActiveRecord
        module ConnectionAdapters
          module QueryCache
            class Store; def initialize = @map = { "select" => ["row"] * 9 }; end
          end

          class ConnectionPool
            def initialize = @thread_query_caches = Concurrent::Map.new
            def query_cache(context) = @thread_query_caches.compute_if_absent(context) { QueryCache::Store.new }
          end
        end

        class Base; POOL = ConnectionAdapters::ConnectionPool.new; end
      end
      POOL = ActiveRecord::Base::POOL
    RUBY
    "debug" => ["1.7.1", "1.7.2", <<~RUBY, "DEBUGGER__::SESSION.enter(Thread.new {}.join)"],
      module DEBUGGER__
        class ThreadClient; def initialize(thread) = (@thread = thread; @output = ["line"] * 9); end
        class Session
          def initialize = @th_clients = {}
          def enter(thread) = @th_clients[thread] = ThreadClient.new(thread)
        end
        SESSION = Session.new
      end
    RUBY
    "grape_logging" => ["1.1.0", "1.1.1", <<~RUBY, "GrapeLogging::Middleware::RequestLogger.new.before"],
      module ActiveSupport
        module Notifications
          class Fanout
            def initialize = @string_subscribers = Hash.new { |all, name| all[name] = [] }
            def subscribe(name, &block) = @string_subscribers[name] << Subscriber.new(block)
          end
          class Subscriber; def initialize(delegate) = @delegate = delegate; end
          @notifier = Fanout.new
          def self.subscribe(name, &block) = @notifier.subscribe(name, &block)
        end
      end
      module GrapeLogging
        module Middleware
          class RequestLogger
            def before
              @env = { "PATH_INFO" => "/orders", "rack.input" => "body of the request" * 9 }
              ActiveSupport::Notifications.subscribe("sql.active_record") { @db_duration = 1 }
            end
          end
        end
      end
    RUBY
    "logger" => ["1.6.0", "1.5.3", <<~RUBY, "Fiber.new { Shop::LOGGER.with_level(3) { Fiber.yield } }.resume"],
      class Logger
        def initialize = @level_override = {}
        def with_level(level)
          @level_override[Fiber.current] = level
          yield
        ensure
          @level_override.delete(Fiber.current)
        end
      end
      class Shop; LOGGER = Logger.new; end
    RUBY
    "newrelic_rpm" => ["9.1.0", "9.2.1", <<~RUBY, "NewRelic::Agent::Tracer.state.transaction.add"]
      module NewRelic
        module Agent
          class Transaction
            class DatastoreSegment; def initialize = @name = "Datastore/select" * 9; end
            def initialize = @segments = []
            def add = @segments << DatastoreSegment.new
          end
          class Tracer
            class State; attr_reader :transaction; def initialize = @transaction = Transaction.new; end
            def self.state = Thread.current[:newrelic_tracer_state] ||= State.new
          end
        end
      end
    RUBY
  }.freeze

  before(:context) do
    @folder = Dir.mktmpdir("hi")
    leaks.each do |gem, (leaky, fixed, classes, request)|
      need("concurrent") if gem == "activerecord"
      told(<<~RUBY)
        #{classes}
        { "leaky" => #{leaky.inspect}, "fixed" => #{fixed.inspect} }.each do |name, version|
          Gem.loaded_specs[#{gem.inspect}] = Gem::Specification.new(#{gem.inspect}, version)
          Process.wait(fork do
            3.times do |round|
              200.times { |n| #{request} }
              HeapInspector.dump(File.join(#{@folder.inspect}, "#{gem}-\#{name}-\#{round}.json.zst"), force: true)
            end
          end)
        end
      RUBY
    end
  end

  after(:context) { clean }

  def suspect(gem, name)
    dumps = Array.new(3) { |round| File.join(@folder, "#{gem}-#{name}-#{round}.json.zst") }
    HeapInspector.diff(*dumps, index: false).suspects.first
  end

  leaks.each do |gem, (leaky, fixed)|
    it "is told of #{gem} #{leaky}, and not of #{fixed}" do
      expect(suspect(gem, "leaky").known_leak).to match(/\A#{gem} .*\(#{Regexp.escape(leaky)} is loaded\): .*; https:/)
      expect(suspect(gem, "fixed").known_leak).to be_nil
    end
  end
end
