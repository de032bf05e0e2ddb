# frozen_string_literal: true

require "did_you_mean"
require "heap_inspector/heap"

module HeapInspector
  # Turns what `where:`, `by:` and the like may be into the one plain form that the extension takes.
  #
  # @api private
  module Where
    # More rows than an answer has.
    NO_LIMIT = 1 << 62

    # The greatest number of a dump.
    LARGEST = (1 << 64) - 1

    # More threads than help anybody.
    MOST_THREADS = 1024

    # The numbers that are no keys to group by.
    BOUND = (Heap::NUMBERS - Heap::KEYS - [:memsize]).freeze

    # What filters take.
    FILTERED = (Heap::KEYS + Heap::FLAGS + %i[memsize not]).uniq.freeze

    # What relations take.
    QUERIED = (FILTERED + BOUND + %i[reachable]).freeze

    # Other words for some of it, as HeapObject has them.
    ALIASES = { class_name: :class, klass: :class, method_name: :method }.freeze

    # The keys whose values are names that a person spells.
    SPELT = %w[class gem method encoding struct imemo].freeze

    # What is a pattern rather than a name.
    PATTERN = /[*?\[\]{}\\]/

    # The clause that all objects pass.
    EVERYTHING = Ractor.make_shareable([[], [], nil, "", nil])

    class << self
      # @param where [Hash, String, nil]
      # @param heap [Heap] which values a Regexp is held against
      # @return [Array] terms: a String in the words of the command line, or `[name, negated, values]`
      def terms(where, heap)
        case where
        when nil then []
        when String then [text(where)]
        when Hash
          terms = hash_terms(where, FILTERED, negated: false)
          doubt(terms, heap)
          resolve(terms, heap)
        else raise TypeError, "where: expected a Hash or a String, got #{where.class}"
        end
      end

      # Terms with each Regexp replaced by the values that it matches; each distinct value is looked at once.
      #
      # @param terms [Array]
      # @param heap [Heap]
      # @return [Array]
      def resolve(terms, heap)
        terms.map do |term|
          next term if term.is_a?(String) || term.last.none?(Regexp)

          name, negated, values = term
          patterns, others = values.partition { |value| value.is_a?(Regexp) }
          matching = Native.values(heap, name).filter_map do |value|
            value.to_sym if value.is_a?(String) && patterns.any? { |pattern| pattern.match?(value) }
          end
          [name, negated, others + matching]
        end
      end

      # A clause of a query: what `where` of a relation was given.
      #
      # @param where [Hash, String]
      # @param negated [Boolean] whether none of it may hold
      # @return [Array] terms, bounds, reachable, retained_by, among
      def clause(where, negated: false)
        case where
        when String
          raise ArgumentError, "not takes a Hash; in words it is !name or name!=value" if negated

          [[text(where)], [], nil, "", nil]
        when Hash then hash_clause(hash_terms(where, QUERIED, negated: negated))
        else raise TypeError, "where: expected a Hash or a String, got #{where.class}"
        end
      end

      # Takes `value` out of conditions: texts are not in memory.
      #
      # @param conditions [Hash, String]
      # @yieldparam others [Hash, String, nil] nil where there are none
      # @yieldparam values [Array, nil]
      # @return [Object] what the block returns
      def split(conditions)
        key = conditions.keys.find { |name| name.to_s == "value" } if conditions.is_a?(Hash)
        return yield(conditions, nil) unless key

        values = conditions[key].is_a?(Array) ? conditions[key] : [conditions[key]]
        wrong = values.find { |value| !(value.nil? || value.is_a?(String) || value.is_a?(Regexp)) }
        raise ArgumentError, "where: value: expected a String, a Regexp or nil, got #{wrong.inspect}" unless wrong.nil?

        others = conditions.except(key)
        yield(others.empty? ? nil : others, values)
      end

      # @param block [Proc, nil] what was given to a method that takes none, as Enumerable's do
      # @param name [String] the method's
      # @param instead [String] which one takes it
      # @return [void]
      # @raise [ArgumentError] if there is a block
      def no_block(block, name, instead)
        raise ArgumentError, "#{name} takes conditions and no block; #{instead} takes one" if block
      end

      # Has an answer that is empty say why: a value that the heap does not have, but one that is much alike.
      #
      # @param terms [Array]
      # @param heap [Heap]
      # @return [void]
      # @raise [ArgumentError]
      def doubt(terms, heap)
        terms.each do |term|
          name, negated, wanted = term
          next if term.is_a?(String) || negated || !SPELT.include?(name)

          words = wanted.grep(String).grep_v(PATTERN)
          next if words.empty?

          known = Native.values(heap, name).grep(String)
          words.each { |word| suggest(name, word, known) unless known.include?(word) }
        end
      end

      # @param name [Symbol, String]
      # @param names [Array<Symbol>]
      # @param option [String] whose name it is, for the message
      # @return [Symbol] the name, if it is one of `names`
      def known(name, names, option)
        unless name.is_a?(Symbol) || name.is_a?(String)
          raise ArgumentError, "#{option}: expected a name, got #{name.inspect}; there are #{names.sort.join(", ")}"
        end

        name = text(name.to_s).to_sym
        name = ALIASES.fetch(name, name) unless names.include?(name)
        return name if names.include?(name)

        guess = DidYouMean::SpellChecker.new(dictionary: names).correct(name).first
        raise ArgumentError, "#{option} #{name.inspect} is unknown#{"; did you mean #{guess.inspect}" if guess}; " \
                             "there are #{names.sort.join(", ")}"
      end

      # @param keys [Symbol, String, Array]
      # @param more [Array<Symbol>] what else is allowed
      # @return [Array<Symbol>]
      def keys(keys, more = [])
        keys = [keys] unless keys.is_a?(Array)
        wrong = keys.find { |key| !(key.is_a?(Symbol) || key.is_a?(String)) }
        raise ArgumentError, "by: expected a key or an Array of keys, got #{wrong.inspect}" unless wrong.nil?

        names = keys.flat_map { |key| text(key.to_s).split(",").map { |name| name.strip.to_sym } }
        raise ArgumentError, "by: needs a key; there are #{(Heap::KEYS + more).join(", ")}" if names.empty?

        names.map { |name| known(name, Heap::KEYS + more, "by:") }
      end

      # @param name [String, Module] a class's name
      # @return [String] it
      # @raise [TypeError] if it is neither
      def class_name(name)
        return name.name || raise(ArgumentError, "an anonymous class has no name") if name.is_a?(Module)
        return text(name.to_s) if name.is_a?(String) || name.is_a?(Symbol)

        raise TypeError, "expected a class or its name, got #{name.class}"
      end

      # What is said in a file or by lines.
      #
      # @param name [Symbol] of the argument
      # @param said [String, #to_path, Array<String>, nil]
      # @param what [String] what a line is one of
      # @return [String, Array<String>, nil] the path or the lines
      # @raise [TypeError] if it is neither
      def lines(name, said, what)
        return said && Input.path_of(said) unless said.is_a?(Array)
        return said.map { |line| text(line) } if said.all?(String)

        raise TypeError, "#{name}: expected a path or an Array of #{what}, got #{said.inspect}"
      end

      # @param question [String] one of {Questions::LIST}
      # @return [Hash{Symbol => Object}] its options with their defaults
      def options(question)
        Questions::LIST.find { |known| known[:name] == question }.fetch(:options)
      end

      # @param limit [Integer, nil]
      # @return [Integer, nil]
      def limit(limit)
        return limit if limit.nil? || (limit.is_a?(Integer) && limit.between?(0, NO_LIMIT))

        raise ArgumentError, "limit: expected a number of rows or nil, got #{limit.inspect}"
      end

      # @param threads [Integer, nil]
      # @return [Integer] 0 for one a core
      def threads(threads)
        return threads || 0 if threads.nil? || (threads.is_a?(Integer) && threads.between?(1, MOST_THREADS))

        raise ArgumentError, "threads: expected a number from 1 to #{MOST_THREADS} or nil, got #{threads.inspect}"
      end

      # @param app [String, Pathname, Array, nil] the folders of the app; of nil those that the environment names
      # @return [Array<String>]
      def folders(app)
        return ENV.fetch("HEAP_INSPECTOR_APP", "").split(":").map { |path| text(path) } if app.nil?

        (app.is_a?(Array) ? app : [app]).map do |path|
          path = path.to_path if path.respond_to?(:to_path)
          path.is_a?(String) ? text(path) : raise(TypeError, "app: expected a folder or an Array of folders, got #{path.inspect}")
        end
      end

      # @param sort [Symbol, String]
      # @return [String]
      def sort(sort)
        known(sort, %i[bytes count references], "sort:").to_s
      end

      # @param address [String, Integer]
      # @return [Integer]
      def address(address)
        case address
        when Integer
          return address if address.between?(0, LARGEST)

          raise ArgumentError, "#{address} is not an address"
        when String then number(address)
        else raise TypeError, "expected an address or an object of the heap, got #{address.class}"
        end
      end

      # The words of a filter in UTF-8, as the extension takes them.
      #
      # @param words [String]
      # @return [String]
      # @raise [ArgumentError] if they are no text
      def text(words)
        text = words.encoding == Encoding::BINARY ? words.dup.force_encoding(Encoding::UTF_8) : words.encode(Encoding::UTF_8)
        text.valid_encoding? ? text.freeze : raise(ArgumentError, "#{words.inspect} is not valid UTF-8")
      rescue EncodingError
        raise ArgumentError, "#{words.inspect} is not valid UTF-8"
      end

      private

      def suggest(name, word, known)
        like = known.select { |value| alike?(value, word) }.min_by { |value| DidYouMean::Levenshtein.distance(value, word) }
        raise ArgumentError, "where: no object has the #{name} #{word.inspect}; did you mean #{like.inspect}?" if like
      end

      # A letter or two are wrong, or the namespace or the version is missing.
      def alike?(value, word)
        return true if value.casecmp?(word) || value.end_with?("::#{word}") || value.start_with?("#{word} ")
        return false unless (value.size - word.size).abs <= 2

        DidYouMean::Levenshtein.distance(value, word) <= [word.size / 4, 2].min
      end

      def hash_terms(where, names, negated:)
        where.flat_map do |name, value|
          next hash_terms(value, names, negated: true) if name.to_s == "not" && value.is_a?(Hash) && !negated

          name = known(name, names, "where:")
          values = value.is_a?(Array) ? value : [value]
          [[name.to_s, negated, values.map { |wanted| plain(name, wanted) }]]
        end
      end

      def hash_clause(terms)
        bounds, terms = terms.partition { |name,| BOUND.include?(name.to_sym) }
        reachable, terms = terms.partition { |name,| name == "reachable" }
        bounds.each do |name, _, ranges|
          wrong = ranges.find { |range| !range.nil? && !range.is_a?(Array) }
          raise ArgumentError, "where: #{name}: expected a number or a range, got #{wrong.inspect}" unless wrong.nil?
        end
        [terms, bounds, flag(reachable), "", nil]
      end

      def flag(terms)
        flags = terms.flat_map do |_, negated, values|
          wrong = values.find { |value| ![true, false].include?(value) }
          raise ArgumentError, "where: reachable: expected true or false, got #{wrong.inspect}" unless wrong.nil? && values.size == 1

          [values.first ^ negated]
        end
        flags.first
      end

      def plain(name, value)
        case value
        when String then name == :address ? range(name, number(value)..number(value)) : text(value)
        when nil, true, false, Regexp then value
        when HeapObject then place(name, value)
        when Symbol then name == :generation && value == :untraced ? nil : text(value.to_s).to_sym
        when Integer then range(name, value..value)
        when Range then range(name, value)
        when Module then value.name&.to_sym || raise(ArgumentError, "where: #{name}: an anonymous class has no name")
        when ->(path) { path.respond_to?(:to_path) } then text(value.to_path).to_sym
        else raise ArgumentError, "where: #{name}: cannot be #{value.inspect}"
        end
      end

      def place(name, object)
        return [object.index, object.index] if name == :index
        return range(name, number(object.address)..number(object.address)) if name == :address

        raise ArgumentError, "where: #{name}: cannot be an object"
      end

      def number(address)
        Integer(text(address), 16).then { |number| number.between?(0, LARGEST) ? number : raise(ArgumentError) }
      rescue ArgumentError
        raise ArgumentError, "#{address.inspect} is not an address; write it as the dump does, as in \"0x7f1386ee2a78\""
      end

      def range(name, range)
        first = range.begin || 0
        last = range.end unless range.end == Float::INFINITY
        unless first.is_a?(Integer) && (last.nil? || last.is_a?(Integer))
          raise ArgumentError, "where: #{name}: expected a range of whole numbers, got #{range.inspect}"
        end

        last -= 1 if last && range.exclude_end?
        raise ArgumentError, "where: #{name}: the range #{range.inspect} is empty" if last && last < [first, 0].max

        [first.clamp(0, LARGEST), last && [last, LARGEST].min]
      end
    end
  end

  private_constant :Where
end
