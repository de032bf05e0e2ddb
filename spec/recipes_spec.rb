# frozen_string_literal: true

require "tmpdir"

# docs/ruby.md, run.
RSpec.describe "The recipes" do
  before(:all) do
    @folder = Dir.mktmpdir
    dump = File.join(@folder, "heap.json")
    system(RbConfig.ruby, File.join(Helpers::ROOT, "examples/recipes.rb"), dump, exception: true)
    @heap = HeapInspector.analyze(dump)
  end

  after(:all) { FileUtils.remove_entry(@folder) }

  page = File.read(File.join(Helpers::ROOT, "docs/ruby.md"))
  page.scan(/^## (.*?)$.*?^```ruby\n(.*?)^```/m).each do |title, code|
    it "give what they say: #{title}" do
      context = binding
      context.local_variable_set(:heap, @heap)
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
