# frozen_string_literal: true

module HeapInspector
  # The heap pages of one slot size.
  class PageUse < Value
    # @!attribute [r] slot_size
    #   @return [Integer] bytes of a slot
    # @!attribute [r] pages
    #   @return [Integer] how many pages hold at least one object
    # @!attribute [r] live
    #   @return [Integer] how many objects live in them
    # @!attribute [r] slots
    #   @return [Integer] how many slots they have
    fields :slot_size, :pages, :live, :slots

    # @return [Float] the part of the slots that is in use, from 0.0 to 1.0
    def live_share
      slots.zero? ? 0.0 : live.fdiv(slots)
    end
  end

  # What a dump is, at a glance: the kinds of objects, what was traced, how full the pages are, which Ruby wrote it, what was lost.
  # An answer of {Heap#summary}. Enumerates its facts as pairs of name and value.
  class Summary < Facts
    # The facts, in order.
    FACTS = %i[object_count memsize references traced untraced tracer types classes pages roots shapes free_slots zombies
               ruby_series lines lost_lines repaired_lines truncated].freeze

    # @return [Integer] how many objects live
    attr_reader :object_count

    # @return [Integer] their bytes
    attr_reader :memsize

    # @return [Integer] how many references they hold, own classes not counted
    attr_reader :references

    # @return [Total] the objects whose allocation was traced; its `references` are nil, as those of the next two
    attr_reader :traced

    # @return [Total] the objects whose allocation was not, the tracer's own store aside
    attr_reader :untraced

    # @return [Total] the allocation tracer's own store, which goes when tracing ends and is not the app's
    attr_reader :tracer

    # @return [Groups] objects by internal type
    attr_reader :types

    # @return [Groups] objects by class, as many as the limit allows
    attr_reader :classes

    # @return [Array<PageUse>, nil] heap pages by slot size, smallest first; nil where the addresses are no heap's
    attr_reader :pages

    # @return [Hash{String => Integer}] the references of the roots by category
    attr_reader :roots

    # @return [Integer] how many shapes there are
    attr_reader :shapes

    # @return [Integer] how many free slots are in the dump (`ObjectSpace.dump_all(full: true)`)
    attr_reader :free_slots

    # @return [Integer] how many objects wait for their finalizers
    attr_reader :zombies

    # @return [String] the series of Ruby that writes such dumps
    attr_reader :ruby_series

    # @return [Integer] how many lines the dump has
    attr_reader :lines

    # @return [Integer] how many of them could not be read
    attr_reader :lost_lines

    # @return [Integer] how many of them Ruby broke, and were repaired
    attr_reader :repaired_lines

    # @return [Boolean] whether the dump ends early
    attr_reader :truncated
    alias truncated? truncated

    # @api private
    def initialize(answer)
      super()
      @document, @ruby_series = answer.values_at(:document, :ruby_series)
      totals, diagnostics = answer[:context].values_at(:totals, :diagnostics)
      @object_count, @memsize, @references = totals[:objects].values_at(:count, :memsize, :references)
      @traced, @untraced, @tracer = [totals[:traced], answer[:untraced], totals[:tracer]].map { |sum| Total.of(sum, references: nil) }
      @types = Groups.new(answer[:types], answer[:types_document])
      @classes = Groups.new(answer[:classes], answer[:classes_document])
      @pages = answer[:pages]&.map { |size| page_use(size) }.freeze
      @roots = totals[:roots].to_h.freeze
      @shapes, @free_slots, @zombies = totals.values_at(:shapes, :free_slots, :zombies)
      @lines, @lost_lines, @repaired_lines, @truncated = diagnostics.values_at(:lines, :lost, :repaired, :truncated)
      freeze
    end

    private

    def page_use(size)
      pages = size[:pages]
      PageUse.new(slot_size: size[:slot_size], pages: pages[:count], live: pages[:live], slots: pages[:slots])
    end

    def about
      "#{grouped(object_count)} objects, #{grouped(memsize)} bytes, Ruby #{ruby_series}"
    end
  end
end
