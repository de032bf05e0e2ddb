# frozen_string_literal: true

module HeapInspector
  # A finished answer of named facts: an Enumerable of pairs of name and value, in the order of the class's `FACTS`, and to be matched by
  # patterns.
  class Facts < Report
    # @yieldparam name [Symbol] one of `FACTS`
    # @yieldparam value [Object]
    # @return [self, Enumerator]
    def each
      return enum_for(:each) { self.class::FACTS.size } unless block_given?

      self.class::FACTS.each { |name| yield name, public_send(name) }
      self
    end

    # @param names [Array<Symbol>, nil] the names a pattern asks for
    # @return [Hash{Symbol => Object}] the facts by name, for patterns
    def deconstruct_keys(names)
      (names ? self.class::FACTS & names : self.class::FACTS).to_h { |name| [name, public_send(name)] }
    end
  end
end
