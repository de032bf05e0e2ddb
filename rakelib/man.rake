# frozen_string_literal: true

require "zlib"

desc "Write the manual pages that the gem has, of what the program says"
task man: :compile do
  folder = File.expand_path("../man/man1", __dir__)
  rm_rf folder, verbose: false
  ruby "-Ilib", "exe/heap_inspector", "man", folder, verbose: false
  Dir["#{folder}/*.1"].each do |page|
    # A third of the bytes, and the same ones each time.
    Zlib::GzipWriter.open("#{page}.gz", Zlib::BEST_COMPRESSION) do |file|
      file.mtime = 1
      file.write(File.binread(page))
    end
    rm page, verbose: false
  end
end
