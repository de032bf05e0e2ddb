# frozen_string_literal: true

module HeapInspector
  # A line on a terminal that tells how much is read; silent where there is no terminal.
  #
  # @api private
  class ProgressBar
    # Seconds between two drawings.
    PAUSE = 0.1
    # Columns of the bar itself.
    WIDTH = 40

    private_constant :PAUSE, :WIDTH

    # Calls the block with what is to be called with the progress, and takes a bar away when it is over.
    #
    # @param progress [Boolean, #call, nil] true for a bar
    # @yieldparam callee [#call, nil]
    # @return [Object] what the block returns
    # @raise [ArgumentError] if it cannot be called
    def self.during(progress)
      bar = new if progress == true
      callee = bar || progress || nil
      raise ArgumentError, "progress: is true or what can be called" unless callee.nil? || callee.respond_to?(:call)

      yield callee
    ensure
      bar&.finish
    end

    # @param out [IO]
    def initialize(out = $stderr)
      @out = out
      @is_shown = out.tty? && ENV["TERM"] != "dumb"
      @next = 0.0
    end

    # @param read [Integer] bytes read
    # @param all [Integer, nil] bytes in all, if known
    # @return [void]
    def call(read, all)
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      return if !@is_shown || now < @next

      @next = now + PAUSE
      @out.print("\r", line(read, all), "\e[K")
    end

    # Takes the line away.
    #
    # @return [void]
    def finish
      @out.print("\r\e[K") if @is_shown && @next.positive?
    end

    private

    def line(read, all)
      mebibytes = format("%.0f MiB", read.fdiv(1 << 20))
      return "reading #{mebibytes}" if all.nil? || all.zero?

      share = [read.fdiv(all), 1.0].min
      done = (share * WIDTH).round
      "reading [#{"=" * done}#{" " * (WIDTH - done)}] #{(share * 100).round} % #{mebibytes}"
    end
  end

  private_constant :ProgressBar
end
