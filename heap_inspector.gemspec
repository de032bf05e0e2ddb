# frozen_string_literal: true

require_relative "lib/heap_inspector/version"

Gem::Specification.new do |spec|
  spec.name = "heap_inspector"
  spec.version = HeapInspector::VERSION
  spec.authors = ["The heap_inspector authors"]
  spec.summary = "Reads and explains Ruby heap dumps: what is held, how much, and where it was allocated"
  spec.description = "Reads what ObjectSpace.dump_all wrote, in any Ruby from 2.1 on, in a second or two: count and bytes by " \
                     "generation, class, location, gem and more, duplicate strings, page use; from Ruby, the command line and Rust."
  spec.homepage = "https://github.com/heap-inspector/heap_inspector"
  spec.license = "MIT"
  spec.required_ruby_version = ">= 3.1"
  spec.required_rubygems_version = ">= 3.3.11" # the first that knows Rust extensions
  spec.metadata = {
    "source_code_uri" => spec.homepage,
    "changelog_uri" => "#{spec.homepage}/blob/main/CHANGELOG.md",
    "documentation_uri" => "#{spec.homepage}/tree/main/docs",
    "bug_tracker_uri" => "#{spec.homepage}/issues",
    "rubygems_mfa_required" => "true"
  }

  spec.files = Dir.chdir(__dir__) do
    Dir["lib/**/*.rb", "sig/**/*.rbs", "exe/*", "ext/**/*.{rb,rs,toml}", "crates/*/{Cargo.toml,src/**/*}", "docs/*.{md,png,rb}",
        "man/man1/*.gz", "completions/*",
        ".cargo/config.toml", "Cargo.{toml,lock}", "LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", ".yardopts"]
      .grep_v(%r{/(?:tests\.rs\z|tests/|snapshots/)}).select { |path| File.file?(path) }
  end
  spec.bindir = "exe"
  spec.executables = ["heap_inspector"]
  spec.extensions = ["ext/heap_inspector/extconf.rb"]

  spec.add_dependency "rb_sys", "~> 0.9.100"
end
