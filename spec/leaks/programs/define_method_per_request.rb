# frozen_string_literal: true

# A method is defined for every request: its name, its entry and its block stay in the class.
require_relative "../harness"

class Feature
  def self.enabled?(name, user)
    query = "#{name}_for_#{user}?"
    define_method(query) { user.odd? } # LEAK
    new.public_send(query)
  end
end

leak(holder: "Feature", leaked: ["Proc", "(IMEMO ment)", "(IMEMO env)", "Symbol", "String"]) { |n| Feature.enabled?("search", n) }
