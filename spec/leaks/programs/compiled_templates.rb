# frozen_string_literal: true

# Templates are compiled for each request: the class keeps every compiled method.
require_relative "../harness"

class Template
  def self.render(name, number)
    class_eval("def _#{name}_#{number}(value) = \"<p>\#{value}</p>\"", __FILE__, __LINE__) # LEAK
    new.public_send("_#{name}_#{number}", "hello")
  end
end

leak(holder: "Template", leaked: ["(IMEMO iseq)", "(IMEMO ment)", "(IMEMO cref)", "String", "Symbol"]) { |n| Template.render("show", n) }
