# frozen_string_literal: true

module HeapInspector
  # How often this process did what it is there for: requests, jobs, and what {HeapInspector.count} was told. A dump has it in its first
  # line, so that growth is told by request. A forked process begins at zero.
  #
  # @api private
  module Work
    # Sorts of work that are told apart.
    MOST = 32
    # What tells in a Rack environment that the request was counted.
    COUNTED = "heap_inspector.counted"
    @counts = {}
    @mutex = Mutex.new

    class << self
      # Counts one more, at no more than a counter: no name is looked at that is known.
      #
      # @param name [Symbol]
      # @param number [Integer]
      # @return [void]
      def add(name, number = 1)
        @mutex.synchronize do
          known = @counts[name]
          known ? @counts[name] = known + number : begin_counting(name, number)
        end
        nil
      end

      # Counts a request, once wherever it passes.
      #
      # @param env [Hash] its Rack environment
      # @return [void]
      def request(env)
        return if env[COUNTED]

        env[COUNTED] = true
        add(:requests)
      end

      # Counts a job, unless it is a part of one that runs already, as an Active Job inside of Sidekiq's is.
      #
      # @yield the job
      # @return [Object] what the block returns
      def job
        return yield if Thread.current[:heap_inspector_job]

        add(:jobs)
        Thread.current[:heap_inspector_job] = true
        begin
          yield
        ensure
          Thread.current[:heap_inspector_job] = nil
        end
      end

      # @return [Hash{Symbol => Integer}] a copy
      def counts
        @mutex.synchronize { @counts.dup }
      end

      # @return [Float, nil] seconds since this process began, where the system tells
      def seconds
        ticks = ProcFs.start_ticks("self")
        ticks && (Process.clock_gettime(Process::CLOCK_BOOTTIME) - (ticks / TICKS)).round(2)
      end

      # What the parent did is not the child's work; and another thread may have held the lock.
      #
      # @return [void]
      def after_fork
        @mutex = Mutex.new
        @counts = {}
        Thread.current[:heap_inspector_job] = nil
      end

      private

      # A name made of data would take memory for good: what goes beyond a few names is told once and not counted.
      def begin_counting(name, number)
        if @counts.size < MOST
          ForkHook.install
          @counts[name] = number
        elsif !@told
          @told = true
          Background.tell("more than #{MOST} sorts of work: #{name.inspect} is not counted")
        end
      end
    end

    # Of the clock in which Linux tells when a process began: 100 a second on all that Ruby runs on.
    TICKS = 100.0

    private_constant :COUNTED, :TICKS
  end

  private_constant :Work
end
