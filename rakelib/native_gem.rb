# frozen_string_literal: true

require "fileutils"
require "rubygems/package"
require "tmpdir"

# Gems with the compiled library in them, which install without Rust. For this machine's platform the library is compiled here, for the
# Ruby that runs rake; for another one, and for several Rubies at once, by rb-sys-dock in a container that has the compilers.
module NativeGem
  PLATFORMS = %w[x86_64-linux aarch64-linux x86_64-linux-musl aarch64-linux-musl x86_64-darwin arm64-darwin].freeze
  SOURCES = %r{\.rs\z|\ACargo\.(?:toml|lock)\z|\A(?:\.cargo|crates|ext)/}
  RUBY = RUBY_VERSION[/\A\d+\.\d+/]

  # Whether it is compiled here.
  def self.here?(platform)
    key = ->(it) { [it.cpu, it.os, it.version.to_s.include?("musl")] }
    key[Gem::Platform.local] == key[Gem::Platform.new(platform)]
  end

  # The same gem without sources, with the library for this Ruby.
  def self.specification(source, platform)
    source.dup.tap do |spec|
      spec.platform = Gem::Platform.new(platform)
      spec.extensions = []
      spec.dependencies.reject! { |dependency| dependency.name == "rb_sys" }
      spec.files = spec.files.grep_v(SOURCES) << "lib/heap_inspector/#{RUBY}/heap_inspector_ext.#{RbConfig::CONFIG["DLEXT"]}"
      spec.required_ruby_version = [">= #{RUBY}.0", "< #{RUBY.next}.dev"]
    end
  end

  # Writes the gem into a folder, and returns its path.
  def self.build(source, platform, library, folder)
    spec = specification(source, platform)
    Dir.mktmpdir do |stage|
      spec.files.each do |file|
        FileUtils.mkdir_p(File.dirname(copy = File.join(stage, file)))
        FileUtils.cp(file.end_with?(File.basename(library)) ? library : file, copy)
      end
      path = File.expand_path(spec.file_name, folder)
      Dir.chdir(stage) { Gem::Package.build(spec, false, true, path) }
      path
    end
  end
end
