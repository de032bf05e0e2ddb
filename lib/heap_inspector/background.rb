# frozen_string_literal: true

module HeapInspector
  # What the gem does in a server without being asked: threads that stay in the background, and words on standard error.
  #
  # @api private
  module Background
    @last = {}

    # @param name [String] what it does
    # @yield in the thread
    # @return [Thread]
    def self.thread(name, &)
      thread = Thread.new(&)
      thread.name = "heap_inspector #{name}"
      thread.report_on_exception = false
      thread.thread_variable_set(:fork_safe, true) # Puma warns of other threads that are there before it forks
      thread
    end

    # @param message [String]
    # @return [void]
    def self.tell(message)
      warn "heap_inspector: #{Escape.terminal(message)}"
    rescue IOError, SystemCallError
      nil # standard error is closed
    end

    # Once, until the same part has something else to say.
    #
    # @param part [Object] who says it
    # @param message [String]
    # @return [void]
    def self.tell_anew(part, message)
      return if @last[part] == message

      @last[part] = message
      tell(message)
    end

    # What a module that writes every `@seconds`, by a thread that runs its `write`, is extended with.
    module Repeated
      # @return [void]
      def stop
        @seconds = nil
        @thread&.kill
      end

      # The child writes its own.
      #
      # @return [void]
      def after_fork
        begin_writing if @seconds
      end

      private

      def begin_writing
        @thread&.kill
        @thread = Background.thread(self::THREAD) { write }
      end
    end
  end

  private_constant :Background
end
