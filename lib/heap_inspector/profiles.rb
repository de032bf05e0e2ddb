# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "background"
require_relative "heap_profile"

module HeapInspector
  # Writes a profile of what is alive every while, for collectors to take; see {HeapInspector.profile_every}.
  #
  # @api private
  module Profiles
    extend Background::Repeated

    # The name of its thread.
    THREAD = "profiles"
    # The names of its files.
    NAME = "heap-profile-%<pid>d-%<time>s.pb.gz"
    # Those of any process.
    ANY = "heap-profile-*.pb.gz"

    private_constant :NAME, :ANY

    class << self
      # @return [void]
      def write_every(seconds, folder:, keep:)
        @seconds = Float(seconds)
        raise ArgumentError, "a profile every #{seconds} s is not valid; give it some seconds" unless @seconds >= 1

        @keep = Integer(keep)
        raise ArgumentError, "keep is at least 1, got #{keep}" unless @keep.positive?

        @folder = folder || Dir.tmpdir
        begin_writing
        ForkHook.install
      end

      private

      def write
        loop do
          sleep(@seconds)
          next unless (profile = HeapInspector.heap_profile)

          FileUtils.mkdir_p(@folder, mode: 0o700)
          name = format(NAME, pid: Process.pid, time: Time.now.utc.strftime("%Y%m%dT%H%M%S.%LZ"))
          profile.write(File.join(@folder, name), format: :pprof)
          sweep
        rescue StandardError, ScriptError => e
          Background.tell_anew(self, "no profile in #{@folder}: #{e.message}")
        end
      end

      # By the time in the name's end, whatever process wrote it.
      def sweep
        files = Dir.glob(ANY, base: @folder).select { |name| File.file?(File.join(@folder, name)) }
        old = files.sort_by { |name| name[/-([^-]+)\z/, 1] }[0...-@keep] || []
        old.each { |name| FileUtils.rm_f(File.join(@folder, name)) }
      end
    end
  end

  private_constant :Profiles
end
