# frozen_string_literal: true

module HeapInspector
  # The version of the gem and of the command line.
  VERSION = "0.1.0"
end
