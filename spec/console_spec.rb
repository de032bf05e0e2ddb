# frozen_string_literal: true

require "tmpdir"

RSpec.describe "The console and the Rake tasks" do
  def run(*words, **options)
    Open3.capture3({ "TERM" => "dumb", "HOME" => Dir.tmpdir }, RbConfig.ruby, "-I#{Helpers::ROOT}/lib", *words, **options)
  end

  it "answers in IRB" do
    input = "heap.object_count * 2\nheaps.size\nheap_help\nheap.strings.count\ndiff.one_process?\nheap\n"
    out, err, status = run("#{Helpers::ROOT}/exe/heap_inspector", "console", Helpers::DUMP, Helpers::DUMPS.fetch("ruby-3.4-x86_64"),
                           stdin_data: input)
    expect(status).to be_success, err
    expect(out.lines(chomp: true)).to include("55602", "2", "heap.retained         what keeps memory alive",
                                              "#<HeapInspector::Heap #{Helpers::DUMP.inspect}: 27,801 objects, 3,921,857 bytes>")
    strings = objects("ruby-3.1-x86_64").count { |object| object["type"] == "STRING" }
    expect(out.lines(chomp: true)).to include(strings.to_s, "false")
  ensure
    FileUtils.rm_f(["#{Helpers::DUMP}.hidx"])
  end

  it "says what is wrong" do
    _, err, status = run("#{Helpers::ROOT}/exe/heap_inspector", "console")
    expect([status.exitstatus, err]).to match([2, /Usage: heap_inspector console/])
    _, err, status = run("#{Helpers::ROOT}/exe/heap_inspector", "console", "/nothing.json")
    expect([status.exitstatus, err]).to match([1, /heap_inspector: .*nothing.json/])
  end

  describe "rake" do
    around do |example|
      Dir.mktmpdir do |folder|
        @folder = folder
        FileUtils.cp(Helpers::DUMP, "#{folder}/heap.json.zst")
        File.write("#{folder}/Rakefile", 'require "heap_inspector/tasks"')
        example.run
      end
    end

    def rake(*words, **environment)
      code = 'load Gem.bin_path("rake", "rake")'
      Open3.capture3(environment.transform_keys(&:to_s), RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "-e", code, "--", *words, chdir: @folder)
    end

    it "answers as the commands do" do
      dump = "heap.json.zst"
      address = objects("ruby-3.1-x86_64").find { |object| object["type"] == "CLASS" }["address"]
      {
        ["heap:read[#{dump}]"] => ["read", dump], ["heap:summary[#{dump}]"] => ["summary", dump],
        ["heap:top[#{dump},type]"] => ["top", dump, "--by", "type"], ["heap:retained[#{dump}]"] => ["retained", dump],
        ["heap:path[#{dump},#{address}]"] => ["path", dump, address]
      }.each do |words, command|
        out, err, status = rake(*words)
        expect(status).to be_success, err
        expected, = Open3.capture3(RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/exe/heap_inspector", *command,
                                   chdir: @folder)
        expect(out).to eq(expected).and match(/./)
      end
    end

    it "takes options of the environment, and lists its tasks" do
      out, = rake("heap:top[heap.json.zst]", BY: "type", WHERE: "type=STRING|ARRAY", LINES: "1", FORMAT: "csv")
      expect(out.lines.size).to eq(2)
      expect(out).to include("STRING")
      expect(rake("-T").first).to match(/heap:path.*heap:read.*heap:retained.*heap:summary.*heap:top/m)
    end
  end
end
