# frozen_string_literal: true

# A shop with a leak, small but of the usual sort: `ruby examples/leaky.rb DUMP...` answers 2,000 requests, then writes a dump, for each.
#
# Each request wants to hear when the catalog changes, and nobody takes its listener back. A block keeps `self` and every
# local variable in scope, used or not, so a list of a few procs holds every request ever answered, its basket and the page
# that was sent.
require "objspace"
ObjectSpace.trace_object_allocations_start # before the code in question runs, or where its objects are allocated is not known

# What the shop sells: larger than the leak at first, but it does not grow.
module Catalog
  Product = Struct.new(:sku, :title, :tags)
  PRODUCTS = Array.new(5_000) { |id| Product.new("SKU-#{id}", "Product number #{id}", ["new", "tag #{id % 20}"]) }
  LISTENERS = []

  def self.on_change(&block)
    LISTENERS << block # <- the leak: no one removes it
  end
end

# What a visitor asks for.
class Request
  Item = Struct.new(:sku, :state)

  def initialize(id)
    @visitor = "visitor #{id % 50}"
    @basket = Array.new(8) { |n| Item.new("SKU-#{(id * n) % 97}", "in stock".dup) }
  end

  def answer
    Catalog.on_change { @basket = nil } # keeps this request, and the page below
    page = Catalog::PRODUCTS.first(5).map { |product| "<li>#{product.title}</li>" }
    "<p>#{@visitor}</p><ul>#{page.join}</ul>"
  end
end

abort "usage: ruby #{$PROGRAM_NAME} DUMP..." if ARGV.empty?

ARGV.each_with_index do |path, part|
  2_000.times do |id|
    Request.new((part * 2_000) + id).answer
    GC.start if (id % 200).zero? # the number of collections before an object's birth is its generation
  end

  GC.start
  File.open(path, "w", 0o600) { |file| ObjectSpace.dump_all(output: file) }
end
