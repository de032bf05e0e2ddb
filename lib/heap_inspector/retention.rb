# frozen_string_literal: true

require "tempfile"
require_relative "native"
require_relative "tracing"
require_relative "value"

module HeapInspector
  # Objects of one class and place that runs of a block left behind.
  class KeptGroup < Value
    # @!attribute [r] class_name
    #   @return [String, nil] the class, where it has a name
    # @!attribute [r] app_location
    #   @return [String, nil] the app's own line that led to the allocation, as `"app/models/order.rb:12"`
    # @!attribute [r] location
    #   @return [String, nil] where they were allocated, perhaps in a gem
    # @!attribute [r] count
    #   @return [Integer] how many, over all runs that count
    # @!attribute [r] memsize
    #   @return [Integer] their bytes: slots, and the content of Strings, Arrays and Hashes
    fields :class_name, :app_location, :location, :count, :memsize

    # @return [String] a line for people
    def to_s
      place = [app_location, location].compact.uniq.join(", in ")
      Escape.terminal([class_name || "(no name)", *place].join(" allocated at "))
    end
  end

  # What a block keeps each time it is run; see {HeapInspector.retention}.
  class Retention
    # What is kept of some classes by a run.
    Kept = Struct.new(:objects, :memsize)

    # Whether a reference on the path is the one to cut.
    FAULTS = { faulty: "the faulty reference", candidate: "may be the faulty reference" }.freeze

    private_constant :Kept, :FAULTS

    # @return [Integer] how many runs count: those after the warm-up, without the last, whose objects may still be at hand
    attr_reader :runs
    # @return [Integer] objects that a run allocates, at least
    attr_reader :allocated_objects
    # @return [Integer] bytes of their slots
    attr_reader :allocated_memsize
    # @return [Array<KeptGroup>] what the runs left behind, what takes most first
    attr_reader :groups
    # @return [Array<String>, nil] the references from a root to one of those objects, where that was asked for and could be told
    attr_reader :path

    # @api private
    def initialize(survivors, runs, allocated)
      @runs = runs
      @survivors = survivors.select { |found| found.interval < runs }
      @allocated_objects, @allocated_memsize = allocated
      by_place = @survivors.group_by { |found| found.to_h.slice(:class_name, :app_location, :location) }
      groups = by_place.map { |place, found| KeptGroup.new(**place, count: found.sum(&:objects), memsize: found.sum(&:memsize)) }
      @groups = groups.sort_by { |group| [-group.memsize, group.to_s] }.freeze
    end

    # How many objects a run keeps: the median over the runs, so that what is kept once, as a memo, does not count.
    #
    # @param classes [Array<Module, String>] only of these classes and those derived from them; of all if there are none
    # @return [Integer]
    def objects(*classes) = kept(classes).objects

    # How many bytes a run keeps, the median as well: slots, and the content of Strings, Arrays and Hashes.
    #
    # @param classes (see #objects)
    # @return [Integer]
    def memsize(*classes) = kept(classes).memsize

    # @param classes (see #objects)
    # @return [Array<KeptGroup>] the groups of these classes
    def groups_of(*classes)
      names = Retention.names(classes)
      names.empty? ? groups : groups.select { |group| names.include?(group.class_name) }
    end

    # Finds out what holds one of the objects, by a dump of this process that lies in memory and is gone again: only the path is kept.
    #
    # @api private
    # @param classes [Array<Module, String>]
    # @return [void]
    def explain(classes = [])
      names = Retention.names(classes)
      of_classes = names.empty? ? @survivors : @survivors.select { |found| names.include?(found.class_name) }
      address = of_classes.max_by(&:memsize)&.address
      return unless address

      @path = dumped do |heap|
        paths = heap.paths_to(address)
        paths.first.to_a.zip(paths.verdicts.first.to_a).map do |step, verdict|
          reference = [step.edge, step.label].compact.join(" -> ")
          Escape.terminal([reference, FAULTS[verdict&.fault]].compact.join("  <- "))
        end.freeze
      end
    rescue ObjectNotFound
      @path = [].freeze
    rescue DumpError, FormatError, SystemCallError => e
      @path = ["not told: #{e.message}"].freeze
    end

    # @api private
    # @return [Boolean] whether something holds the object that was to be explained, as far as it is known
    def held? = path.nil? || path.any?

    # @return [String] what a run allocates and keeps, by class and line
    def to_s
      head = "a run allocates #{Size.count(allocated_objects)} objects and keeps #{Size.count(objects)}, #{Size.count(memsize)} B"
      [head, *lines].join("\n")
    end

    # @param classes (see #objects)
    # @param limit [Integer] so many groups at most
    # @return [Array<String>] a line for each group, and the path
    def lines(*classes, limit: 10)
      found = groups_of(*classes)
      told = found.first(limit).map { |group| "  #{group.count} in #{runs} #{runs == 1 ? "run" : "runs"}: #{group}" }
      told << "  and #{found.size - limit} more" if found.size > limit
      told.push("held by", *path.map { |step| "  #{step}" }) if path&.any?
      told
    end

    # @return [String]
    def inspect = "#<#{self.class} #{objects} objects, #{memsize} B kept by a run>"

    # The names of classes and of those derived from them.
    #
    # @api private
    # @param classes [Array<Module, String>]
    # @return [Array<String>]
    def self.names(classes)
      classes.flat_map do |one|
        next [one] if one.is_a?(String)
        raise TypeError, "expected a class or its name, got #{one.inspect}" unless one.is_a?(Class)

        [one, *derived(one)].filter_map(&:name)
      end
    end

    def self.derived(one) = one.subclasses.flat_map { |found| [found, *derived(found)] }

    private_class_method :derived

    private

    # A dump of this process, for as long as the block takes. It has the values of strings, which are told, so it lies on no disk: a heap
    # file, which is quicker to write and to read than lines are and takes a small part of their memory.
    def dumped
      in_memory do |file|
        HeapInspector.dump(file, gc: false, format: :heap)
        file.rewind
        heap = HeapInspector.analyze(file, index: false)
        begin
          yield heap
        ensure
          heap.close
        end
      end
    end

    # A file without a name; on a disk where the system has none in memory.
    def in_memory(&block)
      descriptor = Native.memory_file
      return IO.open(descriptor, "w+b", &block) if descriptor

      Tempfile.create("heap_inspector", mode: File::BINARY) do |file|
        File.unlink(file.path)
        block.call(IO.for_fd(file.fileno, "w+b", autoclose: false))
      end
    end

    def kept(classes)
      names = Retention.names(classes)
      sums = Array.new(runs) { [0, 0] }
      @survivors.each do |found|
        next unless names.empty? || names.include?(found.class_name)

        sums[found.interval][0] += found.objects
        sums[found.interval][1] += found.memsize
      end
      Kept.new(*sums.transpose.map { |numbers| numbers.sort[(runs - 1) / 2] })
    end
  end

  # Threads that began meanwhile and may be about to end: what they refer to lives until they have, and runs that follow each other at once
  # leave them no time for it.
  #
  # @api private
  class YoungThreads
    # Seconds for which they are waited for, at most. Those that stay are not waited for again.
    MOST = 0.1
    # Seconds from one look to the next.
    STEP = 0.002
    # Tests stop clocks, and sleep for nobody.
    CLOCK = Process.method(:clock_gettime)
    SLEEP = Kernel.method(:sleep)

    private_constant :MOST, :STEP, :CLOCK, :SLEEP

    def initialize
      @others = ids
    end

    # Waits until they have ended, where there are some.
    #
    # @return [void]
    def wait
      return unless any?

      began = now
      SLEEP.call(STEP) while any? && now - began < MOST
      SLEEP.call(STEP) # one that is not alive any more may be on its way out
      @others |= ids
    end

    private

    # Not the threads, which would be held.
    def ids = Thread.list.map(&:__id__)

    def any? = (ids - @others).any?

    def now = CLOCK.call(Process::CLOCK_MONOTONIC)
  end

  # Runs a block again and again, and knows of each object the block's thread allocated whether it lives.
  #
  # @api private
  module Retaining
    # Runs of a block that keeps something.
    RUNS = 5
    # So many runs tell what a block keeps, at least.
    FEWEST = 2

    # What a dump shows to be held by nothing is looked at again, so often at most.
    LOOKS = 3

    # A run: between which moments it was, and what it allocated.
    Run = Struct.new(:from, :to, :objects, :memsize)

    private_constant :FEWEST, :LOOKS, :Run

    @thread = nil

    class << self
      # See {HeapInspector.retention}.
      #
      # @param warm_up [Integer]
      # @param runs [Integer]
      # @param is_wrong [#call] whether a retention is to be explained
      # @return [Retention]
      def measure(warm_up: 1, runs: RUNS, is_wrong: ->(_) { false }, classes: [], &block)
        raise ArgumentError, "warm_up is a number of runs, got #{warm_up.inspect}" unless warm_up.is_a?(Integer) && warm_up >= 0
        raise ArgumentError, "runs is a number from #{FEWEST}, got #{runs.inspect}" unless runs.is_a?(Integer) && runs >= FEWEST

        is_within = @thread.equal?(Thread.current)
        unless is_within
          Tracing.missing&.then { |why| raise Error, why }
          warm_up.times { block.call } # nobody is to know of it
        end
        tracing do
          counting { warm_up.times { block.call } } if is_within
          watch(runs, is_wrong, classes, &block)
        end
      end

      # Has this thread traced for a block; where it is already, as in a measurement within another, nothing more is done.
      #
      # @param forgets [Boolean] whether what is known at the end is forgotten. Else what lives of several blocks can be told at once, in
      #   another such block behind them
      # @yield
      # @return [Object] what the block gives
      def tracing(forgets: true, &block)
        return yield if @thread.equal?(Thread.current)

        Tracing.alone(forgets: forgets) do
          @thread = Thread.current
          Native.tracer_start_thread
          block.call
        ensure
          Native.tracer_stop
          @thread = nil
        end
      end

      # Forgets what is known, but for what others trace by now.
      #
      # @return [void]
      def forget = (Tracing.tracer.clear unless Tracing.tracing?)

      # Leaves out what is done meanwhile.
      #
      # @yield
      # @return [Object] what the block gives
      def untraced
        Native.tracer_stop
        yield
      ensure
        Native.tracer_start_thread
      end

      # Notes no lines and stacks meanwhile, which take ten times as long as the rest.
      #
      # @yield
      # @return [Object] what the block gives
      def counting
        Native.tracer_places(false)
        yield
      ensure
        Native.tracer_places(true)
      end

      # Between its two moments nothing of ours is allocated. The block runs so far down the machine stack that a collection after it does
      # not stand where its calls stood: in the gaps between what it writes there are addresses still, mostly of the last object made.
      #
      # @yield
      # @return [Run]
      def run(&)
        objects = Native.tracer_allocated_objects
        memsize = Native.tracer_allocated_memsize
        from = Native.tracer_moment
        Native.deeper(&)
        to = Native.tracer_moment
        Run.new(from, to, Native.tracer_allocated_objects - objects, Native.tracer_allocated_memsize - memsize)
      end

      # What lives of runs, whose number is its interval; what lies between runs is ours.
      #
      # @param runs [Array<Run>]
      # @return [Array<Tracing::Survivors>]
      def survivors(runs)
        found = Tracing.survivors(runs.flat_map { |run| [run.from, run.to] }).select { |one| one.interval.even? }
        found.each { |one| one.interval /= 2 }
      end

      # What lives of runs after a collection.
      #
      # @param runs [Array<Run>]
      # @param options as `GC.start` takes them
      # @return [Array<Tracing::Survivors>]
      def living(runs, **options)
        Tracing.collect(**options)
        survivors(runs)
      end

      # What is left of runs when finalizers have run: what these refer to, as an `ObjectSpace::WeakMap`, lives through the collection that
      # finds their object dead.
      #
      # @param runs [Array<Run>]
      # @return [Array<Tracing::Survivors>]
      def left(runs)
        Tracing.collect
        living(runs)
      end

      # What runs keep, and where that is wrong what holds it. What nothing holds has been let go of meanwhile, as by a thread that ended.
      #
      # @param runs [Array<Run>]
      # @param found [Array<Tracing::Survivors>] what is left of them
      # @param count [Integer] so many of the runs count
      # @param classes [Array<Module, String>]
      # @yieldparam retention [Retention]
      # @yieldreturn [Boolean] whether it is wrong
      # @return [Retention]
      def retention(runs, found, count, classes = [])
        allocated = [runs.map(&:objects).min, runs.map(&:memsize).min]
        LOOKS.downto(1) do |looks|
          told = Retention.new(found, count, allocated)
          return told unless yield(told)

          untraced { told.explain(classes) }
          return told if told.held? || looks == 1

          found = left(runs)
        end
      end

      private

      # One run tells where nothing lives of it. A minor collection may leave what another one made old while the block ran; a major does
      # not. What is left may be at hand still, or what the next run replaces: so another run tells. Where something is left then, too,
      # others tell what it is.
      def watch(most, is_wrong, classes, &)
        threads = YoungThreads.new
        runs = [counting { run(&) }]
        found = living(runs, full_mark: false, immediate_sweep: false)
        if found.any?
          threads.wait
          found = living(runs)
        end
        first = Retention.new(found, 1, [runs[0].objects, runs[0].memsize])
        return first if found.empty? && !is_wrong.call(first)

        runs << counting { run(&) }
        found = left(runs)
        if found.any? { |one| one.interval.zero? }
          runs = Array.new(most) { run(&) }
          threads.wait
          found = left(runs)
        end
        retention(runs, found, runs.size - 1, classes, &is_wrong)
      end
    end
  end

  private_constant :YoungThreads, :Retaining
end
