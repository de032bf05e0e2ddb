# frozen_string_literal: true

# A filter is put before the others with `>>` at every request; each composed proc holds the one before.
require_relative "../harness"

class Filters
  @chain = :itself.to_proc

  def self.add(number)
    step = ->(text) { "#{text} – #{number}" } # LEAK: the step
    @chain = @chain >> step # LEAK: the composition
  end
end

leak(holder: "Filters@chain", leaked: ["Proc", "(IMEMO ifunc)", "(IMEMO env)"]) { |n| Filters.add(n) }
