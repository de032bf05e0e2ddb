# frozen_string_literal: true

module HeapInspector
  # Growth for each request, job or whatever the dumps counted: see {HeapInspector.count}.
  class WorkRate < Value
    # @!attribute [r] unit
    #   @return [String] the sort of work, a plural as `"requests"`
    # @!attribute [r] work
    #   @return [Integer] how much of it there was between the first dump and the last
    # @!attribute [r] count
    #   @return [Float] objects for each
    # @!attribute [r] memsize
    #   @return [Float] bytes for each
    fields :unit, :work, :count, :memsize

    # @api private
    # @param answer [Hash{Symbol => Object}, nil]
    # @return [WorkRate, nil]
    def self.unless_none(answer)
      of(answer) if answer
    end

    # @return [String] it in a line; control characters of the dump are escaped
    def to_s
      each = format("%<count>+.2f objects and %<memsize>.0f B", count: count, memsize: memsize)
      Native.escape("#{each} for each of #{Size.count(work)} #{unit}")
    end
  end
end
