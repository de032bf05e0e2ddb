# frozen_string_literal: true

# A set of all that was ever seen.
require "set"
require_relative "../harness"

Visitor = Struct.new(:cookie, :language)

class Visitors
  def initialize
    @seen = Set.new
  end

  def new?(visitor) = !@seen.add?(visitor).nil?

  TODAY = new
end

leak(holder: "Visitors", leaked: "Visitor") do |n|
  Visitors::TODAY.new?(Visitor.new("cookie #{n}", :en)) # LEAK
end
