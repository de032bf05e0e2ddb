# frozen_string_literal: true

require_relative "native"

module HeapInspector
  # A new file that has its name only when it is whole: until then it is `NAME.PID-RANDOM.heap.tmp` beside it, for the owner alone. What
  # killed processes left in the folder is removed. Where something is that is no file, a terminal or a pipe, that is written to.
  #
  # @api private
  module WholeFile
    # @param path [String] replaced where it is a file or a link to one
    # @yieldparam file [File] what to write to
    # @yieldparam unfinished [String, nil] its name until the block has ended, where it is a file
    # @return [Object] what the block returns
    # @raise [SystemCallError] where the system refuses
    # @raise [ArgumentError] where something is that cannot be written to, such as a socket
    def self.create(path)
      output, descriptor, unfinished = OpenOutput.open(File.expand_path(path))
      begin
        file = File.for_fd(descriptor, "wb", autoclose: false)
        result = yield file, unfinished
        file.flush
        output.finish
        result
      ensure
        output.close
      end
    end
  end

  private_constant :WholeFile
end
