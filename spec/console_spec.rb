# frozen_string_literal: true

require "tmpdir"

RSpec.describe "The console and the Rake tasks" do
  def run(*words, **options)
    Open3.capture3({ "TERM" => "dumb", "HOME" => Dir.tmpdir }, RbConfig.ruby, "-I#{Helpers::ROOT}/lib", *words, **options)
  end

  it "answers in IRB" do
    input = "heap.object_count * 2\nheaps.size\nheap_help\nheap.strings.count\ndiff.one_process?\nheap\nlocal_variables - [:_]\n" \
            "heap(#{Helpers::DUMP.inspect}).name.size\n[heaps.size, diff]\n"
    out, err, status = run("#{Helpers::ROOT}/exe/heap_inspector", "console", Helpers::DUMP, Helpers::DUMPS.fetch("ruby-3.4-x86_64"),
                           stdin_data: input)
    expect(status).to be_success, err
    expect(err).to eq("") # "can't alias context" was IRB's word for a method of ours
    expect(out.gsub(/\s/, "")).to include("[:diff,:heaps,:heap]", "[1,nil]") # on one line or several, by the version of IRB
    expect(out.lines(chomp: true)).to include("55602", "2", "heap.retained      Show how much objects, and groups of them, keep in memory",
                                              "#<HeapInspector::Heap #{Helpers::DUMP.inspect}: 27,801 objects, 3,921,857 bytes>")
    strings = objects("ruby-3.1-x86_64").count { |object| object["type"] == "STRING" }
    expect(out.lines(chomp: true)).to include(strings.to_s, "false")
  ensure
    FileUtils.rm_f(["#{Helpers::DUMP}.hidx"])
  end

  it "has IRB complete what the dump answers, before what all objects do" do
    require "irb/completion"
    HeapInspector::Console.load([Helpers::DUMP, Helpers::DUMP])
    place = HeapInspector::Console::Session.new.workspace
    complete = lambda do |words|
      next IRB::RegexpCompletor.new.completion_candidates("", words, "", bind: place) if defined?(IRB::RegexpCompletor) # from IRB 1.9 on

      IRB::InputCompletor.retrieve_completion_data(words, bind: place)
    end
    expect(complete.call("heap.retai")).to contain_exactly("heap.retained", "heap.retained_by")
    expect(complete.call("diff.grow")).to eq(%w[diff.growth])
    all = complete.call("heap.")
    expect(all.index("heap.suspects")).to be < all.index("heap.instance_variable_get")
  ensure
    FileUtils.rm_f(["#{Helpers::DUMP}.hidx"])
  end

  it "has all that its help names, in a console of another kind, too" do
    words = HeapInspector::Console::HELP
    expect(words.lines(chomp: true).map(&:length).max).to be <= 80
    HeapInspector.const_get(:Questions)::LIST.each { |question| expect(words).to include(question[:about]) }
    code = <<~RUBY
      HeapInspector::Console.const_get(:Methods)
      extend HeapInspector::Console::Methods
      begin; heap; rescue ArgumentError => e; puts e.message; end
      begin; diff; rescue ArgumentError => e; puts e.message; end
      p heap(ARGV[0], ARGV[1]).object_count, heaps.size, diff.one_process?
      heap_help
    RUBY
    copies = Array.new(2) { |at| File.join(Dir.mktmpdir, "#{at}.json.zst").tap { |path| FileUtils.cp(Helpers::DUMP, path) } }
    out, err, = ruby(code, *copies)
    expect([out, err]).to eq([<<~TEXT + words, ""])
      no dump is loaded; heap("heap.json") loads one
      a diff needs several dumps; heap("a.json", "b.json", "c.json") loads them
      27801
      2
      true
    TEXT
    heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    words.scan(/\bheap\.(\w+)/).flatten.each { |name| expect(heap).to respond_to(name) }
    words.scan(/diff[^\n]*?: diff\.(\w+)|(?<=[ ,])\.(\w+)/).flatten.compact.each do |name|
      classes = [HeapInspector::Relation, HeapInspector::HeapObject, HeapInspector::Diff, HeapInspector::Grouping]
      expect(classes).to be_any { |each| each.method_defined?(name) }, name
    end
  ensure
    copies&.each { |path| FileUtils.remove_entry(File.dirname(path)) }
  end

  it "helps with each command of the living half" do
    { "dump" => "dump PID", "ps" => "ps", "watch" => "watch PID", "trace" => "trace PID", "trim" => "trim PID" }.each do |verb, usage|
      out, _, status = run("#{Helpers::ROOT}/exe/heap_inspector", "help", verb)
      expect([out.lines.first, status.exitstatus]).to match([/\AUsage: heap_inspector #{usage}/, 0])
      expect(out.lines(chomp: true).map(&:length).max).to be <= 80
    end
    out, _, status = run("#{Helpers::ROOT}/exe/heap_inspector", "help", "console")
    expect([out, status.exitstatus]).to match([/^Usage: heap_inspector console DUMP/, 0])
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
        ["heap:path[#{dump},#{address}]"] => ["path", dump, address], ["heap:path[#{dump},Hash]"] => ["path", dump, "--class", "Hash"]
      }.each do |words, command|
        out, err, status = rake(*words)
        expect(status).to be_success, err
        expected, = Open3.capture3(RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/exe/heap_inspector", *command,
                                   chdir: @folder)
        expect(out).to eq(expected).and match(/./)
      end
    end

    it "says in a line how a task is called" do
      { "read" => "heap.json,GENERATION", "summary" => "heap.json", "top" => "heap.json,KEY", "retained" => "heap.json,KEY",
        "path" => "heap.json,ADDRESS|CLASS", "diff" => "a.json,b.json,c.json", "verify" => "a.json,b.json,c.json,--,d.json,e.json,f.json",
        "show" => "heap.json,ADDRESS" }.each do |task, words|
        out, err, status = rake("heap:#{task}")
        expect([out, err, status.exitstatus]).to eq(["", "Usage: rake 'heap:#{task}[#{words}]'\n", 1])
      end
      expect(rake("heap:path[heap.json.zst]")[1]).to eq("Usage: rake 'heap:path[heap.json,ADDRESS|CLASS]'\n")
      expect(rake("heap:diff[heap.json.zst]")[1]).to eq("Usage: rake 'heap:diff[a.json,b.json,c.json]'\n")
    end

    it "has a task for each question, which answers as the command does" do
      dump = "heap.json.zst"
      address = objects("ruby-3.1-x86_64").find { |object| object["type"] == "CLASS" }["address"]
      dumps = Array.new(2) { |at| "shop-#{at + 1}.json.zst" }
      dumps.each { |name| FileUtils.cp("#{Helpers::ROOT}/crates/heap_inspector_cli/tests/dumps/#{name}", @folder) }
      reporting = HeapInspector.const_get(:Questions)::LIST.reject { |question| question[:formats].empty? } # the others write files
      expect(reporting.size).to be > 13
      reporting.each do |question|
        words = question[:dumps].end ? [dump, *(address if question[:word]&.fetch(:needed))] : dumps
        words = [*dumps, "--", *dumps] if question[:behind]
        out, err, status = rake("heap:#{question[:name]}[#{words.join(",")}]", LINES: "2", FORMAT: "json")
        command = [question[:name], *(%w[--lines 2] if question[:options].key?(:lines)), "--format", "json", *words]
        expected, _, told = Open3.capture3(RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/exe/heap_inspector", *command,
                                           chdir: @folder)
        expect(out).to eq(expected).and match(/"verb": "#{question[:name]}"/)
        # An answer may have a code of its own.
        expect([status.exitstatus, told.exitstatus]).to eq(question[:behind] ? [2, 2] : [0, 0]), err
      end
    end

    it "takes options of the environment, and lists its tasks" do
      out, = rake("heap:top[heap.json.zst]", BY: "type", WHERE: "type=STRING|ARRAY", LINES: "1", FORMAT: "csv")
      expect(out.lines.size).to eq(2)
      expect(out).to include("STRING")
      listed = rake("-T").first
      HeapInspector.const_get(:Questions)::LIST.each { |question| expect(listed).to match(/^rake heap:#{question[:name]}\b/) }
      dumps = Array.new(2) { |at| "#{Helpers::ROOT}/crates/heap_inspector_cli/tests/dumps/shop-#{at + 1}.json.zst" }
      { "1" => true, "no" => false }.each do |given, told|
        out, err, status = rake("heap:diff[#{dumps.join(",")}]", RETAINED: given, FORMAT: "csv")
        expect(status).to be_success, err
        expect(out.include?("retained_memsize")).to be(told)
      end
    end
  end
end
