# frozen_string_literal: true

require "heap_inspector/console"
require "irb/command"
require "irb/helper_method"

module HeapInspector
  module Console
    # {Methods#heap} for IRB.
    class HeapMethod < IRB::HelperMethod::Base
      include Methods

      description 'Loads a heap dump, as heap("heap.json"); without a path the last one.'

      # @api private
      def execute(path = nil)
        heap(path)
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

    private_constant :HeapMethod, :Help

    IRB::HelperMethod.register(:heap, HeapMethod)
    IRB::Command.register(:heap_help, Help)
  end
end
