# frozen_string_literal: true

# Real records of Active Record with sqlite in memory: a list of procs keeps each one that a request loaded.
require_relative "../harness"
needs "logger", "active_record", "sqlite3"

ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: ":memory:")
ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define { create_table(:orders) { |table| table.string :note } }

class Order < ActiveRecord::Base
end

class Cleanup
  TASKS = []
  def self.later(&task) = TASKS << task # LEAK: the proc of the block
end

first = Order.create!(note: "an order – from the database")

def answer(id)
  order = Order.find(id)
  Cleanup.later { order.touch } # LEAK: what the block captures
end

leak(holder: "Cleanup::TASKS", leaked: %w[Order Proc], elsewhere: "active_record/persistence.rb", requests: 100, long: 3000) do
  answer(first.id)
end
