# frozen_string_literal: true

module HeapInspector
  # An object on a chain of references from a root.
  class Step < Value
    # @!attribute [r] object
    #   @return [HeapObject] the object
    # @!attribute [r] edge
    #   @return [String, nil] by what the step before holds it; of the first which root (`"root vm"`) or global variable (`"$name"`) does
    # @!attribute [r] certain
    #   @return [Boolean] whether the dump proves the name
    # @!attribute [r] label
    #   @return [String] the object in a few words, the text of a string among them
    fields :object, :edge, :certain, :label

    # @api private
    # @return [Array<Step>]
    def self.chain(steps)
      steps.map { |step| of(step, object: step[:id], **step[:edge]) }.freeze
    end

    # @return [String] where the object is, as {Reference#address} has it
    def address
      object.address
    end

    # @return [Boolean] whether the dump proves the name of the edge
    def certain?
      certain
    end

    # @return [String]
    def to_s
      Native.escape("#{edge || "?"} -> #{label} #{address}")
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{self}>"
    end
  end
end
