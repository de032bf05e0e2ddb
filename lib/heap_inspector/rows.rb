# frozen_string_literal: true

module HeapInspector
  # A finished answer that is a list: of groups, generations, strings, chains. An Enumerable of its rows.
  class Rows < Report
    # @yieldparam row [Value, Array] each in the answer's order
    # @return [self, Enumerator]
    def each(&block)
      return enum_for(:each) { size } unless block

      rows.each(&block)
      self
    end

    # @return [Integer] how many rows there are, as many as the limit let through
    def size
      rows.size
    end
    alias length size

    # @return [Boolean] whether there are none
    def empty?
      rows.empty?
    end

    private

    # One key's value, or the values of several.
    def key(group)
      values = group[:key]
      values.size == 1 ? values.first : values
    end
  end

  # A list of groups by the values of keys.
  class GroupRows < Rows
    # @param key [Object] a value of the key, an Array for several keys; of {Growth} by holder the holder's name
    # @return [Value, nil] the first group with that key
    def [](key)
      @groups.find { |group| group.key == key }
    end

    private

    def rows
      @groups
    end
  end
end
