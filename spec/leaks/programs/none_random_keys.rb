# frozen_string_literal: true

# No leak: a cache of 700 countries, asked for by chance, so that new ones come ever more seldom.
require_relative "../harness"

class Country
  CACHE = {}
  def self.[](code) = CACHE[code] ||= "country #{code} – with its text " * 5
end

RANDOM = Random.new(7)
no_leak(requests: 400, at_most: "low") { Country[RANDOM.rand(700)] }
