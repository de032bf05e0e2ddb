# frozen_string_literal: true

require_relative "work"

module HeapInspector
  # What should be gone and is not: {HeapInspector.expect_collected} gives it objects, which it refers to weakly. An object is left if it
  # lives {GRACE_PERIOD} seconds later and outlived a full collection that began after these. It asks for no collection itself.
  #
  # Costs a look at the clock and an entry of a table for each object, and a look through the table now and then; nothing where nobody
  # calls.
  #
  # @api private
  module Uncollected
    # Seconds in which an object may still be in somebody's hands: a thread's, a connection's that is kept open.
    GRACE_PERIOD = 5
    # Objects that are waited for at a time; what goes beyond is not looked at.
    MOST = 10_000
    # Objects that were given between two looks through the table.
    OFTEN = 500
    # Letters of a reason.
    LONGEST = 60
    # Objects that a dump names, and their reasons.
    TOLD = 500
    REASONS = 20

    # Why an object should be gone, when it was given, and the full collection after which it may still be there.
    Entry = Struct.new(:reason, :time, :collection)
    private_constant :Entry, :OFTEN

    @mutex = Mutex.new
    @objects = ObjectSpace::WeakMap.new
    @entries = {}
    @next = 0
    @skipped = 0

    class << self
      # @param object [Object]
      # @param reason [Symbol, String] at most {LONGEST} letters
      # @return [void]
      def add(object, reason)
        @mutex.synchronize do
          ForkHook.install if @next.zero?
          @next += 1
          look if (@next % OFTEN).zero?
          next @skipped += 1 if @entries.size >= MOST

          @entries[@next] = Entry.new(reason, now, nil)
          @objects[@next] = object
        end
        nil
      end

      # @param object [Object]
      # @return [Symbol] the name of its class, as a reason
      def class_of(object)
        name = Kernel.instance_method(:class).bind_call(object).name.to_s[0, LONGEST]
        name.empty? ? :object : name.to_sym
      end

      # Looks which are gone, which are due and which are left.
      #
      # @return [void]
      def sweep
        @mutex.synchronize { look }
      end

      # @return [Hash{Symbol => Object}] `waiting`, `left` (by reason) and `skipped`, all of them numbers
      def status
        @mutex.synchronize do
          look
          left = @entries.each_value.select { |entry| left?(entry) }
          by_reason = left.map { |entry| entry.reason.to_s }.tally.max_by(REASONS, &:last).to_h
          { waiting: @entries.size - left.size, left: by_reason, skipped: @skipped }
        end
      end

      # What is left, for a dump: where it lies, by reason. A reason that is a text is the app's, and left out where values are replaced.
      #
      # @param redact [Boolean]
      # @return [Array<Hash>, nil] of `reason`, `count`, `seconds` (since the first was given) and `addresses`
      def left(redact: false)
        collections = nil
        # Where objects were moved meanwhile, they lie elsewhere.
        until collections == (collections = GC.count)
          found = @mutex.synchronize do
            look
            by_reason = @entries.select { |_, entry| left?(entry) }.group_by { |_, entry| name(entry.reason, redact) }
            most = by_reason.max_by(REASONS) { |_, entries| entries.size }
            most.map { |reason, entries| told(reason, entries, TOLD / most.size) }
          end
        end
        found unless found.empty?
      end

      # The parent's objects are no matter of the child's.
      #
      # @return [void]
      def after_fork
        @mutex = Mutex.new
        @objects = ObjectSpace::WeakMap.new
        @entries = {}
        @next = @skipped = 0
      end

      private

      def name(reason, redact)
        redact && reason.is_a?(String) ? "" : reason.to_s
      end

      def told(reason, entries, most)
        addresses = entries.first(most).filter_map { |number, _| @objects.key?(number) && address(@objects[number]) }
        { reason: reason, count: entries.size, seconds: (now - entries.first.last.time).round, addresses: addresses }
      end

      # As Ruby tells it of any object, BasicObjects too.
      def address(object)
        Kernel.instance_method(:to_s).bind_call(object)[/0x\h+/]&.sub(/0x0*/, "0x")
      end

      def left?(entry)
        !entry.collection.nil? && collections > entry.collection
      end

      def look
        due = now - GRACE_PERIOD
        begun = nil
        @entries.delete_if do |number, entry|
          next true unless @objects.key?(number)

          entry.collection ||= begun ||= GC.stat(:major_gc_count) if entry.time <= due
          false
        end
      end

      # Full collections that have marked all there is.
      def collections
        GC.stat(:major_gc_count) - (GC.latest_gc_info(:state) == :marking ? 1 : 0)
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end

  private_constant :Uncollected
end
