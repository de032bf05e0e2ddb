# frozen_string_literal: true

# No leak: a cache of 200 entries in steady rotation.
require_relative "../harness"

class Fragment
  def initialize(key)
    @key = key
    @html = "<li>fragment – #{key}</li>" * 10
  end
end

class Fragments
  STORE = {}

  def self.fetch(key)
    STORE.delete(STORE.first[0]) if STORE.size >= 200
    STORE["fragment #{key}"] = Fragment.new(key)
  end
end

no_leak { |n| Fragments.fetch(n) }
