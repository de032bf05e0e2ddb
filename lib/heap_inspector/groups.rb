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
    # @!attribute [r] estimate
    #   @return [Estimate, nil] what they stand for, where the keys are known of sampled allocations alone; see {Groups}
    fields :key, :count, :memsize, :references, :share, :estimate
  end

  # What a group stands for, where a part of the allocations was sampled: reckoned from the samples in it.
  class Estimate < Value
    # @!attribute [r] samples
    #   @return [Integer] how many of its objects were sampled: fewer than 30 say little
    # @!attribute [r] count
    #   @return [Integer] about how many objects there are
    # @!attribute [r] memsize
    #   @return [Integer] about how many bytes they take
    fields :samples, :count, :memsize
  end

  # Count and bytes of objects by one key or several, the greatest first. An answer of {Heap#groups}.
  #
  # Of a dump whose allocations were sampled, what is known of samples alone (lines, gems, generations, stacks) is counted as it stands in
  # the dump, and each group has an {Estimate}, by which they are ordered. Groups by `:stack` can be drawn as a flame graph.
  #
  # @example
  #   groups = heap.groups(by: :class)
  #   groups.first(3).map(&:key)     # => ["String", "Array", "Hash"]
  #   groups["User"]&.count          # => 1200
  #   groups.sum(&:memsize) == groups.total.memsize # => true, without a limit
  class Groups < GroupRows
    include Drawings

    # @return [Array<Symbol>] the keys
    attr_reader :by

    # @return [Rest, nil] what the groups come to that the limit cut off; nil if it cut off none
    attr_reader :rest

    # @return [Total] what all groups come to
    attr_reader :total

    # @api private
    def initialize(answer, document = answer[:document])
      super()
      @document = document
      @drawing = answer[:drawing]
      @by = answer[:by]
      @rest = Rest.unless_none(answer[:rest_groups], answer[:rest])
      @total = Total.of(answer[:total])
      @groups = answer[:groups].map { |group| group(group, group[:sum], group[:estimate]) }.freeze
      freeze
    end

    private

    def group(group, sum, estimate)
      share = total.memsize.zero? ? 0.0 : sum[:memsize].fdiv(total.memsize)
      estimate &&= Estimate.of(estimate, **estimate[:sum])
      Group.of(sum, key: key(group), share: share, estimate: estimate)
    end

    def drawn
      @drawing || raise(ArgumentError, "only groups by stack can be drawn: groups(by: :stack)")
    end

    def about
      "by #{by.join(", ")}: #{grouped(size + (rest&.rows || 0))} groups, #{grouped(total.count)} objects, " \
        "#{grouped(total.memsize)} bytes"
    end
  end
end
