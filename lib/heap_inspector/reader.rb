# frozen_string_literal: true

module HeapInspector
  # Reads an object for the extension, in a fiber of its own. Beneath the caller's `read` stand native frames which a thread works for:
  # were control given to another fiber there, and the caller's never resumed, that thread would wait for good. So `read` may not do
  # that, and a scheduler's fibers wait meanwhile, as they do for the whole call.
  #
  # @api private
  class Reader
    # @param source [#read]
    def initialize(source)
      @source = source
    end

    # @param length [Integer]
    # @return [String, nil]
    # @raise [FiberError] if control was given to another fiber
    # @raise [TypeError] if what came is no String
    def read(length)
      locals = Thread.current.keys.to_h { |name| [name, Thread.current[name]] }
      fiber = Fiber.new(blocking: true) { attempt(locals, length) }
      read, thrown = fiber.resume
      raise FiberError, "read of #{@source.class} gives control to another fiber" if fiber.alive?

      thrown ? throw(thrown.tag, thrown.value) : checked(read)
    end

    private

    # A fiber has its own `Thread#[]`, and its own `catch`.
    def attempt(locals, length)
      locals.each { |name, value| Thread.current[name] = value }
      [@source.read(length), nil]
    rescue UncaughtThrowError => e
      [nil, e]
    end

    def checked(read)
      return read if read.nil? || read.is_a?(String) || read.respond_to?(:to_str)

      raise TypeError, "read of #{@source.class} returned no String"
    end
  end

  private_constant :Reader
end
