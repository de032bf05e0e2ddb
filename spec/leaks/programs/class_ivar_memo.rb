# frozen_string_literal: true

# A class memoises in an instance variable of its own, and every key is new.
require_relative "../harness"

class Quote
  def initialize(sku)
    @sku = "sku-#{sku}"
    @cents = sku * 3.7e10
  end
end

class PriceService
  def self.lookup(sku) = (@cache ||= {})["quote-#{sku}"] ||= Quote.new(sku) # LEAK
end

leak(holder: "PriceService@cache", leaked: "Quote") { |n| PriceService.lookup(n) }
