# frozen_string_literal: true

require_relative "living"

# A small real Rails app under Debian's Puma, in a process of its own, with an agent by its Railtie: a shop with a cache, sessions, and a
# page whose controllers a list keeps.
class RailsShop
  include Helpers
  include Living

  # What it needs of Debian's.
  LIBRARIES = %w[puma puma/puma_http11 action_controller/railtie].freeze

  SETTINGS = <<~RUBY
    config.cache_store = :memory_store, { size: 300 << 10 }
    routes.append { get "/", to: "shop#index"; get "/kept", to: "shop#kept" }
  RUBY

  CODE = <<~RUBY
    module Audit
      SEEN = []
    end
    class ShopController < ActionController::Base
      SESSIONS = {}
      def index
        number = SESSIONS.size + rand(1 << 20)
        Rails.cache.fetch("product-\#{number}") { { name: "product \#{number}", text: "x" * 1000 } }
        SESSIONS[number] = { user: number, at: Time.now }
        SESSIONS.shift if SESSIONS.size > 300
        render plain: "ok"
      end

      def kept
        Audit::SEEN << self
        render plain: "ok"
      end
    end
  RUBY

  # Writes a Rails app into a folder: what its class says, and what stands behind that.
  def self.write(folder, settings, code = "")
    File.write(File.join(folder, "config.ru"), "require_relative 'app'\nrun App")
    File.write(File.join(folder, "app.rb"), <<~RUBY)
      require "action_controller/railtie"
      require "heap_inspector"
      class App < Rails::Application
        config.eager_load = false
        config.logger = Logger.new(nil)
        config.secret_key_base = "x" * 40
        config.hosts.clear
        config.heap_inspector.agent = true
        #{settings}
      end
      #{code}
      App.initialize!
    RUBY
  end

  # Starts it, and waits until it serves and its agent answers.
  def initialize
    self.class.write(folder, SETTINGS, CODE)
    @port = free_port
    @server = started(["puma", "-t", "2:2", "-b", "tcp://127.0.0.1:#{@port}", "config.ru"], chdir: folder, log: File.join(folder, "log"))
    eventually(60) { socket(@server.pid) && get("/") }
  end

  # The dump after so many requests.
  def take(name, path = "/", count = 100)
    count.times { get(path) == "ok" || raise("the shop does not answer") }
    file = File.join(folder, "#{name}.json.zst")
    _, err, code = command("dump", @server.pid.to_s, "-o", file)
    raise err unless code.zero?

    file
  end

  # Ends it as its operator would; the dumps stay until {#clean}.
  def stop
    @server.kill(:TERM)
    eventually(60) { !alive?(@server.pid) }
    @server.wait
  end

  private

  def get(path)
    Net::HTTP.get(URI("http://127.0.0.1:#{@port}#{path}"))
  rescue Errno::ECONNREFUSED
    nil
  end
end
