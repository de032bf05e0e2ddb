# frozen_string_literal: true

module HeapInspector
  # Something of a dump that was lost or repaired while it was read.
  class Warning < Value
    # @!attribute [r] kind
    #   @return [Symbol] `:lost` (a line that cannot be read, its object is missing), `:repaired` (a line that Ruby broke by printing
    #     a name unescaped), `:truncated` (the dump ends early), `:duplicate` (two objects with one address), `:partial` (no roots, and
    #     references that lead out of the dump) or `:stacks` (stacks of allocations are not whole)
    # @!attribute [r] line
    #   @return [Integer, nil] the line, from 1; nil where it concerns the whole dump
    # @!attribute [r] byte
    #   @return [Integer, nil] the bytes before the place, in the uncompressed dump
    # @!attribute [r] message
    #   @return [String] what is wrong and what was done; may hold text of the dump, raw
    fields :kind, :line, :byte, :message

    # @return [String] the message with its place
    def to_s
      line ? "line #{line}, byte #{byte}: #{message}" : message
    end
  end
end
