# frozen_string_literal: true

# Twenty tenants, each with a history that grows a little: no list is large, all together are.
require_relative "../harness"

class Tenant
  Change = Struct.new(:field, :before, :after)

  def initialize
    @history = []
  end

  def change(number) = @history << Change.new(:title, "title – #{number}", "title – #{number + 1}") # LEAK
end

class Tenants
  ALL = Array.new(20) { |i| ["tenant #{i}", Tenant.new] }.to_h
  def self.[](number) = ALL.fetch("tenant #{number % 20}")
end

leak(holder: "Tenants::ALL", leaked: "Tenant::Change") { |n| Tenants[n].change(n) }
