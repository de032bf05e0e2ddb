# frozen_string_literal: true

# Each major collection moves what is alive, and the lines of what it moves are lost: only those of what came with it may still be there.
require_relative "../harness"

GC.auto_compact = true if GC.respond_to?(:auto_compact=)

class Mails
  Mail = Struct.new(:to, :body)
  SENT = []
  def self.send(number) = SENT << Mail.new("user #{number}", "body – of mail #{number}") # LEAK
end

leak(holder: %w[Mails Mails::SENT], leaked: "Mails::Mail", moved: true, requests: 200) { |n| Mails.send(n) }
