# frozen_string_literal: true

# No leak: a cache of two generations; when the new one is full it becomes the old one, which goes.
require_relative "../harness"

class Cache
  def initialize
    @new = {}
    @old = {}
  end

  def store(key)
    @new[key] = "value of #{key}, long enough to count for something"
    return if @new.size < 400

    @old = @new
    @new = {}
  end

  SHARED = new
end

1230.times { |n| Cache::SHARED.store("early #{n}") }
no_leak(requests: 310) { |n| Cache::SHARED.store("key #{n}") }
