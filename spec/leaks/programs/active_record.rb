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
  def self.later(&task) = TASKS << task
end

first = Order.create!(note: "an order – from the database")

def answer(id)
  order = Order.find(id) # LEAK
  Cleanup.later { order.touch } # LEAK: the block
end

leak(holder: %w[Cleanup Cleanup::TASKS], leaked: %w[Order Proc], requests: 100) { answer(first.id) }
