# frozen_string_literal: true

require "json"

module HeapInspector
  # An object of a dump. It is a heap and a number, no copy: a million of them are cheap, and each keeps its heap alive. Frozen.
  #
  # What the dump does not say is nil: the file of an object that was not traced, the slot size before Ruby 3.2, ... What the reference
  # graph tells ({#retained_memsize}, {#reachable?}, {#referrers}, {#dominator}, {#path_to_root}, ...) is worked out for the whole heap
  # when it is first asked for, which takes a second for a gigabyte of dump. {#value} and {#attributes} read the dump.
  #
  # @example
  #   object = heap["0x7f1386ee2a78"]
  #   object.class_name                                   # => "Order"
  #   object.retained_memsize                             # => 1204512
  #   object.referrers.map { |by| [by.object.class_name, by.edge] } # => [["Hash", "value"]]
  #   puts object.path_to_root
  # @example
  #   case object
  #   in {type: :string, memsize: 1000..} then object.value
  #   end
  class HeapObject
    private_class_method :new

    class << self
      # @api private
      # @return [HeapObject, nil] the object of a number; nil for nil
      def at(heap, index)
        Native.object(heap, index) unless index.nil?
      end
    end

    # @!method heap
    #   @return [Heap] the heap it is in

    # @!method index
    #   @return [Integer] its place among the objects of the dump, from 0

    # @!method address
    #   @return [String] its address, as `"0x7f1386ee2a78"`

    # @!method type
    #   @return [Symbol] Ruby's internal type: `:string`, `:hash`, `:object`, `:imemo`, ...

    # @!method class_name
    #   @return [String] the name of its class, singleton classes passed over; `"(IMEMO iseq)"` and the like for Ruby's own objects

    # @!method memsize
    #   @return [Integer] its bytes, slot included

    # @!method retained_memsize
    #   @return [Integer] the bytes that would go with it, its own included; 0 if it is not reachable

    # @!method retained_count
    #   @return [Integer] how many objects would go with it, itself included; 0 if it is not reachable

    # @!method reference_count
    #   @return [Integer] how many references it holds, that to its class not counted

    # @!method slot_size
    #   @return [Integer, nil] the bytes of its slot; nil before Ruby 3.2

    # @!method length
    #   @return [Integer, nil] elements of an array, entries of a hash, bytes of a string or symbol, instance variables of an object

    # @!method bytesize
    #   @return [Integer, nil] the bytes of the text of a string or symbol

    # @!method generation
    #   @return [Integer, nil] how many garbage collections there had been when it was allocated; nil for untraced objects

    # @!method file
    #   @return [String, nil] the file whose code allocated it

    # @!method line
    #   @return [Integer, nil] the line of that file

    # @!method location
    #   @return [String, nil] file and line, as `"app/models/user.rb:12"`

    # @!method method_name
    #   @return [String, nil] the method that allocated it

    # @!method gem
    #   @return [String, nil] the gem and version that allocated it, `"app"`, `"stdlib"` or `"ruby"`

    # @!method app_location
    #   @return [String, nil] file and line of the nearest frame of the app in its {#stack}; without a stack {#location}, where that is
    #     the app's

    # @!method directory
    #   @return [String, nil] the directory of {#file}

    # @!method encoding
    #   @return [String, nil] the encoding of a string

    # @!method struct
    #   @return [String, nil] the C type of a DATA

    # @!method imemo
    #   @return [String, nil] the sort of an IMEMO

    # @!method shape
    #   @return [Integer, nil] the number of its shape

    # @!method frozen?
    #   @return [Boolean] whether it was frozen in the process that was dumped; the HeapObject always is

    # @!method old?
    #   @return [Boolean] whether it outlived several garbage collections

    # @!method embedded?
    #   @return [Boolean] whether its content is in its slot

    # @!method shared?
    #   @return [Boolean] whether it shares its content with another

    # @!method fstring?
    #   @return [Boolean] whether it is an interned string

    # @!method broken?
    #   @return [Boolean] whether it is a string that is invalid in its encoding

    # @!method singleton?
    #   @return [Boolean] whether it is a singleton class (from Ruby 3.1)

    # @!method wb_protected?
    #   @return [Boolean] whether it has write barriers

    # @!method marked?
    #   @return [Boolean] whether the last garbage collection marked it

    # @!method traced?
    #   @return [Boolean] whether its allocation was traced

    # @!method reachable?
    #   @return [Boolean] whether references lead to it from a root; if not it is garbage not yet collected, or held weakly

    # @return [HeapObject, nil] the class of the object, its singleton class where it has one; nil where the dump does not say
    def klass
      HeapObject.at(heap, Native.class_of(heap, index))
    end

    # @return [String, nil] the name of a class or module itself, as `"User"`, `"#<Class:User>"`; nil for other objects
    def name
      Native.class_name(heap, index) if %i[class module iclass].include?(type)
    end

    # The stack that allocated it, where heap_inspector's own tracer took it.
    #
    # @return [Array<StackFrame>] the innermost frame first; empty where it is not known
    # @example
    #   object.stack.find(&:app?).to_s # => "/srv/app/models/feed.rb:31 in load_feed"
    def stack
      Native.stack(heap, index).map { |frame| StackFrame.of(frame, app: frame[:is_app]) }.freeze
    end

    # @return [HeapObject, nil] the superclass of a class (from Ruby 3.1)
    def superclass
      HeapObject.at(heap, Native.superclass(heap, index))
    end

    # @return [Relation] the objects whose class this is, none for what is no class; not those of subclasses
    def instances
      Relation.among(heap, Native.instances(heap, index))
    end

    # The text of a string, symbol or float as the dump has it, from the dump file. To read many use {Relation#pluck}.
    #
    # @return [String, nil] nil where the dump has none: other types, strings that are not ASCII or share another's text
    # @raise [SystemCallError, FormatError] if the file was changed since
    def value
      Native.texts(heap, [index].pack("L")).first
    end

    # @return [Hash{String => Object}] the dump's own line, whole, whatever keys it has, from the dump file; invalid UTF-8 is replaced
    # @raise [SystemCallError, FormatError] if the file was changed since
    def attributes
      JSON.parse(Native.line(heap, index), freeze: true)
    rescue JSON::ParserError => e
      raise FormatError, "the line of #{address} is not JSON: #{e.message}"
    end

    # @return [Array<Reference>] what it refers to, in order, repeated ones too, its class last
    def references
      Reference.list(Native.references(heap, index))
    end

    # What it holds by a name, as the code of the app would ask for it:
    #
    # - an instance variable (`:@session`, `:@@count`), a constant or else a method of a class or module (`:LISTENERS`), a member of a
    #   Struct or Data (`:left`), a local variable that a Proc or Binding sees (`:request`), and its `:self`, what a Method is bound to
    #   (`:receiver`), a variable of a Thread's fiber (`:request`) and the Thread's `:name`;
    # - an element of an Array by its index, from the end where that is negative;
    # - the value under a key of a Hash: a Symbol, a String, a number, nil, true, false, or a {HeapObject}, which is the key itself.
    #
    # Names are read from the dump, all of them where heap_inspector's own dumper took it. In a dump of Ruby's those count that it proves.
    #
    # @param name [Symbol, String, Integer, Float, HeapObject, true, false, nil] a String is a Symbol, but for a Hash, where it is a key
    # @return [HeapObject, nil] nil where nothing is held by that name, or what is no object of a dump: nil, true, false, most numbers and
    #   Symbols; and where the dump lacks the object
    # @raise [NameUnknown] where the dump does not name all that the object holds, and none of those that it names is meant
    # @raise [TypeError] for what can be no name of such an object
    # @raise [SystemCallError, FormatError] if the file was changed since
    # @example
    #   heap.instances_of("Request").first[:@session] # => #<HeapInspector::HeapObject 0x7f1386ee2a78 Session, 40 bytes>
    #   catalog = heap.classes.find { |found| found.name == "Catalog" }
    #   catalog[:LISTENERS][150][:request]            # what a block in that list sees
    def [](name)
      Held.new(self).find(name)
    end

    # @return [Array<Reference>] the objects that refer to it, each but once
    def referrers
      Reference.list(Native.referrers(heap, index))
    end

    # @return [HeapObject, nil] the nearest object without which this one would not be held; nil where only the roots together hold it
    #   or nothing does
    def dominator
      HeapObject.at(heap, Native.dominator(heap, index))
    end

    # @return [Relation] the objects whose {#dominator} this is
    def dominated
      Relation.among(heap, Native.dominated(heap, index))
    end

    # @return [Relation] all objects that would go with this one, itself aside
    def retained
      heap.objects.retained_by(self)
    end

    # @return [Array<Step>, nil] why it is alive: a short chain of references, from what a root refers to down to this object; nil if it
    #   is not {#reachable?}
    def path_to_root
      Native.shortest_path(heap, index)&.then { |steps| Step.chain(steps) }
    end

    # @return [String] the object in a few words: `"Hash, 20,000 entries"`, `"class User"`
    def label
      Native.label(heap, index)
    end

    # All of it: fields, references, referrers, what it retains, why it is alive.
    #
    # @param limit [Integer, nil] rows of each table
    # @return [Details]
    # @example
    #   puts heap.find_by(class: "Cache").show
    def show(limit: 20)
      heap.show(self, limit: limit)
    end

    # @return [Hash{Symbol => Object}] what the dump tells of it, but for its text and references; `nil` is left out
    def to_h
      values = NAMES.map { |name| [name, read(name)] }
      { index: index, **values.to_h.compact }.freeze
    end

    # @return [String] an object with what {#to_h} says
    def to_json(...)
      to_h.to_json(...)
    end

    # @param names [Array<Symbol>, nil] what a pattern asks for: any of {#to_h}, and `value`, `retained_memsize`, `retained_count`,
    #   `reachable`, `klass`, `name`
    # @return [Hash{Symbol => Object}]
    def deconstruct_keys(names)
      names = names ? names & ASKED : NAMES
      names.to_h { |name| [name, read(name)] }.freeze
    end

    # @!method ==(other)
    #   @param other [Object]
    #   @return [Boolean] whether `other` is the same object of the same heap

    # @!method eql?(other)
    #   @param other [Object]
    #   @return [Boolean] the same

    # @!method hash
    #   @return [Integer]

    # @return [HeapObject] itself, since it never changes
    def dup
      self
    end

    # @param freeze [Boolean, nil] it stays frozen
    # @return [HeapObject] itself
    # @raise [ArgumentError] for `freeze: false`
    def clone(freeze: nil)
      raise ArgumentError, "can't unfreeze #{self.class}" if freeze == false

      self
    end

    # @param other [Object]
    # @return [Integer, nil] how it stands to another of its heap in the order of the dump, which is that of addresses but for a few pages
    def <=>(other)
      index <=> other.index if other.is_a?(HeapObject) && other.heap.equal?(heap)
    end

    # @return [String] a line about the object, with the beginning of a string's text where that is quickly read; control characters of
    #   the dump are escaped
    def inspect
      return "#<#{self.class} #{index} of a closed heap>" if heap.closed?

      words(text)
    end
    alias to_s inspect

    # @api private
    # @param text [String, nil] a string's
    # @return [String] what {#inspect} says
    def words(text)
      text = " #{text.size > SHOWN ? "#{text[0, SHOWN]}...".inspect : text.inspect}" if text
      Native.escape("#<#{self.class} #{address} #{label}#{text}, #{memsize} bytes#{", #{location}" if location}" \
                    "#{", generation #{generation}" if generation}>")
    end

    # Shows the object's attributes, one a line; IRB prints by this.
    #
    # @param printer [PP]
    # @return [void]
    def pretty_print(printer)
      printer.text(inspect)
      return if heap.closed?

      to_h.except(:index, :address).each do |name, value|
        next if value == false

        printer.breakable("", 0)
        printer.text(Native.escape("  #{name}: #{value.inspect}"))
      end
    end

    # Yes or no; the method has a question mark.
    FLAGS = %i[frozen old embedded shared fstring broken singleton wb_protected marked traced reachable].freeze

    # What {#to_h} tells.
    NAMES = (Native::ATTRIBUTES - %i[retained_memsize retained_count reachable]).freeze

    # What patterns may ask for.
    ASKED = (Native::ATTRIBUTES + %i[index value klass name label]).freeze

    # Letters of a string's text that {#inspect} shows.
    SHOWN = 40

    # Objects of a dump that is compressed and yet read again for one text: some 0.1 s.
    QUICK = 200_000

    private_constant :FLAGS, :NAMES, :ASKED, :SHOWN, :QUICK

    private

    # A string's text, nil where it takes long to read or the file is gone. A compressed dump is read from its start.
    def text
      return unless type == :string
      return unless heap.object_count <= QUICK || (heap.path && File.binread(heap.path, 1) == "{")

      value
    rescue Error, SystemCallError
      nil
    end

    def read(name)
      public_send(FLAGS.include?(name) ? :"#{name}?" : name)
    end
  end
end
