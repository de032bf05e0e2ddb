# frozen_string_literal: true

# No leak: sessions with a time limit, more or fewer by chance.
require_relative "../harness"

class Sessions
  Session = Struct.new(:user, :ends, :cart)
  ALL = {}
  RANDOM = Random.new(11)

  def self.open(number)
    RANDOM.rand(3).times do |i|
      ALL["session #{number} #{i}"] = Session.new("user #{number}", number + 200 + RANDOM.rand(400), ["item of #{number}"])
    end
    ALL.delete_if { |_, session| session.ends < number } if (number % 10).zero?
  end
end

(-1000..0).each { |n| Sessions.open(n) }
no_leak(requests: 220) { |n| Sessions.open(n) }
