# frozen_string_literal: true

require_relative "native"

module HeapInspector
  # The folder of a user's sockets and locks on this host. It must be a real one of the user's, closed to others: what lies in it is
  # trusted.
  #
  # Its place is `HEAP_INSPECTOR_DIR`, else `heap_inspector` in `XDG_RUNTIME_DIR`, else `/tmp/heap_inspector-UID`.
  #
  # @api private
  module Folder
    class << self
      # @return [String] the folder of the process
      def path
        chosen("HEAP_INSPECTOR_DIR") { |folder| folder } ||
          chosen("XDG_RUNTIME_DIR") { |folder| File.join(folder, "heap_inspector") } ||
          of_user(Process.euid)
      end

      # @param uid [Integer]
      # @return [String] the folder of a process of that user whose environment names none
      def of_user(uid)
        "/tmp/heap_inspector-#{uid}"
      end

      # Makes the folder where it is missing.
      #
      # @return [String] the path
      # @raise [AgentError] if it is not ours alone
      def claim
        Native.claim_folder(path)
        path
      end

      # Takes a lock that goes with the process.
      #
      # @param name [String] the lock's file in the folder
      # @return [File, nil] the locked file, nil where another process holds it
      def lock(name)
        file = File.open(File.join(claim, name), File::RDWR | File::CREAT | File::NOFOLLOW, 0o600)
        return file if file.flock(File::LOCK_EX | File::LOCK_NB)

        file.close
        nil
      end

      # @param file [File, nil] what {lock} returned
      # @return [void]
      def unlock(file)
        return if file.nil? || file.closed?

        file.flock(File::LOCK_UN) # children that were forked meanwhile hold the file open
        file.close
      end

      private

      def chosen(variable)
        value = ENV.fetch(variable, "")
        yield value if value.start_with?("/")
      end
    end
  end

  private_constant :Folder
end
