# frozen_string_literal: true

module HeapInspector
  # A Ruby that is started with a part of ours in it, which says what it found by a file in a folder of ours.
  #
  # @api private
  module ChildRuby
    class << self
      # @param variable [String] tells our part that it is asked, and where to write to
      # @param path [String]
      # @return [Hash{String => String}] the variables with which our part can be loaded
      def environment(variable, path)
        lib = File.expand_path("..", __dir__)
        { variable => path, "RUBYLIB" => [lib, *ENV.fetch("RUBYLIB", nil)].join(File::PATH_SEPARATOR) }
      end

      # @param path [String]
      # @param found [Hash]
      # @return [void]
      def tell(path, found) = File.binwrite(path, Marshal.dump(found))

      # @param path [String] in a folder that is ours alone
      # @return [Hash] what was told
      def told(path) = Marshal.load(File.binread(path)) # rubocop:disable Security/MarshalLoad
    end
  end

  private_constant :ChildRuby
end
