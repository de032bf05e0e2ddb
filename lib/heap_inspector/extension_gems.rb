# frozen_string_literal: true

module HeapInspector
  # Which gems have C code in a process, by the mapped files that lie in gems' folders: of RubyGems and Bundler
  # (`…/gems/NAME-VERSION/`, `…/extensions/PLATFORM/ABI/NAME-VERSION/`), and of Debian (`…/vendor_ruby/ABI/NAME.so`).
  #
  # @api private
  module ExtensionGems
    # How many are told.
    MOST = 40
    # What may be told as one.
    NAME = /\A[\w.+ -]{1,80}\z/

    # A gem's folder, the innermost.
    FOLDER = %r{.*/(?:gems|extensions/[^/]+/[^/]+)/(?<folder>[\w.+-]+)/}
    # Debian's: a folder or a library for each, without versions.
    DEBIAN = %r{/vendor_ruby/\d[\d.]*/(?:[\w-]*-linux[\w-]*/)?(?<name>[\w.+-]+?)(?:\.so\z|/)}
    # What stands behind a version: the platform that a gem was compiled for.
    PLATFORM = /-(?:x86_64|x86|aarch64|arm64|arm|i\d86|ppc64le|s390x|riscv64)-.*\z/
    # A version, or of Bundler's Git gems a revision.
    VERSION = /-(?<version>\d[\w.]*|\h{7,40})\z/

    private_constant :FOLDER, :DEBIAN, :PLATFORM, :VERSION

    class << self
      # @param files [Hash{String => Integer}] mapped files, with bytes of them in memory
      # @return [Array<String>] such as `nokogiri 1.15.4`, the one of whose libraries most is in memory first
      def among(files)
        sizes = Hash.new(0)
        files.each { |path, bytes| (gem = gem(path.delete_suffix(" (deleted)"))) && sizes[gem] += bytes }
        sizes.sort_by { |name, bytes| [-bytes, name] }.first(MOST).map(&:first)
      end

      private

      def gem(path)
        return unless path.end_with?(".so")

        path = path.scrub("?")
        folder = FOLDER.match(path)
        name = folder ? named(folder[:folder]) : DEBIAN.match(path)&.[](:name)
        name if name&.match?(NAME)
      end

      # `nokogiri-1.15.4-x86_64-linux` as `nokogiri 1.15.4`.
      def named(folder)
        name = folder.sub(PLATFORM, "")
        version = VERSION.match(name)
        version ? "#{version.pre_match} #{version[:version]}" : name
      end
    end
  end

  private_constant :ExtensionGems
end
