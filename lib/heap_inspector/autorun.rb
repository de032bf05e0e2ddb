# frozen_string_literal: true

require "heap_inspector"

# `ruby -rheap_inspector/autorun app.rb` arms the process and does what the `HEAP_INSPECTOR_*` variables ask for: see
# {HeapInspector::Settings}. With `HEAP_INSPECTOR_DUMP=FILE` a dump is taken when the program ends.
HeapInspector::Settings.apply

if ENV["HEAP_INSPECTOR_DUMP"].to_s != ""
  owner = Process.pid
  at_exit do
    HeapInspector.dump(ENV.fetch("HEAP_INSPECTOR_DUMP")) if Process.pid == owner
  rescue HeapInspector::Error, SystemCallError => e
    warn "heap_inspector: no dump: #{e.message}"
  end
end
