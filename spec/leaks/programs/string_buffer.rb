# frozen_string_literal: true

# A log in memory: one string that grows, no object is new.
require "logger"
require "stringio"
require_relative "../harness"

module RequestLog
  BUFFER = StringIO.new(+"") # LEAK
  LOGGER = Logger.new(BUFFER)
end

leak(holder: "RequestLog::BUFFER", leaked: "String") do |n|
  RequestLog::LOGGER.info("request #{n} – answered with 200 after #{n % 7} ms, 4 queries, 2 of them cached, 1 partial rendered " * 2)
end
