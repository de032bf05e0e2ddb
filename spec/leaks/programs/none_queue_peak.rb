# frozen_string_literal: true

# No leak: a queue grows until the second dump, and is worked off then.
require_relative "../harness"

Task = Struct.new(:name, :data)

class Backlog
  TASKS = []
  def self.add(number) = TASKS << Task.new("task #{number}", { number: number })
  def self.work = TASKS.shift(2)
end

no_leak { |n| n <= 600 ? Backlog.add(n) : Backlog.work }
