# frozen_string_literal: true

require "cgi"
require_relative "corpus"
require_relative "../mcp/client"

# From three dumps to the leak, by nothing but what an agent is told.
RSpec.describe "The tools of heap_inspector mcp" do
  programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks")).select(&:leaky?)

  before(:all) { Leaks::Program.run(programs.reject(&:fresh?)) unless McpClient.missing }

  # The suspects of a report, as its JSON would have them.
  def suspects(text)
    text.split(/^\d+\. \*\*/).drop(1).map do |item|
      { "class" => "Class", "holder" => "Holder", "location" => "Allocated at" }.transform_values do |title|
        CGI.unescapeHTML(item[%r{^   - #{title}: (?:`|<code>)(.*?)(?:`|</code>)}, 1].to_s)
      end
    end
  end

  it "tell the holder, the class and the line of each planted leak in at most 6 calls and 12,000 tokens" do
    lacking McpClient.missing if McpClient.missing
    asked = programs.reject(&:missing)
    calls = asked.flat_map { |program| [["tool", "open_dumps", { dumps: program.dumps }], ["tool", "suspects", { follow: true }]] }
    answers = McpClient.answers(calls).fetch("answers").each_slice(2)
    wrong = asked.zip(answers).filter_map do |program, said|
      texts = said.flatten.map { |answer| McpClient.text(answer) }
      found = suspects(texts.join.gsub(/^(?:Cut off|dumps:|Data of|end ).*\n/, ""))
      tokens = texts.sum { |text| McpClient.tokens(text) }
      errors = program.leaks.zip(found).map { |leak, suspect| suspect ? leak.errors(suspect) : [:missing] }
      "#{program.name}: #{texts.size} calls, #{tokens} tokens, #{errors}" if errors.any?(&:any?) || texts.size > 6 || tokens > 12_000
    end
    expect(asked.size).to be > 30
    expect(wrong).to eq([])
  end
end
