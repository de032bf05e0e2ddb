# frozen_string_literal: true

# Method objects as callbacks: each keeps its receiver.
require_relative "../harness"

class Checkout
  def initialize(cart)
    @cart = "cart #{cart}"
    @steps = Array.new(4) { |i| "step – #{i} of #{cart}" }
  end

  def finish = @steps.clear
end

class Shutdown
  def self.register(callback) = (@callbacks ||= []) << callback
end

leak(holder: "Shutdown@callbacks", leaked: %w[Checkout Method]) do |n|
  checkout = Checkout.new(n) # LEAK
  Shutdown.register(checkout.method(:finish)) # LEAK: the method object
end
