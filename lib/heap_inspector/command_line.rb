# frozen_string_literal: true

module HeapInspector
  # The command line: the same one as the standalone binary's, with the same output and exit codes.
  module CommandLine
    # @!parse
    #   # The exit code after Ctrl-C.
    #   INTERRUPTED = 130

    # Runs the command line. It writes to the process's standard output and error, whatever `$stdout` is, and reads `-` from its
    # standard input.
    #
    # @param arguments [Array<String>] the words behind the program's name
    # @return [Integer] the exit code: 0, 1 (the input is to blame), 2 (the words are), 130 (Ctrl-C)
    # @example
    #   HeapInspector::CommandLine.run(%w[top heap.json --by class --lines 5]) # => 0
    def self.run(arguments)
      [$stdout, $stderr].each(&:flush)
      native_run(arguments.map(&:to_str))
    rescue Interrupt
      INTERRUPTED
    end
  end
end

require "heap_inspector/heap" # loads the extension

module HeapInspector
  module CommandLine
    private_class_method :native_run
  end
end
