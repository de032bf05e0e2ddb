# frozen_string_literal: true

# Objects with methods of their own: each has a singleton class, and all are kept.
require_relative "../harness"

class Plugin
  def initialize(name)
    @name = name
  end
end

module Plugins
  LOADED = {}

  def self.load(number)
    plugin = Plugin.new("plugin #{number}") # LEAK
    def plugin.call = "#{@name} called" # LEAK: the singleton class
    LOADED[number] = plugin
  end
end

leak(holder: "Plugins::LOADED", leaked: ["Plugin", "#<Class"], requests: 100, long: 4000) { |n| Plugins.load(n) }
