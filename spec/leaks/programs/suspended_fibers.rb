# frozen_string_literal: true

# Fibers that wait for the rest of an upload that never comes; each keeps its local variables.
require_relative "../harness"

class Upload
  def initialize(id)
    @name = "upload-#{id}.png"
    @chunks = Array.new(4) { |i| "chunk – #{i} of #{id} " * 20 }
  end

  def <<(chunk)
    @chunks << chunk
  end
end

module Uploads
  WAITING = []

  def self.start(id)
    fiber = Fiber.new do # LEAK
      upload = Upload.new(id) # LEAK
      loop { upload << Fiber.yield }
    end
    fiber.resume
    WAITING << fiber
  end
end

leak(holder: "Uploads::WAITING", leaked: %w[Fiber Upload], requests: 100, long: 2500) { |n| Uploads.start(n) }
