# frozen_string_literal: true

module HeapInspector
  # A thread, fiber or ractor of the dumped process, and what it keeps alive.
  class HeapThread < Value
    # @!attribute [r] object
    #   @return [HeapObject] the thread, fiber or ractor; {HeapObject#location} is where it was made
    # @!attribute [r] kind
    #   @return [Symbol] `:thread`, `:fiber` or `:ractor`
    # @!attribute [r] name
    #   @return [String, nil] what the program called it; fibers have no names
    # @!attribute [r] code
    #   @return [String, nil] the block it was made with, as `block in run, app/worker.rb`
    # @!attribute [r] waits_in
    #   @return [String, nil] file and line of the innermost Ruby code that it runs or waits in; told by dumps that name references
    # @!attribute [r] memsize
    #   @return [Integer] its own bytes, which may hold its stack
    # @!attribute [r] retained_memsize
    #   @return [Integer] the bytes that would go with it, its own included
    # @!attribute [r] retained_count
    #   @return [Integer] how many objects would go with it, itself included
    # @!attribute [r] mostly
    #   @return [String, nil] what takes most of the bytes that it retains and no other below it does, as `104 × String`
    # @!attribute [r] mostly_memsize
    #   @return [Integer, nil] the bytes of that
    fields :object, :kind, :name, :code, :waits_in, :memsize, :retained_memsize, :retained_count, :mostly, :mostly_memsize
  end

  # The threads, fibers and ractors of a heap to which roots lead, those that retain most first. An answer of {Heap#threads}.
  #
  # @example
  #   heap.threads["worker one"].object.path_to_root
  #   heap.threads.select { |one| one.kind == :fiber }.sum(&:retained_memsize) # => 41280
  class Threads < Rows
    # @return [Hash{Symbol => Integer}] how many `:threads`, `:fibers` and `:ractors` there are, and how many `:unreachable` ones beside
    attr_reader :counts

    # @api private
    def initialize(heap, document)
      super()
      @document = document
      answer = to_h
      @counts = answer[:counts]
      @rows = answer.dig(:threads, :rows).map do |row|
        HeapThread.of(row, object: heap[row[:address]], kind: row[:kind].to_sym)
      end.freeze
      freeze
    end

    # @param name [String] what the program called it
    # @return [HeapThread, nil] the first one of that name
    def [](name)
      find { |one| one.name == name }
    end

    private

    attr_reader :rows

    def about
      counts.map { |kind, count| "#{grouped(count)} #{kind}" }.join(", ")
    end
  end
end
