# frozen_string_literal: true

# A frozen list is replaced by a longer one with each update.
require_relative "../harness"

class Feed
  Item = Struct.new(:number, :text)
  @items = [].freeze
  def self.push(number) = @items = [*@items, Item.new(number, "item number #{number}")].freeze # LEAK
end

leak(holder: "Feed@items", leaked: "Feed::Item") { |n| Feed.push(n) }
