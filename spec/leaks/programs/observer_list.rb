# frozen_string_literal: true

# Views observe a model that outlives them; no one calls delete_observer.
require_relative "../harness"

class Observed
  def initialize
    @observers = {}
  end

  def add_observer(observer, callback = :update)
    @observers[observer] = callback
  end
end

class StockLevel < Observed
  SHOP = new
end

class StockView
  def initialize(user)
    @user = "user #{user}"
    @html = "<p>#{user} – in stock</p>" * 10
    StockLevel::SHOP.add_observer(self)
  end

  def update; end
end

leak(holder: "StockLevel", leaked: "StockView") do |n|
  StockView.new(n) # LEAK
end
