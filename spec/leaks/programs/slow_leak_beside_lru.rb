# frozen_string_literal: true

# One object each ten requests, beside a cache that takes in one each.
require_relative "../harness"

class Pages
  LRU = {}

  def self.fetch(key)
    LRU[key] = LRU.delete(key) || ("page – of #{key} " * 8)
    LRU.shift if LRU.size > 400
  end
end

class Alerts
  Alert = Struct.new(:number, :text)
  LIST = []
  def self.raise(number) = LIST << Alert.new(number, "alert – about request #{number}: it took far too long " * 3) # LEAK
end

900.times { |n| Pages.fetch("early #{n}") }
leak(holder: "Alerts::LIST", leaked: "Alerts::Alert", long: 80_000) do |n|
  Pages.fetch("page #{n}")
  Alerts.raise(n) if (n % 10).zero?
end
