# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "../ext/heap_inspector/tools"
require_relative "../rakelib/native_gem"

# How the extension is built, without building it.
RSpec.describe "The build" do
  around { |example| Dir.mktmpdir { |folder| (@folder = File.realpath(folder)) && example.run } }

  # A program that is found first in the PATH.
  def program(name, text, place: "bin")
    path = File.join(@folder, place, name)
    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, "#!/bin/sh\n#{text}\n")
    File.chmod(0o755, path)
    File.dirname(path)
  end

  def which(name)
    ENV.fetch("PATH").split(":").map { |place| File.join(place, name) }.find { |path| File.executable?(path) }
  end

  describe "without its tools" do
    def missing(environment = {}, **options)
      Tools.new(rust_version: "1.88", environment: { "PATH" => "/nowhere" }.merge(environment), **options).missing
    end

    def rust(said, code: 0)
      missing({ "CARGO" => File.join(program("cargo", "echo '#{said}'; exit #{code}"), "cargo") }, platform: "darwin")
    end

    # A gem's build is known to rb_sys by SOURCE_DATE_EPOCH, which RubyGems sets; then it would fetch Rust.
    it "ends `gem install` at once where there is no cargo, with what to install, and fetches nothing" do
      place = program("curl", "touch #{@folder}/fetched; exit 1")
      %w[gem ruby sh env make cc gcc as ld rm mkdir cp touch].each do |name|
        File.symlink(which(name), File.join(place, name)) if which(name)
      end
      environment = { "GEM_HOME" => "#{@folder}/home", "PATH" => place, "RUBYLIB" => nil, "RUBYOPT" => nil, "CARGO" => nil,
                      "CARGO_HOME" => "#{@folder}/cargo", "RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN" => nil }
      built, status = Open3.capture2e("gem", "build", "--output", "#{@folder}/built.gem", "heap_inspector.gemspec", chdir: Helpers::ROOT)
      expect(status).to be_success, built
      said, status = Open3.capture2e(environment, which("gem"), "install", "--local", "--no-document", "#{@folder}/built.gem")
      expect(status).not_to be_success
      expect(said).to include("heap_inspector cannot be built: Rust is missing (no cargo in the PATH): install Rust ")
      expect(File).not_to exist("#{@folder}/fetched")
    end

    it "says which Rust is too old, and what a cargo says that does not run" do
      expect(rust("cargo 1.88.0 (873a06493 2025-05-10)")).to eq []
      expect(rust("cargo 1.100.0")).to eq []
      expect(rust("cargo 1.63.0")).to match [/\ARust 1\.63\.0 is too old: install Rust 1\.88 or later/]
      expect(rust("error: no default toolchain", code: 1)).to match [/does not run \(error: no default toolchain\): install Rust/]
    end

    it "leaves Rust to rb_sys where the user tells it to fetch Rust" do
      expect(missing({ "RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN" => "true" }, platform: "darwin")).to eq []
      expect(missing({ "RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN" => "false" }, platform: "darwin").size).to eq 1
    end

    it "says where libclang comes from, unless it is in one of the places it is looked for" do
      cargo = { "CARGO" => File.join(program("cargo", "echo cargo 1.99.0"), "cargo") }
      look = ->(more = {}) { missing(cargo.merge(more), platform: "x86_64-linux", places: ["#{@folder}/llvm*/lib"]) }
      expect(look.call).to match [/\Alibclang is missing.*libclang-dev/]
      expect(look.call("LIBCLANG_PATH" => "/opt/lib")).to eq []
      expect(look.call("PATH" => program("llvm-config", "", place: "clang"))).to eq []
      program("libclang-19.so.1", "", place: "other")
      expect(look.call("LD_LIBRARY_PATH" => "/nowhere:#{@folder}/other")).to eq []
      program("libclang.so.1", "", place: "llvm-14/lib")
      expect(look.call).to eq []
    end
  end

  # A cargo that writes an empty library where the true one would: what is built when, and where it goes, is make's and rake's.
  def checkout(name)
    place = File.join(@folder, name)
    files = Gem::Specification.load("#{Helpers::ROOT}/heap_inspector.gemspec").files
    [*files, "Rakefile", "heap_inspector.gemspec"].each do |file|
      next if File.directory?(File.join(Helpers::ROOT, file))

      FileUtils.mkdir_p(File.dirname(copy = File.join(place, file)))
      FileUtils.cp(File.join(Helpers::ROOT, file), copy, preserve: true)
    end
    place
  end

  def fake_cargo
    program("cargo", <<~SH)
      case $1 in metadata | --version) exec #{which("cargo")} "$@" ;; esac
      while [ $# -gt 0 ]; do case $1 in --target-dir) target=$2 ;; esac; shift; done
      mkdir -p "$target/release" && echo built >"$target/release/libheap_inspector_ext.so"
    SH
  end

  def compile(place)
    environment = { "PATH" => "#{fake_cargo}:#{ENV.fetch("PATH")}", "CARGO" => nil, "CARGO_NET_OFFLINE" => "true" }
    %w[TARGET_DIR MANIFEST_DIR PROFILE].each { |word| environment["RB_SYS_CARGO_#{word}"] = nil }
    said, status = Open3.capture2e(environment, "rake", "compile", chdir: place)
    expect(status).to be_success, said
    said
  end

  let(:library) { "lib/heap_inspector/heap_inspector_ext.so" }

  it "goes into the checkout it is made in, also after that was moved" do
    old = checkout("old")
    compile(old)
    expect(File).to exist("#{old}/#{library}")
    expect(compile(old)).not_to match(/^rm -/) # what is there serves again

    File.rename(old, new = "#{@folder}/new")
    File.unlink("#{new}/#{library}")
    compile(new)
    expect(File).to exist("#{new}/#{library}")
    expect(File).not_to exist(old)
  end

  it "leaves the original of a copied checkout alone" do
    compile(original = checkout("original"))
    FileUtils.cp_r(original, copy = "#{@folder}/copy", preserve: true)
    [original, copy].each { |place| File.unlink("#{place}/#{library}") }
    compile(copy)
    expect(File).to exist("#{copy}/#{library}")
    expect(File).not_to exist("#{original}/#{library}")
  end

  # Installs a gem built of the sources here into a home of its own, and returns that.
  def install(gem, path)
    environment = { "GEM_HOME" => "#{@folder}/home", "PATH" => path, "CARGO" => nil, "CARGO_NET_OFFLINE" => "true", "RUBYLIB" => nil,
                    "RUBYOPT" => nil }
    %w[TARGET_DIR MANIFEST_DIR PROFILE].each { |word| environment["RB_SYS_CARGO_#{word}"] = nil }
    said, status = Open3.capture2e(environment, which("gem"), "install", "--local", "--no-document", gem, chdir: @folder)
    expect(status).to be_success, said
    "#{@folder}/home"
  end

  it "leaves one library in an installed gem, and nothing of the build" do
    built, status = Open3.capture2e("gem", "build", "--strict", "--output", "#{@folder}/built.gem", "heap_inspector.gemspec",
                                    chdir: Helpers::ROOT)
    expect([status.success?, built.match?(/warning/i)]).to eq([true, false]), built
    home = install("#{@folder}/built.gem", "#{fake_cargo}:#{ENV.fetch("PATH")}")
    installed = "#{home}/gems/heap_inspector-#{HeapInspector::VERSION}"
    expect(Dir["#{home}/**/*.so"]).to eq(["#{installed}/lib/heap_inspector/#{NativeGem::RUBY}/heap_inspector_ext.so"])
    expect(Dir["#{home}/**/{*.rlib,*.rmeta,libheap_inspector_ext*,release}"]).to eq([])
    sizes = Dir["#{home}/**/*"].select { |file| File.file?(file) }.sum { |file| File.size(file) }
    expect(sizes).to be < 2_100_000 # half of it the gem's file, which RubyGems keeps
  end

  it "makes a gem that installs and answers without Rust" do
    compiled = "#{Helpers::ROOT}/#{library}"
    lacking "#{library} is not compiled" unless File.exist?(compiled)
    source = Gem::Specification.load("#{Helpers::ROOT}/heap_inspector.gemspec")
    platform = Gem::Platform.local.to_s
    expect(NativeGem).to be_here(platform)
    gem = Gem::DefaultUserInteraction.use_ui(Gem::SilentUI.new) do
      Dir.chdir(Helpers::ROOT) { NativeGem.build(source, platform, compiled, @folder) }
    end
    place = File.join(@folder, "no-rust")
    FileUtils.mkdir_p(place)
    %w[ruby env sh].each { |name| File.symlink(which(name), File.join(place, name)) }
    home = install(gem, place)
    installed = "#{home}/gems/heap_inspector-#{HeapInspector::VERSION}-#{platform}"
    expect(Dir.glob("#{installed}/**/*.{rs,toml}", File::FNM_DOTMATCH)).to eq([])
    said, status = Open3.capture2e({ "GEM_HOME" => home, "PATH" => place, "RUBYLIB" => nil, "RUBYOPT" => nil },
                                   "#{home}/bin/heap_inspector", "summary", Helpers::DUMP, chdir: @folder)
    expect([status.success?, said]).to match([true, /27,801/]), said
  end
end
