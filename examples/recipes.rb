# frozen_string_literal: true

# Makes the dumps that docs/ruby.md looks into: ruby examples/recipes.rb heap.json [named.json.zst], where the second takes the gem.
# A cache that grows, strings that repeat, closures that hold requests, a class for each request, and pages that few objects keep.

require "objspace"
ObjectSpace.trace_object_allocations_start

class Cache
  ENTRIES = {}
end

class Request
  def initialize(number)
    @path = "/orders/#{number}"
    @body = "x" * 2000
  end
end

CALLBACKS = []
HANDLERS = []

# The block sees the request, so each callback holds one.
def notify_later(request)
  CALLBACKS << -> { request.inspect }
end

def handle(number)
  Cache::ENTRIES["order-#{number}"] = ["paid", number.to_s * 20]
  notify_later(Request.new(number))
  HANDLERS << Class.new { define_method(:call) { number } } if (number % 10).zero?
end

1000.times { |number| handle(number) }

# Many objects at a time, of which one in a thousand stays: its page stays, too.
KEPT = Array.new(50_000) { |number| "number #{number}" }.each_slice(1000).map(&:first)

GC.start
File.open(ARGV.fetch(0), "w", 0o600) { |file| ObjectSpace.dump_all(output: file) }

if ARGV[1]
  require "heap_inspector"
  HeapInspector.dump(ARGV[1])
end
