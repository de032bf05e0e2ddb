# frozen_string_literal: true

# `rake heap:dump`, `heap:ps`, `heap:fleet`, `heap:convert` and `heap:redact`: `require "heap_inspector/tasks"` in a Rakefile. Rails apps
# have them by the Railtie.

require "heap_inspector"
require "rake"
require_relative "reading_tasks"

extend Rake::DSL # rubocop:disable Style/MixinUsage -- as Rakefiles do

namespace :heap do
  desc "Take a dump of a running worker: rake heap:dump[PID or worker-0 or all,FILE]"
  task :dump, %i[process file] do |_, words|
    exit_code = HeapInspector::CommandLine.run(["dump", words[:process] || "worker-0", *(["-o", words[:file]] if words[:file])])
    abort unless exit_code.zero?
  end

  desc "List the Ruby processes of this host: which are armed, which trace, how big they are"
  task :ps do
    abort unless HeapInspector::CommandLine.run(["ps"]).zero?
  end

  command = lambda do |*words|
    code = HeapInspector::CommandLine.run(words)
    exit(code) unless code.zero?
  end

  fleet = %w[since from until service lines format]
  desc "Say what leaks in a fleet, from the summaries of its dumps: rake heap:fleet[PLACE,…]; #{fleet.map(&:upcase).join(", ")} " \
       "of the environment are its options"
  task :fleet, %i[place] do |_, words|
    places = [words[:place], *words.extras].compact
    abort "Usage: rake 'heap:fleet[summaries]'" if places.empty?

    options = fleet.filter_map { |name| "--#{name}=#{ENV.fetch(name.upcase)}" if ENV.key?(name.upcase) }
    command.call("fleet", *options, "--", *places)
  end

  desc "Make lines of a heap file, for other tools: rake heap:convert[FILE,OUT]"
  task :convert, %i[dump output] do |_, words|
    abort "Usage: rake 'heap:convert[app.heap,heap.json]'" unless words[:dump] && words[:output]

    command.call("convert", "-o", words[:output], "--", words[:dump])
  end

  desc "Copy a dump with other strings; symbols and names stay: rake heap:redact[FILE,OUT]"
  task :redact, %i[dump output] do |_, words|
    abort "Usage: rake 'heap:redact[heap.json,redacted.json]'" unless words[:dump] && words[:output]

    command.call("redact", "--", words[:dump], words[:output])
  end
end
