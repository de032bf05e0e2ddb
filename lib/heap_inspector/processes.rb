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

      # @return [String] what it is, in few words
      def title
        [server, role, worker].compact.join(" ")
      end
    end

    # What servers write into their process titles: the server, what it is, the worker's index.
    TITLES = {
      /\Apuma: cluster worker (?<worker>\d+):/ => %w[puma worker],
      /\Apuma \d[\w.]* .*\[/ => ["puma", nil],
      /\A\S*unicorn\S* worker\[(?<worker>\d+)\]/ => %w[unicorn worker],
      /\A\S*unicorn\S* master/ => %w[unicorn master],
      /\A\S*pitchfork \(gen: ?\d+\) worker\[(?<worker>\d+)\]/ => %w[pitchfork worker],
      /\A\S*pitchfork \(gen: ?\d+\) mold/ => %w[pitchfork mold],
      /\A\S*pitchfork (?:master|monitor)/ => %w[pitchfork master],
      /\Asidekiq \d/ => %w[sidekiq single],
      /\Aresque-\d/ => ["resque", nil],
      /\Agood_job\b/ => ["good_job", nil],
      /\A(?:Passenger|passenger) RubyApp/ => %w[passenger worker]
    }.freeze

    private_constant :TITLES

    class << self
      # @return [Array<Process>] all of them, by pid
      def list
        commands = pids.to_h { |pid| [pid, command(pid)] }
        rubies = commands.select { |pid, command| ruby?(pid, command) }
        parents = rubies.keys.to_h { |pid| [pid, ProcFs.status(pid)["PPid"]] }
        rubies.filter_map do |pid, command|
          next if pid == ::Process.pid

          describe(pid, command, parents)
        end
      end

      # @param word [String] a pid, `worker-N` or `all`
      # @return [Array<Process, Integer>] processes, or the pid that was given, whatever it is
      # @raise [AgentError] if none is meant, or several by a worker's index
      # @raise [ArgumentError] if the word is none of these
      def named(word)
        return [Integer(word, 10)] if word.match?(/\A[1-9]\d*\z/)

        armed = list.select(&:armed?)
        if word == "all"
          raise AgentError, "no process is armed: put `plugin :heap_inspector` into config/puma.rb and restart" if armed.empty?

          return armed
        end
        index = word[/\Aworker-(\d+)\z/, 1] || raise(ArgumentError, "#{word.inspect} is no pid, worker-N or all")
        one(armed.select { |process| worker(process) == Integer(index, 10) }, word)
      end

      # @param process [Process]
      # @return [Integer, nil] the worker's index, by its title, or as it was told to its agent
      def worker(process)
        process.worker || Client.new(process.pid).ask(:status, patience: 5)["worker"]
      rescue AgentError
        nil
      end

      private

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
        ProcFs.read("/proc/#{pid}/cmdline").tr("\0", " ").strip.force_encoding(Encoding::UTF_8).scrub
      end

      # Another user's executable cannot be read; then the words it was called with must do.
      def ruby?(pid, command)
        File.basename(File.readlink("/proc/#{pid}/exe")).match?(/\Aruby[\d.]*(?: \(deleted\))?\z/)
      rescue SystemCallError
        command.match?(%r{\A(?:\S*/)?ruby[\d.]*(?: |\z)}) || TITLES.each_key.any? { |title| title.match?(command) }
      end

      def describe(pid, command, parents)
        status = ProcFs.status(pid)
        return if status.empty? # it ended meanwhile

        server, role, worker = of_title(command)
        role ||= role_of(pid, parents, server)
        Process.new(pid, parents[pid], status["Uid"], role, server, worker, status["VmRSS"], ProcFs.pss(pid), Client.socket(pid), command)
      end

      # A server that its title names without an index is no worker, whoever started it.
      def role_of(pid, parents, server)
        return "master" if parents.value?(pid)

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
end
