# frozen_string_literal: true

require "io/nonblock"

module HeapInspector
  # Turns what is to be read into the one plain form that the extension takes.
  #
  # @api private
  module Input
    # More than Ruby's IO ever reads ahead.
    BUFFER = 1 << 20

    private_constant :BUFFER

    class << self
      # @param source [Object] see {HeapInspector.analyze}
      # @return [Array] a path and nil, or a descriptor and what Ruby has read of it already, or an object with `read` and nil;
      #   then the name for people and the path or nil
      def of(source)
        return descriptor(source) if source.is_a?(IO)
        return path(source) if source.is_a?(String) || (source.respond_to?(:to_path) && source.to_path)
        return [Reader.new(source), nil, "(#{source.class})", nil] if source.respond_to?(:read)

        raise TypeError, "expected a path, an IO or an object with read, got #{source.class}"
      end

      # @param source [Object]
      # @return [String] the name for people, without a look at what is to be read
      def name(source)
        return path_of(source) if source.is_a?(String) || (source.respond_to?(:to_path) && source.to_path)

        "(#{source.class})"
      end

      # @param source [String, #to_path]
      # @return [String] the path
      # @raise [ArgumentError] if it is none: with a null byte, or in UTF-16
      def path_of(source)
        File.path(source)
      rescue EncodingError => e
        raise ArgumentError, e.message
      end

      private

      def path(source)
        path = path_of(source)
        [path, nil, path, path]
      end

      def descriptor(io)
        io.readpartial(0) # refuses what is closed, not open for reading, or half read by characters
        path = io.path if io.is_a?(File)
        name = path || (io.fileno.zero? ? "-" : "(#{io.class})")
        return [io.fileno, unread(io), name, path] unless io.stat.file?

        io.pos # puts the descriptor where Ruby code would read on
        [io.fileno, "", name, path]
      end

      # What Ruby has read ahead, and maybe some more that is there.
      def unread(io)
        waits = !io.nonblock?
        head = io.read_nonblock(BUFFER, exception: false)
        head.is_a?(String) ? head : ""
      ensure
        io.nonblock = false if waits
      end
    end
  end

  private_constant :Input
end
