# frozen_string_literal: true

require_relative "heap_inspector/version"

# Reads and explains Ruby heap dumps: what `ObjectSpace.dump_all` of any Ruby from 2.1 on wrote, plain or compressed with gzip, zstd or
# lz4.
#
# Loading this file loads nothing of the extension; the first call does.
#
# @example
#   heap = HeapInspector.analyze("heap.json")
#   heap.object_count                                  # => 562124
#   puts heap.groups(by: :class, limit: 10)
#   heap.groups(by: :location, where: {type: :string}) # an Enumerable of HeapInspector::Group
module HeapInspector
  autoload :Agent, "heap_inspector/agent"
  autoload :AgentError, "heap_inspector/errors"
  autoload :AgentRequest, "heap_inspector/agent_request"
  autoload :Allocation, "heap_inspector/allocation"
  autoload :Background, "heap_inspector/background"
  autoload :BlockProfile, "heap_inspector/block_profile"
  autoload :Check, "heap_inspector/check"
  autoload :ChildRuby, "heap_inspector/child_ruby"
  autoload :Client, "heap_inspector/client"
  autoload :ClosedError, "heap_inspector/errors"
  autoload :Collection, "heap_inspector/collections"
  autoload :CollectionGroup, "heap_inspector/collections"
  autoload :Collections, "heap_inspector/collections"
  autoload :CommandLine, "heap_inspector/command_line"
  autoload :Component, "heap_inspector/unreachable"
  autoload :ComponentGroup, "heap_inspector/unreachable"
  autoload :Compression, "heap_inspector/compression"
  autoload :CompressionError, "heap_inspector/errors"
  autoload :Console, "heap_inspector/console"
  autoload :Details, "heap_inspector/details"
  autoload :Diff, "heap_inspector/diff"
  autoload :Doctor, "heap_inspector/doctor"
  autoload :Dominated, "heap_inspector/dominators"
  autoload :Dominators, "heap_inspector/dominators"
  autoload :Drawings, "heap_inspector/drawings"
  autoload :Dump, "heap_inspector/dump"
  autoload :DumpChecks, "heap_inspector/dump_checks"
  autoload :DumpError, "heap_inspector/errors"
  autoload :DumpFailed, "heap_inspector/errors"
  autoload :DumpFile, "heap_inspector/dump_file"
  autoload :DumpMeta, "heap_inspector/dump_meta"
  autoload :DumpRefused, "heap_inspector/errors"
  autoload :DumpRequest, "heap_inspector/dump_request"
  autoload :DumpTimeout, "heap_inspector/errors"
  autoload :DuplicateString, "heap_inspector/duplicate_strings"
  autoload :DuplicateStrings, "heap_inspector/duplicate_strings"
  autoload :Error, "heap_inspector/errors"
  autoload :Escape, "heap_inspector/escape"
  autoload :Estimate, "heap_inspector/groups"
  autoload :Expectation, "heap_inspector/expectation"
  autoload :Export, "heap_inspector/export"
  autoload :ExtensionGems, "heap_inspector/extension_gems"
  autoload :Facts, "heap_inspector/facts"
  autoload :Fill, "heap_inspector/collections"
  autoload :Folder, "heap_inspector/folder"
  autoload :ForkHook, "heap_inspector/fork_hook"
  autoload :FormatError, "heap_inspector/errors"
  autoload :Fragmentation, "heap_inspector/fragmentation"
  autoload :Generation, "heap_inspector/generations"
  autoload :Generations, "heap_inspector/generations"
  autoload :Group, "heap_inspector/groups"
  autoload :GroupGrowth, "heap_inspector/growth"
  autoload :Grouping, "heap_inspector/grouping"
  autoload :GroupRows, "heap_inspector/rows"
  autoload :Groups, "heap_inspector/groups"
  autoload :Growth, "heap_inspector/growth"
  autoload :Heap, "heap_inspector/heap"
  autoload :HeapObject, "heap_inspector/heap"
  autoload :HeapProfile, "heap_inspector/heap_profile"
  autoload :HeapThread, "heap_inspector/threads"
  autoload :Held, "heap_inspector/held"
  autoload :Holder, "heap_inspector/retained"
  autoload :HolderGrowth, "heap_inspector/growth"
  autoload :Hooks, "heap_inspector/hooks"
  autoload :Hunt, "heap_inspector/hunt"
  autoload :Input, "heap_inspector/input"
  autoload :KeptGroup, "heap_inspector/retention"
  autoload :LiveCommands, "heap_inspector/live_commands"
  autoload :Memory, "heap_inspector/memory"
  autoload :MemoryDiagnosis, "heap_inspector/memory_diagnosis"
  autoload :MemoryLook, "heap_inspector/memory_look"
  autoload :MemoryOutside, "heap_inspector/memory_outside"
  autoload :MemoryRequest, "heap_inspector/memory_request"
  autoload :MemoryRow, "heap_inspector/memory"
  autoload :MemorySeries, "heap_inspector/memory_series"
  autoload :MemoryTold, "heap_inspector/memory"
  autoload :MemoryVerdict, "heap_inspector/memory_diagnosis"
  autoload :MergedPaths, "heap_inspector/paths"
  autoload :Metrics, "heap_inspector/metrics"
  autoload :MetricsFile, "heap_inspector/metrics_file"
  autoload :Middleware, "heap_inspector/middleware"
  autoload :NameUnknown, "heap_inspector/errors"
  autoload :ObjectNotFound, "heap_inspector/errors"
  autoload :OtherHolder, "heap_inspector/suspects"
  autoload :Page, "heap_inspector/fragmentation"
  autoload :PageHolders, "heap_inspector/fragmentation"
  autoload :Pages, "heap_inspector/fragmentation"
  autoload :PageUse, "heap_inspector/summary"
  autoload :PathGroup, "heap_inspector/paths"
  autoload :Paths, "heap_inspector/paths"
  autoload :Processes, "heap_inspector/processes"
  autoload :ProcessTable, "heap_inspector/process_table"
  autoload :ProcFs, "heap_inspector/proc_fs"
  autoload :ProfiledGroup, "heap_inspector/block_profile"
  autoload :ProfiledString, "heap_inspector/block_profile"
  autoload :ProfileRequest, "heap_inspector/profile_request"
  autoload :Profiles, "heap_inspector/profiles"
  autoload :ProgressBar, "heap_inspector/progress_bar"
  autoload :Questions, "heap_inspector/questions"
  autoload :Reader, "heap_inspector/reader"
  autoload :Reference, "heap_inspector/reference"
  autoload :Relation, "heap_inspector/relation"
  autoload :Replies, "heap_inspector/replies"
  autoload :Report, "heap_inspector/report"
  autoload :RequestCounter, "heap_inspector/request_counter"
  autoload :RequireTree, "heap_inspector/require_tree"
  autoload :Rest, "heap_inspector/value"
  autoload :Retained, "heap_inspector/retained"
  autoload :RetainedGroup, "heap_inspector/retained"
  autoload :Retaining, "heap_inspector/retention"
  autoload :Retention, "heap_inspector/retention"
  autoload :Rows, "heap_inspector/rows"
  autoload :Settings, "heap_inspector/settings"
  autoload :Site, "heap_inspector/duplicate_strings"
  autoload :Size, "heap_inspector/size"
  autoload :SlotSizePages, "heap_inspector/fragmentation"
  autoload :StackFrame, "heap_inspector/stack_frame"
  autoload :Step, "heap_inspector/step"
  autoload :StepVerdict, "heap_inspector/suspects"
  autoload :Summaries, "heap_inspector/summaries"
  autoload :Summary, "heap_inspector/summary"
  autoload :SummaryRequest, "heap_inspector/summary_request"
  autoload :Suspect, "heap_inspector/suspects"
  autoload :Suspects, "heap_inspector/suspects"
  autoload :Threads, "heap_inspector/threads"
  autoload :Threshold, "heap_inspector/threshold"
  autoload :Total, "heap_inspector/value"
  autoload :TracerStatus, "heap_inspector/tracer_status"
  autoload :Tracing, "heap_inspector/tracing"
  autoload :TrimRequest, "heap_inspector/trim_request"
  autoload :Uncollected, "heap_inspector/uncollected"
  autoload :Unreachable, "heap_inspector/unreachable"
  autoload :Value, "heap_inspector/value"
  autoload :Verification, "heap_inspector/verification"
  autoload :VerifiedLeak, "heap_inspector/verification"
  autoload :Warning, "heap_inspector/warning"
  autoload :Where, "heap_inspector/where"
  autoload :WhereChain, "heap_inspector/where_chain"
  autoload :WholeFile, "heap_inspector/whole_file"
  autoload :Work, "heap_inspector/work"
  autoload :WorkRate, "heap_inspector/work_rate"
  autoload :WorkStatus, "heap_inspector/work_status"

  # Each file says it again: what is required and not autoloaded becomes public on Ruby 3.1.
  private_constant :Agent, :AgentRequest, :Background, :Check, :ChildRuby, :Client, :Compression, :Doctor, :Dump, :DumpChecks, :DumpMeta
  private_constant :DumpRequest, :Escape, :Export, :ExtensionGems, :Folder, :ForkHook, :Held, :Hooks, :Hunt, :Input, :LiveCommands
  private_constant :MemoryLook, :MemoryOutside, :MemoryRequest, :MemorySeries, :MemoryTold, :MemoryVerdict, :MetricsFile, :Processes
  private_constant :ProcessTable, :ProcFs, :ProfileRequest, :Profiles, :ProgressBar, :Questions, :Reader, :Replies, :RequireTree, :Retaining
  private_constant :Size, :Summaries, :SummaryRequest, :Threshold
  private_constant :TracerStatus, :Tracing, :TrimRequest, :Uncollected, :Where, :WholeFile, :Work, :WorkStatus

  # Reads a dump into memory, on all cores and without holding other Ruby threads up. It takes memory for about a sixth of the
  # uncompressed dump's bytes. Ctrl-C, `Thread#kill` and `Timeout` end the work as they end any other.
  #
  # @param source [String, Pathname, IO, #to_path, #read] a file's path; or an open file, pipe or socket, read from where Ruby code
  #   would read on; or any object with `read(length)`, as StringIO has, which
  #   may not give control to another fiber. An open file's position stays; others are read to the end.
  #   What is no file is copied to a temporary one, to be read again by {Heap#duplicate_strings}.
  # @param strict [Boolean] whether the first thing that would be a warning ({Heap#warnings}) is an error
  # @param progress [Boolean, #call, nil] true for a bar on standard error, where that is a terminal; or what to call, now and then,
  #   with the bytes read and their number in all (nil where that is not known). What it raises ends the work and goes through.
  # @param threads [Integer, nil] how many threads work; one a core by default
  # @param index [Boolean] whether an index file beside the dump (`heap.json.hidx`) is read where there is one for this very dump, which
  #   saves parsing, and written when the reference graph is worked out first, where the folder allows it. It may be deleted at any time.
  # @param app [String, Pathname, Array<String, Pathname>, nil] the folders of the app: what lies below and is in no gem there is the
  #   app's, and nothing else. By default those of `HEAP_INSPECTOR_APP`, or all files that are in no gem and not Ruby's own.
  # @return [Heap]
  # @raise [FormatError] if it is no heap dump; if `strict`, also where one is damaged. The message begins with the file's name.
  # @raise [CompressionError] if it is compressed in a way that cannot be read
  # @raise [SystemCallError] if the file cannot be read: `Errno::ENOENT`, `Errno::EACCES`, `Errno::EISDIR`, ...
  # @raise [ArgumentError, TypeError] if an argument cannot be understood
  # @raise [NoMemoryError] if the process may not have as much memory as it takes, here and wherever a heap is asked
  # @example
  #   HeapInspector.analyze("heap.json.zst", progress: true).summary
  # @example from a process
  #   IO.popen(["ssh", "web1", "cat /tmp/heap.json.gz"]) { |io| HeapInspector.analyze(io) }
  def self.analyze(source, strict: false, progress: nil, threads: nil, index: true, app: nil)
    Heap.load(source, strict: strict, progress: progress, threads: threads, index: index, app: app)
  end

  # Compares dumps of one process, oldest first: what is new, gone and kept, what grows, what looks like a leak. Best with three, taken
  # as the process works: two do not tell a leak from a cache that fills.
  #
  # @param dumps [Array<Heap, String, Pathname, IO, #read>] heaps that were loaded, or what {analyze} takes; or one Array of them
  # @param options [Hash] those of {analyze}: `strict`, `progress`, `threads`, `index`, `app`
  # @return [Diff]
  # @raise [ArgumentError] if there are fewer than two, or an option is unknown
  # @raise [FormatError, CompressionError, SystemCallError] if one cannot be read; the message says which
  # @example
  #   diff = HeapInspector.diff("a.json", "b.json", "c.json")
  #   diff.suspects.first # => #<HeapInspector::Suspect 200 × Order, 17.2 KiB new, held by Audit, confidence high>
  def self.diff(*dumps, **options)
    Diff.of(dumps.size == 1 && dumps.first.is_a?(Array) ? dumps.first : dumps, **options)
  end

  # Says whether a leak is fixed: growth by path in dumps from before a fix and in others from after it, for each request or whatever both
  # processes counted ({count}), else for each second. Each series wants three dumps or more of one process at work, oldest first; the two
  # may be of other processes and deploys.
  #
  # @param before [Array<Heap, String, Pathname, IO, #read>] heaps that were loaded, or what {analyze} takes
  # @param after [Array<Heap, String, Pathname, IO, #read>] likewise
  # @param leak [String, nil] only the leak of this fingerprint
  # @param options [Hash] those of {analyze}: `strict`, `progress`, `threads`, `index`, `app`
  # @return [Verification]
  # @raise [ArgumentError] if a series is empty, or an option is unknown
  # @raise [FormatError, CompressionError, SystemCallError] if a dump cannot be read
  # @example
  #   HeapInspector.verify(%w[a.json b.json c.json], %w[d.json e.json f.json]).outcome # => :fixed
  def self.verify(before, after, leak: nil, **options)
    Verification.of(before, after, leak: leak, **options)
  end

  # Begins to note where and when objects are allocated, so that a later dump taken by {dump} tells it.
  #
  # - `:full` notes file, line, method and generation of every allocation, and the stack of one of `every`: 8 bytes an object
  # - `:sampled` notes all this of one allocation of `every` alone: a fraction of the cost, and it can stay on
  # - `:continuous` does so in short windows that come at random, as many as `budget` allows
  #
  # What other Ractors than the main one allocate is not traced. Where one of them collects garbage Ruby tells nobody what died, and what
  # was known until then is unknown. Ruby 3.1 and 3.2 crash when they allocate under any tracing; there it ends, with a warning, when one
  # is made, and what was known is forgotten.
  #
  # Where this Ruby lacks what that needs (4.0 and later) Ruby's own tracer serves, which takes some 230 ns and 115 bytes an allocation, and
  # a warning says so. Dumps by `ObjectSpace.dump_all` know Ruby's own tracer alone: `ObjectSpace.trace_object_allocations_start`.
  #
  # Calls are counted: the tracing ends when {trace_object_allocations_stop} was called as often. A second call costs nothing; if it asks
  # for more, in the order continuous, sampled, full, it gets it.
  #
  # @param only [Boolean, #call] whether to trace at all, in this process
  # @param one_per_host [Boolean] whether to trace only if no other process of this user on this host was told so; when that one is
  #   gone another may begin. What the process forks does not trace.
  # @param mode [Symbol, String] `:full`, `:sampled` or `:continuous`
  # @param every [Integer, nil] allocations for each stack, on average; they are drawn at random. By default 512, in continuous mode 64
  # @param budget [Numeric] the share of the process's CPU time that continuous tracing may take
  # @return [Boolean] whether tracing began
  # @raise [AgentError] if `one_per_host` and the folder for the lock cannot be used
  # @raise [ArgumentError] if the mode is unknown, or a number out of range
  # @example in config/puma.rb, in one worker
  #   on_worker_boot { |index| HeapInspector.trace_object_allocations_start(only: index.zero?) }
  # @example on one dyno
  #   HeapInspector.trace_object_allocations_start(only: -> { ENV["DYNO"] == "web.1" })
  def self.trace_object_allocations_start(only: true, one_per_host: false, mode: :full, every: nil, budget: 0.01)
    main_ractor!(:trace_object_allocations_start)
    Tracing.start(only: only, one_per_host: one_per_host, mode: mode, every: every, budget: budget)
  end

  # Ends what {trace_object_allocations_start} began. What was noted stays, for a dump, until the objects are gone.
  #
  # @param clear [Boolean] whether to forget what was noted, which gives its memory back
  # @return [Boolean] whether allocations are still traced
  def self.trace_object_allocations_stop(clear: false)
    main_ractor!(:trace_object_allocations_stop)
    Tracing.stop(clear: clear)
  end

  # Traces allocations while the block runs.
  #
  # @param mode [Symbol, String] as of {trace_object_allocations_start}
  # @param every [Integer, nil] likewise
  # @yield
  # @return [Object] what the block returns
  def self.trace_object_allocations(mode: :full, every: nil)
    main_ractor!(:trace_object_allocations)
    Tracing.start(mode: mode, every: every)
    begin
      yield
    ensure
      Tracing.stop
    end
  end

  # Where a living object of this process was allocated, as far as our tracer noted it.
  #
  # @param object [Object]
  # @return [Allocation, nil]
  # @example
  #   HeapInspector.allocation(feed).stack.first # => app/models/feed.rb:31:in `Feed.load'
  def self.allocation(object)
    main_ractor!(:allocation)
    Tracing.allocation(object)
  end

  # What is alive in this process by the stack that allocated it, without a dump: what the tracer sampled, scaled to what it stands for.
  # Bytes are those of the slots and of the content of Strings, Arrays and Hashes; of what is counted as allocated those of the slots.
  #
  # @param since [HeapProfile, Integer, nil] an earlier profile, or its serial: only what came since and stayed
  # @return [HeapProfile, nil] nil where nothing was traced, or by Ruby's own tracer
  # @raise [ArgumentError] if `since` is no profile that was taken
  # @example
  #   HeapInspector.trace_object_allocations_start(mode: :sampled)
  #   HeapInspector.heap_profile.write("heap.pb.gz") # go tool pprof -top heap.pb.gz
  def self.heap_profile(since: nil)
    main_ractor!(:heap_profile)
    Tracing.profile(since.respond_to?(:serial) ? since.serial : since)
  end

  # Says what a block allocates, and what of it is alive when it has ended and garbage was collected: every allocation, by gem, file,
  # location, class, method and line of the app. What other threads do meanwhile is in it, what the profiling itself does is not.
  #
  # @param limit [Integer] rows of a table at most
  # @yield
  # @return [BlockProfile]
  # @raise [Error] where allocations are traced already, or this Ruby cannot be traced by our tracer
  # @raise [LocalJumpError] without a block
  # @example
  #   puts HeapInspector.profile { Feed.load }
  #   HeapInspector.profile { Feed.load }.by(:gem).first.key # => "json 2.6.3"
  def self.profile(limit: 50, &block)
    main_ractor!(:profile)
    raise LocalJumpError, "no block given" unless block
    raise ArgumentError, "limit is a number of rows, got #{limit.inspect}" unless limit.is_a?(Integer) && limit.between?(1, 1 << 32)

    Tracing.profile_block(limit, &block)
  end

  # Says what a block keeps each time it is run: it is run `warm_up` times, and then until it is told. Where nothing lives of the first run
  # that counts, or nothing any more after the second, it is done. Else all `runs` are made, and the median over them, the last one aside,
  # is what a run keeps: what is kept once, as a memo, does not count, nor does what each run replaces. Only what this thread allocates
  # counts. In it other measurements may be made. Tests have it as matchers (`heap_inspector/rspec`) and assertions
  # (`heap_inspector/minitest`).
  #
  # @param warm_up [Integer] runs before
  # @param runs [Integer] runs that count, at least 2
  # @param path [Boolean] whether to find what holds an object that is kept, by a dump of this process that is removed again
  # @yield
  # @return [Retention]
  # @raise [Error] where allocations are traced already, or this Ruby cannot be traced by our tracer
  # @raise [LocalJumpError] without a block
  # @raise [ArgumentError] if a number is out of range
  # @example
  #   HeapInspector.retention { Feed.load }.objects(Order) # => 0
  def self.retention(warm_up: 1, runs: 5, path: false, &block)
    main_ractor!(:retention)
    raise LocalJumpError, "no block given" unless block

    Retaining.measure(warm_up: warm_up, runs: runs, is_wrong: ->(found) { path && found.groups.any? }, &block)
  end

  # Sums up this process's heap for `heap_inspector fleet`, as the bytes of a Parquet file of at most 200 KB, without the texts of strings.
  # A forked child dumps the heap into a temporary file of mode 0600 and another program reads that; both are gone when it is done.
  #
  # @param gc [Boolean] whether to collect garbage before
  # @return [String]
  # @raise [DumpError] if the dump cannot be taken or read
  # @example
  #   File.binwrite("summary.parquet", HeapInspector.summarize)
  def self.summarize(gc: true)
    main_ractor!(:summarize)
    Summaries.take(gc: gc)
  end

  # Sums up this process's heap every while, see {summarize}, and so does what it forks later; the first at a random time within the
  # while, so that not all processes of a fleet do at once.
  #
  # @param seconds [Numeric, nil] at least 1; nil ends it
  # @param to [String] a folder, below which summaries are filed by service, deploy, host, process and time (mode 0600), or an `http(s)`
  #   address that takes a PUT, in which `{service}`, `{deploy}`, `{host}`, `{pid}` and `{time}` stand for these
  # @return [void]
  # @raise [ArgumentError] if the number is out of range, or no place is given
  # @example
  #   HeapInspector.summary_every(6 * 3600, to: "/var/lib/summaries")
  def self.summary_every(seconds, to: nil)
    main_ractor!(:summary_every)
    return Summaries.stop if seconds.nil?

    Summaries.write_every(seconds, to: to)
  end

  # Writes a profile of this process every while, as `heap-profile-PID-TIME.pb.gz` with mode 0600, and so does what it forks later. Where
  # nothing is traced yet, tracing begins in mode `:continuous`.
  #
  # @param seconds [Numeric, nil] at least 1; nil ends it
  # @param folder [String, nil] where to; by default that of temporary files
  # @param keep [Integer] so many stay in the folder, of all processes; the oldest are removed
  # @return [void]
  # @raise [ArgumentError] if a number is out of range
  def self.profile_every(seconds, folder: nil, keep: 60)
    main_ractor!(:profile_every)
    return Profiles.stop if seconds.nil?

    Profiles.write_every(seconds, folder: folder, keep: keep)
    Tracing.start(mode: :continuous) unless Tracing.tracing?
  end

  # What is traced in this process, and what it costs: `:mode` (`:full`, `:sampled`, `:continuous`, or `:ruby` for Ruby's own tracer),
  # `:since`, `:every`, `:weight` (for how many allocations a sample stands), `:seen` (allocations while it was looked), `:samples`
  # (stacks taken), `:live` (objects known), `:sites`, `:stacks`, `:memory` (bytes), `:lost` (what had no room), `:cpu` (its share of the
  # process's CPU time since it began, as measured at the samples), `:fallback` (why it is Ruby's tracer); in continuous mode `:budget`, and
  # `:interval`, the seconds from one window to the next.
  #
  # @return [Hash{Symbol => Object}] empty where nothing is traced
  def self.tracing_status
    Tracing.status
  end

  # @return [Boolean] whether allocations are traced in this process, whoever began it
  def self.tracing?
    Tracing.tracing?
  end

  # Counts work that this process did, so that dumps taken before and after tell growth by it: "+1.00 Order per request". Requests are
  # counted by the Puma plugin and {RequestCounter}, jobs by `heap_inspector/sidekiq` and Rails (`config.heap_inspector.count_work`), all
  # else by this. What the process forks later begins at zero. Not for traps.
  #
  # @param name [Symbol, String] what was done, a plural as `:imports`; at most 60 letters, and 32 names in a process. It stands in dumps.
  # @param number [Integer] how often
  # @return [void]
  # @raise [ArgumentError] if the name is empty or too long, or the number negative
  # @example
  #   HeapInspector.count(:imports)
  def self.count(name, number = 1)
    main_ractor!(:count)
    name = word(name, "a name")
    raise ArgumentError, "expected a number of times, 0 or more, got #{number.inspect}" unless number.is_a?(Integer) && number >= 0

    Work.add(name.to_sym, number)
  end

  # How often this process did what is counted; see {count}.
  #
  # @return [Hash{Symbol => Integer}]
  # @example
  #   HeapInspector.work # => {:requests=>1204, :imports=>3}
  def self.work
    autoload?(:Work) ? {} : Work.counts
  end

  # Says that nothing should hold an object any more: a controller after its request, a closed connection. It is referred to weakly. If it
  # lives 5 seconds later and outlives a full collection after them, {uncollected} tells, and so does a dump: {Diff#suspects} and
  # {Heap#suspects} name first who holds it. Of at most 10,000 objects at a time. Not for traps.
  #
  # @param object [Object]
  # @param reason [Symbol, String, nil] why, at most 60 letters, by default the class; a Symbol is a name and stands in redacted dumps too
  # @return [void]
  # @raise [ArgumentError] if the reason is empty or too long, or the object one that is never collected, as a small number
  # @example
  #   HeapInspector.expect_collected(session, :closed)
  def self.expect_collected(object, reason = nil)
    main_ractor!(:expect_collected)
    case object
    when nil, true, false, Integer, Float, Symbol then raise ArgumentError, "#{object.inspect} is never collected"
    end
    reason = reason.nil? ? Uncollected.class_of(object) : word(reason, "a reason")
    Uncollected.add(object, reason)
  end

  # What {expect_collected} was told of and is still there: how many objects are waited for, and how many are left, by reason. It collects
  # no garbage itself, so what it says may be as old as the last full collection.
  #
  # @return [Hash{Symbol => Object}] `waiting` and `skipped`, which are numbers, and `left`, a Hash of numbers by reason
  # @example
  #   HeapInspector.uncollected[:left] # => {"controllers" => 12}
  def self.uncollected
    autoload?(:Uncollected) ? { waiting: 0, left: {}, skipped: 0 } : Uncollected.status
  end

  # Takes a dump of this process while it goes on. A forked child writes it: other threads stand still for the fork alone, about
  # 30 ms for each GiB the process has, and while garbage is collected before, if `gc` says so. The dump is whole and of one moment;
  # it tells by what each object holds others: which constant, variable, key, member.
  #
  # It is our own dumper that does. Where this Ruby lacks what that needs (a warning says so), and with `dumper: :ruby`,
  # `ObjectSpace.dump_all` takes the dump: without names, and objects that only another thread's stack held look unreachable in it.
  #
  # A file is made with mode 0600 and has its name only when it is complete. What is no file but has the name, a pipe or `/dev/stdout`, is
  # written to; sockets and disks are refused. The dump holds the texts of the process's strings,
  # secrets among them: keep it like the database, or take it with `redact`.
  #
  # @param output [String, Pathname, IO] a path, or where to write to
  # @param gc [Boolean] whether to collect garbage first, so that only what is held is dumped
  # @param compression [Symbol, nil, false] `:zstd`, `:gzip` or `:plain`; by default what the path's end asks for, zstd for an IO
  # @param redact [Boolean] whether to replace the values of strings and floats by others of their length; symbols, names and keys of hashes
  #   that are numbers stay
  # @param timeout [Numeric] seconds after which to give up
  # @param force [Boolean] whether to go on where memory or disk look too small
  # @param progress [#call, nil] called now and then with the bytes written and nil; what it raises ends the dump
  # @param dumper [Symbol, nil] `:native` or `:ruby`; by default the native one, and where it cannot be or breaks Ruby's
  # @param format [Symbol] `:ndjson`, which other tools read, or `:heap`: columns, compressed, several times faster to write and to open;
  #   `heap_inspector convert` makes the one of the other. Where Ruby's own dumper takes the dump it is `:ndjson`
  # @return [DumpFile]
  # @raise [DumpError] if it cannot be taken; this process is not affected
  # @raise [SystemCallError] if the file cannot be made
  # @raise [ArgumentError] if something has the name that cannot be written to
  # @raise [Ractor::IsolationError] in another Ractor than the main one
  # @example
  #   HeapInspector.dump("/tmp/heap.json.zst")
  # @example the fast way
  #   HeapInspector.dump("/tmp/app.heap", format: :heap)
  def self.dump(output, gc: true, compression: nil, redact: false, timeout: 300, force: false, progress: nil, dumper: nil, format: :ndjson)
    main_ractor!(:dump)
    dump = Dump.new(gc: gc, compression: compression, redact: redact, timeout: timeout, force: force, progress: progress, dumper: dumper,
                    format: format)
    output.is_a?(IO) ? dump.to_io(output) : dump.to_file(File.path(output))
  end

  # Where the resident memory of this process is, in rows that add up to it: Ruby's heap, what its objects hold beside it, malloc's free
  # memory, stacks, libraries, and what nobody names. Other threads stand still for 3 to 5 ms; no lock of malloc's is taken.
  #
  # What objects hold is estimated by a sample of slots, what of malloc's memory is free by a sample of its chunks where it is glibc's. The
  # rest are figures of the kernel, of Ruby and of the allocator.
  #
  # @param pss [Boolean] whether to ask the kernel how much of it other processes have too: it takes 60 ms for a GiB
  # @return [Memory]
  # @raise [Error] where there is no /proc
  # @raise [Ractor::IsolationError] in another Ractor than the main one
  # @example
  #   earlier = HeapInspector.memory
  #   sleep 60
  #   puts HeapInspector.memory.diagnosis(since: earlier)
  def self.memory(pss: false)
    main_ractor!(:memory)
    MemoryLook.take(pss: pss ? true : false)
  end

  # Starts the agent of this process: a thread that waits at a Unix socket for `heap_inspector ps`, `dump` and `trace` of the same
  # user or root. It evaluates nothing it is sent. Does nothing where it runs already. Children that are forked later are armed too, and
  # so is what `Process.daemon` leaves.
  #
  # @param worker [Integer, nil] the worker's index, for `heap_inspector dump worker-0`; a process title such as Puma's has it too
  # @return [void]
  # @raise [AgentError] if the folder or the socket cannot be made, or is not ours alone
  # @example in config/unicorn.rb
  #   after_fork { |_server, worker| HeapInspector.arm(worker: worker.nr) }
  def self.arm(worker: nil)
    main_ractor!(:arm)
    Agent.arm(worker: worker)
  end

  # Ends the agent of this process and takes its socket away. This happens by itself when the process ends.
  #
  # @return [void]
  def self.disarm
    Agent.disarm unless autoload?(:Agent)
  end

  # @return [Boolean] whether this process has an agent
  def self.armed?
    !autoload?(:Agent) && Agent.armed?
  end

  # Takes one dump of this process when its memory exceeds a limit, by default resident bytes; of all processes of the user on the host, one
  # in `cool_down` seconds. Children that are forked later are watched too.
  #
  # @param limit [Integer, String] bytes, or such as `"2GB"`, `"90%"` of the cgroup's memory, `"20% pressure"`, `"50MB/min"` of growth,
  #   `"5M slots"`, or several of them with commas between; nil ends the watch. {watch_memory} has more
  # @param folder [String, nil] where the dump goes; by default that of temporary files
  # @param every [Numeric] seconds between two looks
  # @param cool_down [Numeric] seconds
  # @param gc [Boolean] whether to collect garbage first
  # @param redact [Boolean] whether to replace the values of strings and floats, as for {dump}
  # @param timeout [Numeric] seconds after which to give up
  # @param force [Boolean] whether to go on where memory or disk look too small
  # @return [void]
  # @raise [ArgumentError] if the limit is no size
  def self.dump_above(limit, folder: nil, every: 60, cool_down: 3600, gc: true, redact: false, timeout: 300, force: false)
    main_ractor!(:dump_above)
    return Threshold.stop(:dump_above) if limit.nil?

    dump = { gc: gc, redact: redact, timeout: timeout, force: force }
    Threshold.watch(:dump_above, Threshold.limits(limit), action: :dump, every: every, cool_down: cool_down, most: 1, folder: folder,
                                                          dump: dump)
  end

  # Does something when this process's memory fulfils one of the conditions, at most so often and with a pause after it. Children that are
  # forked later are watched too. What fails is told on standard error.
  #
  # @param rss [Integer, String, nil] resident bytes, or such as `"2GB"`
  # @param growth [Integer, String, nil] bytes that it grows by a minute, by the last ten looks
  # @param cgroup [Float, nil] a part of the memory that a cgroup allows (version 1 or 2), such as 0.9, of the fullest that the process is
  #   in; files that can be given up do not count
  # @param pressure [Numeric, nil] percent of the last 10 s in which something waited for memory, in one of the cgroups or on the host
  # @param live_slots [Integer, nil] slots of Ruby's heap in use
  # @param action [Symbol, String] `:dump`, `:profile`, or a command for the shell, which finds the reason in `HEAP_INSPECTOR_MEASURE`,
  #   `_VALUE`, `_LIMIT` and `_PID`. Before a dump for `cgroup` or `pressure` each process that traces writes a profile; the dump is
  #   refused where memory does not allow it: docs/memory.md says what that means
  # @param every [Numeric] seconds between two looks
  # @param cool_down [Numeric] seconds until it may be done again; of dumps among all processes of the user
  # @param most [Integer] how often in all, in each process
  # @param folder [String, nil] where dumps and profiles go; by default that of temporary files
  # @param force [Boolean] whether to dump where memory or disk look too small
  # @yieldparam measure [Symbol] which condition holds
  # @yieldparam value [Numeric] what was measured
  # @yieldparam limit [Numeric] its limit
  # @return [void]
  # @raise [ArgumentError] if there is no condition, or one that makes no sense
  # @example
  #   HeapInspector.watch_memory(cgroup: 0.9, growth: "100MB", action: :dump, most: 3)
  #   HeapInspector.watch_memory(rss: "1.5GB", every: 10) { |measure, value| Alarm.call("memory", measure => value) }
  def self.watch_memory(rss: nil, growth: nil, cgroup: nil, pressure: nil, live_slots: nil, action: :dump, every: 60, cool_down: 3600,
                        most: 1, folder: nil, force: false, &block)
    main_ractor!(:watch_memory)
    limits = Threshold.checked(rss: rss, growth: growth, cgroup: cgroup, pressure: pressure, live_slots: live_slots)
    Threshold.watch(Object.new, limits, action: Threshold.action(action, block), every: every, cool_down: cool_down, most: most,
                                        folder: folder, dump: { force: force })
  end

  # Ends all that {watch_memory} and {dump_above} began in this process.
  #
  # @return [void]
  def self.unwatch_memory
    Threshold.stop unless autoload?(:Threshold)
  end

  # Writes where this process's resident memory is every while, as `heap_inspector-PID.prom`, for node_exporter's textfile collector; so
  # do processes that are forked later. The file is readable by all: it has sizes, and no value of the heap. It goes with the process.
  #
  # @param seconds [Numeric, nil] at least 1; nil ends it
  # @param folder [String] where to: the collector's folder
  # @return [void]
  # @raise [ArgumentError] if a number is out of range
  def self.metrics_every(seconds, folder:)
    main_ractor!(:metrics_every)
    seconds.nil? ? MetricsFile.stop : MetricsFile.write_every(seconds, folder)
  end

  # A fork has the main Ractor's threads for its own, and what is kept for the process is the main one's. The error is not one of ours:
  # no other Ractor may load a file.
  def self.main_ractor!(name)
    return if Ractor.current.equal?(Ractor.main)

    raise Ractor::IsolationError, "HeapInspector.#{name} works in the main Ractor alone; have that call it, by a message"
  end
  private_class_method :main_ractor!

  # What stands in dumps must be short, and text.
  def self.word(word, what)
    raise TypeError, "#{what}: expected a Symbol or String, got #{word.inspect}" unless [Symbol, String].include?(word.class)

    text = word.to_s.dup
    raise ArgumentError, "#{what} has 1 to 60 letters" unless text.length.between?(1, 60)
    unless text.encoding.ascii_compatible? && text.force_encoding(Encoding::UTF_8).valid_encoding?
      raise ArgumentError, "#{what}: expected text in UTF-8, got #{word.inspect}"
    end

    word.is_a?(Symbol) ? text.to_sym : text.freeze
  end
  private_class_method :word
end

require_relative "heap_inspector/railtie" if defined?(Rails::Railtie)
