# frozen_string_literal: true

require "heap_inspector/console"
require "irb/command"
require "irb/helper_method"

module HeapInspector
  module Console
    # {Methods#heap} for IRB.
    class HeapMethod < IRB::HelperMethod::Base
      include Methods

      description 'Loads heap dumps, as heap("heap.json"); without a path the last one.'

      # @api private
      def execute(*paths)
        heap(*paths)
      end
    end

    # {Methods#heaps} for IRB.
    class HeapsMethod < IRB::HelperMethod::Base
      include Methods

      description "All heap dumps that heap loaded last."

      # @api private
      def execute
        heaps
      end
    end

    # {Methods#diff} for IRB.
    class DiffMethod < IRB::HelperMethod::Base
      include Methods

      description "How the heap dumps that heap loaded last differ."

      # @api private
      def execute
        diff
      end
    end

    # {Methods#heap_help} for IRB.
    class Help < IRB::Command::Base
      include Methods

      category "HeapInspector"
      description "Says what to ask a loaded heap dump."

      # @api private
      def execute(_words)
        heap_help
      end
    end

    private_constant :DiffMethod, :HeapMethod, :HeapsMethod, :Help

    IRB::HelperMethod.register(:heap, HeapMethod)
    IRB::HelperMethod.register(:heaps, HeapsMethod)
    IRB::HelperMethod.register(:diff, DiffMethod)
    IRB::Command.register(:heap_help, Help)
  end
end
