# frozen_string_literal: true

require "heap_inspector"
require "puma/plugin"

module HeapInspector
  # Counts what a server of Puma's handles.
  #
  # @api private
  module PumaRequests
    # @param client [Puma::Client]
    # @return [Object] what Puma's own method returns
    def handle_request(client, *)
      Work.request(client.env)
      super
    end
  end
end

# `plugin :heap_inspector` in config/puma.rb arms each worker, or the one process where there are no workers, so that
# `heap_inspector ps`, `dump` and `trace` reach it, and counts its requests, which dumps tell. `HEAP_INSPECTOR_TRACE` says which workers
# trace from their start.
Puma::Plugin.create do
  # Puma 7 renamed the hook. From 6 on Puma warns where there are no workers to run it in; since 8 it can be kept back until that is known.
  def config(dsl)
    HeapInspector::Settings.check
    count_requests
    return hook(dsl) unless dsl.respond_to?(:cluster)

    dsl.cluster { hook(dsl) }
  end

  # Workers have their hook; the process that only starts them is left alone.
  def start(launcher)
    HeapInspector::Settings.apply if launcher.options[:workers].to_i.zero?
  end

  private

  # A counter beside each request, in the one place that all of them go through, from Puma 5 on.
  def count_requests
    require "puma/server"
    return if Puma::Server < HeapInspector::PumaRequests || !Puma::Server.method_defined?(:handle_request)

    Puma::Server.prepend(HeapInspector::PumaRequests)
  end

  # Has each worker arm itself.
  def hook(dsl)
    name = dsl.respond_to?(:before_worker_boot) ? :before_worker_boot : :on_worker_boot
    dsl.public_send(name) { |index| HeapInspector::Settings.apply(worker: index) }
  end
end
