# frozen_string_literal: true

# Cursors over results: `next` starts a fiber inside of the enumerator, which ends only with the last row.
require_relative "../harness"

class Cursors
  def initialize
    @open = {}
  end

  def first_row(query)
    rows = Array.new(6) { |i| "row #{i} of #{query}" }
    cursor = rows.each # LEAK
    @open[query] = cursor
    cursor.next # LEAK: the fiber
  end

  ALL = new
end

leak(holder: "Cursors", leaked: %w[Enumerator Fiber], requests: 100, long: 2500) { |n| Cursors::ALL.first_row("query #{n}") }
