# frozen_string_literal: true

# No leak: the MemoryStore of Active Support, full, so that it prunes itself now and then.
require_relative "../harness"
needs "active_support", "active_support/cache"

class Pages
  STORE = ActiveSupport::Cache::MemoryStore.new(size: 100 * 1024)
  def self.show(number) = STORE.fetch("page #{number}") { "body – of page #{number} " * 20 }
end

700.times { |n| Pages.show("early #{n}") }
no_leak(requests: 150) { |n| Pages.show(n) }
