# frozen_string_literal: true

module HeapInspector
  # An object in a dominator tree, or the small ones of a class that the same object dominates.
  class Dominated < Value
    # @!attribute [r] depth
    #   @return [Integer] how deep it stands: 0 for the top rows
    # @!attribute [r] object
    #   @return [HeapObject, nil] the object; nil where the row is several
    # @!attribute [r] count
    #   @return [Integer] how many objects the row is
    # @!attribute [r] edge
    #   @return [String, nil] by what the object above holds it, where it does so itself
    # @!attribute [r] certain
    #   @return [Boolean] whether the dump proves the name of the edge
    # @!attribute [r] label
    #   @return [String, Integer, Boolean, nil] the object in a few words, the class of several small ones, or the value of the key that
    #     was asked for; nil for the small ones of several
    # @!attribute [r] memsize
    #   @return [Integer] their own bytes
    # @!attribute [r] retained_memsize
    #   @return [Integer] the bytes they retain
    # @!attribute [r] retained_count
    #   @return [Integer] how many objects they retain, themselves included
    # @!attribute [r] location
    #   @return [String, nil] where the object was allocated
    fields :depth, :object, :count, :edge, :certain, :label, :memsize, :retained_memsize, :retained_count, :location
  end

  # Which object holds which alone, as a tree: what goes when an object goes. An Enumerable of the rows, each behind the one it is under.
  # An answer of {Heap#dominators}.
  class Dominators < Rows
    include Drawings

    # @api private
    def initialize(answer)
      super()
      @document = answer[:document]
      @rows = (answer[:objects]&.map { |row| object(row) } || answer[:groups].map { |row| group(row) }).freeze
      freeze
    end

    private

    attr_reader :rows

    def object(row)
      Dominated.of(row, object: row[:id], label: (row[:label] unless row[:label].empty?), **row[:edge])
    end

    def group(row)
      Dominated.of(row, object: nil, label: row[:key], edge: nil, certain: true, location: nil)
    end

    def about
      "#{grouped(size)} rows, #{@rows.map(&:depth).max.to_i + 1} levels"
    end
  end
end
