# frozen_string_literal: true

module HeapInspector
  # Finds what an object holds by a name; see {HeapObject#[]}. A dump by our own dumper has the names in the object's line, which is read
  # whole here however many there are; in others what is certain of what can be worked out counts.
  #
  # @api private
  class Held
    # Bytes of a key that a dump tells.
    SHOWN = 60
    # What a dump says of what it does not name.
    NAMELESS = ["", "element", "shared elements", "key or value", "value", "member", "instance variable", "instance variables", "variable",
                "variables", "instance variable or its own", "constant or variable", "constant or class", "self or block", "closure",
                "local variables", "local variable or self"].freeze
    # What objects hold their names by in words, which other objects' words are not.
    WORDS = %w[self receiver name].freeze
    # How names begin that are no variable's or constant's.
    MARKS = %w{( [ # .}.freeze
    # A closure in so many others is none.
    DEEPEST = 1000

    private_constant :SHOWN, :NAMELESS, :WORDS, :MARKS, :DEEPEST

    # @param object [HeapObject]
    def initialize(object)
      @object = object
      @heap = object.heap
    end

    # @param key [Object]
    # @return [HeapObject, nil]
    def find(key)
      check(key)
      line = @object.attributes
      @targets = line["references"] || []
      @names = line["names"]
      return element(key) if @object.type == :array && key.is_a?(Integer)
      return in_scope(text(key)) if closure?(@object) && !text(key).start_with?("@")

      @names ? named(key) : worked_out(key)
    end

    private

    def check(key)
      kinds = [Symbol, String]
      kinds << Integer if %i[array hash].include?(@object.type)
      kinds.push(Float, HeapObject, NilClass, TrueClass, FalseClass) if @object.type == :hash
      unless kinds.any? { |kind| key.is_a?(kind) }
        raise TypeError, "#{Escape.terminal(@object.label)} holds nothing by #{key.class}; expected one of #{kinds.join(", ")}"
      end
      raise ArgumentError, "the key is an object of another heap" if key.is_a?(HeapObject) && !key.heap.equal?(@heap)
    end

    # As dumps write it.
    def text(key) = key.to_s.b.force_encoding(Encoding::UTF_8)

    def at(place) = place && @targets[place] && @heap[@targets[place]]

    def nameless!
      raise NameUnknown, "the dump does not say by what #{Escape.terminal(@object.label)} #{@object.address} holds all that it holds; " \
                         "one that HeapInspector.dump takes does"
    end

    def element(place)
      length = @object.length || @targets.size
      place += length if place.negative?
      return unless (0...length).cover?(place)
      return at(@names.index("[#{place}]")) if @names
      return at(place) if @targets.size == length && !@object.shared?
      return if @targets.empty?

      # One that shares all elements of another has them in its order.
      whole = @heap[@targets.first] if @object.shared? && @targets.one?
      return whole[place] if whole&.type == :array && whole.length == length && !whole.shared?

      nameless!
    end

    def named(key)
      return entry(key) if @object.type == :hash

      name = text(key)
      # A thread's stand apart in a dump.
      variable = by_edge("[:#{name}]") if @object.type == :data && @object.struct == "VM/thread"
      variable || at(spellings(name).filter_map { |spelling| @names.index(spelling) }.first)
    end

    # How dumps write the name of what such an object holds.
    def spellings(name)
      return [name] if name.start_with?("@")
      return [] unless variable?(name)

      case @object.type
      when :class, :module, :iclass then [name, "##{name}"]
      when :struct then [".#{name}"]
      when :data then WORDS.include?(name) ? ["(#{name})"] : []
      else []
      end
    end

    def by_edge(edge)
      @object.references.find { |reference| reference.edge == edge }&.object
    end

    def entry(key)
      return under_object(key) if key.is_a?(HeapObject)
      return under_text(text(key)) if key.is_a?(String)
      return at(@names.index { |name| float(name) == key }) if key.is_a?(Float)

      name = key.is_a?(Symbol) ? ":#{cut(text(key))}" : key.inspect
      at(@names.index("[#{name}]") || (@names.index(text(key)) if key.is_a?(Symbol)))
    end

    # As many bytes of a text as dumps tell.
    def cut(text)
      return text if text.bytesize <= SHOWN

      "#{text.byteslice(0, SHOWN).scrub("")}…"
    end

    # Infinite and undefined ones are written otherwise.
    def float(name)
      Float(name[1..-2]) if name.is_a?(String) && name.match?(/\A\[-?\d[\d.e+-]*[.e][\d.e+-]*\]\z/)
    rescue ArgumentError
      nil
    end

    # The value behind a key that is an object.
    def under_object(key)
      place = @targets.each_index.find { |at| @names[at] == "(key)" && @targets[at] == key.address }
      at(place + 1) if place && value?(place + 1)
    end

    def value?(place)
      name = @names[place]
      name.is_a?(String) && (name == "(value)" || name.start_with?("["))
    end

    # Each key that may be the text is looked at: of long ones the dump tells the beginning, of others in a redacted dump nothing.
    def under_text(text)
      name = "[\"#{cut(text)}\"]"
      doubtful = false
      @names.each_with_index do |told, place|
        next unless told == name || (told == "(value)" && place.positive? && @names[place - 1] == "(key)")

        string = place.positive? ? at(place - 1) : nil
        next unless string&.type == :string && [nil, text.bytesize].include?(string.bytesize)
        return at(place) if told == name && text.bytesize <= SHOWN

        value = string.value if told == name
        return at(place) if value == text

        doubtful ||= value.nil?
      end
      nameless! if doubtful
    end

    def closure?(object)
      (object.type == :data && %w[proc binding].include?(object.struct)) || (object.type == :imemo && object.imemo == "env")
    end

    # A local variable, in the innermost scope that has it.
    def in_scope(name)
      return nameless! unless @names || @targets.empty?
      return at(@names&.index("(self)")) if name == "self"

      scope = @object.imemo == "env" ? @object : behind("(local variables)", @object, @object.attributes)
      DEEPEST.times do
        line = scope&.attributes or return
        place = (line["names"] || nameless!).index(name) if variable?(name)
        return @heap[line["references"][place]] if place

        scope = behind("(outer scope)", scope, line)
      end
      nil
    end

    # Not what a dump has as words, nor another's entry or method.
    def variable?(name)
      !name.empty? && !MARKS.include?(name[0])
    end

    # What stands behind a word in a line; a scope stands among its own outer ones.
    def behind(word, object, line)
      address = (line["names"] || []).zip(line["references"] || []).find { |name, to| name == word && to != object.address }&.last
      address && @heap[address]
    end

    # By what other dumps than ours tell.
    def worked_out(key)
      references = @object.references
      fields = references.find { |reference| reference.object&.imemo == "fields" }
      references += fields.object.references if fields
      name = text(key)
      edges = case key
              when HeapObject then return worked_out_under(key, references)
              when String, Symbol then edges_of(name, key)
              else ["[#{key.inspect}]"]
              end
      found = references.find { |reference| reference.certain? && edges.include?(reference.edge) }
      return found.object if found

      nameless! if references.any? { |reference| !reference.equal?(fields) && nameless?(reference) }
    end

    def edges_of(name, key)
      return ["[#{key.is_a?(String) ? name.inspect : ":#{name}"}]", *(name if name.start_with?("@"))] if @object.type == :hash

      [*(name if name.start_with?("@")), "::#{name}", "##{name}", ".#{name}", "[:#{name}]"]
    end

    def worked_out_under(key, references)
      place = references.index { |reference| reference.edge == "key" && reference.object == key }
      value = references[place + 1] if place
      return value.object if value && value.edge != "key"

      nameless! if place.nil? && references.any? { |reference| nameless?(reference) && reference.edge != "value" }
    end

    def nameless?(reference)
      !reference.certain? || reference.edge.nil? || NAMELESS.include?(reference.edge)
    end
  end

  private_constant :Held
end
