# frozen_string_literal: true

require "mkmf"
require "rb_sys/mkmf"
require_relative "tools"

rust_version = File.read(File.expand_path("../../Cargo.toml", __dir__))[/^rust-version = "(.+)"/, 1]
missing = Tools.new(rust_version: rust_version).missing
abort missing.map { |sentence| "heap_inspector cannot be built: #{sentence}." }.join("\n") if missing.any?

root = File.expand_path("../..", __dir__)
# As `gem install` has it, which keeps the gem's file, too; a checkout that Bundler builds has no such neighbour.
is_installed = File.directory?(File.expand_path("../../specifications", root))
is_built_by_rubygems = nil

create_rust_makefile("heap_inspector/heap_inspector_ext") do |config|
  # It would run what curl brings, unasked.
  config.auto_install_rust_toolchain = false
  is_built_by_rubygems = config.rubygems_invoked?
  config.rubygems_clean_dirs << "$(DLLIB)"
  # Two megabytes that nobody needs when the library is there; `gem pristine heap_inspector` has them again.
  config.rubygems_clean_dirs.push("../../crates", "src") if is_installed
end

# RubyGems copies what is installed into lib and into a folder of extensions, from the one that it was built in: three times the library,
# of which one is loaded. So it goes into lib at once, where each Ruby has its own, and RubyGems finds nothing to copy.
if is_built_by_rubygems
  place = File.join(root, "lib/heap_inspector", RUBY_VERSION[/\A\d+\.\d+/]).gsub(" ", "\\ ")
  makefile = File.read("Makefile")
  makefile.sub!(/^RUBYARCHDIR = .*$/) { "RUBYARCHDIR = #{place}" } || abort("heap_inspector cannot be built: rb_sys wrote no RUBYARCHDIR.")
  File.write("Makefile", makefile)
end
