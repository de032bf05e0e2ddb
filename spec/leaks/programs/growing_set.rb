# frozen_string_literal: true

# A set of all that was ever seen.
require "set"
require_relative "../harness"

class Visitors
  def initialize
    @seen = Set.new
  end

  def new?(cookie) = !@seen.add?(cookie).nil?

  TODAY = new
end

leak(holder: %w[Visitors Visitors::TODAY Set], leaked: "String") do |n|
  Visitors::TODAY.new?("cookie #{n} – #{n.to_s.rjust(60, "0")}") # LEAK
end
