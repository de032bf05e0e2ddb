# frozen_string_literal: true

# No leak: a memo that is cleared when it has 300.
require_relative "../harness"

class Memo
  @all = {}

  def self.[](key)
    @all.clear if @all.size >= 300
    @all[key] = "memo – of #{key}, long enough to be counted " * 2
  end
end

1000.times { |n| Memo["early #{n}"] }
no_leak(requests: 200) { |n| Memo[n] }
