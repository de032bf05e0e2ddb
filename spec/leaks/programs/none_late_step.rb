# frozen_string_literal: true

# No leak: the same between the second and the third dump: once is no growth.
require_relative "../harness"

class GeoData
  Place = Struct.new(:name, :position)
  def self.places = @places ||= Array.new(700) { |i| Place.new("place number #{i}", [i * 1.5e300, i * 2.5e300]) }
end

no_leak { |n| GeoData.places.at(n % 700) if n > 700 }
