# frozen_string_literal: true

require "tmpdir"
require "zlib"
require_relative "../rakelib/manual"

# What lies beside the library in a gem for shells and `man`.
RSpec.describe "The gem's" do
  root = Helpers::ROOT
  files = Gem::Specification.load("#{root}/heap_inspector.gemspec").files

  # A folder for the PATH with the program in it.
  around do |example|
    Dir.mktmpdir do |folder|
      @folder = folder
      Dir.mkdir("#{folder}/bin")
      File.write("#{folder}/bin/heap_inspector", "#!/bin/sh\nexec '#{RbConfig.ruby}' '-I#{root}/lib' '#{root}/exe/heap_inspector' \"$@\"\n")
      File.chmod(0o755, "#{folder}/bin/heap_inspector")
      example.run
    end
  end

  def output(*words, **environment)
    path = "#{@folder}/bin:#{ENV.fetch("PATH")}"
    out, status = Open3.capture2e({ "PATH" => path, "HOME" => @folder, "LC_ALL" => "C.UTF-8", **environment }, *words, chdir: @folder)
    expect(status).to be_success, out
    out
  end

  it "manual is what the program says of each command" do
    output("heap_inspector", "man", "said")
    kept = Zlib.gunzip(File.binread("#{root}/#{Manual::PATH}")).force_encoding("UTF-8")
    expect(kept).to eq(Manual.of("#{@folder}/said")), "the program says other things: rake man writes them"
    expect(kept.scan(/^\.SH HEAP_INSPECTOR (\S+)/).size).to eq(Dir["#{@folder}/said/heap_inspector-*.1"].size).and be > 30
    expect(files.grep(/\Aman/)).to eq [Manual::PATH]
    # What the installed gem can have of 8 MiB beside library, Ruby files and docs.
    expect(files.grep(%r{\A(?:man|completions)/}).sum { |path| File.size("#{root}/#{path}") }).to be < 16_000
  end

  it "manual is found by man" do
    lacking "there is no man" unless system("man", "--version", out: File::NULL, err: File::NULL)
    skip "man shows no pages here" unless system("man", "-w", "man", out: File::NULL, err: File::NULL)
    page = output("man", "heap_inspector", "MANPATH" => "#{root}/man:", "MANPAGER" => "cat", "MANWIDTH" => "100", "GROFF_NO_SGR" => "1")
    expect(page).to include("HEAP_INSPECTOR SUSPECTS", "--fail-on")
  end

  it "completions complete in bash" do
    lacking "there is no bash" unless system("bash", "--version", out: File::NULL)
    script = <<~BASH
      source #{root}/completions/heap_inspector.bash
      COMP_WORDS=(heap_inspector susp) COMP_CWORD=1
      _heap_inspector heap_inspector susp heap_inspector
      echo "${COMPREPLY[@]}"
      complete -p heap_inspector
    BASH
    expect(output("bash", "--norc", "-c", script)).to match(/\Asuspects\ncomplete .*-F _heap_inspector heap_inspector\n\z/)
  end

  it "completions complete in fish" do
    lacking "there is no fish" unless system("fish", "--version", out: File::NULL, err: File::NULL)
    out = output("fish", "--no-config", "-c", "source #{root}/completions/heap_inspector.fish; complete -C 'heap_inspector susp'")
    expect(out).to start_with("suspects")
  end

  it "completions complete in zsh" do
    lacking "there is no zsh" unless system("zsh", "--version", out: File::NULL, err: File::NULL)
    # In a terminal, since there is no completion elsewhere.
    script = <<~ZSH
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell "PS1=; fpath=(#{root}/completions \\$fpath); autoload -Uz compinit; compinit -u -D; print rea''dy"
      zpty -r -m shell line '*ready*'
      zpty -n -w shell $'heap_inspector susp\\t'
      zpty -r -m shell line '*heap_inspector suspects*' && print found
      zpty -d shell
    ZSH
    expect(output("timeout", "60", "zsh", "-f", "-c", script)).to include("found")
  end
end
