# frozen_string_literal: true

module HeapInspector
  # What is wrong with a dump. What the operating system refuses comes as its own `Errno` class, a wrong argument as ArgumentError.
  class Error < StandardError
  end

  # The input is no heap dump, or a damaged one and `strict` was asked for.
  class FormatError < Error
    # @return [Integer, nil] the line to blame, from 1, where a single one is
    attr_reader :line

    # @return [Integer, nil] the bytes before the place to blame, in the uncompressed dump
    attr_reader :byte

    # @param message [String]
    # @param line [Integer, nil]
    # @param byte [Integer, nil]
    def initialize(message = nil, line: nil, byte: nil)
      super(message)
      @line = line
      @byte = byte
    end
  end

  # The compressed input is damaged from the start, far too large when decompressed, or of a sort that is not read.
  class CompressionError < Error
  end

  # The heap has no object at the address.
  class ObjectNotFound < Error
  end

  # The dump does not say by what names an object holds others.
  class NameUnknown < Error
  end

  # The heap was closed.
  class ClosedError < Error
  end

  # A dump of this or another process could not be taken.
  class DumpError < Error
  end

  # There is too little memory or disk for a dump, or another one is being taken. Nothing was done.
  class DumpRefused < DumpError
  end

  # The child that writes the dump failed, or was killed. The process itself goes on.
  class DumpFailed < DumpError
  end

  # The dump took longer than it was given.
  class DumpTimeout < DumpError
  end

  # A process has no agent or does not answer, or its agent cannot be set up.
  class AgentError < Error
  end
end
