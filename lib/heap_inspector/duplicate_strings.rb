# frozen_string_literal: true

module HeapInspector
  # Where strings were allocated.
  class Site < Value
    # @!attribute [r] location
    #   @return [String] `file:line`, or `(untraced)`
    # @!attribute [r] count
    #   @return [Integer] how many of the strings
    fields :location, :count
  end

  # A text that several strings hold.
  class DuplicateString < Value
    # @!attribute [r] value
    #   @return [String] the text, raw; of a long one its start
    # @!attribute [r] cut
    #   @return [Boolean] whether {#value} is not the whole text
    # @!attribute [r] bytesize
    #   @return [Integer] bytes of the whole text
    # @!attribute [r] count
    #   @return [Integer] how many strings hold it
    # @!attribute [r] memsize
    #   @return [Integer] their bytes, slots included
    # @!attribute [r] wasted
    #   @return [Integer] what one copy for all would free: their bytes beside the biggest of them
    # @!attribute [r] sites
    #   @return [Array<Site>] where most of them were allocated
    # @!attribute [r] rest_sites
    #   @return [Integer] how many further sites there are
    fields :value, :cut, :bytesize, :count, :memsize, :wasted, :sites, :rest_sites

    # @return [Boolean] whether {#value} is not the whole text
    def cut?
      cut
    end
  end

  # Texts that several strings hold, those first that waste the most. An answer of {Heap#duplicate_strings}.
  class DuplicateStrings < Rows
    # @return [Integer] how many texts several strings hold, those that the limit cut off too
    attr_reader :text_count

    # @return [Integer] how many strings hold these texts
    attr_reader :string_count

    # @return [Integer] the bytes of those strings
    attr_reader :memsize

    # @return [Integer] bytes that one copy of each text would free
    attr_reader :wasted

    # @return [Integer] how many strings have their text in the dump, duplicates or not
    attr_reader :with_text

    # @return [Integer] how many strings have no text in the dump, since they share it or are not ASCII: copies among these are not
    #   seen
    attr_reader :without_text

    # @api private
    def initialize(answer)
      super()
      @document = answer[:document]
      @text_count, @wasted = answer.values_at(:duplicate_texts, :wasted)
      @string_count, @memsize = answer[:duplicate_strings].values_at(:count, :memsize)
      @with_text, @without_text = answer.values_at(:with_text, :without_text).map { |sum| sum[:count] }
      @strings = answer[:duplicates].map { |string| string(string) }.freeze
      freeze
    end

    # @param value [String]
    # @return [DuplicateString, nil] the duplicates of that text
    def [](value)
      @strings.find { |string| string.value == value }
    end

    private

    def rows
      @strings
    end

    def string(string)
      sites = string[:sites].map { |location, count| Site.new(location: location, count: count) }.freeze
      DuplicateString.of(string, cut: string[:is_cut], sites: sites)
    end

    def about
      "#{grouped(text_count)} texts in #{grouped(string_count)} strings, #{grouped(wasted)} bytes wasted"
    end
  end
end
