# frozen_string_literal: true

require "heap_inspector/heap"

module HeapInspector
  # Files that other tools open, of one heap or of several together.
  #
  # @api private
  module Export
    # What may be written.
    FORMATS = %i[heapsnapshot pprof folded speedscope parquet].freeze

    # What a fleet keeps, the format of {Heap#summarize}.
    SUMMARY = :summary

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
      raise ArgumentError, "min: is a number of bytes, not #{min.inspect}" unless min.is_a?(Integer) && min.between?(0, Where::LARGEST)

      by = options.fetch(:by)
      tables = options[:tables]
      tables = (tables.is_a?(Array) ? tables : [tables]).map { |table| Where.known(table, TABLES, "tables:").to_s } unless tables.nil?
      format = options.fetch(:format) == SUMMARY ? SUMMARY : Where.known(options.fetch(:format), FORMATS, "format:")
      given = { format: format.to_s, tables: tables&.join(","), by: by && Where.known(by, FRAMES, "by:").to_s,
                sites: options.fetch(:sites) ? true : false, confidential: options.fetch(:confidential) ? true : false, min: min }
      Native.export(heaps, File.expand_path(Input.path_of(path)), given, terms)
    end
  end

  private_constant :Export
end
