# frozen_string_literal: true

# A thread for each request waits for an answer that never comes; Ruby itself keeps living threads.
require_relative "../harness"

class Push
  def initialize(number)
    @message = "push – #{number}"
    @answer = Queue.new
  end

  def send_later
    Thread.new { @answer.pop } # LEAK
  end
end

leak(holder: ["root vm", "Ractor"], leaked: %w[Thread Push], requests: 30, long: 3000) do |n|
  Push.new(n).send_later # LEAK: what the thread keeps
end
