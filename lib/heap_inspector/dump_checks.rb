# frozen_string_literal: true

module HeapInspector
  # Whether there is room for a dump: memory for the pages that both sides of a fork will have of their own, and disk.
  #
  # @api private
  module DumpChecks
    # A parent that writes at full speed while the child dumps was measured to copy 60 to 70 % of its memory; an idle one 25 MB.
    COPIED = 0.7
    # Bytes of a dump for each object, with tracing.
    PER_OBJECT = 400
    # How much smaller a compressed dump is at least; 17 times is usual.
    SHRINKS = 8
    # What tells of memory, to be read beforehand.
    FILES = %w[/proc/meminfo /proc/self/cgroup].freeze

    class << self
      # @param free [Integer, nil] bytes on the disk where the dump goes; nil where that is none
      # @param compression [Symbol]
      # @return [void]
      # @raise [DumpRefused] if there is not enough
      def check(free, compression)
        memory(ProcFs.status("self"), ProcFs.available_memory)
        disk(free, compression) if free
      end

      # @param status [Hash{String => Integer}] the process's sizes in bytes
      # @param available [Integer, nil] bytes that can be had
      # @return [void]
      def memory(status, available)
        own = status["RssAnon"] || status["VmRSS"]
        return unless own && available

        need = (own * COPIED).ceil
        return if need <= available

        raise DumpRefused, "not enough memory for a fork: it may take #{mebibytes(need)} (of #{mebibytes(own)} in use) and there are " \
                           "#{mebibytes(available)}; dump at a quieter time, give the host more, or insist with force"
      end

      private

      def disk(free, compression)
        # Ractors count what they allocate at once and lose some, so that more was freed than made.
        need = %i[heap_live_slots heap_available_slots].map { |key| GC.stat(key) }.min * PER_OBJECT
        need /= SHRINKS unless compression == :plain
        return if need <= free

        raise DumpRefused, "not enough space for the dump: it may take #{mebibytes(need)} and there are #{mebibytes(free)}; give a path " \
                           "on another disk, or insist with force"
      end

      def mebibytes(bytes)
        "#{(bytes / 1_048_576.0).ceil} MiB"
      end
    end
  end

  private_constant :DumpChecks
end
