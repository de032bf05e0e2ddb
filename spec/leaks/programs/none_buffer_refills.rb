# frozen_string_literal: true

# No leak: a log in memory that is shipped, and begins anew, when it is full; it began anew just before the first dump.
require_relative "../harness"

require "stringio"

class Buffer
  TEXT = StringIO.new(+"")

  def self.log(number)
    TEXT << "line #{number} of the log that is shipped away when it is full\n"
    TEXT.truncate(0) && TEXT.rewind if TEXT.size > 60_000
  end
end

5000.times { |n| Buffer.log(n) }
no_leak(requests: 270, at_most: "low") { |n| Buffer.log(n) }
