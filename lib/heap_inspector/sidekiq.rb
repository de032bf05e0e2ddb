# frozen_string_literal: true

require "heap_inspector"
require "sidekiq"

# `require "heap_inspector/sidekiq"` where Sidekiq is configured: each process of it does at its start what `HEAP_INSPECTOR_*` say, as with
# the Puma plugin, and counts its jobs, which dumps tell. With `HEAP_INSPECTOR_WATCH=jobs` what performs a job should be gone when that is
# done: who holds what is not comes first in `suspects`.
module HeapInspector
  Settings.check
  ::Sidekiq.configure_server do |config|
    config.server_middleware { |chain| chain.add(Hooks::SidekiqJobs, Hooks.watched(ENV.fetch("HEAP_INSPECTOR_WATCH", nil))) }
    config.on(:startup) { Settings.apply }
  end
end
