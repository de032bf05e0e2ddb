# frozen_string_literal: true

module HeapInspector
  # What Linux tells of processes and memory in /proc and /sys/fs/cgroup. Elsewhere it tells nothing. No other program is run.
  #
  # @api private
  module ProcFs
    # Where cgroups are.
    CGROUPS = "/sys/fs/cgroup"
    # A cgroup of version 1 says so where it has no limit.
    UNLIMITED = 1 << 60

    # What a cgroup of version 1 limits, each in a file with what is in use beside it: memory, and memory and swap together.
    V1 = %w[memory memory.memsw].freeze

    # Bytes of a table of sockets: some 100,000 of them.
    LONGEST_TABLE = 16_000_000

    private_constant :LONGEST_TABLE, :UNLIMITED, :V1

    class << self
      # @param pid [Integer, String] or `"self"`
      # @return [Hash{String => Integer}] the sizes of `/proc/PID/status` in bytes, and its plain numbers (`PPid`, `Uid`, ...)
      def status(pid)
        read("/proc/#{pid}/status").scan(/^(\w+):\s+(\d+)(?:[\d\s]*)( kB)?$/).to_h do |name, number, unit|
          [name, Integer(number, 10) * (unit ? 1024 : 1)]
        end
      end

      # @param pid [Integer]
      # @return [Integer, nil] its pid as it knows it itself: in a container another one
      def own_pid(pid)
        own = read("/proc/#{pid}/status")[/^NSpid:.*\s(\d+)$/, 1]
        own && Integer(own, 10)
      end

      # @param pid [Integer]
      # @return [Integer, nil] the process's share of the memory that it uses, where it may be known
      def pss(pid)
        kibibytes = read("/proc/#{pid}/smaps_rollup")[/^Pss:\s+(\d+) kB/, 1]
        kibibytes && (Integer(kibibytes, 10) * 1024)
      end

      # @param pid [Integer, String]
      # @return [Hash{Symbol => Integer}] bytes: `:pss`; `:private`, `:shared` (that other processes have too) of what may be written to
      #   or was; `:swap`. Empty where the kernel does not tell. For a GiB it takes the kernel some 60 ms.
      def shares(pid)
        sizes = read("/proc/#{pid}/smaps_rollup").scan(/^(\w+): +(\d{1,15}) kB$/).to_h
        sizes.transform_values! { |number| Integer(number, 10) * 1024 }
        { pss: "Pss", private: "Private_Dirty", shared: "Shared_Dirty", swap: "Swap" }.transform_values { |name| sizes[name] }.compact
      end

      # @param pid [Integer]
      # @return [Integer, nil] when it began, in ticks since the host's boot: with the pid it names one process for good
      def start_ticks(pid)
        # The name in parentheses may hold anything; twenty fields further stands the start.
        ticks = read("/proc/#{pid}/stat").rpartition(")").last.split[19]
        ticks && Integer(ticks, 10)
      end

      # @param pid [Integer]
      # @return [Boolean] whether it is no more, or only to be waited for
      def ended?(pid)
        state = read("/proc/#{pid}/stat").rpartition(")").last.split.first
        state.nil? || %w[Z X].include?(state)
      end

      # @param pid [Integer]
      # @return [Array<String>] the absolute paths of the Unix sockets in its network namespace, as who bound them wrote them
      def bound_sockets(pid)
        read("/proc/#{pid}/net/unix", LONGEST_TABLE).scan(%r{ (/[^\n]+)$}).flatten
      end

      # @return [Boolean] whether there is a /proc
      def here?
        File.directory?("/proc/self")
      end

      # @param pid [Integer] of a process that is not to be seen
      # @return [String] why
      def absence(pid)
        return "there is no /proc here, by which processes are found" unless here?
        return "there is no process #{pid}" unless hides?

        "there is no process #{pid}, or /proc hides it (hidepid): ask as its user, or as root"
      end

      # @return [Boolean] whether other users' processes are not to be seen
      def hides?
        !Process.euid.zero? && read("/proc/self/mounts").match?(%r{^\S+ /proc proc \S*\bhidepid=(?!0|off)})
      end

      # @param uid [Integer] whose a process is
      # @return [Boolean] whether we may ask it
      def may_look?(uid)
        [uid, 0].include?(Process.euid)
      end

      # @return [Integer, nil] bytes that the process may still get: of the host, and of each cgroup it is in
      def available_memory
        host = read("/proc/meminfo")[/^MemAvailable:\s+(\d+) kB/, 1]
        [host && (Integer(host, 10) * 1024), *cgroup_rooms].compact.min
      end

      # @return [Float, nil] how much of the memory that its cgroups allow is in use, of the one that is fullest; nil without a limit
      def cgroup_share(cgroups = read("/proc/self/cgroup"), root = CGROUPS)
        limits(cgroups, root) { |most, used, files| [used - files, 0].max.fdiv([most, 1].max) }.max
      end

      # @param host [String] the host's own file
      # @return [Float, nil] percent of the last 10 s in which something waited for memory: in the process's cgroup, in those around it, and
      #   on the host the most of them; nil where the kernel does not count that
      def memory_pressure(cgroups = read("/proc/self/cgroup"), root = CGROUPS, host = "/proc/pressure/memory")
        own = cgroups[/^0::(.+)$/, 1]
        # Version 2 may be mounted beside version 1; that has no such file.
        folders = own ? [root, File.join(root, "unified")].product(around(own)).map { |place, each| File.join(place, each) } : []
        paths = [host, *folders.map { |each| File.join(each, "memory.pressure") }]
        paths.filter_map { |path| read(path)[/^some avg10=(\d+\.\d+)/, 1]&.to_f }.max
      end

      # @param path [String]
      # @param most [Integer, nil] bytes to read
      # @return [String] the file's text, empty where it cannot be read
      def read(path, most = nil)
        texts = Thread.current[:heap_inspector_texts]
        texts&.key?(path) ? texts[path] : File.binread(path, most) || ""
      rescue SystemCallError
        ""
      end

      # Has what the block reads taken from texts that were read before, in one go.
      #
      # @param texts [Hash{String => String}] texts by path
      # @yield
      # @return [Object] what the block returns
      def reading(texts)
        Thread.current[:heap_inspector_texts] = texts
        yield
      ensure
        Thread.current[:heap_inspector_texts] = nil
      end

      # @param cgroups [String] the text of `/proc/self/cgroup`
      # @param root [String] where cgroups are
      # @return [Array<Integer>] the room in the process's cgroups and in those around them
      def cgroup_rooms(cgroups = read("/proc/self/cgroup"), root = CGROUPS)
        # Files that were read are given up before anybody is killed.
        limits(cgroups, root) { |most, used, files| [most - used + files, 0].max }
      end

      private

      # What the block makes of the limits of the process's cgroups and of those around them: bytes allowed, in use, and of these of files.
      def limits(cgroups, root)
        cgroups.lines(chomp: true).flat_map do |line|
          _, controllers, path = line.split(":", 3)
          next [] unless path

          if controllers.empty?
            around(path).filter_map { |each| limit(File.join(root, each), "memory.max", "memory.current", "inactive_file") }
          elsif controllers.split(",").include?("memory")
            V1.product(around(path)).filter_map do |what, each|
              limit(File.join(root, "memory", each), "#{what}.limit_in_bytes", "#{what}.usage_in_bytes", "total_inactive_file")
            end
          else
            []
          end
        end.map { |limit| yield(*limit) }
      end

      # The path and those above it; in a container only the last may exist.
      def around(path)
        paths = [File.join("/", path)]
        paths << File.dirname(paths.last) until paths.last == "/" || paths.size > 32
        paths
      end

      def limit(folder, limit, usage, reclaimable)
        most = Integer(read(File.join(folder, limit)).strip, 10, exception: false)
        used = Integer(read(File.join(folder, usage)).strip, 10, exception: false)
        return if most.nil? || used.nil? || most >= UNLIMITED

        [most, used, read(File.join(folder, "memory.stat"))[/^#{reclaimable} (\d+)$/, 1].to_i]
      end
    end
  end

  private_constant :ProcFs
end
