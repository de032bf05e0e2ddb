# frozen_string_literal: true

require_relative "heap" # the extension's reports
require_relative "heap_profile"

module HeapInspector
  # What of a block's allocations has one gem, file, location, class, method, or line of the app.
  class ProfiledGroup < Value
    # @!attribute [r] key
    #   @return [String, nil] what they have in common
    # @!attribute [r] retained_objects
    #   @return [Integer] objects alive afterwards
    # @!attribute [r] retained_memsize
    #   @return [Integer] their bytes: slots, and the content of Strings, Arrays and Hashes
    # @!attribute [r] allocated_objects
    #   @return [Integer] objects allocated
    # @!attribute [r] allocated_memsize
    #   @return [Integer] bytes of their slots
    fields :key, :retained_objects, :retained_memsize, :allocated_objects, :allocated_memsize
  end

  # Strings of one text and place that are alive after a block.
  class ProfiledString < Value
    # @!attribute [r] value
    #   @return [String] the text, cut at 80 bytes
    # @!attribute [r] count
    #   @return [Integer] how many
    # @!attribute [r] memsize
    #   @return [Integer] their bytes
    # @!attribute [r] location
    #   @return [String, nil] where they were allocated
    fields :value, :count, :memsize, :location
  end

  # What a block allocated, and what of it was alive after a collection; see {HeapInspector.profile}.
  class BlockProfile < Report
    # By what it is summed up.
    KEYS = %i[app_location gem file location method class].freeze

    # @return [Integer] objects that were allocated
    attr_reader :allocated_objects
    # @return [Integer] bytes of their slots
    attr_reader :allocated_memsize
    # @return [Integer] objects that were alive afterwards
    attr_reader :retained_objects
    # @return [Integer] their bytes: slots, and the content of Strings, Arrays and Hashes
    attr_reader :retained_memsize

    # @api private
    def initialize(document, taken)
      super()
      @document = document
      @taken = taken
      @allocated_objects, @allocated_memsize, @retained_objects, @retained_memsize =
        to_h.fetch(:total).values_at(:allocated_objects, :allocated_memsize, :retained_objects, :retained_memsize)
      freeze
    end

    # @param key [Symbol, String] one of {KEYS}
    # @return [Array<ProfiledGroup>] what keeps most first
    # @raise [ArgumentError] if the key is unknown
    def by(key)
      key = key.to_sym
      raise ArgumentError, "unknown key #{key.inspect}: expected #{KEYS.join(", ")}" unless KEYS.include?(key)

      to_h.dig(:"by_#{key}", :rows).map { |row| ProfiledGroup.of(row, key: row[key]) }
    end

    # @return [Array<ProfiledString>] the commonest first
    def strings
      to_h.dig(:strings, :rows).map { |row| ProfiledString.of(row) }
    end

    # @yieldparam group [ProfiledGroup] by class
    # @return [Enumerator, BlockProfile]
    def each(&block)
      return enum_for(:each) unless block

      by(:class).each(&block)
      self
    end

    # @return [String] the flame graph of what is alive, as SVG
    # @raise [Error] where nothing is
    def to_flamegraph = @taken.render("flamegraph")

    # @return [String] folded stacks, a line each with the bytes alive
    def to_folded = @taken.render("folded")

    # @return [String] bytes of pprof's form, compressed by gzip
    def to_pprof = @taken.render("pprof")

    private

    def about
      "#{grouped(allocated_objects)} objects allocated, #{grouped(retained_objects)} alive"
    end
  end
end
