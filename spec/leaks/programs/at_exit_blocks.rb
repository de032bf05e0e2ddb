# frozen_string_literal: true

# Each request registers a block to run at exit. Nothing of the app holds it, Ruby does.
require_relative "../harness"

class Export
  def initialize(number)
    @number = number
    @rows = Array.new(5) { |i| "row – #{i} of export #{number}" }
  end

  def prepare = at_exit { @rows.clear } # LEAK: the block
end

leak(holder: "root end_proc", leaked: %w[Export Proc]) do |n|
  Export.new(n).prepare # LEAK
end
