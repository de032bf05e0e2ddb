# frozen_string_literal: true

module HeapInspector
  # The list of what may be asked of dumps, for the Rake tasks, the console's help, defaults and the specs. `UPDATE_DOCS=1 cargo test
  # --test docs` writes this file from crates/heap_inspector/src/questions, so that nothing needs the extension to know it.
  #
  # Of each: the methods that ask it, the least and greatest number of dumps, the word that may stand behind the dump (`value` in usage,
  # `instead` the options that stand in its place), what the dumps behind `--` are called, the options with their defaults, as Ruby has
  # them, and the formats.
  #
  # @api private
  module Questions
    # All of them, what a person needs first standing first.
    LIST = [
      {
        name: "suspects",
        about: "Name what leaks: which objects, who retains them, which line",
        methods: %w[Heap#suspects Diff#suspects],
        dumps: (1..),
        word: nil,
        behind: nil,
        options: { format: :text, lines: 5, except: nil, rules: nil, known: nil, "fail-on": nil },
        formats: %w[text json markdown csv]
      },
      {
        name: "report",
        about: "Write a page to look at: suspects, growth, who holds what",
        methods: %w[Heap#to_html Diff#to_html],
        dumps: (1..),
        word: nil,
        behind: nil,
        options: { format: :text, output: nil, confidential: false, rules: nil },
        formats: %w[text json markdown csv]
      },
      {
        name: "top",
        about: "Group objects by class, location, gem, ...: largest first",
        methods: %w[Heap#groups],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, by: :class, sort: :bytes, lines: 50 },
        formats: %w[text json markdown csv dot folded flamegraph]
      },
      {
        name: "read",
        about: "Show objects by generation, or one generation in detail",
        methods: %w[Heap#generations],
        dumps: (1..1),
        word: { value: "GENERATION", needed: false, instead: [] },
        behind: nil,
        options: { format: :text, where: nil, lines: nil },
        formats: %w[text json markdown csv]
      },
      {
        name: "path",
        about: "Show why objects are in memory: references from the roots",
        methods: %w[Heap#paths_to Heap#paths_to_class],
        dumps: (1..1),
        word: { value: "ADDRESS", needed: true, instead: %w[class where] },
        behind: nil,
        options: { format: :text, where: nil, class: nil, paths: 1, lines: 5, rules: nil, without: nil },
        formats: %w[text json markdown csv dot folded flamegraph]
      },
      {
        name: "retained",
        about: "Show how much objects, and groups of them, keep in memory",
        methods: %w[Heap#retained],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, by: nil, lines: 20 },
        formats: %w[text json markdown csv]
      },
      {
        name: "diff",
        about: "Compare dumps of one process: what is new, kept, growing",
        methods: %w[HeapInspector.diff Diff#growth Diff#leaks],
        dumps: (2..),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, by: %i[class location], retained: false, lines: 20, output: nil },
        formats: %w[text json markdown csv]
      },
      {
        name: "verify",
        about: "Say whether a leak is fixed: dumps before and after a fix",
        methods: %w[HeapInspector.verify],
        dumps: (2..),
        word: nil,
        behind: "AFTER",
        options: { format: :text, leak: nil },
        formats: %w[text json markdown csv]
      },
      {
        name: "summary",
        about: "Show totals: types, classes, heap pages, roots, Ruby version",
        methods: %w[Heap#summary],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, lines: 20 },
        formats: %w[text json markdown csv]
      },
      {
        name: "strings",
        about: "Find duplicate strings: wasted bytes, allocation sites",
        methods: %w[Heap#duplicate_strings],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, sort: :bytes, lines: 50 },
        formats: %w[text json markdown csv]
      },
      {
        name: "dominators",
        about: "Show as a tree which object alone keeps which in memory",
        methods: %w[Heap#dominators],
        dumps: (1..1),
        word: { value: "ADDRESS", needed: false, instead: [] },
        behind: nil,
        options: { format: :text, by: nil, depth: 4, min: nil, lines: 10 },
        formats: %w[text json markdown csv dot folded flamegraph]
      },
      {
        name: "show",
        about: "Show one object: fields, references, referrers, retained size",
        methods: %w[Heap#show HeapObject#show],
        dumps: (1..1),
        word: { value: "ADDRESS", needed: true, instead: [] },
        behind: nil,
        options: { format: :text, lines: 20 },
        formats: %w[text json markdown csv dot]
      },
      {
        name: "threads",
        about: "Show threads, fibers and ractors, and what each holds",
        methods: %w[Heap#threads],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, lines: 20 },
        formats: %w[text json markdown csv]
      },
      {
        name: "collections",
        about: "Show unused capacity of arrays and hashes, and the largest",
        methods: %w[Heap#collections],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, by: :location, lines: 20 },
        formats: %w[text json markdown csv]
      },
      {
        name: "fragmentation",
        about: "Show how full heap pages are, and what keeps empty ones",
        methods: %w[Heap#fragmentation],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, by: :class, lines: 20 },
        formats: %w[text json markdown csv]
      },
      {
        name: "unreachable",
        about: "List unreachable objects: garbage not collected yet",
        methods: %w[Heap#unreachable],
        dumps: (1..1),
        word: nil,
        behind: nil,
        options: { format: :text, where: nil, by: :class, sort: :bytes, lines: 20 },
        formats: %w[text json markdown csv]
      },
      {
        name: "export",
        about: "Write files for DevTools, memlab, pprof, speedscope, DuckDB",
        methods: %w[Heap#export Diff#export],
        dumps: (1..),
        word: nil,
        behind: nil,
        options: { where: nil, format: :heapsnapshot, output: nil, by: nil, sites: false, confidential: false, min: 0, tables: nil },
        formats: []
      },
      {
        name: "summarize",
        about: "Write what `fleet` compares, one small file a dump",
        methods: %w[Heap#summarize],
        dumps: (1..),
        word: nil,
        behind: nil,
        options: { output: nil },
        formats: []
      }
    ].freeze
    Ractor.make_shareable(LIST)
  end

  private_constant :Questions
end
