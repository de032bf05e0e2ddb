# frozen_string_literal: true

require "heap_inspector/relation"

module HeapInspector
  # Objects by the values of keys, to be counted or summed up. The answers are Hashes; the keys are values, Arrays of them where there are
  # several keys, as those of {Heap#groups}. Without {#order} the greatest value comes first. Lazy, chainable, frozen; an Enumerable of
  # pairs of key and count.
  #
  # @example
  #   heap.objects.group(:class).having(count: 100..).order(memsize: :desc).limit(5).sum(:memsize) # => {"String" => 1632960, ...}
  #   heap.objects.group(:gem).each { |gem, count| puts "#{gem}: #{count}" }
  class Grouping
    include Enumerable

    # What groups may be ordered by and held to: how many there are, and the sums of numbers.
    MEASURES = [:count, *Heap::NUMBERS].freeze

    private_constant :MEASURES

    # @api private
    def initialize(relation, keys, order: [], having: [], limit: nil)
      @relation = relation
      @keys = keys.map(&:to_s)
      @order = order
      @having = having
      @limit = limit
      Ractor.make_shareable(self)
    end

    # The groups in another order; of equal ones that with the greater value is the first.
    #
    # @param names [Array<Symbol>] what comes first decides, ascending: `:key`, `:count`, or one of {Heap::NUMBERS} for its sum
    # @param directions [Hash{Symbol => Symbol}] the same with `:asc` or `:desc`
    # @return [Grouping]
    # @raise [ArgumentError] if a name is unknown; it says which ones there are
    def order(*names, **directions)
      criteria = names.to_h { |name| [name, :asc] }.merge(directions).map do |name, direction|
        [Where.known(name, [:key, *MEASURES], "order:"), Where.known(direction, %i[asc desc], "order:") == :desc]
      end
      with(order: @order + criteria)
    end

    # Only the groups of which this is so.
    #
    # @param conditions [Hash{Symbol => Integer, Range}] `:count`, or one of {Heap::NUMBERS} for its sum
    # @return [Grouping]
    # @raise [ArgumentError] if a name is unknown; it says which ones there are
    # @example
    #   heap.strings.group(:location).having(count: 1000.., memsize: 100_000..).count
    def having(conditions)
      raise TypeError, "having: expected a Hash, got #{conditions.class}" unless conditions.is_a?(Hash)

      conditions = conditions.map do |name, wanted|
        name = Where.known(name, MEASURES, "having:")
        next [name, wanted] if wanted.is_a?(Numeric) || (wanted.is_a?(Range) && [wanted.begin, wanted.end].compact.all?(Numeric))

        raise ArgumentError, "having: #{name}: expected a number or a range, got #{wanted.inspect}"
      end
      with(having: @having + conditions)
    end

    # @param count [Integer, nil] how many groups at most; nil for all
    # @return [Grouping]
    def limit(count)
      with(limit: [@limit, Where.limit(count)].compact.min)
    end

    # @yieldparam key [Object] the value, or the values
    # @yieldparam count [Integer] how many objects
    # @return [self, Enumerator]
    def each(&)
      return enum_for(:each) { size } unless block_given?

      count.each(&)
      self
    end

    # @return [Hash{Object => Integer}] how many objects; with an argument or a block it is Enumerable's
    def count(*item, &block)
      item.empty? && block.nil? ? answer("index", "count") : super
    end

    # @return [Integer] how many groups
    def size
      count.size
    end
    alias length size

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
      ordered = with(order: [], limit: [@limit, Where.limit(limit)].compact.min)
      by.to_s == "count" ? ordered.count : ordered.sum(by)
    end

    # @return [String]
    def inspect
      "#<#{self.class} by #{@keys.join(", ")}; count, sum, average, minimum, maximum or top it>"
    end
    alias to_s inspect

    private

    def with(**changed)
      Grouping.new(@relation, @keys, **{ order: @order, having: @having, limit: @limit }, **changed)
    end

    # Sorting is stable since each value has its place in the answer.
    def answer(name, statistic)
      plain = @order.empty? && @having.empty?
      groups = measured(Where.known(name, Heap::NUMBERS, "of objects").to_s, statistic, plain ? @limit : nil)
      @relation.doubt(groups.empty? && @limit != 0)
      plain ? groups : chosen(groups)
    end

    def chosen(groups)
      sums = (@having + @order).to_h { |measure,| [measure, measure == :key ? nil : sums(measure)] }
      kept = groups.select { |key, _| @having.all? { |measure, wanted| wanted === sums[measure][key] } } # rubocop:disable Style/CaseEquality -- numbers and ranges
      kept = kept.each_with_index.sort { |one, other| compare(one, other, sums) }.map(&:first)
      (@limit ? kept.first(@limit) : kept).to_h.freeze
    end

    def sums(measure)
      measure == :count ? measured("index", "count") : measured(measure.to_s, "sum")
    end

    def compare(one, other, sums)
      (key, at), (another, place) = [one, other].map { |pair, index| [pair.first, index] }
      @order.each do |measure, descending|
        left, right = [key, another].map { |each| measure == :key ? Array(each).map { |part| rank(part) } : sums[measure][each] }
        order = left <=> right
        return descending ? -order : order unless order.zero?
      end
      at <=> place
    end

    # Values of all sorts in one order: those that are missing, flags, numbers, texts.
    def rank(value)
      case value
      when nil then [0, 0]
      when false, true then [1, value ? 1 : 0]
      when Numeric then [2, value]
      else [3, value.to_s]
      end
    end

    def measured(name, statistic, limit = nil)
      heap = @relation.heap
      query = @relation.query
      if statistic == "sum" && Relation::RETAINED.include?(name)
        Native.retained_by_group(heap, query, @keys, name, limit)
      else
        Native.measure_by_group(heap, query, @keys, name, statistic, limit)
      end
    end
  end
end
