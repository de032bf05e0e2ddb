# frozen_string_literal: true

module HeapInspector
  # Why an object is alive: chains of references from the roots to it, the most telling first. An Enumerable of the chains, each an Array
  # of {Step}, from what a root refers to down to the object; empty where nothing holds it: it is garbage not yet collected, or held
  # weakly. An answer of {Heap#paths_to}.
  #
  # @example
  #   heap.paths_to("0x7f1386ee2a78", limit: 3).each { |steps| puts steps, "" }
  class Paths < Rows
    # @return [HeapObject] the object
    attr_reader :object

    # @return [String] the object in a few words
    attr_reader :label
    # @return [Array<Array<StepVerdict>>] what is thought of each step of each chain, and which reference should have been cut
    attr_reader :verdicts
    # @return [Integer, nil] the bytes of what no root would lead to any more, where it was asked what if something were not there
    attr_reader :freed_memsize
    # @return [Integer, nil] how many objects that are
    attr_reader :freed_count
    # @return [Array<OtherHolder>] what holds the object then, three at most; empty where that was not asked
    attr_reader :also_held_by
    # @return [Integer] how many more hold it
    attr_reader :also_held_by_more

    # @api private
    def initialize(object, paths:, document:, freed: nil, others: nil)
      super()
      @object = object
      @label = paths[:label]
      @document = document
      @chains = paths[:chains].map { |chain| Step.chain(chain) }.freeze
      @verdicts = paths[:judged].map { |steps| steps.map { |judged| StepVerdict.of(judged) }.freeze }.freeze
      @freed_memsize, @freed_count = freed&.values_at(:memsize, :count)
      @also_held_by = others ? OtherHolder.all(others) : [].freeze
      @also_held_by_more = others ? others[:more] : 0
      freeze
    end

    # @return [String] a graph for Graphviz
    def to_dot
      @document.render("dot", 0, false)
    end

    private

    def rows
      @chains
    end

    def about
      "to #{Native.escape(label)}: #{grouped(size)}"
    end
  end

  # Objects of one class on the chains to the objects asked for.
  class PathGroup < Value
    # @!attribute [r] depth
    #   @return [Integer] how deep it stands: 0 what the roots refer to
    # @!attribute [r] edge
    #   @return [String, nil] by what the group above holds them, where one word fits them all
    # @!attribute [r] certain
    #   @return [Boolean] whether the dump proves the name of the edge
    # @!attribute [r] count
    #   @return [Integer] how many objects the group has
    # @!attribute [r] label
    #   @return [String] the class; the object in a few words if there is only one
    # @!attribute [r] object
    #   @return [HeapObject, nil] the object, if there is only one
    # @!attribute [r] targets
    #   @return [Integer] how many of the objects asked for it leads to
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    fields :depth, :edge, :certain, :count, :label, :object, :targets, :memsize
  end

  # Why many objects are alive: the chains to all of them merged into one tree. An Enumerable of the groups, each behind the one that
  # holds it. An answer of {Heap#paths_to} and {Heap#paths_to_class}.
  class MergedPaths < Rows
    include Drawings

    # @return [Integer] how many objects were asked for
    attr_reader :count_of_objects

    # @return [Integer] their bytes
    attr_reader :memsize

    # @return [Integer] how many of them nothing holds
    attr_reader :unreachable

    # @api private
    def initialize(heap, answer)
      super()
      @document = answer[:document]
      @count_of_objects, @memsize, @unreachable = answer.values_at(:count, :memsize, :unreachable)
      @groups = answer[:groups].map do |group|
        PathGroup.of(group, object: group[:address] && heap[group[:address]], **group[:edge])
      end.freeze
      freeze
    end

    private

    def rows
      @groups
    end

    def about
      "to #{grouped(count_of_objects)} objects, #{grouped(memsize)} bytes"
    end
  end
end
