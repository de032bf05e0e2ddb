# frozen_string_literal: true

require_relative "heap_inspector/version"

# Reads and explains Ruby heap dumps.
module HeapInspector
  autoload :Heap, "heap_inspector/heap"

  # Reads a dump.
  def self.analyze(path)
    Heap.load(path)
  end
end
