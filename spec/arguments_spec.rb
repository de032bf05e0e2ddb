# frozen_string_literal: true

require "tmpdir"

# Whatever a public method of the reading half is given, it answers, or says that the argument is wrong: no error of an encoding, of a
# range or of a missing method comes out, and no process ends.
RSpec.describe "A public method" do
  bad = ["\xff", "\xff".b, "a\0b", "a".encode("UTF-16LE"), "\xff".b.to_sym, -1, 1 << 31, 1 << 63, 1 << 64, -(1 << 64), 1 << 200, 1.5, -0.5,
         Float::NAN, Float::INFINITY, nil, true, [], ["\xff"], [nil], {}, { "\xff" => 1 }, { class: "\xff" }, { generation: 1 << 200 },
         (-1..(1 << 70)), ("a".."b"), Object.new, Class.new, Regexp.new("\xff".b), Time.at(0)].freeze

  # What a method may raise of an argument. An Errno is a file's that is not there.
  allowed = [ArgumentError, TypeError, HeapInspector::ObjectNotFound, HeapInspector::NameUnknown, SystemCallError].freeze

  # What is given for an argument while another one is tried.
  good = { by: :class, conditions: { type: :string }, name: :memsize, names: [:memsize], other: nil, object: "0x0", key: "String",
           number: 1, value: "a", place: 0, count: 1, keys: [:class], address: "0x0", dumps: [Helpers::DUMP, Helpers::DUMP],
           source: Helpers::DUMP, before: [Helpers::DUMP], after: [Helpers::DUMP], limit: 2, path: "exported", folder: "exports" }.freeze

  # Ruby's own protocols, with whose arguments users have nothing to do; and what has no argument of a user's.
  protocols = %i[initialize == eql? <=> === hash deconstruct_keys pretty_print to_json method_missing respond_to_missing? query clauses
                 doubt among at of words].freeze

  before(:context) do
    @heap = HeapInspector.analyze(Helpers::DUMP, index: false)
    @diff = HeapInspector.diff(@heap, HeapInspector.analyze(Helpers::DUMP, index: false))
    objects = @heap.strings.where(reachable: true)
    @receivers = [
      @heap, @diff, objects, objects.where, objects.group(:class), objects.first, @heap.hashes.first, @heap.arrays.first,
      @heap.classes.first, @heap.groups(by: :class, limit: 3), @heap.generations, @heap.summary, @heap.duplicate_strings(limit: 3),
      @heap.retained(limit: 3), @heap.dominators(limit: 2), @heap.paths_to(objects.first),
      @heap.paths_to(objects.first, without: objects.last), @heap.paths_to_class("String"), @heap.unreachable(limit: 3),
      @heap.collections(limit: 3), @heap.fragmentation(limit: 3),
      @heap.suspects, @heap.show(objects.first), @diff.leaks, @diff.growth, @diff.growth(by: :path), @diff.suspects, HeapInspector.memory
    ]
  end

  # The methods of ours that a receiver has, by name.
  def own_methods(receiver)
    receiver.public_methods.map { |name| receiver.method(name) }.select { |method| method.owner.to_s.start_with?("HeapInspector") }
  end

  # The arguments that a method takes, each with the calls that give it what is bad: positional ones before it are good.
  def calls(method, bad, good)
    kinds = method.parameters.reject { |kind, name| kind == :block || name.nil? || %i[* ** &].include?(name) }
    required = kinds.select { |kind,| kind == :req }.map { |_, name| name }
    options = kinds.select { |kind,| kind == :keyreq }.to_h { |_, name| [name, good.fetch(name)] }
    kinds.flat_map do |kind, name|
      bad.map do |value|
        next [required.map { |other| good.fetch(other) }, options.merge(name => value)] if %i[key keyreq].include?(kind)
        next [required.map { |other| good.fetch(other) }, { memsize: value }] if kind == :keyrest

        before = required.map { |other| other == name ? value : good.fetch(other) }
        [kind == :req ? before : [*before, value], options]
      end
    end
  end

  # What writes does so in a folder of its own.
  around { |example| Dir.mktmpdir { |folder| Dir.chdir(folder) { example.run } } }

  it "says what is wrong with its arguments" do
    tried = 0
    wrong = @receivers.flat_map do |receiver|
      own_methods(receiver).reject { |method| protocols.include?(method.name) }.flat_map do |method|
        next [] if method.name == :close

        calls(method, bad, good).filter_map do |arguments, options|
          tried += 1
          method.call(*arguments, **options)
          nil
        rescue *allowed
          nil
        rescue Exception => e # rubocop:disable Lint/RescueException -- a fatal would be the worst
          "#{receiver.class}##{method.name}(#{arguments.inspect}, #{options.inspect}): #{e.class}: #{e.message.lines.first}"
        end
      end
    end
    expect(wrong.uniq.join("\n")).to eq("")
    expect(tried).to be > 2000
  end

  it "of the module says what is wrong with its arguments" do
    wrong = %i[analyze diff verify].flat_map { |name| HeapInspector.method(name) }.flat_map do |method|
      calls(method, bad, good).filter_map do |arguments, options|
        method.call(*arguments, **{ index: false }, **options)
        nil
      rescue *allowed, HeapInspector::Error
        nil
      rescue Exception => e # rubocop:disable Lint/RescueException -- a fatal would be the worst
        "#{method.name}(#{arguments.inspect}, #{options.inspect}): #{e.class}: #{e.message.lines.first}"
      end
    end
    expect(wrong.join("\n")).to eq("")
  end

  it "takes exceptions that are text, and widths that are columns" do
    expect { @heap.suspects(except: ["\xff"]) }.to raise_error(ArgumentError, /is not valid UTF-8/)
    File.binwrite("rules", "Order stuck \xff\n")
    expect { @heap.suspects(rules: "rules") }.to raise_error(ArgumentError, /rules: not valid UTF-8/)
    expect { @heap.suspects(except: "a".encode("UTF-16LE")) }.to raise_error(ArgumentError, /ASCII-compatible/)
    [-1, 0, 1 << 64, "80"].each do |width|
      expect { @heap.summary.to_s(width: width) }.to raise_error(ArgumentError, /\Awidth: expected a number of columns/)
    end
    expect(@heap.summary.to_s(width: 1).lines.map { |line| line.chomp.size }.max).to eq(1)
  end
end
