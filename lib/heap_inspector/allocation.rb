# frozen_string_literal: true

require_relative "value"

module HeapInspector
  # Where a living object was allocated; see {HeapInspector.allocation}.
  class Allocation < Value
    # A frame of the stack in which it was.
    class Frame < Value
      # @!attribute [r] file
      #   @return [String, nil] nil for what is written in C
      # @!attribute [r] line
      #   @return [Integer, nil]
      # @!attribute [r] label
      #   @return [String] such as `block in Feed#load`
      fields :file, :line, :label

      # @return [String] as in a backtrace
      def to_s = "#{[file || "(C)", line].compact.join(":")}:in `#{label}'"
    end

    # @!attribute [r] file
    #   @return [String, nil] the path of the file
    # @!attribute [r] line
    #   @return [Integer, nil] the line
    # @!attribute [r] method_name
    #   @return [String, nil] the method
    # @!attribute [r] class_name
    #   @return [String, nil] the class of the object, where it had a name
    # @!attribute [r] generation
    #   @return [Integer] `GC.count` then
    # @!attribute [r] stack
    #   @return [Array<Frame>] innermost first; empty where no stack was taken
    fields :file, :line, :method_name, :class_name, :generation, :stack

    # @return [String, nil] `file:line`
    def location = file && [file, line].compact.join(":")
  end
end
