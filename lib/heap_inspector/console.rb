# frozen_string_literal: true

require "irb"

module HeapInspector
  # `heap_inspector console DUMP [DUMP...]`: IRB with the dumps loaded, as local variables, whose methods IRB completes.
  #
  # In another console {install} adds {Methods}; in Rails' the Railtie does.
  module Console
    # What asks a question in Ruby, and what it is for: a line for each of {Questions::LIST}.
    QUESTIONS = Questions::LIST.map do |question|
      methods = question[:methods].grep(/\A(?:(?:Heap|Diff)#|HeapInspector\.)/)
      calls = methods.map { |name| name.delete_prefix("HeapInspector.").sub("#", ".").downcase }
      line = calls.join(", ")
      "#{line.size < 18 ? line.ljust(19) : "#{line}\n#{" " * 19}"}#{question[:about]}\n"
    end.join.freeze

    private_constant :QUESTIONS

    # What `heap_help` says.
    HELP = <<~TEXT.freeze
      heap               the dump; heaps are all of them, in order
      heap("a.json", "b.json")
                         loads others; diff is how several dumps differ

      #{QUESTIONS}
      heap.objects       all objects, to be asked as ActiveRecord is:
                         .where(type: :string, memsize: 1024..),
                         .order(memsize: :desc), .where(value: /token/),
                         .group(:location).sum(:memsize)
      heap.find_by(class: "User"), heap.strings, hashes, arrays, classes,
      heap.instances_of("User"), heap["0x7f1386ee2a78"]
                         objects: .show, .references, .referrers, .path_to_root,
                         .retained_memsize, .value
      diff               also: diff.gone, .new_objects, .retained_objects
      puts answer        the whole answer; answer.to_markdown, answer.to_json
    TEXT

    # What the words are.
    USAGE = <<~TEXT.freeze
      Load dumps and ask them in IRB

      Usage: heap_inspector console DUMP...

      #{HELP}
    TEXT

    # The dumps of a console, and the answers to its words.
    module Methods
      # Loads dumps, or gives the first of those that were loaded last.
      #
      # @param paths [Array<String>] the dumps' paths, the oldest first
      # @return [Heap] the first one
      # @raise (see HeapInspector.analyze)
      # @example
      #   heap("heap.json").object_count # => 562124
      #   heap.retained
      # @example
      #   heap("a.json", "b.json", "c.json")
      #   diff.suspects
      def heap(*paths)
        Console.load(paths) if paths.any?
        heaps.first
      end

      # @return [Array<Heap>] the dumps that were loaded last, in order
      # @raise [ArgumentError] if there are none
      def heaps
        raise ArgumentError, 'no dump is loaded; heap("heap.json") loads one' if Console.heaps.empty?

        Console.heaps
      end

      # @return [Diff] how the dumps that were loaded last differ
      # @raise [ArgumentError] if there are not several
      def diff
        raise ArgumentError, 'a diff needs several dumps; heap("a.json", "b.json", "c.json") loads them' if Console.heaps.size < 2

        Console.diff
      end

      # Says what to ask.
      #
      # @return [void]
      def heap_help
        puts HELP
      end
    end

    # What IRB's `self` is.
    class Session
      include Methods

      # @return [String] the prompt's name
      def inspect
        "heap_inspector"
      end
      alias to_s inspect

      # A place for code where the dumps are local variables: IRB completes these before it thinks of Kernel's methods.
      #
      # @api private
      # @return [Binding]
      def workspace
        binding.tap { |place| Console.fill(place) }
      end
    end

    @heaps = []

    class << self
      # @api private
      # @return [Array<Heap>] what was loaded last
      attr_reader :heaps

      # @api private
      # @param paths [Array<String>]
      # @return [Array<Heap>]
      def load(paths)
        @heaps = paths.flatten.map { |path| HeapInspector.analyze(path, progress: true) }.freeze
        @diff = nil
        place = IRB.CurrentContext&.workspace&.binding
        fill(place) if place
        @heaps
      end

      # @api private
      # @return [Diff]
      def diff
        @diff ||= HeapInspector.diff(*@heaps)
      end

      # Sets the local variables of a console, beside the methods of their names: IRB knows what a variable answers to.
      #
      # @api private
      # @param place [Binding]
      # @return [void]
      def fill(place)
        place.local_variable_set(:heap, @heaps.first)
        place.local_variable_set(:heaps, @heaps)
        # With one dump the method of that name says what is missing; a variable of before must not stay.
        several = @heaps.size > 1
        place.local_variable_set(:diff, (diff if several)) if several || place.local_variable_defined?(:diff)
      end
    end

    # Loads the dumps and starts IRB, until it is left.
    #
    # @param words [Array<String>] the dumps' paths
    # @return [Integer] the exit code: 0, 1 (a dump is to blame), 2 (the words are)
    def self.run(words)
      if words.empty? || !(words & %w[-h --help]).empty?
        words.empty? ? warn(USAGE) : puts(USAGE)
        return words.empty? ? 2 : 0
      end

      start(load(words))
      0
    rescue Error, SystemCallError => e
      warn("heap_inspector: #{Escape.terminal(e.message)}")
      1
    end

    # Starts IRB with loaded heaps, until it is left.
    #
    # @param heaps [Array<Heap>]
    # @return [void]
    def self.start(heaps)
      @heaps = heaps
      @diff = nil
      IRB.setup(nil, argv: [])
      heaps.each { |heap| puts heap.inspect }
      puts "heap_help says what to ask."
      IRB::Irb.new(IRB::WorkSpace.new(Session.new.workspace)).run(IRB.conf)
    end

    # Adds {Methods} to the console that is about to start: as IRB's own helper method and command from IRB 1.13 on, else to its `self`.
    #
    # @return [void]
    def self.install
      return TOPLEVEL_BINDING.receiver.extend(Methods) unless defined?(IRB::HelperMethod) && IRB::Command.respond_to?(:register)

      require "heap_inspector/irb_commands"
    end
  end
end
