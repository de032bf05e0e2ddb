# frozen_string_literal: true

# A finalizer that refers to its object, which therefore never dies.
require_relative "../harness"

class Connection
  def self.closer(connection) = proc { connection.close } # LEAK: the block

  def initialize(number)
    @host = "db#{number}.example.com"
    @buffer = "buffer – " * 30
    ObjectSpace.define_finalizer(self, Connection.closer(self))
  end

  def close = @buffer = nil
end

leak(holder: ["root finalizers", "something that dumps do not show, as finalizers"], leaked: %w[Connection Proc]) do |n|
  Connection.new(n) # LEAK
end
