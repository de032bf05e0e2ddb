# frozen_string_literal: true

require "English"

namespace :docs do
  desc "Fail where a public Ruby method lacks a comment or a signature does not parse"
  task :check do
    report = IO.popen(%w[yard stats --list-undoc --fail-on-warning], err: %i[child out], &:read)
    puts report
    abort "undocumented Ruby objects, see above" unless $CHILD_STATUS.success? && report.include?("100.00% documented")

    ruby "-rrbs", "-rrbs/cli", "-e", "RBS::CLI.new(stdout: $stdout, stderr: $stderr).run(ARGV)", "--", "-I", "sig", "validate", "--silent"
  end
end
