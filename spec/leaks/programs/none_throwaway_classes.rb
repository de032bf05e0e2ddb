# frozen_string_literal: true

# No leak: classes are made for each request, and only their parent's weak list of subclasses knows them.
require_relative "../harness"

class Form
  def self.for(field) = Class.new(self) { define_method(field) { field } }
end

no_leak(requests: 60) { |n| Form.for(:"field_#{n % 5}").new }
