# frozen_string_literal: true

module HeapInspector
  # A reference to or from an object, and by what it is held.
  class Reference < Value
    # @!attribute [r] object
    #   @return [HeapObject, nil] the object at the other end; nil where the dump has none at the address
    # @!attribute [r] edge
    #   @return [String, nil] by what: `"@cache"`, `"[3]"`, `"[:key]"`, `"::LISTENERS"`, `"local variable request"`, `"value"`, `"class"`,
    #     `"closure"`; nil where that is not known
    # @!attribute [r] certain
    #   @return [Boolean] whether the dump proves the name, which it does not of each instance variable
    # @!attribute [r] address
    #   @return [String] the address at the other end
    fields :object, :edge, :certain, :address

    # @api private
    # @return [Array<Reference>]
    def self.list(references)
      references.map { |reference| of(reference, **reference[:edge]) }.freeze
    end

    # @return [Boolean] whether the dump proves the name of the edge
    def certain?
      certain
    end

    # @return [String] the object at the other end in a few words, as {Step#label} has it, but without the text of a string
    def label
      object ? object.label : "(not in the dump)"
    end

    # @return [Boolean] whether the dump has no object at the address
    def dangling?
      object.nil?
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
