# frozen_string_literal: true

module HeapInspector
  # The command line: the same one as the standalone binary's, with the same output and exit codes.
  module CommandLine
    # The exit code after Ctrl-C.
    INTERRUPTED = 130

    # Runs the command line. It writes to the process's standard output and error, whatever `$stdout` is, and reads `-` from its
    # standard input.
    #
    # @param arguments [Array<String>] the words behind the program's name
    # @return [Integer] the exit code: 0, 1 (the input is to blame), 2 (the words are), 130 (Ctrl-C)
    # @example
    #   HeapInspector::CommandLine.run(%w[top heap.json --by class --lines 5]) # => 0
    def self.run(arguments)
      [$stdout, $stderr].each(&:flush)
      arguments = arguments.map(&:to_str)
      arguments = [arguments[1], "--help"] if arguments.first == "help" && [*LiveCommands::VERBS, "console"].include?(arguments[1])
      return LiveCommands.run(arguments) if LiveCommands.living?(arguments)
      return Console.run(arguments.drop(1)) if arguments.first == "console"

      require_relative "native"
      Native.command_line(arguments)
    rescue Interrupt
      INTERRUPTED
    end
  end
end
