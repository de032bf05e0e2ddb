# frozen_string_literal: true

# A method's results are memoised in a hash of its class, whose keys are the objects: none of them dies.
require_relative "../harness"

class Invoice
  TOTALS = {}.compare_by_identity

  def initialize(number)
    @number = "invoice #{number}"
    @lines = Array.new(4) { |i| [i, number * 1.25e300] }
  end

  def total = TOTALS[self] ||= @lines.sum { |_, price| price }
end

leak(holder: "Invoice::TOTALS", leaked: "Invoice") do |n|
  Invoice.new(n).total # LEAK
end
