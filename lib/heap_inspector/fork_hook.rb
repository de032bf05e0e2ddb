# frozen_string_literal: true

module HeapInspector
  # Puts things in order in forked children, but for those that write a dump. Installed when something needs it, and then for good: a
  # method that is there cannot be taken away.
  #
  # @api private
  module ForkHook
    # What `Process` answers before itself.
    module Fork
      # @return [Integer]
      def _fork
        pid = super
        ForkHook.after_fork if pid.zero?
        pid
      end
    end

    class << self
      # @return [void]
      def install
        Process.singleton_class.prepend(Fork) unless Process.singleton_class < Fork
      end

      # @return [void]
      def after_fork
        Tracing.after_fork unless HeapInspector.autoload?(:Tracing)
        Agent.after_fork unless HeapInspector.autoload?(:Agent)
        Threshold.after_fork unless HeapInspector.autoload?(:Threshold)
      end
    end
  end
end
