# frozen_string_literal: true

require "open3"

# What the build needs and does not bring. `missing` names what is not there and how to come by it, in less than a second; without it
# the build would end minutes later with the words of a C++ or Rust program.
class Tools
  # Where bindgen's clang-sys looks on Linux. Elsewhere it has ways of its own, and is not second-guessed.
  LIBCLANG_PLACES = %w[/usr/local/llvm*/lib* /usr/local/lib*/*/* /usr/local/lib*/* /usr/local/lib* /usr/lib*/*/* /usr/lib*/*
                       /usr/lib*].freeze
  LIBCLANG_NAMES = "{libclang.so,libclang-*.so,libclang.so.*,libclang-*.so.*}"

  # rust_version: the oldest that compiles the sources, as their manifest has it.
  def initialize(rust_version:, environment: ENV, platform: RUBY_PLATFORM, places: LIBCLANG_PLACES)
    @rust_version = rust_version
    @environment = environment
    @platform = platform
    @places = places
  end

  # One sentence for each tool that is missing.
  def missing = [rust, libclang].compact

  private

  # RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN is the user's own wish to have Rust fetched.
  def rust
    return unless ["", "false"].include?(@environment["RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN"].to_s)

    cargo = @environment["CARGO"] || "cargo"
    said, status = Open3.capture2e(@environment.to_h, cargo, "--version")
    return "#{cargo} does not run (#{said.strip.lines.first&.chomp}): #{install_rust}" unless status.success?

    version = said[/\d+\.\d+(\.\d+)?/]
    return if version.nil? || Gem::Version.new(version) >= Gem::Version.new(@rust_version)

    "Rust #{version} is too old: #{install_rust}"
  rescue SystemCallError
    "Rust is missing (no cargo in the PATH): #{install_rust}"
  end

  def install_rust
    "install Rust #{@rust_version} or later, from https://rustup.rs or as a package (cargo and rustc), and see that cargo is in the PATH"
  end

  def libclang
    return unless @platform.include?("linux") && !libclang?

    "libclang is missing, by which Ruby's headers are read: install it (Debian and Ubuntu: libclang-dev; Fedora: clang-devel; Alpine: " \
      "clang-dev), or say where it is by LIBCLANG_PATH"
  end

  # rb_sys itself takes the gem libclang.
  def libclang?
    return true if @environment["LIBCLANG_PATH"] || @environment["LLVM_CONFIG_PATH"] || program?("llvm-config") || gem?

    places = @places + @environment["LD_LIBRARY_PATH"].to_s.split(":")
    places.any? { |place| Dir.glob(File.join(place, LIBCLANG_NAMES)).any? }
  end

  def program?(name)
    @environment["PATH"].to_s.split(":").any? { |place| File.executable?(File.join(place, name)) }
  end

  def gem? = Gem::Specification.find_all_by_name("libclang").any?
end
