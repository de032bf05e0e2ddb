# frozen_string_literal: true

require "heap_inspector"
require "json"
require "open3"
require "rbconfig"
require "stringio"
require "tmpdir"

Encoding.default_external = Encoding::UTF_8 # what programs print, whatever the locale

# The real dumps, and what the specs wait with.
module Helpers
  ROOT = File.expand_path("..", __dir__)
  DUMPS = Dir[File.join(ROOT, "crates/heap_inspector/tests/dumps/*.json.zst")].to_h { |path| [File.basename(path, ".json.zst"), path] }
  DUMP = DUMPS.fetch("ruby-3.1-x86_64")

  # Why this Ruby cannot be traced by the extension, if so.
  def self.tracer_missing
    require "heap_inspector/native"
    HeapInspector.module_eval("Native", __FILE__, __LINE__).tracer_missing
  end

  # Why this Ruby's heap cannot be walked by the extension, if so.
  def self.dumper_missing
    require "heap_inspector/native"
    HeapInspector.module_eval("Native", __FILE__, __LINE__).dumper_missing
  end

  # A line as Ruby writes it.
  def self.line(number, **fields)
    fields = { address: format("0x7f%010x", number * 40), type: "STRING", class: "0x7f0000000008", memsize: 40 }.merge(fields)
    "#{JSON.generate(fields)}\n"
  end

  # The text of a dump of so many strings.
  def self.text(count, **fields)
    (1..count).map { |number| line(number, **fields) }.join
  end

  # The lines of a dump as hashes, read by nothing of ours.
  def lines(dump)
    Helpers.lines_of(DUMPS.fetch(dump))
  end

  def self.lines_of(path)
    @lines ||= {}
    @lines[path] ||= IO.popen(["zstd", "-dcq", path], "r:UTF-8") { |io| io.each_line.map { |line| JSON.parse(line) } }
  end

  # The lines that are live objects.
  def objects(dump)
    lines(dump).select { |line| line["address"] && !%w[ROOT SHAPE NONE ZOMBIE].include?(line["type"]) }
  end

  # The addresses that an object refers to. Up to Ruby 3.1 an IMEMO's `class` is a word of its own, in these sorts a reference that the
  # dump lists nowhere else.
  def self.references_of(object)
    word = object["class"].to_s.to_i(16)
    strong = %w[cref ment env iseq svar memo constcache].include?(object["imemo_type"])
    hidden = strong && word > 0xfff && (word % (word > 0xffff_ffff ? 8 : 4)).zero? && word & 0xff != 0x0c
    [*object["references"], *(object["class"] if hidden)]
  end

  def references_of(object)
    Helpers.references_of(object)
  end

  def self.references(object)
    references_of(object).size
  end

  # Waits until the block gives something, at most so many seconds.
  def eventually(seconds = 20)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    until (result = yield)
      raise "nothing in #{seconds} s" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep(0.01)
    end
    result
  end

  # Leaves an example out for want of something that bin/setup installs; in CI that is a failure.
  def lacking(reason)
    ENV["CI"] == "true" ? raise("#{reason}; bin/setup installs it") : skip(reason)
  end

  # Leaves an example out where this Ruby cannot load the libraries: Debian's have their part in C for its default Ruby alone.
  def need(*libraries)
    Helpers.loads[libraries] or lacking("there is no #{libraries.first} for Ruby #{RUBY_VERSION} here")
  end

  def self.loads
    @loads ||= Hash.new do |all, libraries|
      code = "ARGV.each { |library| require library }"
      all[libraries] = system(RbConfig.ruby, "-e", code, *libraries, out: File::NULL, err: File::NULL)
    end
  end

  # What a reader of spec/readers, which bin/setup --test installs, makes of files.
  def read_by(reader, *files)
    folder = File.join(ROOT, "spec/readers")
    lacking("the readers of exported files are missing") unless File.exist?(File.join(folder, "node_modules/devtools.mjs"))
    out, err, status = Open3.capture3("node", File.join(folder, reader), *files)
    expect(status).to be_success, err
    JSON.parse(out)
  end

  # Runs Ruby code in a process of its own, with the gem.
  def ruby(code, *words, environment: {}, **options)
    Open3.capture3(environment, RbConfig.ruby, "-I#{ROOT}/lib", "-rheap_inspector", "-e", code, *words, **options)
  end
end

RSpec.configure do |config|
  config.include Helpers
  config.disable_monkey_patching!
  config.filter_run_excluding(slow: true) unless ENV["SLOW"]
  config.order = :random
  config.warnings = true
  Kernel.srand config.seed
end
