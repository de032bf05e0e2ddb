# frozen_string_literal: true

# No leak: requests make garbage only.
require_relative "../harness"

class Answer
  def initialize(number)
    @parts = Array.new(10) { |i| { part: i, text: "part #{i} of #{number}" } }
  end

  def text = @parts.map { |part| part[:text] }.join(", ")
end

no_leak { |n| Answer.new(n).text }
