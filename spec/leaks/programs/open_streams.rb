# frozen_string_literal: true

# Streams are not closed; a cache in rotation takes in more.
require_relative "../harness"

class Streams
  OPEN = []

  def self.open(number)
    reader, writer = IO.pipe # LEAK
    writer << "chunk #{number}"
    OPEN << reader
    writer.close
  end
end

class Fragments
  STORE = {}

  def self.fetch(key)
    STORE[key] = "<li>fragment – #{key}</li>" * 20
    STORE.shift if STORE.size > 200
  end
end

Process.setrlimit(:NOFILE, Process.getrlimit(:NOFILE).last)
300.times { |n| Fragments.fetch("early #{n}") }
leak(holder: "Streams::OPEN", leaked: "IO", requests: 60, long: 4000) do |n|
  Streams.open(n)
  Fragments.fetch(n)
end
