# frozen_string_literal: true

# No leak: a queue that is now longer and now shorter.
require_relative "../harness"

class Jobs
  Job = Struct.new(:number, :arguments)
  QUEUE = Queue.new
  RANDOM = Random.new(5)

  def self.tick(number)
    RANDOM.rand(4).times { |i| QUEUE << Job.new(number, ["argument #{number} #{i}"]) }
    RANDOM.rand(6).times { QUEUE.pop unless QUEUE.empty? }
  end
end

500.times { |n| Jobs.tick(n) }
no_leak { |n| Jobs.tick(n) }
