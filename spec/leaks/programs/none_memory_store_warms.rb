# frozen_string_literal: true

# No leak, though three dumps cannot tell: a MemoryStore without an end in sight fills.
require_relative "../harness"
needs "active_support", "active_support/cache"

class Pages
  STORE = ActiveSupport::Cache::MemoryStore.new
  def self.show(number) = STORE.fetch("page #{number}") { "body – of page #{number} " * 20 }
end

no_leak(requests: 150, at_most: "medium") { |n| Pages.show(n) }
