# frozen_string_literal: true

# A report in memory that each request replaces by a longer one.
require_relative "../harness"

class Report
  @text = ""
  def self.add(number) = @text += "line #{number} of the report that nobody reads – or clears\n" # LEAK
end

leak(holder: "Report@text", leaked: "String") { |n| Report.add(n) }
