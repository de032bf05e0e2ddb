# frozen_string_literal: true

desc "Measure against heapy, DuckDB and the limits, side by side: rake bench, or rake 'bench[small]' (needs bin/setup --bench)"
task bench: :compile do |_, arguments|
  ruby "bench/run.rb", *arguments.extras
  ruby "bench/objects.rb", *arguments.extras
  ruby "bench/block_profile.rb"
end

namespace :bench do
  desc "Measure what allocation tracing costs, beside Ruby's own tracer: rake 'bench:tracing[rounds]'"
  task tracing: :compile do |_, arguments|
    ruby "bench/tracing.rb", *arguments.extras
  end

  desc "Measure what tests take that measure retention (ROUNDS=3 for a quicker look)"
  task retention: :compile do
    ruby "bench/retention.rb"
  end

  desc "Measure what a profile of a block costs, beside memory_profiler (ROUNDS=3 for a quicker look)"
  task profile: :compile do
    ruby "bench/block_profile.rb"
  end

  desc "Measure what taking a dump takes, beside ObjectSpace.dump_all in a fork: rake 'bench:dump[objects]'"
  task dump: :compile do |_, arguments|
    ruby "bench/dumps.rb", *arguments.extras
  end

  desc "Measure the questions to a loaded heap in Ruby alone, on the dumps in tmp/ (SHEAP=path/to/sheap.rb to compare)"
  task objects: :compile do |_, arguments|
    ruby "bench/objects.rb", *arguments.extras
  end
end
