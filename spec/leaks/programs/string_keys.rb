# frozen_string_literal: true

# Counters by address: the values are numbers, the keys are all that grows.
require_relative "../harness"

class RateLimiter
  HITS = Hash.new(0)

  def self.hit(address)
    HITS["hits of the client at #{address}"] += 1 # LEAK
  end
end

leak(holder: "RateLimiter::HITS", leaked: "String") { |n| RateLimiter.hit("10.0.#{n / 256}.#{n % 256}") }
