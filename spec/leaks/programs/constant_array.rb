# frozen_string_literal: true

# An audit trail in a constant: written by each request, read by none.
require_relative "../harness"

module Audit
  Event = Struct.new(:user, :action, :payload)
  EVENTS = []

  def self.record(user, action)
    EVENTS << Event.new("user-#{user}", action, { at: user, note: "payload of #{user}" }) # LEAK
  end
end

leak(holder: "Audit::EVENTS", leaked: "Audit::Event") { |n| Audit.record(n, :login) }
