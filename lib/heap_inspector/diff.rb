# frozen_string_literal: true

require "heap_inspector/heap"

module HeapInspector
  # How several dumps of one process differ: what is new, gone and kept, what grows, and what of that looks like a leak. Frozen; may be
  # asked by several threads and Ractors at once. Prints as `heap_inspector diff` does; an Enumerable of its facts as pairs of name and
  # value. An answer of {HeapInspector.diff}.
  #
  # Objects are told apart by more than their addresses, which Ruby uses again: by type, class, allocation site and generation. Objects
  # are of the last dump, but for those that are {#gone}.
  #
  # @example
  #   diff = HeapInspector.diff("a.json", "b.json", "c.json")
  #   diff.retained_objects.where(class: "Order").sum(:retained_memsize) # => 1204512
  #   diff.growth(by: :gem).first                                        # key, memsizes, trend, ...
  #   diff.suspects.each { |suspect| puts suspect, suspect.path, "" }
  class Diff < Facts
    # The facts, in order.
    FACTS = %i[new_count new_memsize gone_count gone_memsize retained_count retained_memsize one_process warnings].freeze

    private_class_method :new

    # @return [Array<Heap>] the dumps, oldest first
    attr_reader :heaps

    # @return [Integer] how many objects of the last dump were not in the first
    attr_reader :new_count

    # @return [Integer] their bytes
    attr_reader :new_memsize

    # @return [Integer] how many objects of the first dump the last one lacks
    attr_reader :gone_count

    # @return [Integer] their bytes, in the first dump
    attr_reader :gone_memsize

    # @return [Integer] how many {#retained_objects} there are
    attr_reader :retained_count

    # @return [Integer] their bytes
    attr_reader :retained_memsize

    # @return [Boolean] whether the dumps can be of one process; if not, what is new cannot be told
    attr_reader :one_process
    alias one_process? one_process

    # @return [Array<String>] why the numbers may not be what they seem: dumps of several processes, in a wrong order, one file twice,
    #   some untraced, lines lost; none where all is well. May hold text of the dumps, raw.
    attr_reader :warnings

    # Does what {HeapInspector.diff} says.
    #
    # @param dumps [Array<Heap, String, Pathname, IO, #read>]
    # @param options [Hash] see {HeapInspector.analyze}
    # @return [Diff]
    # @raise (see HeapInspector.diff)
    def self.of(dumps, **options)
      raise ArgumentError, "a diff needs two dumps or more, the oldest first" if dumps.size < 2

      new(dumps.map { |dump| dump.is_a?(Heap) ? dump : Heap.load(dump, **options) })
    end

    # @api private
    def initialize(heaps)
      super()
      @heaps = heaps.freeze
      options = Where.options("diff")
      found = Native.compare(heaps, options[:by].map(&:to_s), options[:lines])
      @document, @matches, @one_process, @warnings = found.values_at(:document, :matches, :one_process, :warnings)
      @new_count, @new_memsize = found[:new].values_at(:count, :memsize)
      @gone_count, @gone_memsize = found[:gone].values_at(:count, :memsize)
      @retained_count, @retained_memsize = found[:retained].values_at(:count, :memsize)
      Ractor.make_shareable(self)
    end

    # @return [Relation] the objects of the last dump that were not in the first
    def new_objects
      objects(heaps.last, "new")
    end

    # @return [Relation] the objects of the first dump that the last one lacks
    def gone
      objects(heaps.first, "gone")
    end

    # @return [Relation] the objects of the last dump that were in the first
    def kept
      objects(heaps.last, "kept")
    end

    # By the rule of three dumps: what came after the first dump and was there in all others. Neither start-up data nor what the last
    # requests had not yet given back are among them. Of two dumps they are the new objects.
    #
    # @return [Relation]
    # @example
    #   diff.retained_objects.group(:location).sum(:memsize).first # => ["app/models/order.rb:12", 120400]
    def retained_objects
      objects(heaps.last, "retained")
    end

    # The {#retained_objects} in groups: what leaks leave behind, and caches that fill. {#suspects} tells these apart.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys: some of {Heap::KEYS}
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param limit [Integer, nil] how many groups; the others are summed up in {Groups#rest}
    # @return [Groups]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   puts diff.leaks(by: :gem)
    def leaks(by: %i[class location], where: nil, limit: 20)
      by = Where.keys(by)
      Groups.new(Native.leaks(heaps, @matches, by.map(&:to_s), terms(where), Where.limit(limit)))
    end

    # What grew from the first dump to the last, group by group, and whether steadily or in a step. The allocation tracer is left out.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys, some of {Heap::KEYS}; or `:holder`: the object that was there in the first
    #   dump and holds what came; or `:path`: the classes that hold an object, which are the same in dumps of other processes
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param limit [Integer, nil] how many groups
    # @param retained [Boolean] whether to tell what groups and holders retain in each dump, too, and to go by that
    # @return [Growth]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   diff.growth(by: :class).find { |group| group.trend == :steady }.key  # => "Order"
    #   diff.growth(by: :holder).first.object.label                          # => "Array, 300 elements"
    def growth(by: %i[class location], where: nil, limit: 20, retained: false)
      limit = Where.limit(limit)
      terms = terms(where)
      retained = retained ? true : false
      by_holder = [by].flatten.map(&:to_s) == ["holder"]
      return Growth.new([:holder], Native.holder_growth(heaps, @matches, terms, limit, retained)) if by_holder

      if [by].flatten.map(&:to_s) == ["path"]
        raise ArgumentError, "retained: what paths retain is not told" if retained

        return Growth.new([:path], Native.path_growth(heaps, @matches, terms, limit))
      end

      by = Where.keys(by, %i[holder path])
      raise ArgumentError, "by: growth is told by :holder, by :path or by keys, not by several of these" if (by & %i[holder path]).any?

      Growth.new(by, Native.growth(heaps, @matches, by.map(&:to_s), terms, limit, retained))
    end

    # What looks like a leak, the most suspect first: what took in objects between each two dumps and keeps them.
    #
    # @param limit [Integer, nil] how many suspects at most
    # @param except [String, Pathname, Array<String>, nil] a file of patterns, or patterns, for the holders, classes, fingerprints and
    #   locations that are meant to be; see docs/suspects.md
    # @param rules [String, Pathname, Array<String>, nil] a file of rules, or rules, that say which classes of the app are expected to be
    #   alive, or stuck: `"Billing::Session stuck its request is over"`
    # @param known [String, Pathname, Array<String>, nil] a file of fingerprints, or of an answer as JSON, or fingerprints: which of the
    #   suspects are known
    # @return [Suspects]
    # @raise [ArgumentError] if a pattern cannot be understood
    # @raise [SystemCallError] if the file cannot be read
    # @example
    #   diff.suspects(except: ["I18n::*"]).first&.holder # => "Audit"
    def suspects(limit: 5, except: nil, rules: nil, known: nil)
      Suspects.of(heaps, @matches, limit: limit, except: except, rules: rules, known: known)
    end

    # Writes a file of each dump that other tools open; docs/exports.md says what they make of it.
    #
    # - `:heapsnapshot` is all objects and references, for the Memory panel of Chrome's DevTools, VS Code and memlab
    # - `:pprof` (for `go tool pprof`), `:folded` (flamegraph.pl, inferno) and `:speedscope` are profiles of what is alive
    #
    # In heap snapshots an object has one id in all, so that DevTools' Comparison and memlab's search for leaks know it again.
    # Files are for their owner alone, and hold what the dump holds, the texts of strings too.
    #
    # @param folder [String, Pathname] where to; it is made where it is missing
    # @param format [Symbol, String] which of these
    # @param by [Symbol, String, nil] the frames of a profile: `:stack` and `:site`, what led to the allocation or the allocating line, or
    #   `:dominators`, the classes of what dominates an object; by default the stacks where there are any, else the lines
    # @param sites [Boolean] whether a heap snapshot has the lines or stacks that allocated objects; VS Code wants none
    # @param confidential [Boolean] whether a heap snapshot lacks the texts of strings; always so of a dump taken with `redact: true`
    # @param min [Integer] objects that retain fewer bytes are summed up, in a heap snapshot or by dominators
    # @param tables [Array<Symbol>, nil] which tables, of `:parquet`; by default all
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @return [Array<String>] the files' paths, the oldest dump's first
    # @raise [ArgumentError] if options are unknown or do not go together, or a dump is too large for the format
    # @raise [SystemCallError] if the file cannot be written: `Errno::EEXIST` where there is one
    # @example
    #   diff.export("snapshots") # memlab find-leaks --baseline ... --target ... --final ... --trace-all-objects
    def export(folder, format: :heapsnapshot, by: nil, sites: false, confidential: false, min: 0, tables: nil, where: nil)
      options = { format: format, by: by, sites: sites, confidential: confidential, min: min, tables: tables }
      Export.write(heaps, folder, terms(where), options)
    end

    # A page to look at, in a browser: what leaks, growth, who holds what, the biggest objects to walk through, waste, threads. One HTML
    # file, below 5 MB, which loads nothing. It holds texts of the heap: write it for yourself alone (`perm: 0o600`).
    #
    # @param confidential [Boolean, nil] whether to leave out the values of strings, which are shown cut to 60 letters else; by default what
    #   the dumps say of themselves: those of redacted ones are left out
    # @param rules [String, #to_path, Array<String>, nil] which classes are meant to live, as for {#suspects}
    # @return [String] the file's content
    # @raise [SystemCallError, FormatError] if a file was changed since
    # @example
    #   File.write("report.html", diff.to_html, perm: 0o600)
    def to_html(confidential: nil, rules: nil)
      Native.page(heaps, confidential.nil? ? nil : !!confidential, Where.lines(:rules, rules, "rules"))
    end

    private

    def objects(heap, became)
      Relation.among(heap, Native.objects_that(heaps, @matches, became))
    end

    # The conditions as they are in all dumps: a Regexp matches other values in each.
    def terms(where)
      heaps.map { |heap| Where.terms(where, heap) }.transpose.map do |same|
        first = same.first
        first.is_a?(String) ? first : [*first.first(2), same.flat_map(&:last).uniq]
      end
    end

    def about
      "of #{heaps.size} dumps: #{grouped(new_count)} new objects, #{grouped(gone_count)} gone, #{grouped(retained_count)} retained"
    end
  end
end
