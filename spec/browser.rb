# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"

# A real browser that looks at pages: Debian's Chromium, without a screen. Knows what a page asked the network for, what it wrote to the
# console, and what axe finds wrong with it for those who do not see it or use no mouse.
class Browser
  AXE = File.expand_path("readers/node_modules/axe-core/axe.min.js", __dir__)
  ARGUMENTS = %w[--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --window-size=1400,1000].freeze

  # Why there is none, if so.
  def self.missing
    return "there is no chromium here" if Dir["/usr/bin/chromium", "/usr/bin/google-chrome"].empty?

    "there is no axe-core in spec/readers" unless File.exist?(AXE)
  end

  attr_reader :session, :downloads

  def initialize
    require "capybara"
    require "selenium-webdriver"
    @downloads = Dir.mktmpdir
    Capybara.register_driver(:heap_inspector) do |app|
      options = Selenium::WebDriver::Chrome::Options.new(args: ARGUMENTS, logging_prefs: { browser: "ALL", performance: "ALL" })
      Capybara::Selenium::Driver.new(app, browser: :chrome, options: options)
    end
    Capybara.default_max_wait_time = 20 # on a busy machine a click may come long before the page is ready for it
    @session = Capybara::Session.new(:heap_inspector)
    chrome.manage.timeouts.script_timeout = 120
    chrome.execute_cdp("Browser.setDownloadBehavior", behavior: "allow", downloadPath: @downloads)
  end

  def quit
    session.quit
    FileUtils.rm_rf(downloads)
  end

  def chrome
    session.driver.browser
  end

  # Opens a file as for the first time: the same file at another place of it is the same document to a browser.
  def open(path, place = "")
    session.visit("about:blank")
    logs
    session.visit("file://#{path}#{place}")
    session.find("main > section", match: :first)
  end

  def script(code, *words)
    session.evaluate_script(code, *words)
  end

  def scheme(name)
    chrome.execute_cdp("Emulation.setEmulatedMedia", features: [{ name: "prefers-color-scheme", value: name }])
  end

  def width(pixels, height = 1000)
    chrome.execute_cdp("Emulation.setDeviceMetricsOverride", width: pixels, height: height, deviceScaleFactor: 1, mobile: false)
  end

  def keys(*names)
    chrome.switch_to.active_element.send_keys(*names)
  end

  # What was written to the console, and what was asked for, since the last time.
  def logs
    console = chrome.logs.get(:browser).map(&:message)
    requests = chrome.logs.get(:performance).filter_map do |entry|
      message = JSON.parse(entry.message).fetch("message")
      message.dig("params", "request", "url") if message["method"] == "Network.requestWillBeSent"
    end
    [console, requests.grep_v(/\Aabout:blank/)]
  end

  # What axe finds, in words.
  def violations
    session.execute_script(File.read(AXE))
    found = chrome.execute_async_script(<<~JAVASCRIPT)
      const done = arguments[arguments.length - 1];
      const words = (node) => `${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`;
      axe.run(document, { resultTypes: ["violations"] }).then(
        (result) => done(result.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map(words).join("; ")}`)),
        (error) => done([String(error)]));
    JAVASCRIPT
    raise "axe was not asked" unless found.is_a?(Array)

    found
  end

  # The text of the file that a click gives.
  def downloaded
    before = Dir.children(downloads)
    yield
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    until (name = (Dir.children(downloads) - before).find { |file| !file.end_with?(".crdownload") && !file.start_with?(".") })
      raise "nothing was saved" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep 0.05
    end
    File.read(File.join(downloads, name), encoding: "UTF-8")
  end
end

# One browser for all examples.
RSpec.shared_context "with a browser" do
  before(:context) do
    need("capybara", "selenium-webdriver")
    Browser.missing&.then { |reason| lacking(reason) }
    @browser = Browser.new
  end

  after(:context) { @browser&.quit }

  attr_reader :browser

  def page
    browser.session
  end
end
