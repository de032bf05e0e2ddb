# frozen_string_literal: true

# A worker thread that lives as long as the app collects in `Thread.current[...]`, which belongs to its root fiber.
require_relative "../harness"

class Breadcrumb
  def initialize(request)
    @message = "request #{request} came in from the proxy, was parsed, routed and answered"
    @data = { request: request }
  end
end

jobs = Queue.new
done = Queue.new
worker = Thread.new do
  while (request = jobs.pop)
    (Thread.current[:breadcrumbs] ||= []) << Breadcrumb.new(request) # LEAK
    done << true
  end
end
worker.name = "web worker 1"

leak(holder: "Thread", leaked: "Breadcrumb") do |n|
  jobs << n
  done.pop
end
