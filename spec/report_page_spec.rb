# frozen_string_literal: true

require_relative "browser"
require_relative "report_pages"

RSpec.describe "The page of a report" do
  include_context "with a browser"

  before(:context) { @pages = ReportPages.new }

  after(:context) { @pages&.remove }

  def leak
    @pages.leak
  end

  def look_at(name, place = "")
    need(*RailsShop::LIBRARIES) if name == :rails
    browser.width(1400)
    browser.scheme("light")
    browser.open(@pages.file(name), place)
  end

  # The texts of a column of a table, as they are shown.
  def column(table, at)
    browser.script("[...arguments[0].querySelectorAll('tbody tr')].map((row) => row.cells[arguments[1]]?.textContent ?? '')", table, at)
  end

  # What a table shows after each of two clicks on each of its heads.
  def clicks(table)
    browser.script(<<~JAVASCRIPT, table)
      ((table) => [...table.querySelectorAll("th")].flatMap((head, at) => [1, 2].map(() => {
        head.querySelector("button").click();
        return {
          head: head.textContent, order: head.getAttribute("aria-sort"), text: head.className !== "number",
          others: [...table.querySelectorAll("th")].filter((one) => one !== head && one.getAttribute("aria-sort") !== "none").length,
          cells: [...table.querySelectorAll("tbody tr")].map((row) => row.cells[at]?.textContent ?? ""),
        };
      })))(arguments[0])
    JAVASCRIPT
  end

  # The rows that a table shows, in small letters, when each of these was searched for; none where it is too small to be searched.
  def searches(table, words)
    browser.script(<<~JAVASCRIPT, table, words)
      ((table, words) => {
        const field = table.querySelector("input[type=search]");
        const search = (word) => { field.value = word; field.dispatchEvent(new Event("input")); };
        const rows = () => [...table.querySelectorAll("tbody tr")].map((row) => row.textContent.toLowerCase());
        const found = field && words.map((word) => { search(word); return rows(); });
        if (field) search("");
        return found;
      })(arguments[0], arguments[1])
    JAVASCRIPT
  end

  # The number that a text shows; none for a dash.
  def number(text)
    return if text == "–"

    return %w[no yes].index(text) if %w[no yes].include?(text)
    return 0.05 if text.start_with?("<") # 0.1 %

    digits, unit = text.delete("~?,+%").tr("−", "-").split
    digits.to_f * (1024**(%w[B KiB MiB GiB].index(unit) || 0)) # others are a word: 0.5 per request
  end

  def sorts_and_searches(name)
    look_at(name)
    browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.script("document.querySelectorAll('[role=tabpanel]').forEach((one) => { one.hidden = false; })")
    tables = page.all(".table", visible: :all).to_a
    expect(tables.size).to be > 15
    sorted = searched = 0
    tables.each do |table|
      by_click = clicks(table)
      by_click.each do |click|
        expect(%w[ascending descending]).to include(click["order"])
        expect(click["others"]).to eq(0)
        cells = click["cells"]
        next if click["text"] || cells.any? { |cell| cell.match?(/[A-Z]i?B.*[A-Z]i?B/m) } # several numbers in a cell

        numbers = cells.map { |cell| number(cell) }
        known = numbers.compact
        expect(numbers.last(numbers.size - known.size)).to all(be_nil)
        expect(known).to eq(click["order"] == "ascending" ? known.sort : known.sort.reverse), "#{table[:id]} #{click["head"]}"
        sorted += 1
      end
      word = column(table, 0).first
      found, none = searches(table, [word.upcase, "no row has this"])
      next if found.nil?

      expect(found).not_to be_empty
      expect(found).to all(include(word.downcase))
      expect(none).to eq(["nothing matches."])
      searched += 1
    end
    expect([sorted, searched]).to all(be > 8)
  end

  ReportPages::NAMES.each do |name|
    it "asks nobody for anything and has no error, nor anything wrong for those who do not see it: #{name}" do
      look_at(name)
      %w[light dark].each do |scheme|
        browser.scheme(scheme)
        browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        expect(browser.violations).to eq([]), scheme
      end
      ids = browser.script("[...document.querySelectorAll('[id]')].map((one) => one.id)")
      expect(ids.tally.select { |_, count| count > 1 }).to eq({})
      console, requests = browser.logs
      expect(console).to eq([])
      expect(requests).to eq(["file://#{@pages.file(name)}"])
    end

    it "fits screens from 320 pixels to 4K: #{name}" do
      look_at(name)
      [320, 390, 768, 1280, 1920, 3840].each do |width|
        browser.width(width)
        expect(browser.script("document.documentElement.scrollWidth")).to be <= width
        wide = browser.script(<<~JAVASCRIPT)
          [...document.querySelectorAll("main h1, main h2, main h3, main p, main dd, main .path, main .drawing")]
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.textContent.slice(0, 80))
        JAVASCRIPT
        expect(wide).to eq([]), "#{width}: #{wide}"
      end
    ensure
      browser.width(1400)
    end
  end

  it "is small, of its owner alone, and says what it leaves out" do
    expect(File.size(@pages.file(:objects_of_every_kind))).to be < 5_000_000
    expect(File.size(@pages.file(:hostile))).to be < 5_000_000
    look_at(:objects_of_every_kind)
    expect(page).to have_text(/[\d,]+ of 39,603 objects can be walked through here/)
    expect(page).to have_css("tfoot", text: /more rows, not on this page/)
  end

  it "says what leaks first, who holds it, the way there and the line" do
    look_at(:leak)
    answer = page.find_by_id("answer")
    expect(answer.find("h1")).to have_text("600 × Quote held by PriceService")
    expect(answer).to have_text(/Allocated at.*class_ivar_memo\.rb:14/m)
    steps = answer.all(".path li").map(&:text)
    expect(steps.first).to include("root vm", "class Object")
    expect(steps).to include(a_string_including("class PriceService"), a_string_including("Hash, 900 entries", "accumulates here"))
    expect(page.find("#contents li:first-child")).to have_text("Answer")
  end

  it "says that nothing looks like a leak where nothing does, and what to do" do
    look_at(:empty)
    expect(page.find("h1")).to have_text("Nothing in this dump looks like a leak")
    expect(page.find_by_id("answer")).to have_text("Take three dumps of the process while it works")
    look_at(:other_processes)
    expect(page.find("h1")).to have_text("No leak can be told from this")
    expect(page.find_by_id("doubts")).to have_text("Warning")
  end

  it "says what was lost of a broken dump" do
    look_at(:broken)
    expect(page.find_by_id("basis")).to have_text(/Lost\n\d+ lines? lost, .* the dump ends early/)
    expect(page.find_by_id("doubts")).to have_text("Warning")
  end

  %i[leak rails].each { |name| it("sorts and searches every table: #{name}") { sorts_and_searches(name) } }

  it "saves a table as CSV that no spreadsheet runs" do
    look_at(:hostile)
    csv = browser.downloaded { page.find("#group-class").click_button("CSV") }
    expect(csv.lines.first).to eq("count,memsize,retained_memsize,retained_share,class\n")
    expect(csv).to include("javascript:window.fired=1").and include("user\\u{202e}gpj.exe\\u{2066}")
    expect(csv).not_to match(/[\u202e\u0000\e]/)
  end

  it "zooms into the icicle by mouse and keys, searches and filters it, and draws it as a treemap" do
    look_at(:leak)
    tree = page.find_by_id("tree")
    boxes = -> { tree.all(".box").size }
    all = boxes.call
    tree.find(".box", text: /\A\d+ × Class/, match: :first).click
    expect(tree.all(".crumbs li").map(&:text)).to match(["Roots", /Class/])
    expect(page.current_url).to match(%r{#tree/class/\d+\z})
    expect(browser.script("document.activeElement.node.label")).to eq("Class")
    browser.keys(:arrow_down)
    below = browser.script("document.activeElement.node.above.label")
    expect(below).to eq("Class")
    browser.keys(:enter)
    expect(tree.all(".crumbs li").size).to eq(3)
    place = page.current_url[/#.*/]
    browser.keys(:escape)
    browser.keys(:escape)
    expect(tree.all(".crumbs li").size).to eq(1)
    expect(boxes.call).to eq(all)
    tree.fill_in("Search the tree", with: "quote")
    expect(tree).to have_text(/\d+ rows? of this tree match/)
    expect(tree.all(".hit").map { |box| box["aria-label"] }).to all(match(/quote/i))
    tree.check("only what matches")
    expect(boxes.call).to be < all
    tree.uncheck("only what matches")
    tree.fill_in("Search the tree", with: "")
    tree.find("label", text: "Treemap").click
    expect(tree).to have_css(".tile")
    tree.find("label", text: "Object by object").click
    expect(tree).to have_css(".box[aria-label*='PriceService']")
    look_at(:leak, place)
    expect(page.find_by_id("tree").all(".crumbs li").size).to eq(3)
  end

  it "leads by links from object to object, there and back" do
    look_at(:leak)
    heap = HeapInspector.analyze(leak.dumps.last, index: false)
    page.find("#answer .path .accumulates a").click
    panel = page.find_by_id("object")
    expect(panel).to have_css("h3", text: "Hash, 900 entries")
    address = page.current_url[/0x\h+/]
    object = heap.find(address)
    expect(panel).to have_text(object.retained_memsize > 1024 ? "#{(object.retained_memsize / 1024.0).round(1)} KiB in" : "in")
    expect(panel.all("#object-from tbody tr").size).to eq([object.referrers.count, 10].min)
    link = panel.first("#object-from a")
    to = link.text
    link.click
    expect(page.find_by_id("object")).to have_text(to)
    expect(object.referrers.map(&:address)).to include(to)
    page.go_back
    expect(page.find_by_id("object")).to have_css("h3", text: "Hash, 900 entries")
    look_at(:leak, "#object/#{address}")
    expect(page.find_by_id("object")).to have_css("h3", text: "Hash, 900 entries")
    expect(browser.script("document.activeElement.textContent")).to eq("Hash, 900 entries")
    page.fill_in("Go to an address", with: "7fffffffffff")
    page.click_button("Go")
    expect(page.find_by_id("object")).to have_text("This object is not on the page")
  end

  it "names the list that keeps the controllers of a Rails app, and leads to each object on the way and in the tables" do
    look_at(:rails)
    answer = page.find_by_id("answer")
    expect(answer.find("h1")).to have_text(/\A80 × ShopController held by Audit::SEEN/)
    browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    links = browser.script(<<~JAVASCRIPT).uniq
      [...document.querySelectorAll("#answer .path a, main .table tbody a.object")].map((one) => one.getAttribute("href"))
    JAVASCRIPT
    expect(links.size).to be > 20
    links.each_slice([links.size / 25, 1].max).map(&:first).each do |link|
      browser.script("location.hash = arguments[0]", link)
      expect(page.find_by_id("object")).to have_text(link[/0x\h+/])
      expect(page.find_by_id("object")).to have_no_text("This object is not on the page")
    end
    expect(browser.logs.first).to eq([])
  end

  it "draws each heap page" do
    look_at(:leak)
    browser.script("document.querySelectorAll('#waste details').forEach((one) => { one.open = true; })")
    maps = page.all("#waste .page-map")
    heap = HeapInspector.analyze(leak.dumps.last, index: false)
    expect(maps.sum { |map| map.all("rect").size }).to eq(heap.fragmentation.pages.count)
    expect(maps.first).to have_css("figcaption", text: /pages of slots of 40 B, \d+ % full/)
  end

  it "filters the tables by the generations that are chosen" do
    look_at(:leak)
    table = page.find_by_id("group-class")
    before = table.find(".status").text
    from = page.find("#histogram input", match: :first)
    browser.script("arguments[0].value = arguments[0].max, arguments[0].dispatchEvent(new Event('input'))", from)
    expect(table.find(".status").text).not_to eq(before)
    expect(page.find_by_id("by-class")).to have_text("Objects and own bytes are of the chosen generations")
    chosen = page.find("#histogram .status").text
    heap = HeapInspector.analyze(leak.dumps.last, index: false)
    last = heap.generations.to_a.last
    expect(chosen).to include("generation #{last.number}: #{last.count} objects")
    held = heap.objects.where(generation: last.number, reachable: true).count
    expect(column(table, 1).sum { |cell| number(cell) }).to eq(held)
    page.click_button("All generations")
    expect(table.find(".status").text).to eq(before)
  end

  it "keeps notes in its link, and saves them as a file that suspects reads" do
    look_at(:leak)
    page.find("#suspect-1 > .note-box summary").click
    page.fill_in("Note", with: "known since May\n<b>really</b>")
    page.check("This is meant to be", exact: false)
    page.fill_in("Your notes on this page", with: "all of it")
    link = page.current_url[/#.*/]
    page.find("#answer .path .accumulates a").click
    expect(page.current_url).to include("#object/", "?notes=")
    look_at(:leak, link)
    expect(page.find_field("Note").value).to eq("known since May\n<b>really</b>")
    text = browser.downloaded { page.click_button("Save the notes as a file") }
    expect(text).to include("PriceService # Quote held by PriceService: known since May <b>really</b>", "# all of it")
    heaps = leak.dumps.map { |path| HeapInspector.analyze(path, index: false) }
    expect(HeapInspector.diff(heaps).suspects(except: @pages.write("ignore", text))).to be_empty
    expect(HeapInspector.diff(heaps).suspects).not_to be_empty
    look_at(:leak, "#answer?notes=bm90IGpzb24")
    expect(browser.logs.first).to eq([])
  end

  it "runs nothing of a dump, whatever is written there" do
    look_at(:hostile)
    expect(browser.script("typeof window.fired")).to eq("undefined")
    browser.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    expect(browser.script("document.querySelectorAll('main img, main script, main iframe, main object').length")).to eq(0)
    links = browser.script("[...document.querySelectorAll('a[href]')].map((one) => one.getAttribute('href'))")
    expect(links).not_to be_empty
    expect(links).to all(start_with("#"))
    expect(page).to have_text("</script><img src=x onerror=\"window.fired=1\">")
    expect(page).to have_text("user\\u{202e}gpj.exe\\u{2066}")
    expect(browser.script("document.body.textContent.length")).to be < 3_000_000
    expect(browser.script("/[\\u202e\\u2066\\u2028\\u0000\\u001b]/.test(document.querySelector('main').textContent)")).to be(false)
    page.all("a.object").first(5).each { |link| browser.script("arguments[0].click()", link) }
    expect(browser.script("typeof window.fired")).to eq("undefined")
    # A script that came in all the same would not run.
    page.execute_script("const one = document.createElement('script'); one.textContent = 'window.fired = 1'; document.body.append(one);")
    expect(browser.script("typeof window.fired")).to eq("undefined")
  end

  it "leaves out the values of strings where it is asked to" do
    html = HeapInspector.analyze(Helpers::DUMP, index: false).to_html(confidential: true)
    path = @pages.write("confidential.html", html)
    browser.open(path)
    expect(page.find_by_id("bottom")).to have_text("Values of strings are left out.")
    strings = objects("ruby-3.1-x86_64").select { |one| one["type"] == "STRING" }
    secret = strings.filter_map { |one| one["value"] }.grep(/\A[a-z]+ [a-z]+ [a-z ]{20,}\z/)
    shown = HeapInspector.analyze(Helpers::DUMP, index: false).to_html
    known = secret.uniq.select { |value| shown.include?(value[0, 40]) }
    expect(known).not_to be_empty
    expect(known.select { |value| html.include?(value[0, 40]) }).to eq([])
  end

  it "prints without what is for the screen" do
    look_at(:leak)
    browser.chrome.execute_cdp("Emulation.setEmulatedMedia", media: "print")
    expect(page).to have_no_css("#contents, .tools, .sliders")
    expect(page).to have_css("h1", text: "600 × Quote")
  ensure
    browser.chrome.execute_cdp("Emulation.setEmulatedMedia", media: "")
  end
end
