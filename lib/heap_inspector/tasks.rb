# frozen_string_literal: true

# `rake heap:dump` and `rake heap:ps`: `require "heap_inspector/tasks"` in a Rakefile. Rails apps have them by the Railtie.

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
end
