# frozen_string_literal: true

module HeapInspector
  # The Ruby processes of this host, as /proc tells them.
  #
  # @api private
  module Processes
    # A Ruby process.
    class Process < Value
      fields :pid, :parent, :uid, :role, :server, :worker, :rss, :pss, :socket, :command

      # @return [Boolean] whether it has an agent that we may ask
      def armed?
        !socket.nil?
      end

      # @return [Boolean] whether it may be known what agent it has
      def known?
        armed? || ProcFs.may_look?(uid)
      end

      # @return [Boolean] whether its socket is in the folder at hand, and not in another app's, user's or container's
      def at_hand?
        armed? && File.dirname(socket) == Folder.path
      end

      # @return [String] what it is, in few words
      def title
        [server, role, worker].compact.join(" ")
      end
    end

    # The title of a child that writes a dump.
    DUMPING = /\Aheap_inspector: dump of \d+\b/
    # Bytes of a command that are looked at.
    LONGEST = 4096

    # What servers write into their process titles: the server, what it is, the worker's index.
    TITLES = {
      DUMPING => %w[heap_inspector dump],
      /\Apuma: cluster worker (?<worker>\d{1,9}):/ => %w[puma worker],
      /\Apuma \d[\w.]* .*\[/ => ["puma", nil],
      /\A\S*unicorn\S* worker\[(?<worker>\d{1,9})\]/ => %w[unicorn worker],
      /\A\S*unicorn\S* master/ => %w[unicorn master],
      /\A\S*pitchfork \(gen: ?\d+\) worker\[(?<worker>\d{1,9})\]/ => %w[pitchfork worker],
      /\A\S*pitchfork \(gen: ?\d+\) mold/ => %w[pitchfork mold],
      /\A\S*pitchfork (?:master|monitor)/ => %w[pitchfork master],
      /\Asidekiq \d/ => %w[sidekiq single],
      /\Aresque-\d/ => ["resque", nil],
      /\Agood_job\b/ => ["good_job", nil],
      /\A(?:Passenger|passenger) RubyApp/ => %w[passenger worker]
    }.freeze

    private_constant :DUMPING, :LONGEST, :TITLES

    class << self
      # @return [Array<Process>] all of them, by pid
      def list
        commands = pids.to_h { |pid| [pid, command(pid)] }
        rubies = commands.select { |pid, command| ruby?(pid, command) }
        parents = rubies.keys.to_h { |pid| [pid, ProcFs.status(pid)["PPid"]] }
        # Neither who asks nor who writes a dump makes a master of its parent.
        forks = parents.reject { |pid, _| pid == ::Process.pid || DUMPING.match?(rubies[pid]) }
        rubies.filter_map do |pid, command|
          next if pid == ::Process.pid

          describe(pid, command, parents, forks.values)
        end
      end

      # @param word [String] a pid, `worker-N` or `all`
      # @param host [Boolean] whether `all` are all of the host, and not only those of the folder at hand
      # @return [Array<Process, Integer>] processes, or the pid that was given, whatever it is
      # @raise [AgentError] if none is meant, or several by a worker's index
      # @raise [ArgumentError] if the word is none of these
      def named(word, host: false)
        return [Integer(word, 10)] if word.match?(/\A[1-9]\d{0,9}\z/)

        raise AgentError, ProcFs.absence(nil) unless ProcFs.here?

        armed = list.select(&:armed?)
        return all(armed, host) if word == "all"

        index = word[/\Aworker-(\d{1,9})\z/, 1] || raise(ArgumentError, "#{word.inspect} is not a pid, worker-N or all")
        one(workers(armed, Integer(index, 10)), word)
      end

      # @param pid [Integer]
      # @return [Process, nil] what it is, where it is a Ruby process
      def find(pid)
        list.find { |process| process.pid == pid }
      end

      # @param armed [Array<Process>]
      # @return [Hash{Process => Integer, nil}] the workers' indexes, by their titles, or as they were told to their agents
      def indexes(armed)
        untitled = armed.reject(&:worker).map(&:pid)
        statuses = Client.statuses(untitled)
        armed.to_h do |process|
          status = statuses[process.pid]
          [process, process.worker || (status["worker"] if status.is_a?(Hash))]
        end
      end

      private

      def all(armed, host)
        found = host ? armed : armed.select(&:at_hand?)
        return found unless found.empty?

        if armed.empty?
          unseen = " (/proc hides those of others: hidepid)" if ProcFs.hides?
          raise AgentError, "no process is armed#{unseen}: put `plugin :heap_inspector` into config/puma.rb and restart"
        end

        raise AgentError, "no process with its socket in #{Folder.path} is armed, but #{armed.size} elsewhere on this host: " \
                          "name one by its pid, set HEAP_INSPECTOR_DIR, or say --host for all"
      end

      # Where nobody has an index, as with Puma in single mode, the one process that is no master is worker 0.
      def workers(armed, index)
        indexes = indexes(armed)
        indexes = armed.reject { |process| process.role == "master" }.to_h { |process| [process, 0] } if indexes.values.none?
        found = indexes.select { |_, worker| worker == index }.keys
        at_hand = found.select(&:at_hand?)
        at_hand.empty? ? found : at_hand
      end

      def one(found, word)
        raise AgentError, "there is no armed #{word}; `heap_inspector ps` lists the processes" if found.empty?
        raise AgentError, "there are several #{word}: give one of the pids #{found.map(&:pid).join(", ")}" if found.size > 1

        found
      end

      def pids
        Dir.children("/proc").grep(/\A\d+\z/).map { |name| Integer(name, 10) }.sort
      rescue SystemCallError
        []
      end

      def command(pid)
        ProcFs.read("/proc/#{pid}/cmdline", LONGEST).tr("\0", " ").strip.force_encoding(Encoding::UTF_8).scrub
      end

      # Another user's executable cannot be read; then the words it was called with must do.
      def ruby?(pid, command)
        File.basename(File.readlink("/proc/#{pid}/exe")).match?(/\Aruby[\d.]*(?: \(deleted\))?\z/)
      rescue SystemCallError
        command.match?(%r{\A(?:\S*/)?ruby[\d.]*(?: |\z)}) || TITLES.each_key.any? { |title| title.match?(command) }
      end

      def describe(pid, command, parents, masters)
        status = ProcFs.status(pid)
        return if status.empty? # it ended meanwhile

        server, role, worker = of_title(command)
        role ||= role_of(pid, parents, masters, server)
        Process.new(pid: pid, parent: parents[pid], uid: status["Uid"], role: role, server: server, worker: worker, rss: status["VmRSS"],
                    pss: ProcFs.pss(pid), socket: Client.socket(pid), command: command)
      end

      # A server that its title names without an index is no worker, whoever started it.
      def role_of(pid, parents, masters, server)
        return "master" if masters.include?(pid)

        server.nil? && parents.key?(parents[pid]) ? "worker" : "single"
      end

      def of_title(command)
        TITLES.each do |title, (server, role)|
          match = title.match(command) || next
          worker = match.names.include?("worker") ? Integer(match[:worker], 10) : nil
          return [server, role, worker]
        end
        nil
      end
    end
  end

  private_constant :Processes
end
