# frozen_string_literal: true

require "heap_inspector/heap"

module HeapInspector
  # Files that other tools open, of one heap or of several together.
  #
  # @api private
  module Export
    # What may be written.
    FORMATS = %i[heapsnapshot pprof folded speedscope parquet].freeze

    # What the frames of a profile may be.
    FRAMES = %i[stack site dominators].freeze

    # Tables of parquet.
    TABLES = %i[dump objects edges classes sites stacks strings roots suspects paths].freeze

    # @param heaps [Array<Heap>] the oldest first
    # @param path [String, Pathname] a new file, or a folder
    # @param terms [Array] which objects
    # @param options [Hash] as {Heap#export} has them
    # @return [Array<String>] the files' paths
    def self.write(heaps, path, terms, options)
      min = options.fetch(:min)
      raise ArgumentError, "min: expected bytes, got #{min.inspect}" unless min.is_a?(Integer) && min.between?(0, Where::LARGEST)

      by = options.fetch(:by)
      tables = options.fetch(:tables)
      tables = (tables.is_a?(Array) ? tables : [tables]).map { |table| Where.known(table, TABLES, "tables:").to_s } unless tables.nil?
      given = { format: Where.known(options.fetch(:format), FORMATS, "format:").to_s, tables: tables&.join(","),
                by: by && Where.known(by, FRAMES, "by:").to_s, sites: options.fetch(:sites) ? true : false,
                confidential: options.fetch(:confidential) ? true : false, min: min }
      save(heaps, path, terms, given)
    end

    # @param heap [Heap]
    # @param path [String, Pathname] a new file, or a folder
    # @return [String] the file's path
    def self.summarize(heap, path)
      given = { format: "summary", tables: nil, by: nil, sites: false, confidential: true, min: 0 }
      save([heap], path, Where.terms(nil, heap), given).first
    end

    def self.save(heaps, path, terms, given) = Native.export(heaps, File.expand_path(Input.path_of(path)), given, terms)
    private_class_method :save
  end

  private_constant :Export
end
