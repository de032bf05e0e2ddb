# frozen_string_literal: true

require_relative "value"
require_relative "size"

module HeapInspector
  # A part of a process's resident memory.
  class MemoryRow < Value
    # @!attribute [r] name
    #   @return [String] whose it is, one of the names in `docs/memory.md`; those of files are `file:PATH`
    # @!attribute [r] bytes
    #   @return [Integer] its resident bytes
    # @!attribute [r] named
    #   @return [Boolean] whether an owner or the kernel tells of them, or they are only what is left
    # @!attribute [r] by
    #   @return [String] whose figure it is: `kernel`, `GC.stat`, `glibc`, `jemalloc`, `tcmalloc`, `sample` (an estimate)
    fields :name, :bytes, :named, :by

    # @return [Boolean] whether an owner or the kernel tells of them
    def named?
      named
    end

    # @return [String] its name for people
    def title
      kind, rest = name.split(":", 2)
      return rest if rest && kind == "file"
      return "mapping #{rest}" if rest

      Memory::TITLES.fetch(name, name)
    end
  end

  # Where a process's resident memory is at a moment: rows that add up to it.
  #
  # @example
  #   puts HeapInspector.memory
  #   HeapInspector.memory.rows.max_by(&:bytes).name # => "heap_live"
  class Memory < Value
    # What rows are called, in the order in which they stand.
    TITLES = {
      "heap_live" => "Ruby's heap: slots in use", "heap_free" => "Ruby's heap: free slots", "heap_overhead" => "Ruby's heap: page overhead",
      "transient_heap" => "Ruby's transient heap", "objects" => "malloc: held by Ruby's objects",
      "code" => "malloc: code and inline caches", "classes" => "malloc: classes and method tables", "symbols" => "malloc: symbols",
      "tracer" => "malloc: the allocation tracer", "jit_metadata" => "malloc: what the JIT knows of code",
      "malloc_used" => "malloc: in use by others, C code among them", "malloc_free" => "malloc: free, not given back",
      "malloc_free_arenas" => "malloc: free in other arenas", "stacks" => "stacks of threads and fibers",
      "jit_code" => "machine code made while running", "bss" => "libraries' variables", "files" => "other mapped files",
      "shared_memory" => "shared memory", "anonymous" => "anonymous mappings that nobody names",
      "heap_segment" => "malloc's segment, by the kernel"
    }.freeze
    # @!attribute [r] pid
    #   @return [Integer]
    # @!attribute [r] time
    #   @return [Float] seconds since 1970
    # @!attribute [r] rss
    #   @return [Integer] resident bytes
    # @!attribute [r] pss
    #   @return [Integer, nil] its share of them where others have the same pages, where that was asked for
    # @!attribute [r] allocator
    #   @return [String, nil] `glibc`, `jemalloc`, `tcmalloc`; nil where it is not known
    # @!attribute [r] rows
    #   @return [Array<MemoryRow>] parts that add up to `rss`
    # @!attribute [r] facts
    #   @return [Hash{Symbol => Numeric}] what is known beside, such as `:threads`, `:gc_count`, `:shared` (bytes that relatives have too)
    # @!attribute [r] work
    #   @return [Hash{Symbol => Integer}, nil] what the process did until then ({HeapInspector.work}); nil where it was not asked
    # @!attribute [r] extensions
    #   @return [Array<String>, nil] gems whose C code is loaded, such as `nokogiri 1.15.4`, by what of it is in memory, at most 40; nil
    #     where that is not known
    # @!attribute [r] missing
    #   @return [String, nil] why there are fewer rows than there could be
    fields :pid, :time, :rss, :pss, :allocator, :rows, :facts, :work, :extensions, :missing

    # @param name [String]
    # @return [Integer] the bytes of a row, 0 where there is none
    def bytes(name)
      rows.find { |row| row.name == name }&.bytes || 0
    end

    # @return [Float] the part of the memory that is named, from 0 to 1
    def named_share
      rss.zero? ? 1.0 : rows.select(&:named).sum(&:bytes).fdiv(rss)
    end

    # What the figures say. Without an earlier look only what one shows: memory that was needed once.
    #
    # @param since [Memory, nil] an earlier look at the same process
    # @return [Array<MemoryDiagnosis>] the first is the one that explains most; none where nothing stands out
    # @raise [ArgumentError] if it is no look at that process
    def diagnosis(since: nil)
      unless since.nil? || (since.is_a?(Memory) && since.pid == pid && since.time <= time)
        raise ArgumentError, "since is not an earlier look at process #{pid}"
      end

      MemoryVerdict.new(self, since).diagnoses
    end

    # @return [String] a table
    def to_s
      about = "process #{pid}: #{Size.bytes(rss)} resident#{", its share #{Size.bytes(pss)}" if pss}, " \
              "#{(named_share * 100).floor} % named"
      lines = rows.map do |row|
        "#{Size.bytes(row.bytes).rjust(12)} #{format("%<part>3d %%", part: (row.bytes * 100.0 / [rss, 1].max).round)}  " \
          "#{"about " if row.by == "sample"}#{Escape.terminal(row.title)}"
      end
      [about, *lines, *("note: #{Escape.terminal(missing)}" if missing)].join("\n")
    end
  end

  # A look at its memory as an agent tells it.
  #
  # @api private
  module MemoryTold
    # Numbers that it may tell beside the rows.
    FACTS = %w[live_slots free_slots gc_count major_gc_count old_objects threads ruby_threads arenas symbols code classes looked].freeze

    # @param told [Hash{String => Object}] of the shape that {Replies} wants
    # @param pid [Integer] the process's, which in a container knows itself by another
    # @param shares [Hash{Symbol => Integer}] what the kernel says of sharing
    # @return [Memory]
    def self.memory(told, pid, shares = {})
      rows = told["rows"].map { |row| MemoryRow.of(row.transform_keys(&:to_sym)) }
      facts = FACTS.to_h { |name| [name.to_sym, told["facts"][name]] }.compact.merge(shares.slice(:private, :shared, :swap))
      work = told["work"]&.transform_keys(&:to_sym)
      Memory.new(pid: pid, time: told["time"], rss: told["rss"], pss: shares[:pss], allocator: told["allocator"], rows: rows.freeze,
                 facts: facts.freeze, work: work.freeze, extensions: told["extensions"].freeze, missing: told["missing"])
    end
  end

  private_constant :MemoryTold
end
