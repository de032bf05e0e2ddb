# frozen_string_literal: true

require "etc"
require "json"
require "rbconfig"

module HeapInspector
  # What a report of a fault needs to say: versions, what works here and why something does not, and nothing secret. Of settings the names
  # are told, of processes the counts, of files no more than what was named.
  #
  # @api private
  class Doctor
    # Servers and the like that we work with, where they are installed.
    GEMS = %w[bundler rb_sys puma unicorn pitchfork rails sidekiq rspec-core minitest heapy].freeze
    # Files that tell of a container.
    CONTAINERS = %w[/.dockerenv /run/.containerenv].freeze

    # A question and its answer: whether all is well with it (nil where that is no question), and what there is.
    Finding = Struct.new(:name, :ok, :text)

    private_constant :GEMS, :CONTAINERS, :Finding

    # @param dumps [Array<String>] dumps whose index files are looked at
    def initialize(dumps = [])
      @dumps = dumps
    end

    # @return [Array<Finding>]
    def findings
      @findings ||= [*versions, *native_half, *process_half, *@dumps.map { |path| index(path) }]
    end

    # @return [String] lines, those marked with `!` which something is wrong with
    def text
      names = findings.map { |found| Escape.terminal(found.name) }
      width = names.map(&:size).max
      findings.zip(names).map do |found, name|
        "#{found.ok == false ? "!" : " "} #{name.ljust(width)}  #{Escape.terminal(found.text)}\n"
      end.join
    end

    # @return [String]
    def to_json(*)
      Escape.json(JSON.pretty_generate(findings.map(&:to_h)))
    end

    private

    def finding(name, text, okay = nil) = Finding.new(name, okay, text)

    # An answer that an error takes the place of.
    def tried(name)
      yield
    rescue SystemCallError => e
      finding(name, e.message[/\A[^@]+/].strip, false)
    rescue Error => e
      finding(name, e.message, false)
    rescue LoadError
      finding(name, "not looked at, for want of the extension", false)
    end

    def versions
      [finding("heap_inspector", VERSION),
       finding("Ruby", [RUBY_DESCRIPTION, *collector].join(", ")),
       finding("RubyGems", Gem::VERSION),
       finding("System", system),
       finding("Gems", gems.empty? ? "none of #{GEMS.join(", ")}" : gems.join(", ")),
       finding("Settings", settings.empty? ? "no variable HEAP_INSPECTOR_…" : "set: #{settings.join(", ")}")]
    end

    # A collector that is not Ruby's own lays its heap out in its own way.
    def collector
      config = GC.respond_to?(:config) ? GC.config : {}
      ["GC #{config[:implementation]}"] if config[:implementation]
    end

    def system
      memory = File.foreach("/proc/meminfo").first[/\d+/].to_i
      uname = Etc.uname
      words = ["#{uname[:sysname]} #{uname[:release]} #{uname[:machine]}", libc, "#{Etc.nprocessors} processors", "#{memory >> 20} GiB"]
      words << "in a container" if CONTAINERS.any? { |path| File.exist?(path) }
      words << "uid #{Process.euid}"
      words.compact.join(", ")
    rescue SystemCallError
      RUBY_PLATFORM
    end

    # Which C library Ruby was built with: what the allocator can tell depends on it.
    def libc = RbConfig::CONFIG["host_os"].include?("musl") ? "musl" : Etc.confstr(Etc::CS_GNU_LIBC_VERSION)

    def gems
      @gems ||= GEMS.filter_map do |name|
        found = Gem.loaded_specs[name] || Gem::Specification.stubs_for(name).max_by(&:version)
        "#{name} #{found.version}" if found
      end
    end

    def settings = ENV.keys.grep(/\AHEAP_INSPECTOR_\w+\z/).sort

    def native_half
      require_relative "native"
      [finding("Extension", "loads", true),
       judged("Tracer", Tracing.missing, "ours: full, sampled with stacks, continuous", "Ruby's own, without stacks: %s"),
       judged("Dumper", Native.dumper_missing, "ours, which names what holds what", "ObjectSpace.dump_all, without names: %s")]
    rescue LoadError => e
      [finding("Extension", "does not load: #{e.message.lines.first&.chomp}", false)]
    end

    def judged(name, missing, good, otherwise)
      missing ? finding(name, format(otherwise, missing), false) : finding(name, good, true)
    end

    def process_half
      [tried("Fork") { fork_works }, tried("Processes") { processes }, tried("Folder") { folder }, tried("Temporary files") { temporary }]
    end

    def fork_works
      return finding("Fork", "missing here: no dump can be taken beside a process that goes on", false) unless Process.respond_to?(:fork)

      finding("Fork", "works", true)
    end

    def processes
      return finding("Processes", "cannot be found by their names: there is no /proc here", false) unless File.exist?("/proc/self")

      found = Processes.list
      unknown = found.count { |process| !process.known? }
      words = ["#{found.size} Ruby processes beside this one", "#{found.count(&:armed?)} armed"]
      words << "#{unknown} of others, which may not be looked at" if unknown.positive?
      finding("Processes", words.join(", "), true)
    end

    def folder
      path = Folder.path
      stat = File.lstat(path)
      wrong = if !stat.directory? then "is not a folder"
              elsif stat.uid != Process.euid then "is not this user's"
              elsif stat.mode.anybits?(0o077) then "is open to others (mode #{format("%o", stat.mode & 0o777)})"
              end
      finding("Folder", "#{path} #{wrong || "is this user's alone"}", wrong.nil?)
    rescue Errno::ENOENT
      is_made = File.writable?(File.dirname(path))
      finding("Folder", "#{path} is not there#{is_made ? ", and made when a process is armed" : " and cannot be made"}", is_made)
    end

    def temporary
      require "tmpdir"
      finding("Temporary files", Dir.tmpdir, File.writable?(Dir.tmpdir))
    end

    def index(path)
      tried(path) do
        stat = File.stat(path)
        next finding(path, "is not a file", false) unless stat.file?
        next finding(path, "may not be read", false) unless File.readable?(path)

        is_closed = stat.mode.nobits?(0o077)
        closed = is_closed ? "its owner's alone" : "others may read it (mode #{format("%o", stat.mode & 0o777)})"
        finding(path, "#{Size.mebibytes(stat.size)}, #{closed}, #{index_file("#{path}.hidx", stat)}", is_closed)
      end
    end

    def index_file(path, dump)
      stat = File.lstat(path)
      return "its index file is not this user's, and not believed" unless stat.file? && [Process.euid, dump.uid].include?(stat.uid)

      "its index file has #{Size.mebibytes(stat.size)}#{" and is older than the dump" if stat.mtime < dump.mtime}"
    rescue Errno::ENOENT
      "no index file yet"
    end
  end

  private_constant :Doctor
end
