# frozen_string_literal: true

module HeapInspector
  # All of one object: its fields, what it refers to, what refers to it, what it retains, why it is alive. An Enumerable of the fields as
  # pairs of name and text. An answer of {Heap#show}.
  class Details < Report
    # @return [HeapObject] the object
    attr_reader :object

    # @return [String] the object in a few words, the text of a string among them
    attr_reader :label

    # @return [Hash{String => String}] the fields of its line, references aside, as text; long ones are cut
    attr_reader :fields

    # @api private
    def initialize(object, answer)
      super()
      @object = object
      @document, @label = answer.values_at(:document, :label)
      @fields = answer[:fields].to_h.freeze
      freeze
    end

    # @yieldparam name [String]
    # @yieldparam text [String]
    # @return [self, Enumerator]
    def each(&block)
      return enum_for(:each) { fields.size } unless block

      fields.each(&block)
      self
    end

    private

    def about
      Native.escape("#{object.address} #{label}")
    end
  end
end
