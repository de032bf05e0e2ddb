# frozen_string_literal: true

desc "Measure against heapy, DuckDB and the limits, side by side: rake bench, or rake 'bench[small]' (needs bin/setup --bench)"
task :bench do |_, arguments|
  ruby "bench/run.rb", *arguments.extras
end
