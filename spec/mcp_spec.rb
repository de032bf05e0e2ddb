# frozen_string_literal: true

require "fileutils"
require_relative "mcp/client"

RSpec.describe "heap_inspector mcp" do
  around do |example|
    Dir.mktmpdir { |folder| (@folder = folder) && example.run }
  end

  before { lacking McpClient.missing if McpClient.missing }

  let(:dumps) do
    (1..3).map do |number|
      FileUtils.cp("#{Helpers::ROOT}/crates/heap_inspector_cli/tests/dumps/shop-#{number}.json.zst", @folder)
      File.join(@folder, "shop-#{number}.json.zst")
    end
  end

  def ask(*calls, command: McpClient::COMMAND)
    McpClient.answers(calls, command:).fetch("answers").map { |answers| answers.map { |answer| McpClient.text(answer) } }
  end

  it "speaks with the protocol's own client: tools, resources, prompts" do
    said = McpClient.answers([["tools"], ["resources"], ["tool", "open_dumps", { dumps: }], ["resources"],
                              ["resource", "heap-inspector://d1/overview"], ["templates"], ["prompts"],
                              ["prompt", "find_the_leak", { dumps: "a b c" }], ["tool", "rm", {}]])
    expect(said.dig("hello", "serverInfo")).to include("name" => "heap_inspector", "version" => HeapInspector::VERSION)
    tools, none, _, one, report, templates, prompts, prompt, refused = said.fetch("answers").map(&:first)
    expect(tools["tools"].map { |tool| tool["name"] }).to eq(%w[open_dumps suspects path show group retained diff next_step])
    expect([none["resources"].size, one["resources"].map { |it| it["uri"] }]).to eq([0, ["heap-inspector://d1/overview"]])
    expect(report.dig("contents", 0, "text")).to include("# suspects `shop-1.json.zst", "shop.rb:27", "# retained", "# next")
    expect(templates["resourceTemplates"].size).to eq 1
    expect(prompts["prompts"].map { |it| it["name"] }).to eq(["find_the_leak"])
    expect(prompt.dig("messages", 0, "content", "text")).to include("a b c", "open_dumps", "suspects")
    expect(refused["failed"]).to include('there is no tool "rm"')
  end

  it "has the tools and arguments that docs/mcp.md lists" do
    tools = McpClient.answers([["tools"]]).fetch("answers").first.first.fetch("tools")
    page = File.read("#{Helpers::ROOT}/docs/mcp.md", encoding: "UTF-8")
    listed = page.scan(/^\| `(\w+)` \| .* \|(.*) \|$/).to_h.transform_values { |words| words.scan(/`(\w+)`/).flatten.sort }
    taken = tools.to_h { |tool| [tool["name"], tool.dig("inputSchema", "properties").keys.sort - %w[budget cursor]] }
    taken.except("open_dumps").each_value { |names| names.delete("dumps") }
    expect(listed).to eq(taken)
  end

  it "answers by the gem's own command as by the program" do
    gem = [RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/exe/heap_inspector", "mcp"]
    calls = [["tool", "open_dumps", { dumps: }], ["tool", "suspects", {}], ["tool", "path", { class: "Order" }]]
    plain = ->(said) { said.flatten.map { |text| text.gsub(/\b\h{12}\b/, "MARK") } }
    expect(plain[ask(*calls, command: gem)]).to eq(plain[ask(*calls)])
  end

  it "keeps to the budget, and its cursors bring all of the answer, each row once" do
    budget = 400
    small, whole = ask(["tool", "open_dumps", { dumps: }], ["tool", "group", { by: "class,location", lines: "all", budget:, follow: true }],
                       ["tool", "group", { by: "class,location", lines: "all", budget: 25_000, follow: true }]).drop(1)
    rows = ->(texts) { texts.flat_map { |text| text.lines.grep(/\A\| .*\d/) } }
    expect(small.size).to be > 10
    expect(small.map { |text| McpClient.tokens(text) }).to all(be <= budget)
    expect(rows[small]).to eq(rows[whole])
    expect(rows[whole].size).to be > 60
  end

  it "opens dumps once" do
    said = ask(*[dumps, dumps, dumps.take(1)].map { |paths| ["tool", "open_dumps", { dumps: paths }] })
    expect(said.map { |texts| texts.first.lines.first.chomp }).to eq(["dumps: d1", "dumps: d1", "dumps: d2"])
  end

  it "says what to do next, by what is missing" do
    _, of_three, _, of_one = ask(["tool", "open_dumps", { dumps: }], ["tool", "next_step", {}],
                                 ["tool", "open_dumps", { dumps: dumps.take(1) }], ["tool", "next_step", {}]).map(&:first)
    expect(of_three).to include("200 × Order", "show with address 0x", "shop.rb:27", "verify --leak leak-7f1def")
    expect(of_three).not_to include("three dumps of one process: fewer")
    expect(of_one).to include("Have three dumps of one process: fewer do not tell a leak", "heap_inspector watch PID")
  end
end
