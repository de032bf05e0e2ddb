# frozen_string_literal: true

require "tmpdir"
require "zlib"
require_relative "manual"

desc "Write the manual page that the gem has, of what the program says"
task man: :compile do
  Dir.mktmpdir do |folder|
    ruby "-Ilib", "exe/heap_inspector", "man", folder, verbose: false
    mkdir_p File.dirname(Manual::PATH), verbose: false
    Zlib::GzipWriter.open(Manual::PATH, Zlib::BEST_COMPRESSION) do |file|
      file.mtime = 1 # the same bytes each time
      file.write(Manual.of(folder))
    end
  end
end
