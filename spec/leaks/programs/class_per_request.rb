# frozen_string_literal: true

# A class is made for each request, and its parent keeps a list of its descendants.
require_relative "../harness"

class Serializer
  @descendants = []

  def self.inherited(child)
    super
    @descendants << child
  end

  def self.build(fields)
    Class.new(self) do # LEAK
      fields.each { |field| define_method(field) { field } } # LEAK
    end
  end
end

leak(holder: "Serializer@descendants", leaked: ["Class", "#<Class"], requests: 60, long: 3000) do
  Serializer.build(%i[id name price]).new.id
end
