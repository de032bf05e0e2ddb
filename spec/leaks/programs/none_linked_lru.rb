# frozen_string_literal: true

# No leak: an LRU of a hash and a linked list, as textbooks have it, long full; what is asked for again moves to the front.
require_relative "../harness"

class Lru
  Node = Struct.new(:key, :value, :before, :after)

  def initialize(limit)
    @limit = limit
    @nodes = {}
    @head = Node.new
    @head.before = @head.after = @head
  end

  def fetch(key)
    node = @nodes[key] ||= Node.new(key, "value – of #{key} " * 4)
    unlink(node) if node.before
    link(node)
    @nodes.delete(unlink(@head.before).key) if @nodes.size > @limit
    node.value
  end

  private

  def link(node)
    node.before = @head
    node.after = @head.after
    @head.after = node.after.before = node
  end

  def unlink(node)
    node.before.after = node.after
    node.after.before = node.before
    node.before = node.after = nil
    node
  end
end

CACHE = Lru.new(300)
RANDOM = Random.new(3)
2000.times { CACHE.fetch("key #{RANDOM.rand(900)}") }
no_leak(requests: 150) { CACHE.fetch("key #{RANDOM.rand(900)}") }
