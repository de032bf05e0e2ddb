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

    # So many texts are read at a time: each reading goes through the dump.
    TEXT_BATCH = 1 << 18

    # What has a text.
    TEXTS = %i[string symbol float].freeze

    private_constant :SHOWN, :BATCH, :TEXT_BATCH, :TEXTS

    # @return [Heap] whose objects they are
    attr_reader :heap

    # @api private
    def initialize(heap, any = [Where::EVERYTHING], order = [], offset = 0, limit = nil, distinct: false)
      @heap = heap
      @any = any
      @order = order
      @offset = offset
      @limit = limit
      @distinct = distinct
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
    #   its key. `value` is the text of a string, symbol or float, to the letter, as a Regexp, or nil where the dump has none; it alone
    #   reads the dump, at once. Without conditions `not` follows.
    # @return [Relation, WhereChain]
    # @raise [ArgumentError] if a name or value is unknown; it says which ones there are. Of names of classes, gems and the like it is the
    #   answer that says so, where the heap has none that matches but one that is much alike; a Symbol or a Class may be missing.
    # @example
    #   heap.objects.where(class: ["User", "Order"], memsize: 100.., retained_memsize: 1_000_000..)
    #   heap.objects.where("class=String|Array,!frozen")
    #   heap.objects.where.not(gem: "stdlib", traced: false)
    #   heap.strings.where(value: /token/i)
    def where(conditions = nil, &block)
      Where.no_block(block, "where", "select { |object| ... }")
      return WhereChain.new(self) if conditions.nil?

      Where.split(conditions) { |others, values| texts(values, true, others.nil? ? self : and_clauses([Where.clause(others)])) }
    end

    # @param conditions [Hash, String] see {#where}
    # @return [HeapObject, nil] the first object that is so
    # @raise (see #where)
    # @example
    #   heap.objects.find_by(class: "Cache")&.show
    def find_by(conditions, &block)
      Where.no_block(block, "find_by", "find { |object| ... }")
      raise TypeError, "find_by takes conditions, not nil" if conditions.nil?

      where(conditions).first
    end

    # The objects of which nothing of this is so.
    #
    # @param conditions [Hash] see {#where}
    # @return [Relation]
    # @raise (see #where)
    def not(conditions, &block)
      Where.no_block(block, "not", "reject { |object| ... }")
      Where.split(conditions) do |others, values|
        texts(values, false, others.nil? ? self : and_clauses([Where.clause(others, negated: true)]))
      end
    end

    # @param other [Relation] of the same heap
    # @return [Relation] the objects of either, in the order of the dump
    # @raise [ArgumentError] if they are of another heap
    def or(other)
      again(clauses + same_heap(other).clauses, windowed? ? [] : @order)
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
      windowed? ? again(clauses, criteria) : again(@any, @order + criteria)
    end

    # @return [Relation] the objects from the last to the first
    def reverse_order
      order = @order.empty? ? [["index", true]] : @order.map { |name, descending| [name, !descending] }
      again(clauses, order)
    end

    # @param count [Integer, nil] how many objects at most; nil for all
    # @return [Relation]
    def limit(count)
      count = Where.limit(count)
      again(@any, @order, @offset, [@limit, count].compact.min)
    end

    # @param count [Integer] how many objects to leave out at the beginning
    # @return [Relation]
    def offset(count)
      unless count.is_a?(Integer) && count.between?(0, Where::NO_LIMIT)
        raise ArgumentError, "offset: expected a number, 0 or more, got #{count.inspect}"
      end

      again(@any, @order, [@offset + count, Where::NO_LIMIT].min, @limit && [@limit - count, 0].max)
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

      packed = numbers
      0.step(packed.bytesize - 1, BATCH * 4) do |from|
        Native.objects(heap, packed.byteslice(from, BATCH * 4)).each(&)
      end
      self
    end
    alias find_each each

    # @return [Array<String>] the objects' addresses, which {#find} takes
    def ids
      pluck(:address)
    end

    # Objects are each but once in a relation anyway; what {#pluck} and {#count} say of a property then counts each value once.
    #
    # @return [Relation]
    # @example
    #   heap.strings.distinct.pluck(:encoding) # => ["UTF-8", "US-ASCII", nil]
    #   heap.objects.distinct.count(:class)    # => 812
    def distinct
      Relation.new(heap, @any, @order, @offset, @limit, distinct: true)
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
      raise TypeError, "expected an index, got #{place.class}" unless place.is_a?(Integer)

      place.negative? ? last(-place).then { |objects| objects.first if objects.size == -place } : offset(place).first
    end

    # @param count [Integer, nil]
    # @param random [Random]
    # @return [HeapObject, nil, Array<HeapObject>] an object at random, nil if there is none; with a count so many different ones at most
    def sample(count = nil, random: Random)
      raise TypeError, "random: has `rand`, unlike #{random.inspect}" unless random.respond_to?(:rand)

      found = Native.objects(heap, numbers.unpack("L*").sample(Where.limit(count) || 1, random: random).pack("L*"))
      count ? found : found.first
    end

    # @param name [Symbol] what {#pluck} takes: how many objects have it, or after {#distinct} how many values there are
    # @yield with a block, or another argument, it is Enumerable's
    # @return [Integer] how many objects
    # @raise [ArgumentError] if a name is unknown; it says which ones there are
    def count(*name, &block)
      return super if block || name.size > 1 || name.first.is_a?(HeapObject)
      return measure("index")[:count] if name.empty?

      pluck(name.first).count { |value| !value.nil? }
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
      unless name.is_a?(Symbol) || name.is_a?(String)
        raise TypeError, "sum: expected a first value that can be added to, got #{name.inspect}" unless name.nil? || name.respond_to?(:+)

        return block ? super(name || 0, &block) : super(name || 0)
      end
      name = number(name)
      return measure(name)[:sum] unless RETAINED.include?(name)

      Native.retained_by_group(heap, query, [], name, nil).values.first || 0
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Float, nil] the mean over the objects that have it; nil if none has
    def average(name)
      known, sum = measure(number(name)).values_at(:known, :sum)
      sum.fdiv(known) if known.positive?
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Integer, nil] the least; nil if no object has it
    def minimum(name)
      measure(number(name))[:minimum]
    end

    # @param name [Symbol] one of {Heap::NUMBERS}
    # @return [Integer, nil] the greatest; nil if no object has it
    def maximum(name)
      measure(number(name))[:maximum]
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

      names = names.map { |name| Where.known(PLUCK_ALIASES.fetch(name.to_s, name), PLUCKED, "pluck:") }
      packed = numbers
      plain = names - %i[index value]
      columns = plain.zip(Native.pluck(heap, packed, plain.map(&:to_s))).to_h
      columns[:index] = packed.unpack("L*") if names.include?(:index)
      columns[:value] = Native.texts(heap, packed) if names.include?(:value)
      rows = names.size == 1 ? columns[names.first] : columns.values_at(*names).transpose.each(&:freeze)
      (@distinct ? rows.uniq : rows).freeze
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
      relation = conditions.nil? ? self : where(conditions)
      Native.measure(heap, relation.query, "index")[:count].positive?
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

      count, bytes = measure("memsize").values_at(:count, :sum)
      rows = shown.map { |line| "  #{line}" }
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
    # @return [Array] clauses that these objects pass and no others
    def clauses
      windowed? ? [[[], [], nil, "", numbers]] : @any
    end

    # Has an empty answer say what was misspelt.
    #
    # @api private
    # @param is_empty [Boolean]
    # @return [void]
    # @raise [ArgumentError]
    def doubt(is_empty)
      @any.each { |terms,| Where.doubt(terms, heap) } if is_empty
    end

    # The numbers that do not add up.
    # @api private
    RETAINED = %w[retained_memsize retained_count].freeze

    # What {#pluck} takes.
    PLUCKED = (Native::ATTRIBUTES + %i[index value]).freeze

    # Other words for it, as keys have them.
    PLUCK_ALIASES = { "class" => :class_name, "klass" => :class_name, "method" => :method_name }.freeze

    private_constant :PLUCKED, :PLUCK_ALIASES

    private

    # The numbers of the objects, packed as the extension takes them.
    def numbers
      query = @any.map { |terms, *others| [Where.resolve(terms, heap), *others] }
      numbers = Native.ids(heap, query, @order, @offset, @limit && (@offset + @limit))
      doubt(numbers.empty? && @limit != 0 && @offset.zero?)
      numbers
    end

    # The first objects as they print, their texts read together.
    def shown
      objects = first(SHOWN)
      texts = objects.size > 1 && objects.any? { |object| object.type == :string } ? limit(SHOWN).pluck(:value) : nil
      return objects.map(&:inspect) unless texts

      objects.zip(texts).map { |object, text| object.words((text if object.type == :string)) }
    rescue FormatError, SystemCallError
      objects.map { |object| object.words(nil) } # the file is gone
    end

    # The objects of a relation whose texts are, or are not, such. Texts are not in memory.
    def texts(wanted, positive, relation)
      return relation if wanted.nil?

      relation = relation.where(type: TEXTS) if positive && wanted.none?(&:nil?)
      packed = relation.send(:numbers)
      found = 0.step(packed.bytesize - 1, TEXT_BATCH * 4).flat_map do |from|
        batch = packed.byteslice(from, TEXT_BATCH * 4)
        Native.texts(heap, batch).zip(batch.unpack("L*")).filter_map do |text, number|
          number if wanted.any? { |value| value === text } == positive # rubocop:disable Style/CaseEquality -- text, Regexp or nil
        end
      end
      Relation.among(heap, found.sort.pack("L*")).then { |kept| again(kept.clauses, @order) }
    end

    def again(*parts)
      Relation.new(heap, *parts, distinct: @distinct)
    end

    def windowed?
      @offset.positive? || !@limit.nil?
    end

    def and_clauses(others)
      any = clauses.product(others).map { |one, other| both(one, other) }
      again(any, @order)
    end

    def both(one, other)
      terms, bounds, reachable, retained_by, among = one
      none = !reachable.nil? && !other[2].nil? && reachable != other[2]
      among = [among, other[4]].compact.map { |packed| packed.unpack("L*") }.reduce(:&)&.pack("L*")
      [terms + other[0], bounds + other[1], reachable.nil? ? other[2] : reachable, retained_by + other[3], none ? "" : among]
    end

    def same_heap(other)
      raise TypeError, "expected a relation, got #{other.class}" unless other.is_a?(Relation)
      return other if other.heap.equal?(heap)

      raise ArgumentError, "the objects are of another heap"
    end

    def number(name)
      Where.known(name, Heap::NUMBERS, "of objects").to_s
    end

    def measure(name)
      Native.measure(heap, query, name).tap { |found| doubt(found[:count].zero? && !windowed?) }
    end

    def grouped(number)
      Size.count(number)
    end
  end
end
