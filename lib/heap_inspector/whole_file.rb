# frozen_string_literal: true

require "securerandom"

module HeapInspector
  # A new file that has its name only when it is whole: until then it is `NAME.PID-RANDOM.heap.tmp` beside it, for the owner alone.
  #
  # Who writes it holds a lock on it, and so does what the writer forks or hands it to. Where all of them were killed together the
  # file stays, but not the lock: the next one into the same folder removes it. The lock and not the pid decides, since a folder may
  # be shared by containers, which number their processes apart.
  #
  # @api private
  module WholeFile
    # What unfinished files are called.
    UNFINISHED = /\.\d+-\h{8}\.heap\.tmp\z/
    # Seconds for which a file may be without its lock: between its making and the locking.
    FRESH = 60
    FLAGS = File::WRONLY | File::CREAT | File::EXCL | File::NOFOLLOW | File::BINARY

    private_constant :FRESH, :FLAGS

    class << self
      # @param path [String] replaced where it is a file or a link
      # @yieldparam file [File] what to write to
      # @yieldparam unfinished [String] its name until the block has ended
      # @return [Object] what the block returns
      def create(path)
        path = File.expand_path(path)
        raise Errno::EISDIR, path if File.directory?(path)

        sweep(File.dirname(path))
        unfinished = "#{path}.#{::Process.pid}-#{SecureRandom.hex(4)}.heap.tmp"
        File.open(unfinished, FLAGS, 0o600) do |file|
          lock(file)
          result = yield file, unfinished
          File.rename(unfinished, path)
          sync(File.dirname(path))
          result
        end
      ensure
        File.unlink(unfinished) if unfinished && File.exist?(unfinished)
      end

      private

      def lock(file)
        file.flock(File::LOCK_EX | File::LOCK_NB)
      rescue SystemCallError
        nil # a file system without locks; there nothing is removed either
      end

      # Has the name on the disk as well.
      def sync(folder)
        File.open(folder, &:fsync)
      rescue SystemCallError
        nil # a folder that cannot be read, or a file system without that
      end

      # Removes what killed processes of this user left.
      def sweep(folder)
        Dir.children(folder).grep(UNFINISHED) { |name| remove_stale(File.join(folder, name)) }
      rescue SystemCallError
        nil # a folder that can be written to but not listed
      end

      def remove_stale(path)
        File.open(path, File::RDONLY | File::NOFOLLOW | File::NONBLOCK) do |file|
          stat = file.stat
          next unless stat.file? && stat.owned? && Time.now - stat.mtime > FRESH

          File.unlink(path) if file.flock(File::LOCK_EX | File::LOCK_NB)
        end
      rescue SystemCallError
        nil # another one was quicker, or it is no such file
      end
    end
  end
end
