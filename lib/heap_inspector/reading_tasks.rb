# frozen_string_literal: true

# `rake heap:read`, `heap:summary`, `heap:top`, `heap:retained` and `heap:path`: the commands of the same names. WHERE, LINES, FORMAT and
# BY of the environment are their options.

require "heap_inspector"
require "rake"

extend Rake::DSL # rubocop:disable Style/MixinUsage -- as Rakefiles do

namespace :heap do
  run = lambda do |verb, usage, words, **options|
    given = %w[where lines format by].to_h { |name| [name.to_sym, ENV.fetch(name.upcase, nil)] }
    options = given.merge(options.compact).compact.flat_map { |name, value| ["--#{name}", value] }
    dump, *others = words
    abort "Usage: rake 'heap:#{verb}[#{usage}]'" if dump.to_s.empty?

    abort unless HeapInspector::CommandLine.run([verb, dump, *others.compact, *options]).zero?
  end

  desc "Show a dump's objects by generation: rake heap:read[heap.json]; WHERE, LINES, FORMAT as options"
  task(:read, %i[dump generation]) { |_, words| run.call("read", "heap.json,GENERATION", words.values_at(:dump, :generation)) }

  desc "Say what a dump is: rake heap:summary[heap.json]; WHERE, LINES, FORMAT as options"
  task(:summary, %i[dump]) { |_, words| run.call("summary", "heap.json", words.values_at(:dump)) }

  desc "Group a dump's objects: rake heap:top[heap.json,class]; BY for several keys, WHERE, LINES, FORMAT as options"
  task(:top, %i[dump key]) { |_, words| run.call("top", "heap.json,class", words.values_at(:dump), by: words[:key]) }

  desc "Say what keeps a dump's memory alive: rake heap:retained[heap.json]; BY, WHERE, LINES, FORMAT as options"
  task(:retained, %i[dump key]) { |_, words| run.call("retained", "heap.json,class", words.values_at(:dump), by: words[:key]) }

  desc "Say why an object is alive, or all of a class: rake 'heap:path[heap.json,Order]', or an address; WHERE, LINES, FORMAT as options"
  task(:path, %i[dump what]) do |_, words|
    address = words[:what]&.match?(/\A0x\h+\z/i)
    dump = words[:dump] if words[:what] || ENV["WHERE"]
    run.call("path", "heap.json,Order", [dump, (words[:what] if address)], class: (words[:what] unless address))
  end
end
