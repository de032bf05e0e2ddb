# frozen_string_literal: true

# A cache lets go of its entries, and an index beside it does not: what is new is held by both.
require_relative "../harness"

class Store
  Entry = Struct.new(:user, :text)
  RECENT = {}
  BY_USER = Hash.new { |hash, user| hash[user] = [] }

  def self.put(number)
    RECENT[number] = entry = Entry.new("user #{number % 20}", "entry – of #{number} " * 5) # LEAK
    BY_USER[number % 20] << entry
    RECENT.shift if RECENT.size > 300
  end
end

600.times { |n| Store.put(-n) }
leak(holder: "Store::BY_USER", leaked: "Store::Entry") { |n| Store.put(n) }
