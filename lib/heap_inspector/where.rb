# frozen_string_literal: true

require "did_you_mean"

module HeapInspector
  # Turns what `where:`, `by:` and the like may be into the one plain form that the extension takes.
  #
  # @api private
  module Where
    # More rows than an answer has.
    NO_LIMIT = 1 << 62

    class << self
      # @param where [Hash, String, nil]
      # @return [Array] terms: a String in the words of the command line, or `[name, negated, values]`
      def terms(where)
        case where
        when nil then []
        when String then [where]
        when Hash then hash_terms(where, negated: false)
        else raise TypeError, "where: is a Hash or a String, not #{where.class}"
        end
      end

      # @param keys [Symbol, String, Array]
      # @return [Array<Symbol>]
      def keys(keys)
        names = Array(keys).flat_map { |key| key.to_s.split(",").map { |name| name.strip.to_sym } }
        raise ArgumentError, "by: needs a key; there are #{Heap::KEYS.join(", ")}" if names.empty?

        names.each { |name| known(name, Heap::KEYS, "by:") }
      end

      # @param limit [Integer, nil]
      # @return [Integer, nil]
      def limit(limit)
        return limit if limit.nil? || (limit.is_a?(Integer) && limit.between?(0, NO_LIMIT))

        raise ArgumentError, "limit: is a number of rows or nil, not #{limit.inspect}"
      end

      # @param threads [Integer, nil]
      # @return [Integer] 0 for one a core
      def threads(threads)
        return threads || 0 if threads.nil? || (threads.is_a?(Integer) && threads.positive?)

        raise ArgumentError, "threads: is a number from 1 or nil, not #{threads.inspect}"
      end

      # @param sort [Symbol, String]
      # @return [String]
      def sort(sort)
        known(sort.to_sym, %i[bytes count references], "sort:").to_s
      end

      private

      def hash_terms(where, negated:)
        where.flat_map do |name, value|
          next hash_terms(value, negated: true) if name.to_s == "not" && value.is_a?(Hash) && !negated

          name = known(name.to_sym, (Heap::KEYS + Heap::TRAITS + %i[memsize not]).uniq, "where:")
          values = value.is_a?(Array) ? value : [value]
          [[name.to_s, negated, values.map { |wanted| plain(name, wanted) }]]
        end
      end

      def plain(name, value)
        case value
        when nil, true, false, String then value
        when Symbol then name == :generation && value == :untraced ? nil : value
        when Integer then range(name, value..value)
        when Range then range(name, value)
        when Module then value.name&.to_sym || raise(ArgumentError, "where: #{name}: an anonymous class has no name")
        when ->(path) { path.respond_to?(:to_path) } then value.to_path.to_sym
        else raise ArgumentError, "where: #{name}: cannot be #{value.inspect}"
        end
      end

      def range(name, range)
        first = range.begin || 0
        last = range.end unless range.end == Float::INFINITY
        unless first.is_a?(Integer) && (last.nil? || last.is_a?(Integer))
          raise ArgumentError, "where: #{name}: a range of whole numbers, not #{range.inspect}"
        end

        last -= 1 if last && range.exclude_end?
        raise ArgumentError, "where: #{name}: the range #{range.inspect} is empty" if last && last < [first, 0].max

        [[first, 0].max, last]
      end

      def known(name, names, option)
        return name if names.include?(name)

        guess = DidYouMean::SpellChecker.new(dictionary: names).correct(name).first
        raise ArgumentError, "#{option} #{name.inspect} is unknown#{"; did you mean #{guess.inspect}" if guess}; " \
                             "there are #{names.sort.join(", ")}"
      end
    end
  end
end
