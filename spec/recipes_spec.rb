# frozen_string_literal: true

require "tmpdir"

# docs/ruby.md, run.
RSpec.describe "The recipes" do
  before(:all) do
    @folder = Dir.mktmpdir
    dump = File.join(@folder, "heap.json")
    named = File.join(@folder, "named.json.zst")
    system(RbConfig.ruby, "-I#{Helpers::ROOT}/lib", File.join(Helpers::ROOT, "examples/recipes.rb"), dump, named, exception: true)
    @heap = HeapInspector.analyze(dump)
    @named = HeapInspector.analyze(named)
    @dumps = Dir[File.join(Helpers::ROOT, "crates/heap_inspector_cli/tests/dumps/shop-*.zst")].map do |shop|
      FileUtils.cp(shop, @folder)
      File.join(@folder, File.basename(shop))
    end
  end

  after(:all) { FileUtils.remove_entry(@folder) }

  page = File.read(File.join(Helpers::ROOT, "docs/ruby.md"))
  recipes = page.split(/^## /).drop(1).flat_map do |section|
    section.scan(/^```ruby\n(.*?)^```/m).flatten.each_with_index.map { |code, at| ["#{section.lines.first.chomp} (#{at + 1})", code] }
  end
  recipes.each do |title, code|
    it "give what they say: #{title}" do
      context = binding
      context.local_variable_set(:heap, @heap)
      context.local_variable_set(:named, @named)
      context.local_variable_set(:dumps, @dumps)
      answers = code.each_line.filter_map do |line|
        code, expected = line.chomp.split(/\s+# => /, 2)
        answer = context.eval(code)
        [line, answer, context.eval(expected)] if expected
      end
      expect(answers).not_to be_empty
      answers.each { |line, answer, expected| expect(answer).to eq(expected), "#{line}gave #{answer.inspect}" }
    end
  end
end
