# frozen_string_literal: true

module HeapInspector
  # A frame of the stack in which an object was allocated. An answer of {HeapObject#stack}.
  class StackFrame < Value
    # @!attribute [r] file
    #   @return [String, nil] the file's path as Ruby knew it
    # @!attribute [r] line
    #   @return [Integer, nil] the line that was run
    # @!attribute [r] label
    #   @return [String, nil] what was run, as backtraces have it: `"block in FeedsController#index"`
    # @!attribute [r] app
    #   @return [Boolean] whether the file is the app's
    fields :file, :line, :label, :app

    alias app? app

    # @return [String, nil] file and line, as `"app/models/feed.rb:31"`
    def location
      line ? "#{file}:#{line}" : file
    end

    # @return [String] as backtraces have it; control characters of the dump are escaped
    def to_s
      Native.escape([location, label].compact.join(" in "))
    end
  end
end
