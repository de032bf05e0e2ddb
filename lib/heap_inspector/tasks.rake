# frozen_string_literal: true

require "heap_inspector"

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
