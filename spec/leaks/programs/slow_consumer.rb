# frozen_string_literal: true

# A queue whose consumer takes one job where the producer puts three.
require_relative "../harness"

Job = Struct.new(:name, :arguments)

module Jobs
  QUEUE = Queue.new

  def self.work(request)
    3.times { |i| QUEUE << Job.new("resize image #{i}", { request: request }) } # LEAK
    QUEUE.pop
  end
end

leak(holder: "Jobs::QUEUE", leaked: "Job") { |n| Jobs.work(n) }
