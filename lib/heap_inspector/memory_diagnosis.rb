# frozen_string_literal: true

require_relative "memory"

module HeapInspector
  # What looks at a process's memory say of it, in a sentence, with the figures that it rests on. The thresholds stand in
  # `docs/memory.md`; below them nothing is said.
  class MemoryDiagnosis < Value
    # @!attribute [r] kind
    #   @return [Symbol] `:ruby_leak`, `:code_growth`, `:native_leak`, `:mapping_leak`, `:threads`, `:copy_on_write`, `:fragmentation` or
    #     `:bloat`
    # @!attribute [r] text
    #   @return [String] what it is, and what to do next
    # @!attribute [r] evidence
    #   @return [Hash{Symbol => Numeric, Array<String>}] the figures, bytes where nothing else is said; of a leak in C code also `:gems`,
    #     those whose C code is loaded
    fields :kind, :text, :evidence

    # @return [String]
    def to_s
      text
    end
  end

  # Which diagnoses two looks at a process, or one, give reason for.
  #
  # @api private
  class MemoryVerdict
    # Growth below both of these between two looks is none: bytes, and a part of what there was.
    GROWN = 4 << 20
    GROWN_PART = 0.02
    # What carries so much of the growth is its reason.
    CARRIES = 0.5
    # Threads more, and how many times as many.
    THREADS = 20
    THREADS_TIMES = 1.5
    # Memory no longer shared: bytes, and a part of what is resident.
    UNSHARED = 8 << 20
    UNSHARED_PART = 0.2
    # Free memory of Ruby's heap and of malloc: bytes, and a part of what is resident.
    FREE = 32 << 20
    FREE_PART = 0.25
    # From this part of the heap's slots on free ones say that it was larger once.
    FREE_SLOTS = 0.25
    # Of all that is free the part that lies in malloc's other arenas, or in malloc, if it is fragmented.
    IN_ARENAS = 0.5
    # Gems with C code that are named.
    GEMS = 5
    # Bytes in slots of a symbol or a piece of code: its own slot and a text's.
    PER_NAME = 80

    # What growth is told apart by, and by which rows.
    CARRIERS = {
      ruby_leak: %w[heap_live objects], code_growth: %w[symbols classes code jit_code jit_metadata], native_leak: %w[malloc_used],
      mapping_leak: %w[anonymous shared_memory], fragmentation: %w[malloc_free malloc_free_arenas], bloat: %w[heap_free]
    }.freeze

    # @param now [Memory]
    # @param before [Memory, nil]
    def initialize(now, before)
      @now = now
      @before = before
    end

    # @return [Array<MemoryDiagnosis>]
    def diagnoses
      found = @before ? [threads, unshared, growth].compact : []
      found << unneeded unless found.any? { |one| %i[fragmentation bloat].include?(one.kind) }
      found.compact.freeze
    end

    private

    def say(kind, text, **evidence)
      MemoryDiagnosis.new(kind: kind, text: text, evidence: evidence.freeze)
    end

    def more(name)
      @now.facts.fetch(name, 0) - @before.facts.fetch(name, 0)
    end

    def seconds = (@now.time - @before.time).round

    def size(bytes) = Size.bytes(bytes)

    def percent(part) = "#{(part * 100).round} %"

    def threads
      count = @now.facts[:threads]
      before = @before.facts[:threads]
      return unless count && before && count - before >= THREADS && count >= before * THREADS_TIMES

      say(:threads, "threads pile up: #{count} are there, #{before} were #{seconds} s ago; who starts them is to end or reuse them: " \
                    "look at Thread.list, each has its first line's place in its inspect",
          threads: count, threads_before: before, stacks: @now.bytes("stacks"))
    end

    # By the kernel's figures: what was shared with relatives and was written to since.
    def unshared
      shared = @now.facts[:shared]
      before = @before.facts[:shared]
      return unless shared && before

      lost = before - shared
      growth = @now.rss - @before.rss
      return unless lost >= UNSHARED && lost >= @now.rss * UNSHARED_PART && growth < lost

      say(:copy_on_write, "memory shared with the parent since the fork is being copied: #{size(shared)} are shared, #{size(before)} " \
                          "were #{seconds} s ago; load and warm up more before forking, and call Process.warmup (Ruby 3.3) or " \
                          "GC.start and GC.compact there",
          shared: shared, shared_before: before, private: @now.facts[:private])
    end

    def growth
      growth = @now.rss - @before.rss
      return unless growth >= GROWN && growth >= @before.rss * GROWN_PART

      carried = carried_bytes
      kind, bytes = carried.max_by(&:last)
      return unless bytes >= growth * CARRIES

      # Without a collection in between, what is more may be garbage.
      return if %i[ruby_leak code_growth].include?(kind) && more(:gc_count).zero?

      evidence = { growth: growth, carried: bytes, seconds: seconds, gc_count: more(:gc_count) }
      evidence[:gems] = @now.extensions if kind == :native_leak && @now.extensions
      say(kind, "#{begun(growth, bytes)} #{send(:"grown_#{kind}")}", **evidence)
    end

    # Symbols and code lie in slots too, so what they take there is theirs.
    def carried_bytes
      rows = CARRIERS.transform_values { |names| names.sum { |name| @now.bytes(name) - @before.bytes(name) } }
      # Where malloc tells nothing, or nobody but the kernel was asked, what is anonymous may be anybody's.
      rows[:mapping_leak] -= @now.bytes("anonymous") - @before.bytes("anonymous") unless @now.allocator && @before.allocator
      names = [more(:symbols) + more(:code) + more(:classes), 0].max * PER_NAME
      names = 0 unless names + rows[:code_growth] > rows[:ruby_leak] * CARRIES
      # What objects hold is an estimate, and no more than malloc has in use more; what is, and is not theirs, is somebody else's.
      used = (%w[objects malloc_used] + CARRIERS[:code_growth].first(3)).sum { |name| @now.bytes(name) - @before.bytes(name) }
      held = (@now.bytes("objects") - @before.bytes("objects")).clamp([used, 0].min, [used, 0].max)
      rows.merge(code_growth: rows[:code_growth] + names, ruby_leak: @now.bytes("heap_live") - @before.bytes("heap_live") + held - names,
                 native_leak: [rows[:native_leak], used - held].min)
    end

    def begun(growth, bytes)
      "the process grew by #{size(growth)} in #{seconds} s, and #{percent([bytes.fdiv(growth), 1].min)} of it"
    end

    def grown_ruby_leak
      "are Ruby's objects that outlive collections, with what they hold: a leak or a cache that fills; go on with dumps: " \
        "heap_inspector watch #{@now.pid}"
    end

    def grown_code_growth
      "are symbols, classes or code (#{more(:symbols)} symbols, #{more(:classes)} classes, #{more(:code)} pieces of code more): look for " \
        "to_sym of input, define_method, eval and Class.new in what runs again and again"
    end

    def grown_native_leak
      "are in use by malloc without being Ruby's objects: a leak in C code, such as a gem's extension or a library#{loaded_gems}; go on " \
        "with #{"heaptrack, or with " unless @now.allocator == "jemalloc"}jeprof and jemalloc's profiling (MALLOC_CONF=prof:true)"
    end

    # Any of them may be it, and so may a library that one is linked with.
    def loaded_gems
      return unless @now.extensions

      named = @now.extensions.first(GEMS)
      return ", though no gem with C code is loaded" if named.empty?

      left = @now.extensions.size - named.size
      " (gems with C code that are loaded: #{named.join(", ")}#{" and #{left} more" if left.positive?})"
    end

    def grown_mapping_leak
      "are mappings that neither Ruby nor malloc tells of: something maps memory by itself; /proc/#{@now.pid}/smaps shows which grow, " \
        "and strace -e mmap,munmap who makes them"
    end

    def grown_fragmentation
      "are free in malloc and not given back: #{fragmentation_advice}"
    end

    def grown_bloat
      "are free slots of Ruby's heap: something needed them for a while; look for the greedy request or job"
    end

    def fragmentation_advice
      return "it keeps them for later; jemalloc has other rules" if @now.allocator == "jemalloc"

      "set MALLOC_ARENA_MAX=2 or use jemalloc; heap_inspector trim #{@now.pid} gives back what can be now"
    end

    # What one look shows: memory that was needed once.
    def unneeded
      main = @now.bytes("malloc_free")
      others = @now.bytes("malloc_free_arenas")
      slots = @now.bytes("heap_free")
      free = main + others + slots
      return unless free >= FREE && free >= @now.rss * FREE_PART

      heap = slots + @now.bytes("heap_live")
      evidence = { free_slots: slots, heap_slots: heap, malloc_free: main, malloc_free_arenas: others, arenas: @now.facts[:arenas] }.compact
      fragmented = others >= free * IN_ARENAS || (slots < heap * FREE_SLOTS && main + others >= free * IN_ARENAS)
      return fragmented_once(main + others, evidence) if fragmented

      say(:bloat, "#{size(free)} of #{size(@now.rss)} are free: #{percent(slots.fdiv([heap, 1].max))} of Ruby's slots, and " \
                  "#{size(main + others)} in malloc; the process was larger once, and is not giving it back: look for one greedy request " \
                  "or job, and restart it, or heap_inspector trim #{@now.pid}",
          **evidence)
    end

    def fragmented_once(free, evidence)
      arenas = @now.facts[:arenas].to_i
      where = arenas.positive? && @now.bytes("malloc_free_arenas") >= free * IN_ARENAS ? ", in #{arenas} arenas of threads" : ""
      say(:fragmentation, "#{size(free)} of #{size(@now.rss)} are free in malloc#{where}, and not given back: #{fragmentation_advice}",
          **evidence)
    end
  end

  private_constant :MemoryVerdict
end
