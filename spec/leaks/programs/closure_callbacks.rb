# frozen_string_literal: true

# A block that is registered and never taken back keeps its request alive.
require_relative "../harness"

class Request
  attr_reader :id

  def initialize(id)
    @id = id
    @body = "request body #{id} " * 40
  end

  def process = Hooks.on_done { "finished #{id}" } # LEAK: what the block captures, its self
end

class Hooks
  @@blocks = []
  def self.on_done(&block) = @@blocks.push(block) # LEAK: the proc of the block
end

leak(holder: "Hooks@@blocks", leaked: %w[Request Proc]) do |n|
  Request.new(n).process # LEAK
end
