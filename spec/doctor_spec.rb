# frozen_string_literal: true

require "json"
require "tmpdir"

RSpec.describe "heap_inspector doctor" do
  def doctor(*words, environment: {})
    code = "exit HeapInspector::CommandLine.run(ARGV)"
    out, err, status = ruby(code, "doctor", *words, environment: { "HEAP_INSPECTOR_DIR" => nil }.merge(environment))
    expect([err, status.exitstatus]).to eq(["", 0])
    out
  end

  def findings(...)
    JSON.parse(doctor("--format", "json", ...)).to_h { |found| [found["name"], found] }
  end

  it "says versions, what works here and which settings there are, not their values" do
    found = findings(environment: { "HEAP_INSPECTOR_DUMP_DIR" => "/srv/secret" })
    expect(found["heap_inspector"]["text"]).to eq(HeapInspector::VERSION)
    expect(found["Ruby"]["text"]).to include(RUBY_DESCRIPTION)
    expect(found["Gems"]["text"]).to match(/rspec-core \d/)
    expect(found["Settings"]["text"]).to include("HEAP_INSPECTOR_DUMP_DIR")
    expect(found["Extension"]["ok"]).to be(true)
    expect(found["Tracer"]["ok"]).to be(Helpers.tracer_missing.nil?)
    expect(found.to_s).not_to include("secret")
  end

  it "says what is wrong with the folder, with dumps and with their index files" do
    Dir.mktmpdir do |folder|
      File.chmod(0o755, folder)
      dump = File.join(folder, "a\e[31m.json")
      File.write(dump, "{}", perm: 0o644)
      File.write("#{dump}.hidx", "x")
      File.utime(0, 0, "#{dump}.hidx")
      found = findings(dump, folder, "#{folder}/none", environment: { "HEAP_INSPECTOR_DIR" => folder })
      expect(found["Folder"]).to include("ok" => false, "text" => "#{folder} is open to others (mode 755)")
      expect(found[dump]).to include("ok" => false, "text" => match(/others may read it \(mode 644\), .*is older than the dump/))
      expect(found[folder]["text"]).to eq("is not a file")
      expect(found["#{folder}/none"]["text"]).to eq("No such file or directory")
      File.chmod(0o600, dump)
      File.unlink("#{dump}.hidx")
      expect(findings(dump)[dump]).to include("ok" => true, "text" => match(/its owner's alone, no index file yet/))
      expect(doctor(dump)).to include('a\e[31m.json')
    end
  end

  it "says so where the extension does not load" do
    Dir.mktmpdir do |folder|
      FileUtils.mkdir(File.join(folder, "heap_inspector"))
      File.write(File.join(folder, "heap_inspector/heap_inspector_ext.rb"), "raise LoadError, 'libheap: cannot open'")
      out, = Open3.capture3(RbConfig.ruby, "-I#{folder}", "-I#{Helpers::ROOT}/lib", "-rheap_inspector", "-e",
                            "exit HeapInspector::CommandLine.run(%w[doctor])")
      expect(out).to include("! Extension", "does not load: libheap: cannot open")
    end
  end
end
