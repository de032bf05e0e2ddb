# frozen_string_literal: true

require_relative "native_gem"

namespace :gem do
  desc "Build the gem with the compiled library, for one of #{NativeGem::PLATFORMS.join(", ")}"
  task :native, [:platform] do |_, arguments|
    platform = arguments[:platform] || abort("which platform? rake 'gem:native[x86_64-linux]'")
    abort "#{platform} is none of #{NativeGem::PLATFORMS.join(", ")}" unless NativeGem::PLATFORMS.include?(platform)
    next sh("rb-sys-dock", "--platform", platform, "--ruby-versions", "3.1,3.2,3.3,3.4,4.0", "--build") unless NativeGem.here?(platform)

    Rake::Task[:compile].invoke
    mkdir_p "pkg", verbose: false
    puts NativeGem.build(GEMSPEC, platform, "lib/heap_inspector/heap_inspector_ext.#{RbConfig::CONFIG["DLEXT"]}", "pkg")
  end
end
