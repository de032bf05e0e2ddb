# frozen_string_literal: true

require_relative "work"

module HeapInspector
  # Rack middleware that counts requests, and does nothing else: with the count in its first line a dump tells growth by request. Rails
  # inserts it with `config.heap_inspector.count_work = true`. The Puma plugin counts without it; a request that was counted is not counted
  # again.
  #
  # @example in config.ru
  #   use HeapInspector::RequestCounter
  class RequestCounter
    # @param app [#call]
    def initialize(app)
      @app = app
    end

    # @param env [Hash]
    # @return [Array] status, headers and body, as the app gives them
    def call(env)
      Work.request(env)
      @app.call(env)
    end
  end
end
