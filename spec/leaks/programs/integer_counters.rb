# frozen_string_literal: true

# A hash from numbers to numbers: no object is new, and its memory doubles seldom.
require_relative "../harness"

class Visits
  BY_USER = Hash.new(0) # LEAK
  def self.count(user) = BY_USER[user] += 1
end

leak(holder: "Visits::BY_USER", leaked: "Hash", requests: 3000) { |n| 3.times { |i| Visits.count((n * 10) + i) } }
