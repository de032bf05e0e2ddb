# frozen_string_literal: true

module HeapInspector
  # A group in several dumps.
  class GroupGrowth < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; nil where the objects have none. Several keys make an Array.
    # @!attribute [r] counts
    #   @return [Array<Integer>] how many objects there are in each dump
    # @!attribute [r] memsizes
    #   @return [Array<Integer>] their bytes in each dump
    # @!attribute [r] retained_memsizes
    #   @return [Array<Integer>, nil] the bytes they retain in each dump; nil where that was not asked for
    # @!attribute [r] trend
    #   @return [Symbol] how its bytes, or those it retains, went: `:steady` (it grew in each of several steps, in the least by half of the
    #     most), `:growing` (in each step, unevenly, or between two dumps) or `:step` (not in each)
    # @!attribute [r] rate
    #   @return [WorkRate, nil] growth for each request, or what else the process did most; nil where the dumps do not tell of work
    fields :key, :counts, :memsizes, :retained_memsizes, :trend, :rate

    # @return [Integer] the objects by which it grew
    def count_delta
      counts.last - counts.first
    end

    # @return [Integer] the bytes by which it grew
    def memsize_delta
      memsizes.last - memsizes.first
    end

    # @return [Integer, nil] the bytes by which what it retains grew
    def retained_memsize_delta
      retained_memsizes && (retained_memsizes.last - retained_memsizes.first)
    end
  end

  # An object that was there in the first dump, and what came since and is held by it.
  class HolderGrowth < Value
    # @!attribute [r] object
    #   @return [HeapObject, nil] the object, in the last dump; nil where a root itself holds what came
    # @!attribute [r] holder
    #   @return [String] whom to ask: the class, module or thread that holds the object, or the root
    # @!attribute [r] label
    #   @return [String] the object in a few words
    # @!attribute [r] count
    #   @return [Integer] how many objects came and stayed
    # @!attribute [r] memsizes
    #   @return [Array<Integer>] their bytes, by the dump in which they were first: the first is 0, the last all that came
    # @!attribute [r] retained_memsizes
    #   @return [Array<Integer, nil>, nil] the bytes the object retains in each dump, nil in one in which it lay elsewhere; nil where
    #     that was not asked for
    # @!attribute [r] trend
    #   @return [Symbol] how its bytes, or those it retains, went; see {GroupGrowth#trend}, and `:flat` or `:shrinking` of what it retains
    fields :object, :holder, :label, :count, :memsizes, :retained_memsizes, :trend

    # @return [String] the holder, as groups have their key
    def key
      holder
    end

    # @return [Integer] the bytes that came and stayed
    def memsize_delta
      memsizes.last
    end
  end

  # What grew between dumps, what grew the most bytes first. An Enumerable of {GroupGrowth} or, by holder, {HolderGrowth}. An answer of
  # {Diff#growth}.
  class Growth < GroupRows
    # @return [Array<Symbol>] the keys, or `:holder`
    attr_reader :by

    # @return [Rest, nil] by how much grew what the limit cut off; nil if it cut off none
    attr_reader :rest

    # @api private
    def initialize(by, answer)
      super()
      @by = by.freeze
      @document = answer[:document]
      @rest = rest_of(answer)
      @groups = (answer[:holders]&.map { |row| HolderGrowth.of(row, object: row[:id]) } || answer[:rows].map { |row| group(row) }).freeze
      freeze
    end

    private

    def rest_of(answer)
      rows = answer[:rest_holders] || answer[:rest][:rows]
      Rest.of(answer[:rest], rows: rows, references: nil) if rows.positive?
    end

    def group(row)
      counts, memsizes = %i[count memsize].map { |name| row[:sums].map { |sum| sum[name] }.freeze }
      GroupGrowth.of(row, key: key(row), counts: counts, memsizes: memsizes, rate: WorkRate.unless_none(row[:rate]))
    end

    def about
      "by #{by.join(", ")}: #{grouped(size + (rest&.rows || 0))} grew, by #{grouped(sum(&:memsize_delta) + (rest&.memsize || 0))} bytes"
    end
  end
end
