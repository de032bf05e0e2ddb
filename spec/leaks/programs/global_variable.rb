# frozen_string_literal: true

# A global variable that was meant for debugging.
require_relative "../harness"

Search = Struct.new(:query, :filters)
$recent_searches = []

leak(holder: "$recent_searches", leaked: "Search") do |n|
  $recent_searches << Search.new("shoes size #{n}", ["brand #{n}", "colour #{n % 9}"]) # LEAK
end
