# frozen_string_literal: true

# A hash with a default proc grows by being read.
require_relative "../harness"

module Routes
  SUBSCRIBERS = Hash.new { |hash, key| hash[key] = [] } # LEAK

  def self.subscribed?(topic, user) = SUBSCRIBERS[topic].include?(user)
end

leak(holder: "Routes::SUBSCRIBERS", leaked: %w[Array String]) do |n|
  Routes.subscribed?("topic of order #{n}, of which nobody has heard", :admin) # LEAK: the keys
end
