# frozen_string_literal: true

# No leak: an LRU of 400 that has long been full takes in 120 between two dumps, and lets go of as many.
require_relative "../harness"

class Pages
  LRU = {}

  def self.fetch(key)
    LRU[key] = LRU.delete(key) || ("page – of #{key} " * 6)
    LRU.shift if LRU.size > 400
  end
end

600.times { |n| Pages.fetch("early #{n}") }
no_leak(requests: 120) { |n| Pages.fetch("page #{n}") }
