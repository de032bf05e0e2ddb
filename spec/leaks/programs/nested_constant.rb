# frozen_string_literal: true

# An array in a constant of a module three deep.
require_relative "../harness"

module Shop
  module Billing
    module Ledger
      class Posting
        def initialize(account, amount)
          @account = "account #{account}"
          @amount = amount
        end
      end
      POSTINGS = []

      def self.post(account, amount) = POSTINGS.push(Posting.new(account, amount)) # LEAK
    end
  end
end

leak(holder: "Shop::Billing::Ledger::POSTINGS", leaked: "Shop::Billing::Ledger::Posting") do |n|
  Shop::Billing::Ledger.post(n % 10, n * 100)
end
