# frozen_string_literal: true

module HeapInspector
  # A report whose rows are a tree, which can be drawn.
  module Drawings
    # @return [String] a graph for Graphviz
    # @example
    #   File.write("heap.dot", heap.paths_to_class("Order").to_dot) # dot -Tsvg heap.dot > heap.svg
    def to_dot
      drawn.render("dot", 0, false)
    end

    # @return [String] folded stacks by bytes, for flamegraph.pl, inferno or speedscope
    def to_folded
      drawn.render("folded", 0, false)
    end

    # @return [String] a flame graph by bytes, as SVG
    def to_flamegraph
      drawn.render("flamegraph", 0, false)
    end

    private

    # The document with the tree.
    def drawn
      @document
    end
  end
end
