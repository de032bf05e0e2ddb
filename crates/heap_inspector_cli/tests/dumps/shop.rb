# frozen_string_literal: true

# Writes the dumps shop-{1,2,3}.json of a process that leaks orders, into the folder it is run in: `ruby --disable-gems shop.rb`,
# then `zstd --rm -19 shop-*.json`. Those that are kept were made with Ruby 3.1.7 in /srv/shop.
require "objspace"

Order = Struct.new(:number, :note)

# It has a list of all orders, and never lets go of one.
class Audit
  @seen = []

  def self.record(order) = @seen << order
end

# A cache with a bound: no leak.
class Cache
  @pages = {}

  def self.put(key, page)
    @pages[key] = page
    @pages.shift if @pages.size > 50
  end
end

def serve(number)
  Audit.record(Order.new(number, "order #{number}"))
  Cache.put(number, "page of #{number}" * 10)
  GC.start if (number % 20).zero?
end

ObjectSpace.trace_object_allocations_start
number = 0
1.upto(3) do |dump|
  100.times { serve(number += 1) }
  GC.start
  File.open("shop-#{dump}.json", "w") { |file| ObjectSpace.dump_all(output: file) }
end
