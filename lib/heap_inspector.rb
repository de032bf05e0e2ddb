# frozen_string_literal: true

require_relative "heap_inspector/version"

# Reads and explains Ruby heap dumps: what `ObjectSpace.dump_all` of any Ruby from 2.1 on wrote, plain or packed with gzip, zstd or
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
  autoload :ClosedError, "heap_inspector/errors"
  autoload :Collection, "heap_inspector/collections"
  autoload :CollectionGroup, "heap_inspector/collections"
  autoload :Collections, "heap_inspector/collections"
  autoload :CommandLine, "heap_inspector/command_line"
  autoload :CompressionError, "heap_inspector/errors"
  autoload :Details, "heap_inspector/details"
  autoload :Dominated, "heap_inspector/dominators"
  autoload :Dominators, "heap_inspector/dominators"
  autoload :DuplicateString, "heap_inspector/duplicate_strings"
  autoload :DuplicateStrings, "heap_inspector/duplicate_strings"
  autoload :Error, "heap_inspector/errors"
  autoload :Fill, "heap_inspector/collections"
  autoload :FormatError, "heap_inspector/errors"
  autoload :Fragmentation, "heap_inspector/fragmentation"
  autoload :Generation, "heap_inspector/generations"
  autoload :Generations, "heap_inspector/generations"
  autoload :Group, "heap_inspector/groups"
  autoload :Grouping, "heap_inspector/relation"
  autoload :Groups, "heap_inspector/groups"
  autoload :Heap, "heap_inspector/heap"
  autoload :HeapObject, "heap_inspector/heap"
  autoload :Holder, "heap_inspector/retained"
  autoload :Input, "heap_inspector/input"
  autoload :MergedPaths, "heap_inspector/paths"
  autoload :ObjectNotFound, "heap_inspector/errors"
  autoload :Page, "heap_inspector/fragmentation"
  autoload :PageHolders, "heap_inspector/fragmentation"
  autoload :PageUse, "heap_inspector/summary"
  autoload :Pages, "heap_inspector/fragmentation"
  autoload :PathGroup, "heap_inspector/paths"
  autoload :Paths, "heap_inspector/paths"
  autoload :ProgressBar, "heap_inspector/progress_bar"
  autoload :Reference, "heap_inspector/reference"
  autoload :Relation, "heap_inspector/relation"
  autoload :Report, "heap_inspector/report"
  autoload :Rest, "heap_inspector/value"
  autoload :Retained, "heap_inspector/retained"
  autoload :RetainedGroup, "heap_inspector/retained"
  autoload :Site, "heap_inspector/duplicate_strings"
  autoload :SlotSizePages, "heap_inspector/fragmentation"
  autoload :Step, "heap_inspector/step"
  autoload :Structure, "heap_inspector/unreachable"
  autoload :StructureGroup, "heap_inspector/unreachable"
  autoload :Summary, "heap_inspector/summary"
  autoload :Total, "heap_inspector/value"
  autoload :Unreachable, "heap_inspector/unreachable"
  autoload :Value, "heap_inspector/value"
  autoload :Warning, "heap_inspector/warning"
  autoload :Where, "heap_inspector/where"
  autoload :WhereChain, "heap_inspector/relation"

  private_constant :Input, :ProgressBar, :Where

  # Reads a dump into memory, on all cores and without holding other Ruby threads up. It takes memory for about a sixth of the
  # unpacked dump's bytes. Ctrl-C, `Thread#kill` and `Timeout` end the work as they end any other.
  #
  # @param source [String, Pathname, IO, #to_path, #read] a file's path; or an open file, pipe or socket, read from where Ruby code
  #   would read on; or any object with `read(length)`, as StringIO has. An open file's position stays; others are read to the end.
  #   What is no file is copied to a temporary one, to be read again by {Heap#duplicate_strings}.
  # @param strict [Boolean] whether the first thing that would be a warning ({Heap#warnings}) is an error
  # @param progress [Boolean, #call, nil] true for a bar on standard error, where that is a terminal; or what to call, now and then,
  #   with the bytes read and their number in all (nil where that is not known). What it raises ends the work and goes through.
  # @param threads [Integer, nil] how many threads work; one a core by default
  # @param index [Boolean] whether an index file beside the dump (`heap.json.hidx`) is read where there is one for this very dump, which
  #   saves parsing, and written when the reference graph is worked out first, where the folder allows it. It may be deleted at any time.
  # @return [Heap]
  # @raise [FormatError] if it is no heap dump; if `strict`, also where one is damaged
  # @raise [CompressionError] if it is packed in a way that cannot be read
  # @raise [SystemCallError] if the file cannot be read: `Errno::ENOENT`, `Errno::EACCES`, `Errno::EISDIR`, ...
  # @raise [ArgumentError, TypeError] if an argument cannot be understood
  # @example
  #   HeapInspector.analyze("heap.json.zst", progress: true).summary
  # @example from a process
  #   IO.popen(["ssh", "web1", "cat /tmp/heap.json.gz"]) { |io| HeapInspector.analyze(io) }
  def self.analyze(source, strict: false, progress: nil, threads: nil, index: true)
    Heap.load(source, strict: strict, progress: progress, threads: threads, index: index)
  end
end
