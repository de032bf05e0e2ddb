# frozen_string_literal: true

require "timeout"
require "tmpdir"

RSpec.describe HeapInspector::CommandLine do
  let(:exe) { [RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/exe/heap_inspector"] }
  let(:binary) do
    built = system("cargo", "build", "--quiet", "--package", "heap_inspector_cli", chdir: Helpers::ROOT)
    raise "cargo build failed" unless built

    [File.join(ENV.fetch("CARGO_TARGET_DIR", File.join(Helpers::ROOT, "target")), "debug/heap_inspector")]
  end

  def both(*words, **options)
    [exe, binary].map do |program|
      out, err, status = Open3.capture3(*program, *words, binmode: true, **options)
      [out, err, status.exitstatus]
    end
  end

  it "gives the standalone binary's bytes and exit codes" do
    dump = Helpers::DUMPS.fetch("ruby-3.3-x86_64")
    verbs = [["read"], %w[read 12], ["read", "all", "--lines", "3"], ["summary"], ["top", "--by", "class,location", "--lines", "9"],
             ["strings", "--lines", "9"]]
    verbs.each do |verb, *words|
      %w[text json markdown csv].each do |format|
        here, there = both(verb, dump, *words, "--format", format)
        expect(here).to eq(there), [verb, format].inspect
        expect(here[0].size).to be > 100
        expect(here[2]).to eq(0)
      end
    end
  end

  it "gives the standalone binary's errors" do
    {
      ["read", "/no/such.json"] => 1,
      ["read", __dir__] => 1,
      ["read", __FILE__] => 1,
      ["top", Helpers::DUMP, "--by", "clas"] => 2,
      ["wat"] => 2,
      ["--help"] => 0,
      ["top", "--help"] => 0,
      ["--version"] => 0,
      [] => 0,
      ["read", "\xFF\xFE".b] => 1
    }.each do |words, code|
      here, there = both(*words)
      expect(here).to eq(there), words.inspect
      expect(here[2]).to eq(code), words.inspect
      expect((here[0] + here[1]).size).to be_positive
    end
  end

  it "reads standard input" do
    here, there = both("summary", "-", stdin_data: File.binread(Helpers::DUMP))
    expect(here).to eq(there)
    expect(here[2]).to eq(0)
  end

  it "takes a closed pipe for no error" do
    [exe, binary].each do |program|
      err, child_err = IO.pipe
      out, child_out = IO.pipe
      out.close
      pid = spawn(*program, "top", Helpers::DUMP, "--by", "location", "--lines", "all", out: child_out, err: child_err)
      [child_out, child_err].each(&:close)
      expect(Process.wait2(pid).last.exitstatus).to eq(0)
      expect(err.read).to eq("")
      err.close
    end
  end

  it "ends with 130 on Ctrl-C, even while nothing comes" do
    [exe, binary].each do |program|
      child_in, input = IO.pipe
      err, child_err = IO.pipe
      pid = spawn(*program, "read", "-", in: child_in, err: child_err)
      child_err.close
      input.write(Helpers.text(20_000)) # more than a pipe holds: when it is gone, the program is reading
      Process.kill("INT", pid)
      expect(Timeout.timeout(20) { Process.wait2(pid).last.exitstatus }).to eq(130), program.last
      expect(err.read).to eq("heap_inspector: interrupted\n")
      [child_in, input, err].each(&:close)
    end
  end

  it "returns the exit code to Ruby" do
    out, = ruby("print HeapInspector::CommandLine.run(['read', '/no/such']), HeapInspector::CommandLine.run(['--version'])")
    expect(out).to eq("heap_inspector #{HeapInspector::VERSION}\n10").or eq("1heap_inspector #{HeapInspector::VERSION}\n0")
    expect { described_class.run([1]) }.to raise_error(NoMethodError)
  end
end
