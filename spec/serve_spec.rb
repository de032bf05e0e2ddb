# frozen_string_literal: true

require_relative "browser"

RSpec.describe "The page of heap_inspector serve" do
  include_context "with a browser"

  before(:context) do
    @folder = Dir.mktmpdir
    @dumps = (1..3).map do |number|
      File.join(@folder, "shop-#{number}.json.zst").tap do |path|
        FileUtils.cp("#{Helpers::ROOT}/crates/heap_inspector_cli/tests/dumps/shop-#{number}.json.zst", path)
      end
    end
    command = [RbConfig.ruby, "-I#{Helpers::ROOT}/lib", "#{Helpers::ROOT}/exe/heap_inspector", "serve", *@dumps]
    @out, writer = IO.pipe
    @pid = Process.spawn(*command, out: writer, err: File.join(@folder, "err"))
    writer.close
    @link = @out.gets.to_s.chomp
  end

  after(:context) do
    if @pid
      Process.kill(:INT, @pid)
      Process.wait(@pid)
    end
    FileUtils.rm_rf(@folder) if @folder
  end

  def look(place = "")
    browser.width(1400)
    page.visit("about:blank")
    browser.logs
    page.visit("#{@link}#{place}")
    page.find("main > section", match: :first)
  end

  it "asks its own server alone, has no error, and nothing is wrong with it for those who do not see it" do
    look
    %w[light dark].each do |scheme|
      browser.scheme(scheme)
      expect(browser.violations).to eq([]), scheme
    end
    page.find_by_id("ask").click_button("Ask")
    expect(page).to have_css(".asked .facts, .asked .table")
    expect(browser.violations).to eq([])
    console, requests = browser.logs
    expect(console).to eq([])
    expect(requests).to all(start_with(@link))
    expect(requests.size).to be > 1
  end

  it "answers each question with its options, and says what is wrong with them" do
    look("#ask")
    ask = page.find_by_id("ask")
    names = ask.all("option", visible: :all).map(&:value) & HeapInspector.const_get(:Questions)::LIST.map { |question| question[:name] }
    expect(names).to include("suspects", "top", "diff", "retained", "dominators")
    ask.find("option", text: /\Atop:/).select_option
    ask.fill_in("by", with: "gem")
    ask.fill_in("lines", with: "2")
    ask.click_button("Ask")
    expect(ask).to have_css(".asked h3", text: "Objects by gem")
    expect(ask).to have_css(".asked .command", text: "heap_inspector top … --by gem --lines 2")
    ask.fill_in("by", with: "gm")
    ask.click_button("Ask")
    expect(ask).to have_css("[role=alert]", text: "did you mean gem")
    ask.find("option", text: /\Adominators:/).select_option
    ask.click_button("Ask")
    expect(ask).to have_css(".asked tbody tr", minimum: 5)
  end

  it "leads to every object, those that a page alone would not have, too" do
    heap = HeapInspector.analyze(@dumps.last, index: false)
    look
    known = browser.script("JSON.parse(document.getElementById('data').textContent).objects.map((one) => one.address)")
    other = heap.strings.where(reachable: true).to_a.reverse.find { |string| !known.include?(string.address) }
    look("#object/#{other.address}")
    panel = page.find_by_id("object")
    expect(panel).to have_css(".facts", text: other.address)
    expect(panel).to have_text("Why it is alive")
    expect(panel.all(".path li").size).to eq(other.path_to_root.size)
    look("#object/0x1")
    expect(page.find_by_id("object")).to have_text("This object is not on the page")
  end
end
