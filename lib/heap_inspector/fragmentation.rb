# frozen_string_literal: true

module HeapInspector
  # Heap pages summed up.
  class Pages < Value
    # @!attribute [r] count
    #   @return [Integer] how many pages
    # @!attribute [r] slots
    #   @return [Integer] how many slots they have
    # @!attribute [r] live
    #   @return [Integer] how many objects live in them
    # @!attribute [r] live_bytes
    #   @return [Integer] the bytes of the slots of these
    # @!attribute [r] free_bytes
    #   @return [Integer] the bytes of the other slots
    fields :count, :slots, :live, :live_bytes, :free_bytes

    # @return [Integer] how many slots are free
    def free
      slots - live
    end
  end

  # The pages of one slot size.
  class SlotSizePages < Value
    # @!attribute [r] slot_size
    #   @return [Integer] the bytes of a slot
    # @!attribute [r] pages
    #   @return [Pages] the pages
    # @!attribute [r] spare
    #   @return [Integer] how many pages would be empty if the objects were moved together
    fields :slot_size, :pages, :spare
  end

  # Objects with one value of the keys on pages that are nearly empty.
  class PageHolders < Value
    # @!attribute [r] key
    #   @return [String, Integer, Boolean, nil, Array] the value; several keys make an Array
    # @!attribute [r] count
    #   @return [Integer] how many objects
    # @!attribute [r] pinned
    #   @return [Integer] how many of them the GC may not move, as far as the dump tells
    # @!attribute [r] pages
    #   @return [Integer] on how many nearly empty pages they are
    # @!attribute [r] held_bytes
    #   @return [Integer] the free bytes of those pages, a page's shared evenly among its objects
    fields :key, :count, :pinned, :pages, :held_bytes
  end

  # A heap page.
  class Page < Value
    # @!attribute [r] address
    #   @return [String] where it begins
    # @!attribute [r] slot_size
    #   @return [Integer] the bytes of a slot
    # @!attribute [r] slots
    #   @return [Integer] how many slots it has
    # @!attribute [r] live
    #   @return [Integer] how many objects live in it
    # @!attribute [r] pinned
    #   @return [Integer] how many of them the GC may not move, as far as the dump tells
    # @!attribute [r] first
    #   @return [HeapObject] the first of them
    # @!attribute [r] label
    #   @return [String] that one in a few words
    fields :address, :slot_size, :slots, :live, :pinned, :first, :label
  end

  # How full the heap's pages are, what compaction could give back, and what keeps nearly empty pages. An Enumerable of these holders,
  # those that keep most first. An answer of {Heap#fragmentation}.
  class Fragmentation < GroupRows
    # @return [Integer] the bytes of a page
    attr_reader :page_bytes

    # @return [Pages] all pages with a live object
    attr_reader :pages

    # @return [Array<SlotSizePages>] by slot size, the smallest first
    attr_reader :by_slot_size

    # @return [Array<Pages>] by tenths of fullness, the emptiest first
    attr_reader :by_fullness

    # @return [Pages] pages that are at most a tenth full
    attr_reader :nearly_empty

    # @return [Integer] how many objects the GC may not move, as far as the dump tells
    attr_reader :pinned

    # @return [Array<Page>] the emptiest pages
    attr_reader :emptiest

    # @return [Integer] the bytes of pages that would be empty if all objects were moved together
    attr_reader :spare_bytes

    # @api private
    def initialize(answer)
      super()
      %i[document page_bytes pinned spare_bytes].each { |name| instance_variable_set(:"@#{name}", answer[name]) }
      @pages, @nearly_empty = answer.values_at(:pages, :nearly_empty).map { |pages| Pages.of(pages) }
      @by_fullness = answer[:by_fullness].map { |pages| Pages.of(pages) }.freeze
      @by_slot_size = answer[:by_size].map { |size| SlotSizePages.of(size, pages: Pages.of(size[:pages])) }.freeze
      @groups = answer[:holders].map { |holders| PageHolders.of(holders, key: key(holders)) }.freeze
      @emptiest = answer[:emptiest].map { |page| Page.of(page, address: "0x#{page[:address].to_s(16)}".freeze) }.freeze
      freeze
    end

    private

    def about
      "#{grouped(pages.count)} pages, #{grouped(pages.free)} of #{grouped(pages.slots)} slots free, #{grouped(spare_bytes)} bytes spare"
    end
  end
end
