# frozen_string_literal: true

require "irb"

module HeapInspector
  # `heap_inspector console DUMP [DUMP...]`: IRB with the dumps loaded. IRB completes their methods and shows answers as they print.
  #
  # In another console {install} adds {Methods}; in Rails' the Railtie does.
  module Console
    # What `heap_help` says.
    HELP = <<~TEXT
      heap                  the dump; heaps holds all of them, in order
      heap.summary          what the dump is
      heap.groups(by: :class, limit: 10)
                            objects and bytes by class, location, gem, generation, ...
      heap.retained         what keeps memory alive
      heap.objects          all objects: .where(type: :string, memsize: 1024..).group(:location).sum(:memsize)
      heap.strings, hashes, arrays, classes, instances_of("User")
      heap["0x7f1386ee2a78"]
                            an object: .references, .referrers, .retained_memsize, .path_to_root, .value
      heap.paths_to(object), heap.paths_to_class("User"), heap.dominators, heap.show(object)
      heap.suspects         what looks like a leak; of several dumps diff.suspects
      diff                  how the dumps differ: diff.growth(by: :class), .new_objects, .gone, .retained_objects, .leaks
      heap.unreachable, heap.collections, heap.fragmentation, heap.duplicate_strings
      puts answer           the whole answer; answer.to_markdown, answer.to_json
    TEXT

    # What the words are.
    USAGE = <<~TEXT.freeze
      Load dumps and ask them in IRB

      Usage: heap_inspector console DUMP...

      #{HELP}
    TEXT

    # What IRB's `self` is.
    class Session
      # @return [Array<Heap>] the dumps, in order
      attr_reader :heaps

      # @api private
      def initialize(heaps)
        @heaps = heaps
      end

      # @return [Heap] the first dump
      def heap
        heaps.first
      end

      # @return [Diff] how the dumps differ
      # @raise [ArgumentError] if there is but one
      def diff
        @diff ||= HeapInspector.diff(*heaps)
      end

      # Says what to ask.
      #
      # @return [void]
      def heap_help
        puts HELP
      end

      # @return [String] the prompt's name
      def inspect
        "heap_inspector"
      end
      alias to_s inspect

      # @api private
      # @return [Binding]
      def context
        binding
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

      start(words.map { |path| HeapInspector.analyze(path, progress: true) })
      0
    rescue Error, SystemCallError => e
      warn(e.message.gsub(/[[:cntrl:]]/, "?").prepend("heap_inspector: "))
      1
    end

    # Starts IRB with loaded heaps, until it is left.
    #
    # @param heaps [Array<Heap>]
    # @return [void]
    def self.start(heaps)
      IRB.setup(nil, argv: [])
      heaps.each { |heap| puts heap.inspect }
      puts "heap_help says what to ask."
      IRB::Irb.new(IRB::WorkSpace.new(Session.new(heaps).context)).run(IRB.conf)
    end

    # What a console that is not ours has.
    module Methods
      # Loads a dump, or gives the one that was loaded last.
      #
      # @param path [String, nil] the dump's path
      # @return [Heap]
      # @raise (see HeapInspector.analyze)
      # @example
      #   heap("heap.json").object_count # => 562124
      #   heap.retained
      def heap(path = nil)
        @heap = HeapInspector.analyze(path, progress: true) if path
        @heap || raise(ArgumentError, 'no dump is loaded; heap("heap.json") loads one')
      end

      # Says what to ask.
      #
      # @return [void]
      def heap_help
        puts HELP
      end
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
