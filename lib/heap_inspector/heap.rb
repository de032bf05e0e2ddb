# frozen_string_literal: true

require_relative "native"

module HeapInspector
  Native.define_reading

  # A loaded dump. Frozen; may be asked by several threads and Ractors at once. Its memory is the extension's
  # (`ObjectSpace.memsize_of` knows it) and goes with the object.
  #
  # Several methods take `where:`, which objects to look at:
  # - a Hash from properties to what they must be, all of which must hold. A property is one of {KEYS}, {FLAGS} or `memsize`. An
  #   Array holds alternatives; numbers may be ranges; nil is "none" (`generation: nil` are untraced objects); a String is a pattern
  #   (`*`, `?`, `[a-z]`, `{a,b}`; a relative path matches below any directory); a Symbol, Class or Pathname is taken to the letter.
  #   The key `not` holds a Hash whose properties must not be so.
  # - or a String in the words of the command line: `"class=String|Array,generation=30..40,!frozen"`.
  #
  # @example
  #   heap.groups(by: :class, where: {type: :string, file: "app/**", generation: 30.., frozen: false})
  #   heap.groups(by: :location, where: {class: ["User", "Order*"], memsize: 1024..4096, not: {gem: "stdlib"}})
  class Heap
    private_class_method :new

    # What answers are made of. Loaded with the first dump, since no Ractor but the main one can load it when it asks.
    ANSWERS = %i[
      Collections Details Diff Dominators DuplicateStrings Export Fragmentation Generations Grouping Groups Growth MergedPaths Questions
      Reference Relation Retained Rows Size StackFrame Step Summary Suspects Threads Unreachable Warning Where WhereChain
    ].freeze

    # The place of a warning that concerns the whole dump.
    NOWHERE = { line: nil, byte: nil }.freeze

    private_constant :ANSWERS, :NOWHERE

    # @!parse
    #   # The properties that objects are grouped and filtered by: `:generation`, `:type`, `:class`, `:file`, `:directory`,
    #   # `:line`, `:location` (file and line), `:method`, `:gem`, `:app_location` (the app's own line that led to the allocation),
    #   # `:stack` (all frames that led to it, as one text), `:imemo`, `:struct`, `:encoding`, `:slot_size`, `:shape`, `:frozen`,
    #   # `:embedded`, `:old`, `:shared`, `:traced`.
    #   KEYS = []
    #
    #   # The numbers of objects, to sum up and order by: `:memsize`, `:retained_memsize`, `:retained_count`, `:length`,
    #   # `:reference_count`, `:generation`, `:slot_size`, `:address`, `:index`.
    #   NUMBERS = []
    #
    #   # The flags that a dump may set on an object, as Ruby names them: filters take them too.
    #   FLAGS = []

    # @!method object_count
    #   @return [Integer] how many objects live: lines with an address, roots, shapes, free slots and zombies aside

    # @!method memsize
    #   @return [Integer] the bytes of all objects, as `ObjectSpace.memsize_of` counts them

    # @!method truncated?
    #   @return [Boolean] whether the dump ends inside a record or a compressed stream

    # @!method close
    #   Gives the memory back at once, not when the heap is collected; all else but {#name}, {#path} and {#closed?} raises {ClosedError}
    #   from then on. Answers stay; those of {#dominators}, {#groups} by stack and {HeapInspector.diff} keep the memory until they are
    #   printed or collected themselves. While other Ractors run, which may just be reading it, the memory goes when the heap is collected.
    #   @return [nil]

    # @!method closed?
    #   @return [Boolean] whether it was closed

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
    # @param index [Boolean]
    # @param app [String, Pathname, Array<String, Pathname>, nil]
    # @return [Heap]
    # @raise (see HeapInspector.analyze)
    def self.load(source, strict: false, progress: nil, threads: nil, index: true, app: nil)
      ANSWERS.each { |name| HeapInspector.const_get(name) }
      ProgressBar.during(progress) do |callee|
        Native.load(*Input.of(source), strict ? true : false, Where.threads(threads), callee, index ? true : false, Where.folders(app))
      end
    rescue FormatError, CompressionError => e
      raise e.exception("#{Input.name(source)}: #{e.message}")
    end

    # @return [Array<Warning>] what was lost or repaired: the first 20 of each kind. {Summary#lost_lines} counts all.
    def warnings
      Native.warnings(self).map { |warning| Warning.of(warning, **(warning[:position] || NOWHERE)) }.freeze
    end

    # Count and bytes by one key or several.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys: some of {KEYS}
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param sort [Symbol] what comes first: the most `:bytes`, `:count` or `:references`
    # @param limit [Integer, nil] how many groups, nil for all; the others are summed up in {Groups#rest}
    # @return [Groups]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.groups(by: %i[class location], where: {gem: "app"}, limit: 20).each do |group|
    #     klass, location = group.key
    #     puts "#{klass} at #{location}: #{group.count} objects, #{group.memsize} bytes"
    #   end
    # @example
    #   File.write("heap.svg", heap.groups(by: :stack).to_flamegraph)
    def groups(by: :class, where: nil, sort: :bytes, limit: 50)
      by = Where.keys(by)
      Groups.new(Native.groups(self, by.map(&:to_s), Where.terms(where, self), Where.sort(sort), Where.limit(limit)))
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
      Generations.new(Native.generations(self, Where.terms(where, self), Where.limit(limit)))
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
      Summary.new(Native.summary(self, Where.terms(where, self), Where.limit(limit) || Where::NO_LIMIT))
    end

    # The texts that several strings hold. Texts are not kept in memory: this reads the dump once more.
    #
    # @param where [Hash, String, nil] which strings; see {Heap}
    # @param sort [Symbol] what comes first: the most wasted `:bytes`, or the highest `:count`
    # @param limit [Integer, nil] how many texts, nil for all
    # @param threads [Integer, nil] how many threads work; one a core by default
    # @param progress [Boolean, #call, nil] see {HeapInspector.analyze}
    # @return [DuplicateStrings]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @raise [SystemCallError, FormatError] if the file was changed since
    # @example
    #   heap.duplicate_strings(limit: 10).sum(&:wasted)
    def duplicate_strings(where: nil, sort: :bytes, limit: 50, threads: nil, progress: nil)
      asked = [Where.terms(where, self), Where.sort(sort), Where.limit(limit) || Where::NO_LIMIT, Where.threads(threads)]
      ProgressBar.during(progress) { |callee| DuplicateStrings.new(Native.strings(self, *asked, callee)) }
    end

    # What keeps memory alive: the single objects that retain the most, and groups of objects.
    #
    # @param by [Symbol, String, Array<Symbol, String>, nil] keys of the groups: some of {KEYS}; without them classes, and single objects
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param limit [Integer, nil] how many objects and how many groups
    # @return [Retained]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.retained(by: :class, where: {gem: "app"}).first.retained_memsize
    def retained(by: nil, where: nil, limit: 20)
      by &&= Where.keys(by).map(&:to_s)
      Retained.new(Native.retained(self, by, Where.terms(where, self), Where.limit(limit)))
    end

    # Which object holds which alone, as a tree.
    #
    # @param object [HeapObject, String, Integer, nil] what to begin with, or its address; the roots by default
    # @param by [Symbol, String, nil] a key, one of {KEYS}, to merge the objects by that the same row dominates; each alone without it
    # @param depth [Integer] levels of the tree
    # @param min [Integer, nil] objects that retain fewer bytes are summed up by class; a hundredth of the top by default
    # @param limit [Integer, nil] rows under one object
    # @return [Dominators]
    # @raise [ObjectNotFound] if the heap has no such object
    # @raise [ArgumentError] if a key or option is unknown; it says which ones there are
    # @example
    #   puts heap.dominators(depth: 2)
    # @example
    #   File.write("heap.svg", heap.dominators(by: :class, depth: 40, min: 10_000, limit: nil).to_flamegraph)
    def dominators(object = nil, by: nil, depth: 4, min: nil, limit: 10)
      top = object && find(object).index
      by &&= Where.known(by, KEYS, "by:").to_s
      shown = [Where.limit(depth) || Where::NO_LIMIT, Where.limit(min), Where.limit(limit) || Where::NO_LIMIT]
      Dominators.new(Native.dominators(self, top, by, *shown))
    end

    # Why an object is alive, or why many are.
    #
    # @overload paths_to(object, limit: 1, rules: nil, without: nil)
    #   @param object [HeapObject, String, Integer] an object or its address
    #   @param limit [Integer] how many chains; the others differ from the first
    #   @param without [String, HeapObject, nil] what if: the chain that holds it, if one does, and what would be freed, if this were not
    #     there: an object or its address, all of a leak by its fingerprint, a class or module by its name, or what that holds
    #     (`"Audit::EVENTS"`)
    #   @param rules [String, Pathname, Array<String>, nil] see {Diff#suspects}
    #   @return [Paths]
    # @overload paths_to(objects = nil, where: nil, limit: 5)
    #   @param objects [Relation] the objects
    #   @param where [Hash, String] or what they are; see {Relation#where}
    #   @param limit [Integer, nil] rows of the tree under each row
    #   @return [MergedPaths]
    # @raise [ObjectNotFound] if the heap has no such object
    # @example
    #   heap.paths_to("0x7f1386ee2a78").first.map(&:label) # => ["class Cache", "Hash, 20,000 entries", "Order"]
    #   heap.paths_to("0x7f1386ee2a78", without: "Cache").freed_memsize # => 81_920
    #   puts heap.paths_to(where: {class: "Order", generation: 30..})
    def paths_to(object = nil, where: nil, limit: nil, rules: nil, without: nil)
      raise ArgumentError, "paths_to takes an object or where:" if object.nil? == where.nil?
      return paths_to_one(find(object), limit, Where.lines(:rules, rules, "rules"), without) if object && !object.is_a?(Relation)

      raise ArgumentError, "rules: and without: are for the paths to one object" if rules || without
      raise ArgumentError, "the objects are of another heap" if object && !object.heap.equal?(self)

      limit = Where.limit(limit) || Where.options("path")[:lines]
      merged_paths(object || objects.where(where), where ? "objects where #{words(where)}" : "objects", limit)
    end

    # Why the objects of a class are alive.
    #
    # @param name [String, Module] the class, to the letter
    # @param limit [Integer, nil] rows of the tree under each row
    # @return [MergedPaths]
    # @raise [ObjectNotFound] if no object has the class; it says which ones are most like it
    # @raise [TypeError] if it is neither a name nor a class
    # @example
    #   puts heap.paths_to_class("Order")
    def paths_to_class(name, limit: 5)
      name = Where.class_name(name)
      objects = instances_of(name)
      if objects.none?
        like = Native.similar_classes(self, name)
        raise ObjectNotFound, "the heap has no object of a class #{name.inspect}#{"; did you mean #{like.join(", ")}?" unless like.empty?}"
      end

      merged_paths(objects, "objects where class=#{name}", Where.limit(limit) || Where::NO_LIMIT)
    end

    # What no root leads to: garbage that is not yet collected, and what is held only weakly.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys: some of {KEYS}
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @param sort [Symbol] what comes first: the most `:bytes`, `:count` or `:references`
    # @param limit [Integer, nil] how many groups and components
    # @return [Unreachable]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.unreachable.total.memsize # => 102400
    def unreachable(by: :class, where: nil, sort: :bytes, limit: 20)
      by = Where.keys(by)
      answer = Native.unreachable(self, by.map(&:to_s), Where.terms(where, self), Where.sort(sort), Where.limit(limit))
      Unreachable.new(answer)
    end

    # How full arrays and hashes are, what their unused capacity wastes, and which are the biggest.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys: some of {KEYS}
    # @param where [Hash, String, nil] which arrays and hashes; see {Heap}
    # @param limit [Integer, nil] rows of each list
    # @return [Collections]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.collections.emptiest.first.wasted # => 6144
    def collections(by: :location, where: nil, limit: 20)
      by = Where.keys(by).map(&:to_s)
      Collections.new(Native.collections(self, by, Where.terms(where, self), Where.limit(limit) || Where::NO_LIMIT))
    end

    # How full the heap's pages are, what compaction could give back, and what keeps nearly empty pages.
    #
    # @param by [Symbol, String, Array<Symbol, String>] keys: some of {KEYS}
    # @param where [Hash, String, nil] which objects on nearly empty pages; see {Heap}
    # @param limit [Integer, nil] rows of each list
    # @return [Fragmentation]
    # @raise [ArgumentError] if a key, value or option is unknown; it says which ones there are
    # @example
    #   heap.fragmentation.spare_bytes # => 524288
    def fragmentation(by: :class, where: nil, limit: 20)
      by = Where.keys(by).map(&:to_s)
      Fragmentation.new(Native.fragmentation(self, by, Where.terms(where, self), Where.limit(limit) || Where::NO_LIMIT))
    end

    # The threads, fibers and ractors, what each is called and runs, and what it keeps alive.
    #
    # @param limit [Integer, nil] how many
    # @return [Threads]
    # @raise [ArgumentError] if the limit is none
    # @example
    #   heap.threads.first # => #<HeapInspector::HeapThread object=… kind=:thread name="worker one" …>
    def threads(limit: 20)
      Threads.new(self, answer("threads", lines: Where.limit(limit)))
    end

    # What looks like a leak, the most suspect first: what one dump can tell. {HeapInspector.diff} of three dumps tells more.
    #
    # @param limit [Integer, nil] how many suspects at most
    # @param except [String, Pathname, Array<String>, nil] see {Diff#suspects}
    # @param rules [String, Pathname, Array<String>, nil] see {Diff#suspects}
    # @param known [String, Pathname, Array<String>, nil] see {Diff#suspects}
    # @return [Suspects]
    # @raise (see Diff#suspects)
    # @example
    #   heap.suspects.first&.headline # => "300 × Order, retaining 26.9 KiB, held by Audit"
    def suspects(limit: 5, except: nil, rules: nil, known: nil)
      Suspects.of([self], nil, limit: limit, except: except, rules: rules, known: known)
    end

    # A page to look at, in a browser: what may leak, who holds what, the biggest objects to walk through, waste, threads. One HTML file,
    # below 5 MB, which loads nothing. It holds texts of the heap: write it for yourself alone (`perm: 0o600`).
    #
    # @param confidential [Boolean, nil] whether to leave out the values of strings, which are shown cut to 60 letters else; by default what
    #   the dump says of itself: those of a redacted one are left out
    # @param rules [String, #to_path, Array<String>, nil] which classes are meant to live, as for {#suspects}
    # @return [String] the file's content
    # @raise [SystemCallError, FormatError] if the file was changed since
    # @example
    #   File.write("report.html", heap.to_html, perm: 0o600)
    def to_html(confidential: nil, rules: nil)
      Native.page([self], confidential.nil? ? nil : !!confidential, Where.lines(:rules, rules, "rules"))
    end

    # All of one object: fields, references, referrers, what it retains, why it is alive.
    #
    # @param object [HeapObject, String, Integer] an object or its address
    # @param limit [Integer, nil] rows of each table
    # @return [Details]
    # @raise [ObjectNotFound] if the heap has no such object
    # @example
    #   puts heap.show("0x7f1386ee2a78")
    def show(object, limit: 20)
      object = find(object)
      Details.new(object, Native.show(self, object.index, Where.limit(limit) || Where::NO_LIMIT))
    end

    # Writes a file that other tools open; docs/exports.md says what they make of it.
    #
    # - `:heapsnapshot` is all objects and references, for the Memory panel of Chrome's DevTools, VS Code and memlab
    # - `:pprof` (for `go tool pprof`), `:folded` (flamegraph.pl, inferno) and `:speedscope` are profiles of what is alive
    # - `:parquet` is tables for DuckDB and Spark, below a folder; docs/fleet.md says which
    #
    # Files are for their owner alone, and hold what the dump holds, the texts of strings too.
    #
    # @param path [String, Pathname] the new file, or a folder that is there
    # @param format [Symbol, String] which of these
    # @param by [Symbol, String, nil] the frames of a profile: `:stack` and `:site`, what led to the allocation or the allocating line, or
    #   `:dominators`, the classes of what dominates an object; by default the stacks where there are any, else the lines
    # @param sites [Boolean] whether a heap snapshot has the lines or stacks that allocated objects; VS Code wants none
    # @param confidential [Boolean] whether a heap snapshot lacks the texts of strings; always so of a dump taken with `redact: true`
    # @param min [Integer] objects that retain fewer bytes are summed up, in a heap snapshot or by dominators
    # @param tables [Array<Symbol>, nil] which tables, of `:parquet`; by default all
    # @param where [Hash, String, nil] which objects; see {Heap}
    # @return [String] the file's path; of several tables the first one's
    # @raise [ArgumentError] if options are unknown or do not go together, or a dump is too large for the format
    # @raise [SystemCallError] if the file cannot be written: `Errno::EEXIST` where there is one
    # @example
    #   heap.export("heap.heapsnapshot", min: 1024)
    #   heap.export("heap.pb.gz", format: :pprof, by: :dominators)
    def export(path, format: :heapsnapshot, by: nil, sites: false, confidential: false, min: 0, tables: nil, where: nil)
      options = { format: format, by: by, sites: sites, confidential: confidential, min: min, tables: tables }
      Export.write([self], path, Where.terms(where, self), options).first
    end

    # Writes what `heap_inspector fleet` compares: a Parquet file of one row and at most 200 KB, for its owner alone, without texts of
    # strings; docs/fleet.md has its columns.
    #
    # @param path [String, Pathname] the new file, or a folder that is there
    # @return [String] the file's path
    # @raise [SystemCallError] if the file cannot be written: `Errno::EEXIST` where there is one
    # @example
    #   heap.summarize("heap.parquet")
    def summarize(path)
      Export.summarize(self, path)
    end

    # @return [Relation] all objects, to be asked for: {Relation#where}, {Relation#group}, {Relation#order}, ...
    # @example
    #   heap.objects.where(type: :string, memsize: 1024..).group(:location).sum(:memsize)
    def objects
      Relation.new(self)
    end

    # @param conditions [Hash, String, nil] see {Relation#where}
    # @return [Relation, WhereChain] the objects that are so
    # @raise (see Relation#where)
    def where(conditions = nil, &)
      objects.where(conditions, &)
    end

    # @param conditions [Hash, String] see {Relation#where}
    # @return [HeapObject, nil] the first object that is so
    # @raise (see Relation#where)
    def find_by(conditions, &)
      objects.find_by(conditions, &)
    end

    # @return [Relation] all strings
    def strings
      where(type: :string)
    end

    # @return [Relation] all hashes
    def hashes
      where(type: :hash)
    end

    # @return [Relation] all arrays
    def arrays
      where(type: :array)
    end

    # @return [Relation] all classes
    def classes
      where(type: :class)
    end

    # @param name [String, Module] the name of a class, to the letter
    # @return [Relation] the objects of that class, not those of subclasses
    # @raise [TypeError] if it is neither a name nor a class
    # @example
    #   heap.instances_of("User").count # => 1200
    def instances_of(name)
      letters = Where.class_name(name)
      where(class: name.is_a?(String) && !Where::PATTERN.match?(letters) ? letters : letters.to_sym)
    end

    # @param object [HeapObject, String, Integer] an object or its address
    # @return [Relation] the objects that would go with it, itself aside
    # @raise [ObjectNotFound] if the heap has no such object
    def retained_by(object)
      objects.retained_by(object)
    end

    # @param object [String, Integer, HeapObject] an address, as `"0x7f1386ee2a78"`
    # @return [HeapObject, nil] the object there; nil if there is none
    # @raise [ArgumentError] if it is no address
    # @example
    #   heap["0x7f1386ee2a78"]&.memsize # => 40
    def [](object)
      return (object if object.heap.equal?(self)) if object.is_a?(HeapObject)

      HeapObject.at(self, Native.find(self, Where.address(object)))
    end

    # @param object [String, Integer, HeapObject] an address, as `"0x7f1386ee2a78"`
    # @return [HeapObject] the object there
    # @raise [ObjectNotFound] if there is none
    # @raise [ArgumentError] if it is no address
    def find(object)
      self[object] || raise(ObjectNotFound, "the heap has no object at #{address_words(object)}")
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
      return "#<#{self.class} #{name.inspect}: closed>" if closed?

      numbers = [object_count, memsize].map { |number| number.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",") }
      "#<#{self.class} #{name.inspect}: #{numbers[0]} objects, #{numbers[1]} bytes#{", truncated" if truncated?}>"
    end
    alias to_s inspect

    private

    def address_words(object)
      case object
      when String then Where.text(object)
      when Integer then "0x#{object.to_s(16)}"
      else object.address
      end
    end

    # The document of a question of the list, with its options by name.
    def answer(question, where: nil, **options)
      words = options.to_h { |name, value| [name.to_s, [value.nil? ? "all" : value.to_s]] }
      Native.answer(self, question, words, Where.terms(where, self))
    end

    def paths_to_one(object, limit, rules, without)
      if without
        raise ArgumentError, "limit: cannot be given with without:: the shortest chain that is left is shown" if limit

        name = without.is_a?(HeapObject) ? without.address : without
        raise TypeError, "without: expected an object or a String, got #{without.inspect}" unless name.is_a?(String)

        return Paths.new(object, **Native.what_if(self, object.index, Where.text(name), rules))
      end
      limit = Where.limit(limit) || Where.options("path")[:paths]
      found = Native.paths(self, object.index, limit, rules)
      Paths.new(object, paths: found, document: found[:document])
    end

    def merged_paths(relation, what, limit)
      MergedPaths.new(self, Native.merged_paths(self, relation.query, what, limit))
    end

    # The conditions for people.
    def words(where)
      return Where.text(where) if where.is_a?(String)

      where.map { |name, value| "#{name}=#{Array(value).map { |one| one.is_a?(Regexp) ? one.inspect : one }.join("|")}" }.join(", ")
    end
  end
end

require_relative "heap_object" # whose class the extension made
