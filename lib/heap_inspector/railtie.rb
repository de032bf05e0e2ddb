# frozen_string_literal: true

require "heap_inspector"
require "rails/railtie"

module HeapInspector
  # Switches on in a Rails process what `config.heap_inspector` asks for, all of it off by default:
  # `agent` (true), `trace` (`:one`, `:all`), `trace_mode` (`:sampled`, `:full`, `:continuous`), `trace_every`, `dump_above` (`"2GB"`),
  # `dump_dir`, `profile_every` (`"60s"`), `profile_dir`, `summary_every` (`"6h"`), `summary_to`. In development `requests` (true) says
  # what each request allocates and keeps: {Middleware}. `count_work` (true) counts requests and jobs, which dumps tell; `watch`
  # (`%i[controllers jobs]`, or one of them) expects controllers and jobs to be gone when they are done:
  # {HeapInspector.expect_collected}. `metrics` is a folder for files of metrics ({HeapInspector.metrics_every}), `metrics_path` a path at
  # which {Metrics} answers, to everybody who reaches it. What the process forks later has the same, so this
  # serves servers that load the app before they fork; with Puma use the plugin, which knows the workers.
  #
  # @example in config/environments/production.rb
  #   config.heap_inspector.agent = true
  #   config.heap_inspector.dump_above = "2GB"
  #   config.heap_inspector.count_work = true
  #   config.heap_inspector.watch = %i[controllers jobs]
  class Railtie < ::Rails::Railtie
    config.heap_inspector = ActiveSupport::OrderedOptions.new

    initializer "heap_inspector.requests" do |app|
      next unless app.config.heap_inspector.requests

      if ::Rails.env.development? || ::Rails.env.test?
        app.middleware.use(Middleware)
      else
        Background.tell("requests are measured in development and tests alone, not in #{::Rails.env}")
      end
    end

    initializer "heap_inspector.count" do |app|
      next unless app.config.heap_inspector.count_work

      app.middleware.insert(0, RequestCounter)
      ActiveSupport.on_load(:active_job) { prepend Hooks::CountedJobs }
    end

    initializer "heap_inspector.watch" do |app|
      watched = Hooks.watched(app.config.heap_inspector.watch) if app.config.heap_inspector.watch
      ActiveSupport.on_load(:action_controller) { prepend Hooks::WatchedControllers } if watched&.include?(:controllers)
      ActiveSupport.on_load(:active_job) { prepend Hooks::WatchedJobs } if watched&.include?(:jobs)
    end

    initializer "heap_inspector.metrics" do |app|
      path = app.config.heap_inspector.metrics_path
      app.routes.prepend { mount Metrics.new => path } if path
    end

    config.after_initialize do |app|
      options = app.config.heap_inspector
      Settings.apply(environment: false, agent: options.agent || false, trace: options.trace, trace_mode: options.trace_mode,
                     trace_every: options.trace_every, dump_above: options.dump_above, dump_dir: options.dump_dir,
                     profile_every: options.profile_every, profile_dir: options.profile_dir, metrics: options.metrics,
                     summary_every: options.summary_every, summary_to: options.summary_to)
    end

    rake_tasks { load File.expand_path("tasks.rb", __dir__) }

    console { Console.install }
  end
end
