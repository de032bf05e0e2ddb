# frozen_string_literal: true

# A linked list that grows at its tail: each node is held by the one before, the deepest is the newest.
require_relative "../harness"

class Journal
  Entry = Struct.new(:text, :following)

  def initialize
    @first = @last = Entry.new("opened")
  end

  def write(text)
    @last = @last.following = Entry.new(text) # LEAK
  end

  BOOK = new
end

leak(holder: "Journal", leaked: "Journal::Entry") { |n| Journal::BOOK.write("entry #{n} that nobody reads") }
