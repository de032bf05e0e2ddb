# frozen_string_literal: true

module HeapInspector
  # The objects with one value of the keys that were asked for.
  class Group < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; nil where the objects have none. Several keys make an Array.
    # @!attribute [r] count
    #   @return [Integer] how many objects
    # @!attribute [r] memsize
    #   @return [Integer] their bytes, slots included
    # @!attribute [r] references
    #   @return [Integer] how many references they hold
    # @!attribute [r] share
    #   @return [Float] their part of the bytes of all groups, from 0.0 to 1.0
    fields :key, :count, :memsize, :references, :share
  end

  # Count and bytes of objects by one key or several, the greatest first. An answer of {Heap#groups}.
  #
  # @example
  #   groups = heap.groups(by: :class)
  #   groups.first(3).map(&:key)     # => ["String", "Array", "Hash"]
  #   groups["User"]&.count          # => 1200
  #   groups.sum(&:memsize) == groups.total.memsize # => true, without a limit
  class Groups < GroupRows
    # @return [Array<Symbol>] the keys
    attr_reader :by

    # @return [Rest, nil] what the groups come to that the limit cut off; nil if it cut off none
    attr_reader :rest

    # @return [Total] what all groups come to
    attr_reader :total

    # @api private
    def initialize(by, answer)
      super()
      rows, rest, total, @document = answer
      @by = by.freeze
      @rest = Rest.new(*rest) if rest.first.positive?
      @total = Total.new(*total)
      @groups = rows.map { |row| Group.new(*row, @total.memsize.zero? ? 0.0 : row[2].fdiv(@total.memsize)) }.freeze
      freeze
    end

    private

    def about
      "by #{by.join(", ")}: #{grouped(size + (rest&.rows || 0))} groups, #{grouped(total.count)} objects, " \
        "#{grouped(total.memsize)} bytes"
    end
  end
end
