# frozen_string_literal: true

require "fileutils"
require "rbconfig"
require "tmpdir"
require_relative "background"
require_relative "dump"
require_relative "whole_file"

module HeapInspector
  # Sums up the heap of this process for a fleet, once or every while; see {HeapInspector.summarize} and {HeapInspector.summary_every}.
  #
  # A forked child dumps the heap into a file of a folder that is ours alone, and a program of its own, which is nice to others, reads
  # that: nothing of the reading half is loaded here, and the memory it takes is not this process's. Both are gone when it is done.
  #
  # @api private
  module Summaries
    extend Background::Repeated

    # The name of its thread.
    THREAD = "summaries"
    # Seconds for the dump, and for what reads it.
    TIMEOUT = 600
    # Where a process has none of its own, a summary goes into such folders, which engines read columns from.
    FOLDERS = %i[service deploy host pid].freeze
    # Bytes that a summary has at most.
    MOST = 200_000
    # What stands in an address for what the process is.
    PLACES = /\{(service|deploy|host|pid|time)\}/

    private_constant :FOLDERS, :PLACES

    class << self
      # @param gc [Boolean]
      # @return [String] the bytes of a Parquet file
      # @raise [DumpError]
      def take(gc: true)
        Dir.mktmpdir("heap_inspector-summary") do |folder|
          dump = File.join(folder, "heap.json.zst")
          Dump.new(gc: gc, compression: :zstd, redact: false, timeout: TIMEOUT, force: false, progress: nil).to_file(dump)
          read(dump, File.join(folder, "summary.parquet"), File.join(folder, "words"))
        end
      end

      # @param seconds [Numeric]
      # @param to [String] a folder or an address
      # @return [void]
      def write_every(seconds, to:)
        @seconds = Float(seconds)
        raise ArgumentError, "a summary every #{seconds} s is not valid; give it some seconds" unless @seconds >= 1
        raise ArgumentError, "say where summaries go: a folder, or an http(s) address that takes a PUT" if to.to_s.empty?

        @to = to.to_s
        begin_writing
        ForkHook.install
      end

      # Takes a summary and brings it where it is wanted.
      #
      # @param to [String] a folder, below which it is filed by service, deploy, host, process and time; or an address that takes a PUT, in
      #   which `{service}`, `{deploy}`, `{host}`, `{pid}` and `{time}` stand for these
      # @return [String] its path, or the address
      # @raise [DumpError, SystemCallError]
      def deliver(to)
        bytes = take
        to.match?(%r{\Ahttps?://}) ? put(bytes, to) : file(bytes, to)
      end

      private

      # Not all processes of a fleet at once: each begins at a time of its own.
      def write
        sleep(@seconds * rand)
        loop do
          started = now
          deliver(@to)
          sleep([@seconds - (now - started), 1].max)
        rescue StandardError, ScriptError => e
          Background.tell_anew(self, "no summary to #{plain(@to)}: #{e.message}")
          sleep(@seconds)
        end
      end

      # A presigned address is a secret behind its question mark.
      def plain(to) = to.sub(/\?.*/m, "?…")

      # Has a Ruby of its own read the dump.
      def read(dump, summary, words)
        command = [RbConfig.ruby, "-W0", "-I", File.expand_path("..", __dir__), "-rheap_inspector",
                   "-e", "exit HeapInspector::CommandLine.run(ARGV)", "summarize", dump, "-o", summary, "--no-index", "--threads", "1"]
        # Neither the app's own options nor its bundle.
        clean = { "RUBYOPT" => nil, "BUNDLE_GEMFILE" => nil, "HEAP_INSPECTOR_SUMMARY_EVERY" => nil }
        pid = Process.spawn(clean, *command, in: :close, out: File::NULL, err: [words, "w", 0o600], pgroup: true)
        wait(pid)
        raise DumpFailed, "the summary could not be made: #{said(words)}" unless File.file?(summary)

        bytes = File.binread(summary, MOST + 1)
        raise DumpFailed, "the summary has more than #{MOST} bytes" if bytes.bytesize > MOST

        bytes
      end

      # Others may wait for any child of this process, so that its end may be told to them.
      def wait(pid)
        lower(pid)
        watcher = Process.detach(pid)
        return if watcher.join(TIMEOUT)

        Process.kill(:KILL, pid)
        watcher.join
        raise DumpTimeout, "the summary was not done after #{TIMEOUT} s and was given up"
      end

      def lower(pid)
        Process.setpriority(Process::PRIO_PROCESS, pid, 19)
      rescue SystemCallError
        nil # it is done already
      end

      def said(words)
        File.read(words, 500).to_s.force_encoding(Encoding::UTF_8).scrub.strip
      rescue SystemCallError
        "its reader did not start"
      end

      def file(bytes, to)
        known = about
        folder = File.join(to, *FOLDERS.map { |name| "#{name}=#{part(known.fetch(name))}" }, "taken=#{known.fetch(:time)}")
        FileUtils.mkdir_p(folder, mode: 0o700)
        path = File.join(folder, "dump.parquet")
        WholeFile.create(path) { |file, _| file.write(bytes) }
        path
      end

      def put(bytes, to)
        require "net/http"
        known = about
        uri = URI(to.gsub(PLACES) { part(known.fetch(Regexp.last_match(1).to_sym)) })
        times = { open_timeout: 10, write_timeout: 60, read_timeout: 60 }
        answer = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", **times) do |http|
          http.request(Net::HTTP::Put.new(uri, "Content-Type" => "application/vnd.apache.parquet"), bytes)
        end
        return plain(to) if answer.is_a?(Net::HTTPSuccess)

        raise DumpFailed, "the server says #{answer.code} #{answer.message[0, 100]}"
      end

      def about
        { **DumpMeta.identity, pid: Process.pid, time: Time.now.utc.strftime("%Y%m%dT%H%M%S%LZ") }
      end

      # As Hive names folders, and as a part of an address.
      def part(value)
        return "__HIVE_DEFAULT_PARTITION__" if value.nil? || value.to_s.empty?

        value.to_s.b[0, 100].gsub(/[^\w.-]/n) { |byte| format("%%%02X", byte.ord) }
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end

  private_constant :Summaries
end
