# frozen_string_literal: true

require "heap_inspector/heap"

module HeapInspector
  # Objects of a heap that are asked for, as ActiveRecord asks a database: lazy, chainable, frozen. Nothing is looked up before an answer
  # is wanted; counts, sums, groups and orders are then worked out by the extension, without making objects.
  #
  # @example
  #   strings = heap.objects.where(type: :string, file: "app/**", generation: 30..)
  #   strings.count                                  # => 20412
  #   strings.sum(:memsize)                          # => 1632960
  #   strings.group(:location).sum(:memsize)         # => {"app/models/user.rb:12" => 1200000, ...}
  #   strings.order(memsize: :desc).first.value      # => "..."
  #   heap.objects.where(class: /Controller/).where.not(frozen: true).or(heap.hashes.where(length: 1000..)).pluck(:address, :memsize)
  class Relation
    include Enumerable

    # Rows that {#inspect} shows.
    SHOWN = 10

    # So many objects are made at a time.
    BATCH = 4096

    private_constant :SHOWN, :BATCH

    # @return [Heap] whose objects they are
    attr_reader :heap

    # @api private
    def initialize(heap, any = [Where::EVERYTHING], order = [], offset = 0, limit = nil)
      @heap = heap
      @any = any
      @order = order
      @offset = offset
      @limit = limit
      Ractor.make_shareable(self)
    end

    # @api private
    # @return [Relation] the objects of the numbers in a String
    def self.among(heap, packed)
      new(heap, [[[], [], nil, "", packed]])
    end

    # The objects that are so, too.
    #
    # @param conditions [Hash, String, nil] what {Heap} says of `where:`; and also, as numbers or ranges, `length`, `reference_count`,
    #   `retained_memsize`, `retained_count`, `address`, `index`, and `reachable: true`. A Regexp is held against the distinct values of
    #   its key. Without conditions `not` follows.
    # @return [Relation, WhereChain]
    # @raise [ArgumentError] if a name or value is unknown; it says which ones there are
    # @example
    #   heap.objects.where(class: ["User", "Order"], memsize: 100.., retained_memsize: 1_000_000..)
    #   heap.objects.where("class=String|Array,!frozen")
    #   heap.objects.where.not(gem: "stdlib", traced: false)
    def where(conditions = nil)
      conditions.nil? ? WhereChain.new(self) : and_clauses([Where.clause(conditions)])
    end

    # The objects of which nothing of this is so.
    #
    # @param conditions [Hash] see {#where}
    # @return [Relation]
    # @raise (see #where)
    def not(conditions)
      and_clauses([Where.clause(conditions, negated: true)])
    end

    # @param other [Relation] of the same heap
    # @return [Relation] the objects of either, in the order of the dump
    # @raise [ArgumentError] if they are of another heap
    def or(other)
      Relation.new(heap, clauses + same_heap(other).clauses, @limit || @offset.positive? ? [] : @order)
    end

    # @param other [Relation] of the same heap
    # @return [Relation] the objects of both
    # @raise [ArgumentError] if they are of another heap
    def and(other)
      and_clauses(same_heap(other).clauses)
    end

    # The objects in another order; of equal ones the first in the dump is the first.
    #
    # @param names [Array<Symbol>] what comes first decides: {Heap::NUMBERS} and {Heap::KEYS}, ascending, the objects without it first
    # @param directions [Hash{Symbol => Symbol}] the same with `:asc` or `:desc`
    # @return [Relation]
    # @raise [ArgumentError] if a name is unknown; it says which ones there are
    # @example
    #   heap.objects.order(memsize: :desc).first(10)
    #   heap.objects.order(:class, retained_memsize: :desc)
    def order(*names, **directions)
      criteria = names.to_h { |name| [name, :asc] }.merge(directions).map do |name, direction|
        direction = Where.known(direction, %i[asc desc], "order:")
        [Where.known(name, (Heap::NUMBERS + Heap::KEYS).uniq, "order:").to_s, direction == :desc]
      end
      windowed? ? Relation.new(heap, clauses, criteria) : Relation.new(heap, @any, @order + criteria)
    end

    # @return [Relation] the objects from the last to the first
    def reverse_order
      order = @order.empty? ? [["index", true]] : @order.map { |name, descending| [name, !descending] }
      windowed? ? Relation.new(heap, clauses, order) : Relation.new(heap, @any, order)
    end

    # @param count [Integer, nil] how many objects at most; nil for all
    # @return [Relation]
    def limit(count)
      count = Where.limit(count)
      Relation.new(heap, @any, @order, @offset, [@limit, count].compact.min)
    end

    # @param count [Integer] how many objects to leave out at the beginning
    # @return [Relation]
    def offset(count)
      raise ArgumentError, "offset is a number from 0, not #{count.inspect}" unless count.is_a?(Integer) && count >= 0

      Relation.new(heap, @any, @order, @offset + count, @limit && [@limit - count, 0].max)
    end

    # @param object [HeapObject, String, Integer] an object or its address
    # @return [Relation] the objects that would go with it, itself aside
    # @raise [ObjectNotFound] if the heap has none there
    def retained_by(object)
      holder = [heap.find(object).index].pack("L")
      and_clauses([[[], [], nil, holder, nil]])
    end

    # @yieldparam object [HeapObject]
    # @return [self, Enumerator]
    def each(&)
      return enum_for(:each) { size } unless block_given?

      packed = ids
      0.step(packed.bytesize - 1, BATCH * 4) do |from|
        Native.objects(heap, packed.byteslice(from, BATCH * 4)).each(&)
      end
      self
    end

    # @param count [Integer, nil]
    # @return [HeapObject, nil, Array<HeapObject>] the first object, nil if there is none; with a count so many at most
    def first(count = nil)
      count ? limit(count).to_a : limit(1).to_a.first
    end
    alias take first

    # @param count [Integer, nil]
    # @return [HeapObject, nil, Array<HeapObject>] the last object, nil if there is none; with a count so many at most
    def last(count = nil)
      kept = Where.limit(count || 1)
      objects = offset([size - kept, 0].max).to_a
      count ? objects : objects.last
    end

    # @param place [Integer] from 0; from the last one where it is negative
    # @return [HeapObject, nil] the object at that place, nil if there is none
    def [](place)
      place.negative? ? last(-place).then { |objects| objects.first if objects.size == -place } : offset(place).first
    end

    # @param count [Integer, nil]
    # @param random [Random]
    # @return [HeapObject, nil, Array<HeapObject>] an object at random, nil if there is none; with a count so many different ones at most
    def sample(count = nil, random: Random)
      found = Native.objects(heap, ids.unpack("L*").sample(count || 1, random: random).pack("L*"))
      count ? found : found.first
    end

    # @yield with an argument or a block it is Enumerable's
    # @return [Integer] how many objects
    def count(*item, &block)
      return super if block || !item.empty?

      measure("index")[0]
    end

    # @return [Integer] how many objects
    def size
      count
    end
    alias length size

    # @param name [Symbol, nil] one of {Heap::NUMBERS}; without it, it is Enumerable's
    # @return [Integer] what it comes to. Of `:retained_memsize` and `:retained_count` what the objects retain together, nothing counted
    #   twice: those that another of them retains are not added.
    # @example
    #   heap.instances_of("User").sum(:retained_memsize)
    def sum(name = nil, &block)
      return block ? super(name || 0, &block) : super(name || 0) unless name.is_a?(Symbol) || name.is_a?(String)

      name = number(name)
      return measure(name)[2] unless RETAINED.include?(name)

      Native.retained_by_group(heap, query, [], name, nil).values.first || 0
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Float, nil] the mean over the objects that have it; nil if none has
    def average(name)
      _, known, sum, = measure(number(name))
      sum.fdiv(known) if known.positive?
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Integer, nil] the least; nil if no object has it
    def minimum(name)
      measure(number(name))[3]
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Integer, nil] the greatest; nil if no object has it
    def maximum(name)
      measure(number(name))[4]
    end

    # Values without objects: as methods of {HeapObject} give them.
    #
    # @param names [Array<Symbol>] attributes of {HeapObject}: `:address`, `:memsize`, `:class_name`, `:location`, `:value`, ...
    # @return [Array] a value for each object, of several names an Array
    # @raise [ArgumentError] if a name is unknown; it says which ones there are
    # @example
    #   heap.strings.order(memsize: :desc).limit(5).pluck(:address, :value)
    def pluck(*names)
      raise ArgumentError, "pluck needs a name; there are #{PLUCKED.sort.join(", ")}" if names.empty?

      names = names.map { |name| Where.known(PLUCK_ALIASES.fetch(name.to_sym, name), PLUCKED, "pluck:") }
      packed = ids
      plain = names - %i[index value]
      columns = plain.zip(Native.pluck(heap, packed, plain.map(&:to_s))).to_h
      columns[:index] = packed.unpack("L*") if names.include?(:index)
      columns[:value] = Native.texts(heap, packed) if names.include?(:value)
      (names.size == 1 ? columns[names.first] : columns.values_at(*names).transpose.each(&:freeze)).freeze
    end

    # @param keys [Array<Symbol>] some of {Heap::KEYS}
    # @return [Grouping] what to count or sum by them
    # @raise [ArgumentError] if a key is unknown; it says which ones there are
    # @example
    #   heap.objects.group(:class).count              # => {"String" => 212000, "Array" => 90000, ...}
    #   heap.objects.group(:file, :line).sum(:memsize) # => {["app/a.rb", 3] => 4096, ...}
    def group(*keys)
      Grouping.new(self, Where.keys(keys.flatten))
    end

    # @param count [Integer]
    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Relation] the objects with the most bytes, or another number
    def top(count = 10, name = :memsize)
      order(name => :desc).limit(count)
    end

    # @param conditions [Hash, String, nil] see {#where}
    # @return [Boolean] whether there is such an object
    def exists?(conditions = nil)
      (conditions.nil? ? self : where(conditions)).count.positive?
    end

    # @return [Boolean] whether there is none
    def empty?
      !exists?
    end

    # @yield with a pattern or a block it is Enumerable's
    # @return [Boolean] whether there is any
    def any?(*pattern, &block)
      block || !pattern.empty? ? super : exists?
    end

    # @yield with a pattern or a block it is Enumerable's
    # @return [Boolean] whether there is none
    def none?(*pattern, &block)
      block || !pattern.empty? ? super : empty?
    end

    # @param object [Object]
    # @return [Boolean] whether the object is among these
    def include?(object)
      object.is_a?(HeapObject) && object.heap.equal?(heap) && Relation.new(heap, clauses).where(index: object.index).exists?
    end
    alias member? include?
    alias === include?

    # @param address [String, Integer, HeapObject] an address; with a block it is Enumerable's
    # @return [HeapObject] the object there
    # @raise [ObjectNotFound] if it is not among these
    def find(address = nil, &block)
      return super(&block) if block

      object = heap.find(address)
      return object if include?(object)

      raise ObjectNotFound, "the object at #{object.address} is not among these"
    end

    # @return [String] the first objects and what all come to, however many there are
    def inspect
      return "#<#{self.class} of a closed heap>" if heap.closed?

      count, _, bytes, = measure("memsize")
      rows = first(SHOWN).map { |object| "  #{object.inspect}" }
      rows << "  ... (#{grouped(count - SHOWN)} more)" if count > SHOWN
      ["#<#{self.class}: #{grouped(count)} objects, #{grouped(bytes)} bytes#{":" if count.positive?}", *rows].join("\n") << ">"
    end
    alias to_s inspect

    # Shows what {#inspect} says; IRB prints by this.
    #
    # @param printer [PP]
    # @return [void]
    def pretty_print(printer)
      inspect.split("\n").each_with_index do |line, at|
        printer.breakable("", 0) if at.positive?
        printer.text(line)
      end
    end

    # @api private
    # @return [Array] the query as the extension takes it
    def query
      clauses.map { |terms, *others| [Where.resolve(terms, heap), *others] }
    end

    # @api private
    # @return [String] the numbers of the objects
    def ids
      query = @any.map { |terms, *others| [Where.resolve(terms, heap), *others] }
      Native.ids(heap, query, @order, @offset, @limit && (@offset + @limit))
    end

    # @api private
    # @return [Array] clauses that these objects pass and no others
    def clauses
      windowed? ? [[[], [], nil, "", ids]] : @any
    end

    # The numbers that do not add up.
    # @api private
    RETAINED = %w[retained_memsize retained_count].freeze

    # What {#pluck} takes.
    PLUCKED = (Native::ATTRIBUTES + %i[index value]).freeze

    # Other words for it, as keys have them.
    PLUCK_ALIASES = { class: :class_name, klass: :class_name, method: :method_name }.freeze

    private_constant :PLUCKED, :PLUCK_ALIASES

    private

    def windowed?
      @offset.positive? || !@limit.nil?
    end

    def and_clauses(others)
      any = clauses.product(others).map { |one, other| both(one, other) }
      Relation.new(heap, any, @order)
    end

    def both(one, other)
      terms, bounds, reachable, retained_by, among = one
      none = !reachable.nil? && !other[2].nil? && reachable != other[2]
      among = [among, other[4]].compact.map { |packed| packed.unpack("L*") }.reduce(:&)&.pack("L*")
      [terms + other[0], bounds + other[1], reachable.nil? ? other[2] : reachable, retained_by + other[3], none ? "" : among]
    end

    def same_heap(other)
      raise TypeError, "a relation is needed, not #{other.class}" unless other.is_a?(Relation)
      return other if other.heap.equal?(heap)

      raise ArgumentError, "the objects are of another heap"
    end

    def number(name)
      Where.known(name, Heap::NUMBERS, "of objects").to_s
    end

    def measure(name)
      Native.measure(heap, query, name)
    end

    def grouped(number)
      number.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",")
    end
  end

  # What follows {Relation#where} without conditions.
  class WhereChain
    # @api private
    def initialize(relation)
      @relation = relation
      freeze
    end

    # @param conditions [Hash] see {Relation#where}
    # @return [Relation] the objects of which nothing of this is so
    # @raise (see Relation#where)
    def not(conditions)
      @relation.not(conditions)
    end
  end

  # Objects by the values of keys, to be counted or summed up. The answers are Hashes, the greatest first; the keys are values, Arrays
  # of them where there are several keys, as those of {Heap#groups}.
  class Grouping
    # @api private
    def initialize(relation, keys)
      @relation = relation
      @keys = keys.map(&:to_s)
      Ractor.make_shareable(self)
    end

    # @return [Hash{Object => Integer}] how many objects
    def count
      answer("index", "count")
    end
    alias size count

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Hash{Object => Integer}] what it comes to; see {Relation#sum}
    def sum(name)
      answer(name, "sum")
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Hash{Object => Float, nil}] the mean over the objects that have it
    def average(name)
      answer(name, "average")
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Hash{Object => Integer, nil}] the least
    def minimum(name)
      answer(name, "minimum")
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Hash{Object => Integer, nil}] the greatest
    def maximum(name)
      answer(name, "maximum")
    end

    # @param limit [Integer]
    # @param by [Symbol] `:count`, or one of {Heap::NUMBERS}
    # @return [Hash{Object => Integer}] the groups with the most
    def top(limit = 10, by = :memsize)
      limit = Where.limit(limit)
      by.to_sym == :count ? answer("index", "count", limit) : answer(by, "sum", limit)
    end

    # @return [String]
    def inspect
      "#<#{self.class} by #{@keys.join(", ")}; count, sum, average, minimum, maximum or top it>"
    end
    alias to_s inspect

    private

    def answer(name, statistic, limit = nil)
      name = Where.known(name, Heap::NUMBERS, "of objects").to_s
      heap = @relation.heap
      query = @relation.query
      if statistic == "sum" && Relation::RETAINED.include?(name)
        Native.retained_by_group(heap, query, @keys, name, limit)
      else
        Native.groups(heap, query, @keys, name, statistic, limit)
      end
    end
  end
end
