# frozen_string_literal: true

# Two leaks of different weight; the heavy one is to be named first, the light one also.
require_relative "../harness"

class Mail
  def initialize(number)
    @to = "customer#{number}@example.com"
    @body = "Dear customer – your order #{number} is on its way. " * 12
  end
end

class Outbox
  SENT = []
  def self.deliver(number) = SENT << Mail.new(number) # HEAVY
end

class Metrics
  Sample = Struct.new(:name, :value)
  def self.add(value) = (@samples ||= []) << Sample.new(:latency, value) # LIGHT
end

leaks({ holder: "Outbox::SENT", leaked: "Mail", mark: "HEAVY" },
      { holder: "Metrics@samples", leaked: "Metrics::Sample", mark: "LIGHT" }) do |n|
  Outbox.deliver(n)
  Metrics.add(n)
end
