# frozen_string_literal: true

module HeapInspector
  # A loaded dump.
  class Heap
  end
end

require "heap_inspector/heap_inspector_ext"
