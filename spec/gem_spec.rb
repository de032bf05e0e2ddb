# frozen_string_literal: true

require "tmpdir"

RSpec.describe "The gem" do
  it "loads nothing of the extension before it is used" do
    out, = ruby('print $LOADED_FEATURES.grep(/heap_inspector/).map { |path| File.basename(path) }.sort.join(" ")')
    expect(out).to eq("heap_inspector.rb version.rb")
  end

  it "loads every constant by itself, first" do
    constants = File.read("#{Helpers::ROOT}/lib/heap_inspector.rb").scan(/autoload :(\w+)/).flatten
    expect(constants.size).to be > 15
    constants.each do |constant|
      out, err, = ruby("module HeapInspector; print #{constant}; end")
      expect([out, err]).to eq(["HeapInspector::#{constant}", ""])
    end
  end

  it "prints no warning of Ruby's" do
    code = "$VERBOSE = true; heap = HeapInspector.analyze(ARGV[0]); heap.summary; heap.groups(by: :class); heap.duplicate_strings(limit: 1)"
    expect(ruby(code, Helpers::DUMP)[1]).to eq("")
  end

  it "has one version" do
    manifest = File.read("#{Helpers::ROOT}/Cargo.toml")
    versions = manifest.scan(/^version = "(.+)"|path = "crates.*version = "(.+)"/).flatten.compact
    expect(versions).to eq([HeapInspector::VERSION] * 4)
  end

  it "holds all it needs and no more" do
    skip "no git" unless system("git", "--version", out: File::NULL, err: File::NULL)
    files = Gem::Specification.load("#{Helpers::ROOT}/heap_inspector.gemspec").files
    tracked = IO.popen(%w[git ls-files lib sig exe ext crates/*/src crates/*/Cargo.toml Cargo.toml Cargo.lock LICENSE docs/*.md docs/*.png],
                       chdir: Helpers::ROOT, &:readlines).map(&:chomp)
    skip "no git checkout" if tracked.empty?
    missing = (tracked - files).grep_v(%r{/(tests|snapshots|fuzz)/|/tests\.rs|\.gitignore})
    expect(missing).to eq([])
    expect(files.grep(%r{\.so\z|/tests?/|/tests\.rs|\A(?:target|spec)/})).to eq([])
  end

  it "runs from a checkout, by Bundler" do
    out, status = Open3.capture2e({ "RUBYOPT" => nil, "RUBYLIB" => nil }, "bundle", "exec", "exe/heap_inspector", "--version",
                                  chdir: Helpers::ROOT)
    lacking "the Gemfile's gems are not all here" if out.include?("Bundler::GemNotFound")
    expect([status.success?, out.lines.last]).to eq([true, "heap_inspector #{HeapInspector::VERSION}\n"]), out
  end

  # Builds as a user's machine does, which takes minutes. The folder is its own, since RubyGems empties it.
  it "installs into an empty GEM_HOME, with a library of 7.6 MB, and works from an empty folder", :slow do
    Dir.mktmpdir do |folder|
      environment = { "GEM_HOME" => "#{folder}/home", "RB_SYS_CARGO_TARGET_DIR" => "#{Helpers::ROOT}/target/gem",
                      "RB_SYS_CARGO_PROFILE" => nil, "CARGO_PROFILE_RELEASE_LTO" => nil, "CARGO_PROFILE_RELEASE_CODEGEN_UNITS" => nil,
                      "CARGO_NET_OFFLINE" => "true", "RUBYLIB" => nil, "RUBYOPT" => nil }
      run = lambda do |*words, chdir: "#{folder}/empty"|
        out, status = Open3.capture2e(environment, *words, chdir:)
        expect(status).to be_success, "#{words.join(" ")}\n#{out}"
        out
      end
      Dir.mkdir("#{folder}/empty")
      run["gem", "build", "--output", "#{folder}/built.gem", "heap_inspector.gemspec", chdir: Helpers::ROOT]
      run["gem", "install", "--local", "--no-document", "#{folder}/built.gem"]
      expect(run[RbConfig.ruby, "-rheap_inspector", "-e", "print HeapInspector.analyze(ARGV[0]).object_count",
                 Helpers::DUMP]).to eq("27801")
      expect(run["#{folder}/home/bin/heap_inspector", "--version"]).to eq("heap_inspector #{HeapInspector::VERSION}\n")
      expect(run["#{folder}/home/bin/heap_inspector", "summary", Helpers::DUMP]).to include("27,801")
      # With its Ruby files and docs that is what a precompiled gem takes; sources and RubyGems' copy of them come to it here.
      libraries = Dir["#{folder}/home/**/*.so"].map { |file| File.size(file) }
      expect(libraries).to contain_exactly(be_between(4_000_000, 7_600_000))
    end
  end
end
