# frozen_string_literal: true

module HeapInspector
  # A dump that was taken.
  class DumpFile < Value
    fields :path, :bytes, :compressed_bytes, :compression, :fork_seconds, :gc_seconds, :seconds, :lost, :write_seconds, :wait_seconds,
           :dumper, :fallback, :format

    # @!attribute [r] path
    #   @return [String, nil] the file; nil where an IO was written to
    # @!attribute [r] bytes
    #   @return [Integer] bytes of the dump before it was compressed
    # @!attribute [r] compressed_bytes
    #   @return [Integer] bytes that were written
    # @!attribute [r] compression
    #   @return [Symbol] `:zstd`, `:gzip` or `:plain`; of a heap file that of its blocks
    # @!attribute [r] fork_seconds
    #   @return [Float] for how long the fork stopped all threads
    # @!attribute [r] gc_seconds
    #   @return [Float] for how long the garbage collection before it did
    # @!attribute [r] seconds
    #   @return [Float] how long it took in all, from the call to its return
    # @!attribute [r] lost
    #   @return [Integer] records that the redaction left out because it could not read them
    # @!attribute [r] write_seconds
    #   @return [Float] for how long the child wrote
    # @!attribute [r] wait_seconds
    #   @return [Float] what is left of `seconds`: waiting for the disk, and for other threads to give up Ruby's lock
    # @!attribute [r] dumper
    #   @return [Symbol] `:native`, which names what holds what, or `:ruby`, `ObjectSpace.dump_all`
    # @!attribute [r] fallback
    #   @return [String, nil] why `ObjectSpace.dump_all` took it where it was not asked for
    # @!attribute [r] format
    #   @return [Symbol] `:ndjson` or `:heap`; what `ObjectSpace.dump_all` took is `:ndjson`
  end
end
