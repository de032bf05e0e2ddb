# frozen_string_literal: true

require_relative "living"
require "shellwords"
require "yaml"

RSpec.describe "commands that start a Ruby" do
  include_context "with living processes"
  include_context "with our tracer"

  let(:limits) { File.join(folder, ".heap_inspector.yml") }

  def check(*words, **env)
    command("check", *words, chdir: folder, environment: env.transform_keys(&:to_s))
  end

  def program(bytes)
    File.write(File.join(folder, "app.rb"), "require 'set'\nKEPT = 'x' * #{bytes}\n")
    ["--", RbConfig.ruby, "app.rb"]
  end

  # What 400,000 bytes take; Ruby 3.3 needs a little more for the file's code.
  kept = /(?:39|40)\d\.\d/

  describe "check" do
    it "is green within the limits, red above them, and writes them anew" do
      out, err, code = check(*program(200_000))
      expect([out, code]).to eq ["", 1]
      expect(err).to include ".heap_inspector.yml is missing; write it with heap_inspector check --update -- "

      out, _, code = check("--update", *program(200_000))
      expect([out, code]).to match [/\A\.heap_inspector\.yml: \d+\.\d KiB in \d gems?\n\z/, 0]
      expect(YAML.load_file(limits)).to match("tolerance" => 10, "retained" => a_hash_including("app" => be_between(200_000, 220_000)))

      out, _, code = check(*program(200_000))
      expect([out, code]).to match [/ app$.*All within their limits\./m, 0]

      out, _, code = check(*program(400_000))
      expect(code).to eq 1
      expect(out).to match(/^#{kept} KiB +\d+\.\d KiB +\+\d+ % +above +app$/)
      expect(out).to match(/2 above the limit\. If that is intended: heap_inspector check --update -- .*app\.rb$/)
      expect(check("--update", *program(400_000)).last).to eq 0
      expect(check(*program(400_000)).last).to eq 0
    end

    it "writes GitHub's summary, and annotations beside the app's line" do
      check("--update", *program(200_000))
      summary = File.join(folder, "summary.md")
      out, = check(*program(400_000), GITHUB_ACTIONS: "true", GITHUB_STEP_SUMMARY: summary)
      expect(out).to match(/^::error file=app\.rb,line=2,title=Memory above the limit::app keeps #{kept} KiB, its limit is \d+\.\d KiB$/)
      expect(File.read(summary)).to start_with("### Memory by gem\n\n| Memory |")
      expect(File.read(summary)).to match(/^\| #{kept} KiB \| \d+\.\d KiB \| \+\d+ % \| above \| app \|$/)
    end

    it "says what is wrong with a command and with a file" do
      program(100)
      expect(check.drop(1)).to match [/expected a command behind --/, 2]
      File.write(limits, "retained: {app: much}")
      expect(check(*program(100)).drop(1)).to match [/holds no limits/, 1]
      File.write(limits, "retained: [")
      expect(check(*program(100)).drop(1)).to match [/is not valid YAML/, 1]
      File.write(limits, "retained: {app: 1}")
      expect(check("--", RbConfig.ruby, "-e", "exit 3").drop(1)).to match [/the command failed \(exit 3\)/, 1]
      expect(check("--", "no-such-command").drop(1)).to match [/the command cannot be run/, 1]
      expect(check("--", "true").drop(1)).to match [/ran no Ruby/, 1]
    end
  end

  # docs/ci.md: what its workflows run, in an app that boots.
  describe "the workflows of the guide" do
    runs = File.read(File.join(Living::LIB, "../docs/ci.md")).scan(/^ +- (?:run: )?(bundle exec heap_inspector .*)$/).flatten

    runs.each_with_index do |line, at|
      it "pass and fail: #{at + 1}" do
        FileUtils.mkdir_p(File.join(folder, "config"))
        boot = File.join(folder, "config/environment.rb")
        words = line.delete_prefix("bundle exec heap_inspector ").shellsplit
        File.write(boot, "KEPT = 'x' * 200_000\n")
        expect(command(words[0], "--update", *words.drop(1), chdir: folder).last).to eq 0
        expect(command(*words, chdir: folder).last).to eq 0
        File.write(boot, "KEPT = 'x' * 900_000\n")
        expect(command(*words, chdir: folder).last).to eq 1
      end
    end

    it "are two" do
      expect(runs.size).to eq 2
    end
  end

  describe "require" do
    it "says what files take, by who requires them and by gem" do
      { "outer.rb" => "require_relative 'inner'\nOUTER = 'x' * 300_000\n", "inner.rb" => "INNER = 'x' * 200_000\nrequire 'set'\n" }
        .each { |name, text| File.write(File.join(folder, name), text) }
      out, _, code = command("require", "-r", "outer.rb", "--format", "json", chdir: folder)
      expect(code).to eq 0
      found = JSON.parse(out)
      outer = found["requires"].first
      inner = outer["requires"].find { |one| one["file"].end_with?("inner") }
      expect([outer["own_memsize"], inner["own_memsize"]]).to match [be_between(300_000, 330_000), be_between(200_000, 230_000)]
      expect(outer["memsize"]).to be >= outer["own_memsize"] + inner["memsize"]
      expect(found["gems"].find { |one| one["gem"] == "app" }["memsize"]).to be_between(500_000, 560_000)

      out, = command("require", "-r", "outer.rb", chdir: folder)
      expect(out.lines[3]).to match(%r{\A 5\d\d\.\d KiB   29\d\.\d KiB  /.*outer\.rb\n\z})
      expect(out.lines[4]).to match(%r{\A \d+\.\d KiB   19\d\.\d KiB    /.*inner\n\z})
    end

    it "finds the file of a gem, and says what cannot be required" do
      File.write(File.join(folder, "broken.rb"), "def")
      expect(command("require", "json", "--min", "1").first).to match(/ json\n.* (?:stdlib|json [\d.]+)\n/m)
      expect(command("require", "no-such-gem").drop(1)).to match [/cannot load such file -- no.such.gem \(LoadError\)/, 1]
      expect(command("require", "-r", "./broken.rb", chdir: folder).drop(1)).to match [/SyntaxError/, 1]
      expect(command("require").drop(1)).to match [/expected a gem, a feature or -r FILE/, 2]
    end
  end
end
