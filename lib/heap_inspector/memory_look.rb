# frozen_string_literal: true

require_relative "native"
require_relative "extension_gems"
require_relative "memory"
require_relative "proc_fs"
require_relative "tracing"

module HeapInspector
  # A look at this process's own memory: what the extension finds by address, split further by what Ruby and malloc say of themselves.
  #
  # @api private
  class MemoryLook
    # Milliseconds in which slots are looked at.
    BUDGET = 2
    # Bytes of a symbol that is no object, in Ruby's tables of symbols.
    PER_SYMBOL = 80
    # Files that have a row of their own, and letters of their paths.
    FILES = 6
    LONGEST = 300

    private_constant :PER_SYMBOL, :FILES, :LONGEST

    class << self
      # @return [Memory]
      # @raise [Error] where there is no /proc
      def take(pss: false)
        found = Native.memory(*arguments)
        new(found, pss ? ProcFs.shares("self") : {}).memory
      rescue Errno::ENOENT, Errno::EACCES
        raise Error, "memory is read from /proc, which is not there or not to be read here"
      end

      # What {Native.memory} wants to know of Ruby.
      #
      # @return [Array]
      def arguments
        [GC::INTERNAL_CONSTANTS[:HEAP_PAGE_SIZE] || 0, GC.latest_gc_info(:state).to_s, Ractor.count == 1 && !compacting?, BUDGET]
      end

      private

      # Pages that objects were moved from are closed for as long as it lasts.
      def compacting?
        GC.respond_to?(:auto_compact) && GC.auto_compact && GC.latest_gc_info(:state) == :sweeping
      end
    end

    # @param found [Hash{Symbol => Object}] what {Native.memory} found
    # @param shares [Hash{Symbol => Integer}] what the kernel says of sharing
    def initialize(found, shares = {})
      @found = found
      @shares = shares
      @stat = GC.stat
      @rest = found[:rest]
      @factor = found[:looked].zero? ? nil : found[:pages].fdiv(found[:looked])
      @rows = []
    end

    # @return [Memory]
    def memory
      heap
      row("transient_heap", @found[:transient], "kernel")
      malloc
      { "stacks" => :stacks, "jit_code" => :code, "bss" => :bss, "shared_memory" => :shared }.each do |name, key|
        row(name, @found[key], "kernel")
      end
      files
      @found[:named].each { |name, bytes| row("mapping:#{name[0, LONGEST]}", bytes, "kernel") }
      row("anonymous", @rest, "kernel", named: false)
      Memory.new(pid: Process.pid, time: Time.now.to_f, rss: @found[:resident], pss: @shares[:pss], allocator: allocator,
                 rows: @rows.freeze, facts: facts.freeze, work: HeapInspector.work.freeze,
                 extensions: ExtensionGems.among(@found[:files]).freeze, missing: missing)
    end

    private

    def allocator
      @found[:allocator].empty? ? nil : @found[:allocator]
    end

    def row(name, bytes, by, named: true)
      @rows << MemoryRow.new(name: name, bytes: bytes, named: named, by: by) if bytes.positive?
    end

    # Takes of what nobody has yet as much as there is.
    def claim(bytes)
      taken = bytes.clamp(0, @rest)
      @rest -= taken
      taken
    end

    # Pages that are empty are not listed, and none where this Ruby does not tell them; those are counted.
    def heap
      page = GC::INTERNAL_CONSTANTS[:HEAP_PAGE_SIZE] || 0
      @heap = @found[:heap] + claim((@stat[:heap_allocated_pages] - @found[:pages]) * page)
      slots = slot_bytes.clamp(0, @heap)
      live = live_bytes(slots).clamp(0, slots)
      row("heap_live", live, sizes ? "sample" : "GC.stat")
      row("heap_free", slots - live, sizes ? "sample" : "GC.stat")
      row("heap_overhead", @heap - slots, "GC.stat")
    end

    # Slots by size, where this Ruby has several.
    def sizes
      @sizes ||= GC.respond_to?(:stat_heap) ? GC.stat_heap : nil
    end

    def slot_bytes
      return @stat[:heap_available_slots] * GC::INTERNAL_CONSTANTS.fetch(:RVALUE_SIZE, 40) unless sizes

      sizes.each_value.sum { |heap| heap[:slot_size] * (heap[:heap_eden_slots] + heap.fetch(:heap_tomb_slots, 0)) }
    end

    def live_bytes(slots)
      return @stat[:heap_live_slots] * GC::INTERNAL_CONSTANTS.fetch(:RVALUE_SIZE, 40) unless sizes
      return (@found[:kinds].each_value.sum { |_, bytes,| bytes } * @factor).round if @factor

      (slots * @stat[:heap_live_slots].fdiv([@stat[:heap_available_slots], 1].max)).round
    end

    # What is in use, by who holds it, and what is free.
    def malloc
      used, free, free_arenas = allocated
      left = used
      { "symbols" => @found[:symbols] * PER_SYMBOL, "tracer" => tracer, "jit_metadata" => jit, "classes" => beside(:classes),
        "code" => beside(:code), "objects" => beside(:objects, :strings, :symbols) }.each do |name, bytes|
        bytes = bytes.clamp(0, left)
        left -= bytes
        row(name, bytes, %w[tracer jit_metadata].include?(name) ? "heap_inspector" : "sample")
      end
      row("malloc_used", left, allocator || "kernel")
      row("malloc_free", free, allocator || "kernel")
      row("malloc_free_arenas", free_arenas, allocator || "kernel")
    end

    # Bytes in use, free in the main arena or in all, free in others.
    def allocated
      if allocator == "glibc"
        free, others = @found.values_at(:main_free, :arenas_free)
        return [@found[:main] + @found[:arenas] + @found[:blocks] - free - others, free, others]
      end

      held = claim(@found[:held])
      used = [@found[:used], held].min
      [used, held - used, 0]
    end

    def beside(*kinds)
      @factor ? (kinds.sum { |kind| @found[:kinds][kind][2] } * @factor).round : 0
    end

    def slots(*kinds)
      @factor ? (kinds.sum { |kind| @found[:kinds][kind][0] } * @factor).round : 0
    end

    def tracer
      Tracing.status.fetch(:memory, 0).to_i
    end

    def jit
      return 0 unless defined?(RubyVM::YJIT) && RubyVM::YJIT.respond_to?(:enabled?) && RubyVM::YJIT.enabled?

      RubyVM::YJIT.runtime_stats.to_h.fetch(:yjit_alloc_size, 0).to_i
    end

    def files
      own, others = @found[:files].sort_by { |path, bytes| [-bytes, path] }.partition.with_index { |_, at| at < FILES }
      own.each { |path, bytes| row("file:#{path.scrub("?")[0, LONGEST]}", bytes, "kernel") }
      row("files", others.sum { |_, bytes| bytes }, "kernel")
    end

    def facts
      {
        live_slots: @stat[:heap_live_slots], free_slots: @stat[:heap_free_slots], gc_count: @stat[:count],
        major_gc_count: @stat[:major_gc_count], old_objects: @stat[:old_objects], threads: @found[:threads],
        ruby_threads: Thread.list.size, arenas: @found[:arena_count], symbols: @found[:symbols] + slots(:symbols), code: slots(:code),
        classes: slots(:classes), looked: @factor ? 1 / @factor : 0, **@shares.slice(:private, :shared, :swap)
      }.compact
    end

    def missing
      return if @factor && allocator

      [("Ruby's slots could not be looked at, so what objects hold is not told apart" unless @factor),
       ("this malloc tells nothing of itself, so its memory is not told apart" unless allocator)].compact.join("; ")
    end
  end

  private_constant :MemoryLook
end
