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

  desc "Make docs/report.png anew, the page of the demo, with Chromium and pngquant"
  task :picture do
    require "tmpdir"
    Dir.mktmpdir do |folder|
      ln_s File.expand_path("examples"), folder
      dumps = %w[a.json b.json c.json]
      command = [RbConfig.ruby, "-I#{File.expand_path("lib")}", File.expand_path("exe/heap_inspector")]
      sh RbConfig.ruby, "examples/leaky.rb", *dumps, chdir: folder
      sh(*command, "report", *dumps, "-o", "report.html", chdir: folder)
      sh "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--window-size=1100,860", "--virtual-time-budget=10000", "--screenshot=report.png", "file://#{folder}/report.html", chdir: folder
      sh "pngquant", "--force", "--output", "docs/report.png", "256", "#{folder}/report.png"
    end
  end
end
