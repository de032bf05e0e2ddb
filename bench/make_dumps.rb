# frozen_string_literal: true

# Makes a large realistic dump, traced: `ruby bench/make_dumps.rb small|medium|large PATH` (21 MB, 200 MB, 1.85 GB). With `churn` it makes
# three in a folder (0.5 GB in all): between them the process leaks, a bounded cache exchanges all it holds, another one its texts.
#
# A Rails process in small: the frameworks' own objects, 300 synthetic application classes in files and lines of their own whose
# objects hold hashes, structs, closures, sets, big numbers and strings of all encodings, parsed JSON, syntax trees, an XML tree and a
# cache. `small` has the standard library only. Takes as much memory as the dump is large, about 100 s for `large`.
require "objspace"
ObjectSpace.trace_object_allocations_start

require "bigdecimal"
require "date"
require "erb"
require "json"
require "net/http"
require "openssl"
require "optparse"
require "ostruct"
require "securerandom"
require "set"
require "socket"
require "yaml"

UNITS = { "small" => 0, "medium" => 107, "large" => 1470, "churn" => 30 }.freeze
size, path = ARGV
abort "usage: ruby bench/make_dumps.rb #{UNITS.keys.join("|")} PATH" unless UNITS.key?(size) && path
FRAMEWORKS = size != "small"
if FRAMEWORKS
  require "active_support/all"
  require "active_model"
  require "active_record"
  require "action_controller"
  require "action_view"
  require "nokogiri"
  require "rubocop"
  require "parser/ruby31"
end

# Application classes as source text, evaluated under paths of their own.
module App
  ROOT = "/srv/app/releases/20240611"
  FOLDERS = %w[
    app/models app/services app/controllers app/jobs app/serializers lib/billing lib/search lib/sync engines/admin/app/models
  ].freeze
  KINDS = %w[User Order LineItem Invoice Payment Product Session Event Audit Webhook Catalog Price].freeze
  COUNT = 300
  # What a method makes; KIND and K are filled in.
  BODIES = [
    '[n, "value-#{n}", :sym_K, nil, "constant string K"]',
    '{ name: "key#{n}", list: ["a#{n}", "b#{n}"], opts: { deep: { deeper: ["x" * 60] } } }',
    'Row.new(n, "row #{n}", ["red", "green", "blue"], { "k" => "v" })',
    "captured = \"closure \#{n}\"\n    ->(x) { captured + x.to_s }",
    'Set.new(["s#{n}", "t#{n % 10}"])',
    '"SELECT * FROM KINDs WHERE id = #{n} AND state = \'active\' ORDER BY created_at DESC LIMIT 25 -- é\n"',
    'OpenStruct.new(id: n, label: "label-#{n}")',
    '[Time.at(n), BigDecimal("#{n}.25"), (2**70 + n), Rational(n, 7), "bin\xFF#{n}".b]'
  ].freeze

  def self.source(index, kind)
    makers = 3 + (index % 15)
    methods = Array.new(makers) do |k|
      body = BODIES[k % BODIES.size].gsub("KIND", kind.downcase).gsub(/\bK\b|(?<=sym_)K/, k.to_s)
      "#{"\n" * (index % 7)}  def make_#{k}(n)\n    #{body}\n  end\n"
    end
    cases = Array.new(makers) { |k| "    when #{k} then @children << make_#{k}(n)\n" }
    <<~RUBY
      class #{kind}#{index}
        STATUSES = %w[pending active archived cancelled].freeze
        Row = Struct.new(:id, :name, :tags, :meta)
        attr_reader :id, :attributes, :children
        def initialize(id, n)
          @id = id
          @attributes = attrs(n)
          @children = []
          @status = STATUSES[n % 4]
          @created_at = Time.at(1_700_000_000 + n)
        end
        def attrs(n)
          { 'id' => n, 'name' => "#{kind} number \#{n}", 'email' => "user\#{n % 5000}@example.com",
            'status' => 'active', 'locale' => 'en', 'amount' => n * 1.5,
            'address' => { 'street' => "\#{n} Main Street", 'city' => 'Springfield', 'zip' => '0' * 5 } }
        end
      #{methods.join}
        def fill(n)
          case n % #{makers}
      #{cases.join}    end
          self
        end
      end
    RUBY
  end

  CLASSES = Array.new(COUNT) do |index|
    kind = KINDS[index % KINDS.size]
    TOPLEVEL_BINDING.eval(source(index, kind), "#{ROOT}/#{FOLDERS[index % FOLDERS.size]}/#{kind.downcase}_#{index}.rb", 1)
    Object.const_get("#{kind}#{index}")
  end
end

# What the process holds.
class Store
  RUBY_FILES = Dir["#{RbConfig::CONFIG["rubylibdir"]}/**/*.rb"].select { |file| File.size(file) < 30_000 }.sort.freeze
  DOCUMENT = JSON.generate(Array.new(40) do |n|
    { id: n, type: "product", title: "Product title #{n}", tags: %w[new sale hot], price: { amount: n * 3.5, currency: "EUR" },
      description: "Lorem ipsum dolor sit amet, consectetur adipiscing elit — #{"x" * (n % 30)}",
      variants: Array.new(3) { |v| { sku: "SKU-#{n}-#{v}", stock: v, "label" => "V#{v}" } } }
  end)

  def initialize
    @models = []
    @documents = []
    @trees = []
    @cache = {}
    @sessions = FRAMEWORKS ? ActiveSupport::HashWithIndifferentAccess.new : {}
    @xml = []
    @procs = []
  end

  # About 1.3 MB of dump.
  def add(unit)
    90.times do |j|
      n = (unit * 90) + j
      @models << App::CLASSES[n % App::COUNT].new(n, n).fill(n).fill(n + 1)
    end
    @documents << JSON.parse(DOCUMENT, symbolize_names: (unit % 3).zero?) if unit.even?
    @trees << tree(RUBY_FILES[unit % RUBY_FILES.size]) if unit.even?
    20.times { |j| @cache["views/products/#{unit}-#{j}/cache"] = "<li class=\"item\">#{j}</li>" * (1 + (j % 4)) }
    2.times do |j|
      @sessions["session:#{unit}:#{j}"] = { user_id: j, token: SecureRandom.hex(8), flash: { notice: "Welcome back" } }
    end
    @xml << Nokogiri::XML("<r>#{"<a b='1'>t</a>" * 5}</r>").root.children.to_a if (unit % 5).zero?
    @procs << proc { unit } << method(:add)
    GC.start(full_mark: false) if (unit % 10).zero?
  end

  private

  def tree(file)
    buffer = Parser::Source::Buffer.new(file, source: File.read(file, encoding: "UTF-8"))
    parser = Parser::Ruby31.new
    parser.diagnostics.consumer = nil
    parser.parse(buffer)
  rescue StandardError, SyntaxError
    nil # a file in another encoding, or newer than the parser: its size is what would have counted
  end
end

STORE = Store.new
UNITS.fetch(size).times { |unit| STORE.add(unit) }

# Dumps to a new file.
def dump(path)
  GC.start
  File.open(path, "w", 0o600) { |file| ObjectSpace.dump_all(output: file) }
end

# What a process does between two dumps.
class Work
  LEAKED = 5_000 # orders, of 14 objects each

  def initialize
    @listeners = []
    @recent = {}
    @rewritten = {}
  end

  def step(number)
    30_000.times { |n| @recent[n] = { body: "response #{number} #{n}" } }
    GC.start # so that the slots of what the cache gave back are used again
    LEAKED.times { |n| @listeners << { handler: "listener #{number}-#{n}", order: App::CLASSES[1].new(n, n) } }
    5_000.times { |n| @rewritten["entry-#{n}"] = "text #{number} #{n}" }
    100_000.times { |n| "garbage #{n}" * 2 }
  end
end

if size == "churn"
  WORK = Work.new
  Dir.mkdir(path)
  %w[a b c].each_with_index do |name, number|
    WORK.step(number)
    dump("#{path}/#{name}.json")
  end
else
  dump(path)
end
