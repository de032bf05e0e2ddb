# frozen_string_literal: true

module HeapInspector
  # Puts things in order in forked children and in daemons, but for those that write a dump. Installed when something needs it, and then
  # for good: a method that is there cannot be taken away.
  #
  # A fork is the app's, and may happen inside of a trap or where no further thread can be made. So nothing here takes a lock, nothing
  # touches the disk, and what fails is left undone.
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

      # Goes by no `_fork`: what is left is a child without threads, whose parent is gone.
      #
      # @return [Integer]
      def daemon(*)
        result = super
        ForkHook.after_fork(daemon: true)
        result
      end
    end

    class << self
      # @return [void]
      def install
        Process.singleton_class.prepend(Fork) unless Process.singleton_class < Fork
      end

      # @param daemon [Boolean] whether the parent is gone, and this process goes on in its place
      # @return [void]
      def after_fork(daemon: false)
        safely { Tracing.after_fork } unless daemon || HeapInspector.autoload?(:Tracing)
        safely { Agent.after_fork(daemon: daemon) } unless HeapInspector.autoload?(:Agent)
        safely { Threshold.after_fork } unless HeapInspector.autoload?(:Threshold)
        safely { Profiles.after_fork } unless HeapInspector.autoload?(:Profiles)
        safely { Summaries.after_fork } unless HeapInspector.autoload?(:Summaries)
        safely { Work.after_fork } unless daemon || HeapInspector.autoload?(:Work)
        safely { Uncollected.after_fork } unless daemon || HeapInspector.autoload?(:Uncollected)
        safely { MetricsFile.after_fork } unless HeapInspector.autoload?(:MetricsFile)
      end

      private

      # Signals and exits go through: they are the app's.
      def safely
        yield
      rescue StandardError, ScriptError, NoMemoryError, SystemStackError
        nil
      end
    end
  end

  private_constant :ForkHook
end
