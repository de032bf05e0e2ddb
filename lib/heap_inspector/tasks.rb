# frozen_string_literal: true

# Defines `rake heap:dump` and `rake heap:ps`: `require "heap_inspector/tasks"` in a Rakefile. Rails apps have them already.
load File.expand_path("tasks.rake", __dir__)
