# frozen_string_literal: true

# Errors are kept for a report; each has its backtrace, and what it is about.
require_relative "../harness"

class PaymentError < StandardError
  def initialize(order)
    @order = { number: order, note: "order #{order}" }
    super("payment of order #{order} failed")
  end
end

class Errors
  LIST = []

  def self.watch
    yield
  rescue PaymentError => e
    LIST << e
  end
end

leak(holder: "Errors::LIST", leaked: "PaymentError", requests: 150) do |n|
  Errors.watch { raise PaymentError, n } # LEAK
end
