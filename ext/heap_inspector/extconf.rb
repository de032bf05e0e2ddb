# frozen_string_literal: true

require "mkmf"
require "rb_sys/mkmf"
require_relative "tools"

rust_version = File.read(File.expand_path("../../Cargo.toml", __dir__))[/^rust-version = "(.+)"/, 1]
missing = Tools.new(rust_version: rust_version).missing
abort missing.map { |sentence| "heap_inspector cannot be built: #{sentence}." }.join("\n") if missing.any?

create_rust_makefile("heap_inspector/heap_inspector_ext") do |config|
  # It would run what curl brings, unasked.
  config.auto_install_rust_toolchain = false
end
