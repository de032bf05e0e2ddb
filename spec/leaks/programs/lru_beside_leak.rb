# frozen_string_literal: true

# A bounded cache that rotates, larger than the leak beside it.
require_relative "../harness"

class Page
  def initialize(number)
    @html = "<h1>page – #{number}</h1>" * 20
    @links = Array.new(3) { |i| "/pages/#{number}/#{i}" }
  end
end

class PageCache
  LIMIT = 250
  PAGES = {}

  def self.fetch(number)
    PAGES.delete(PAGES.first[0]) if PAGES.size >= LIMIT
    PAGES[number] ||= Page.new(number)
  end
end

Visit = Struct.new(:page, :referrer)

class Visits
  @log = []
  def self.track(page) = @log << Visit.new(page, "https://example.com/from/#{page}") # LEAK
end

leak(holder: "Visits@log", leaked: "Visit") do |n|
  PageCache.fetch(n)
  Visits.track(n)
end
