# frozen_string_literal: true

require_relative "extension_gems"
require_relative "memory"
require_relative "proc_fs"

module HeapInspector
  # A look at another process's memory from outside, by /proc alone: what the kernel knows of its mappings.
  #
  # @api private
  class MemoryOutside
    # A mapping as smaps heads it.
    HEAD = /\A(?<start>\h+)-(?<end>\h+) (?<access>\S{4}) \h+ \S+ (?<inode>\d+) *(?<name>.*)\z/
    # Bytes of smaps: some 100,000 mappings.
    LONGEST = 64 << 20
    # Files that have a row of their own, and letters of their paths.
    FILES = 6
    LETTERS = 300
    # Memory without a file that several processes have.
    SHARED = %r{\A(?:/memfd:|/dev/shm/|/SYSV|/dev/zero|\[anon_shmem:)}

    private_constant :HEAD, :LONGEST, :FILES, :LETTERS, :SHARED

    class << self
      # @param pid [Integer]
      # @param missing [String] why it is not the process that tells
      # @return [Memory]
      # @raise [AgentError] if the kernel tells nothing
      def take(pid, missing)
        smaps = ProcFs.read("/proc/#{pid}/smaps", LONGEST)
        status = ProcFs.status(pid)
        raise AgentError, refusal(pid, status) if smaps.empty? && !status.key?("VmRSS")

        new(pid, missing).memory(smaps, status)
      end

      private

      def refusal(pid, status)
        return ProcFs.absence(pid) if status.empty?
        return "process #{pid} is ending, or one of the kernel's: it has no memory" if ProcFs.may_look?(status["Uid"])

        "process #{pid} belongs to uid #{status["Uid"]}: ask as that user, or as root"
      end
    end

    def initialize(pid, missing)
      @pid = pid
      @missing = missing
      @sums = Hash.new(0)
      @files = Hash.new(0)
    end

    # @param smaps [String] empty where it cannot be read
    # @param status [Hash{String => Integer}]
    # @return [Memory]
    def memory(smaps, status)
      smaps.empty? ? of_status(status) : of_mappings(smaps)
      rows = @sums.merge(files) { |_, one, other| one + other }.select { |_, bytes| bytes.positive? }
      rows = rows.map { |name, bytes| MemoryRow.new(name: name, bytes: bytes, named: name != "anonymous", by: "kernel") }
      shares = ProcFs.shares(@pid)
      facts = { threads: status["Threads"], **shares.slice(:private, :shared, :swap) }.compact
      Memory.new(pid: @pid, time: Time.now.to_f, rss: rows.sum(&:bytes), pss: shares[:pss], allocator: nil, rows: rows.freeze,
                 facts: facts.freeze, work: nil, extensions: ExtensionGems.among(@files).freeze, missing: @missing)
    end

    private

    # A kernel without smaps, or another user's process.
    def of_status(status)
      parts = { "anonymous" => "RssAnon", "files" => "RssFile", "shared_memory" => "RssShmem" }.transform_values { |name| status[name] }
      parts = { "anonymous" => status["VmRSS"] } unless parts.values.all?
      @sums.merge!(parts)
      @missing = "#{@missing}; the mappings of the process cannot be read"
    end

    def of_mappings(smaps)
      mapping = before = nil
      smaps.force_encoding(Encoding::UTF_8).scrub("?").each_line(chomp: true) do |line|
        if (head = HEAD.match(line))
          before = mapping
          mapping = head
        elsif mapping && (kibibytes = line[/\ARss: +(\d{1,15}) kB/, 1])
          add(mapping, before, Integer(kibibytes, 10) * 1024)
        end
      end
    end

    def add(mapping, before, bytes)
      return if mapping[:name].match?(/\A\[v(?:dso|var|var_vclock|syscall)\]\z/)
      return @files[mapping[:name]] += bytes if mapping[:inode] != "0" && !mapping[:name].match?(SHARED)

      @sums[owner(mapping, before)] += bytes
    end

    def owner(mapping, before)
      return "shared_memory" if mapping[:access].end_with?("s") || mapping[:name].match?(SHARED)
      return "heap_segment" if mapping[:name] == "[heap]"
      return "stacks" if mapping[:name] == "[stack]" || (before && guards?(before, mapping))
      return "mapping:#{mapping[:name][0, LETTERS]}" if mapping[:name].start_with?("[anon:")

      mapping[:access].include?("x") ? "jit_code" : "anonymous"
    end

    # Below a stack lies a page that may not be touched; it is small, and so are stacks.
    def guards?(before, mapping)
      before[:access] == "---p" && before[:inode] == "0" && before[:end] == mapping[:start] && mapping[:access].start_with?("rw") &&
        before[:end].hex - before[:start].hex <= 1 << 16 && mapping[:end].hex - mapping[:start].hex <= 8 << 20
    end

    def files
      own, others = @files.sort_by { |path, bytes| [-bytes, path] }.partition.with_index { |_, at| at < FILES }
      rows = own.to_h.transform_keys { |path| "file:#{path[0, LETTERS]}" }
      rows["files"] = rows.fetch("files", 0) + others.sum { |_, bytes| bytes }
      rows
    end
  end

  private_constant :MemoryOutside
end
