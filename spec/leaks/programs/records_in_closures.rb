# frozen_string_literal: true

# Records as an object-relational mapper makes them, held by after-commit hooks that are never cleared.
require_relative "../harness"

class Record
  Attribute = Struct.new(:name, :value)

  def self.hooks = @hooks ||= []
  def self.after_commit(&block) = Record.hooks << block # LEAK: the proc of the block

  def initialize(values)
    @attributes = values.to_h { |name, value| [name, Attribute.new(name, value)] }
    @changed = {}
  end

  def value(name) = @attributes.fetch(name).value
end

class Order < Record
  def self.place(number)
    order = new("id" => number, "state" => "paid", "note" => "order #{number}") # LEAK
    after_commit { order.value("id") } # LEAK: what the block captures
  end
end

leak(holder: "Record@hooks", leaked: %w[Order Proc]) { |n| Order.place(n) }
