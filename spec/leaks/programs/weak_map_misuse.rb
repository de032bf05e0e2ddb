# frozen_string_literal: true

# A weak map that should let images go, but a list of recent ones keeps them. The map's own references are in no dump.
require_relative "../harness"

class Image
  attr_reader :name

  def initialize(name)
    @name = name
    @pixels = "pixels – of #{name} " * 15
  end
end

class Thumbnails
  CACHE = ObjectSpace::WeakMap.new

  def self.of(name)
    CACHE[name] ||= Image.new(name).tap { |image| (@recent ||= []) << image } # LEAK
  end
end

leak(holder: "Thumbnails@recent", leaked: "Image") { |n| Thumbnails.of("image-#{n}.png") }
