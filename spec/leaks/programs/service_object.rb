# frozen_string_literal: true

# A service that opens sessions and never closes them; a constant of the app holds the service.
require_relative "../harness"

class Session
  def initialize(token)
    @token = "token-#{token}"
    @cart = Array.new(5) { |i| "item #{i} of #{token}" }
  end
end

class SessionStore
  def initialize
    @sessions = {}
  end

  def open(token) = @sessions["s#{token}"] = Session.new(token) # LEAK
end

class App
  STORE = SessionStore.new
end

leak(holder: "SessionStore", leaked: "Session") { |n| App::STORE.open(n) }
