# frozen_string_literal: true

# A linked list that grows at its head: each new node holds all the older ones.
require_relative "../harness"

class Undo
  class Step
    def initialize(text, previous)
      @text = text
      @previous = previous
    end
  end

  def self.push(text)
    @top = Step.new(text, @top) # LEAK
  end
end

leak(holder: "Undo@top", leaked: "Undo::Step") { |n| Undo.push("set the title of page #{n} from draft to final") }
