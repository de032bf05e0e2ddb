# frozen_string_literal: true

require_relative "errors"
require "heap_inspector/heap_inspector_ext"

module HeapInspector
  # A loaded dump. Frozen; may be asked by several threads and Ractors at once. Its memory is the extension's
  # (`ObjectSpace.memsize_of` knows it) and goes with the object.
  #
  # Several methods take `where:`, which objects to look at:
  # - a Hash from properties to what they must be, all of which must hold. A property is one of {KEYS}, {TRAITS} or `memsize`. An
  #   Array holds alternatives; numbers may be ranges; nil is "none" (`generation: nil` are untraced objects); a String is a pattern
  #   (`*`, `?`, `[a-z]`, `{a,b}`; a relative path matches below any directory); a Symbol, Class or Pathname is taken to the letter.
  #   The key `not` holds a Hash whose properties must not be so.
  # - or a String in the words of the command line: `"class=String|Array,generation=30..40,!frozen"`.
  #
  # @example
  #   heap.groups(by: :class, where: {type: :string, file: "app/**", generation: 30.., frozen: false})
  #   heap.groups(by: :location, where: {class: ["User", "Order*"], memsize: 1024..4096, not: {gem: "stdlib"}})
  class Heap
    private_class_method :native_load, :new

    # @!parse
    #   # The properties that objects are grouped and filtered by: `:generation`, `:type`, `:class`, `:file`, `:directory`,
    #   # `:location` (file and line), `:method`, `:gem`, `:imemo`, `:struct`, `:encoding`, `:slot_size`, `:shape`, `:frozen`,
    #   # `:embedded`, `:old`, `:shared`, `:traced`.
    #   KEYS = []
    #
    #   # The flags that a dump may set on an object, as Ruby names them: filters take them too.
    #   TRAITS = []

    # @!method object_count
    #   @return [Integer] how many objects live: lines with an address, roots, shapes, free slots and zombies aside

    # @!method memsize
    #   @return [Integer] the bytes of all objects, as `ObjectSpace.memsize_of` counts them

    # @!method truncated?
    #   @return [Boolean] whether the dump ends inside a record or a compressed stream

    # @!method path
    #   @return [String, nil] the path of the file that was read, as given; nil where it was none

    # @!method name
    #   @return [String] the dump for people: its path, `-` for standard input, or what was read

    # Does what {HeapInspector.analyze} says.
    #
    # @param source [String, Pathname, IO, #to_path, #read]
    # @param strict [Boolean]
    # @param progress [Boolean, #call, nil]
    # @param threads [Integer, nil]
    # @return [Heap]
    # @raise (see HeapInspector.analyze)
    def self.load(source, strict: false, progress: nil, threads: nil)
      bar = ProgressBar.new if progress == true
      progress = bar || progress || nil
      raise ArgumentError, "progress: is true or what can be called" unless progress.nil? || progress.respond_to?(:call)

      native_load(*Input.of(source), strict ? true : false, Where.threads(threads), progress)
    ensure
      bar&.finish
    end

    # @return [Array<Warning>] what was lost or repaired: the first 20 of each kind. {Summary#lost_lines} counts all.
    def warnings
      native_warnings.map { |warning| Warning.new(*warning) }.freeze
    end

    # Count and bytes by one key or several.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys: some of {KEYS}
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param sort [Symbol] what comes first: the most `:bytes`, `:count` or `:references`
    # @param limit [Integer, nil] how many groups; the others are summed up in {Groups#rest}
    # @return [Groups]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.groups(by: %i[class location], where: {gem: "app"}, limit: 20).each do |group|
    #     klass, location = group.key
    #     puts "#{klass} at #{location}: #{group.count} objects, #{group.memsize} bytes"
    #   end
    def groups(by:, where: nil, sort: :bytes, limit: nil)
      by = Where.keys(by)
      Groups.new(by, native_groups(by.map(&:to_s), Where.terms(where), Where.sort(sort), Where.limit(limit)))
    end

    # Count and bytes by generation: how many garbage collections there had been when an object was allocated.
    #
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param limit [Integer, nil] how many generations, those of the most bytes
    # @return [Generations]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.generations.max_by(&:memsize).number # => 38
    def generations(where: nil, limit: nil)
      Generations.new(native_generations(Where.terms(where), Where.limit(limit)))
    end

    # What the dump is, at a glance.
    #
    # @param where [Hash, String, nil] which objects the types and classes are of; see {Heap}
    # @param limit [Integer] how many classes
    # @return [Summary]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.summary.ruby_series # => "3.1"
    def summary(where: nil, limit: 20)
      Summary.new(native_summary(Where.terms(where), Where.limit(limit) || Where::NO_LIMIT))
    end

    # The texts that several strings hold. Texts are not kept in memory: this reads the dump once more.
    #
    # @param where [Hash, String, nil] which strings; see {Heap}
    # @param sort [Symbol] what comes first: the most wasted `:bytes`, or the highest `:count`
    # @param limit [Integer, nil] how many texts
    # @param threads [Integer, nil] how many threads work; one a core by default
    # @return [DuplicateStrings]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @raise [SystemCallError, FormatError] if the file was changed since
    # @example
    #   heap.duplicate_strings(limit: 10).sum(&:wasted)
    def duplicate_strings(where: nil, sort: :bytes, limit: nil, threads: nil)
      limit = Where.limit(limit) || Where::NO_LIMIT
      DuplicateStrings.new(native_strings(Where.terms(where), Where.sort(sort), limit, Where.threads(threads)))
    end

    # @return [Hash{Symbol => Object}] what {#summary} says, as a Hash
    def to_h
      summary.to_h
    end

    # @return [String] what {#summary} says, as JSON
    def to_json(*)
      summary.to_json
    end

    # @return [String] a line about the heap, never the heap
    def inspect
      numbers = [object_count, memsize].map { |number| number.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",") }
      "#<#{self.class} #{name.inspect}: #{numbers[0]} objects, #{numbers[1]} bytes#{", truncated" if truncated?}>"
    end
    alias to_s inspect
  end
end
