# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"
require_relative "leaks/corpus"
require_relative "live/rails_shop"

# Dumps of all sorts, and the pages of them, in a folder of their own.
class ReportPages
  # What the pages are of.
  NAMES = %i[leak one objects_of_every_kind other_processes empty broken hostile rails].freeze

  # Names and values that would be markup, script or a link, that hide and reorder, and that are as long as they like.
  HOSTILE = [
    "</script><img src=x onerror=\"window.fired=1\"><script>window.fired=1</script>", "javascript:window.fired=1",
    "<svg/onload=window.fired=1>", "user\u202Egpj.exe\u2066", "a\u0000b\u001b[31mred\u2028line", "{{data}}{{script}}", "]]>--><!--",
    "__proto__", "L" * 10_000_000
  ].freeze

  attr_reader :leak

  def initialize
    @folder = Dir.mktmpdir
    @leak = Leaks::Program.new("class_ivar_memo", @folder).tap(&:run)
    @files = {}
  end

  def remove
    FileUtils.rm_rf(@folder)
  end

  def write(name, text)
    File.join(@folder, name).tap { |path| File.write(path, text) }
  end

  # The file of a page, made once.
  def file(name)
    @files[name] ||= begin
      heaps = dumps(name).map { |path| HeapInspector.analyze(path, index: false) }
      write("#{name}.html", heaps.one? ? heaps.first.to_html : HeapInspector.diff(heaps).to_html)
    end
  end

  private

  def dumps(name)
    case name
    when :leak then leak.dumps
    when :one then leak.dumps.last(1)
    when :objects_of_every_kind then [Helpers::DUMPS.fetch("ruby-3.4-native-zoo")]
    when :other_processes then Helpers::DUMPS.values_at("ruby-2.7-x86_64", "ruby-3.3-x86_64")
    when :empty then [write("empty.json", "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[]}\n")]
    when :broken then [write("broken.json", "#{File.read(leak.dumps.last)[0, 300_000]}\n{\"address\":\"0x7f\nnothing\n{\"type\":\"STR")]
    when :hostile then [write("hostile.json", hostile)]
    when :rails then rails
    end
  end

  # Three dumps of a real app, as it keeps its controllers.
  def rails
    shop = RailsShop.new
    dumps = Array.new(3) { |number| shop.take("rails-#{number}", "/kept", 40) }
    shop.stop
    dumps.map { |dump| File.join(@folder, File.basename(dump)).tap { |path| FileUtils.mv(dump, path) } }
  ensure
    shop&.clean
  end

  # A dump whose every text is hostile.
  def hostile
    address = ->(number) { format("0x7f%010x", number * 40) }
    classes = HOSTILE.each_with_index.map do |name, at|
      { address: address[at + 1], type: "CLASS", class: address[1], name: name, references: [address[at + 101], address[at + 201]],
        memsize: 400 }
    end
    objects = HOSTILE.each_with_index.map do |name, at|
      { address: address[at + 101], type: "OBJECT", class: address[at + 1], ivars: 1, references: [address[at + 301]], memsize: 4000,
        file: name, line: 7, method: name, generation: at + 3 }
    end
    data = HOSTILE.each_with_index.map do |name, at|
      { address: address[at + 201], type: "DATA", class: address[1], struct: name, references: [], memsize: 800 }
    end
    strings = HOSTILE.each_with_index.flat_map do |name, at|
      [301, 401].map do |base|
        { address: address[at + base], type: "STRING", class: address[1], bytesize: name.bytesize, value: name, encoding: "UTF-8",
          memsize: 40, file: name, line: 9, generation: 5 }
      end
    end
    hash = { address: address[600], type: "HASH", class: address[1], size: HOSTILE.size, memsize: 5000,
             references: HOSTILE.each_index.flat_map { |at| [address[at + 401], address[at + 101]] } }
    roots = HOSTILE.map { |name| { type: "ROOT", root: name[0, 100], references: classes.map { |one| one[:address] } + [address[600]] } }
    (roots + classes + objects + data + strings + [hash]).map { |line| "#{JSON.generate(line)}\n" }.join
  end
end
