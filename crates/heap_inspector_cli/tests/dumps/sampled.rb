# frozen_string_literal: true

# Writes sampled-1.json to sampled-3.json, dumps of a process that keeps feeds, as heap_inspector's own tracer has them in its mode
# `sampled`: one allocation of 16 has a line and a stack. Made up, so that each number is known: `ruby sampled.rb && zstd -19 --rm *.json`.

require "json"

EVERY = 16

GEMS = "/usr/local/bundle/gems"
APP = "/srv/app/app"

# Called by, file, line, label. The numbers begin with 100.
FRAMES = [
  [-1, "#{GEMS}/puma-6.4.2/lib/puma/thread_pool.rb", 155, "block in Puma::ThreadPool#spawn_thread"],
  [100, "#{GEMS}/rack-3.0.8/lib/rack/head.rb", 15, "Rack::Head#call"],
  [101, "#{APP}/controllers/feeds_controller.rb", 12, "FeedsController#index"],
  [102, "#{APP}/models/feed.rb", 31, "Feed.load_feed"],
  [103, "#{GEMS}/json-2.7.1/lib/json/common.rb", 219, "JSON.parse"],
  [103, "#{APP}/models/feed.rb", 33, "block in Feed.load_feed"],
  [101, "#{GEMS}/rack-3.0.8/lib/rack/utils.rb", 88, "Rack::Utils.parse_query"],
  [104, "/usr/local/lib/ruby/3.3.0/strscan.rb", 7, "StringScanner#scan"]
].freeze

# What a step allocates: type, class, bytes, the frame, how many.
KINDS = [
  ["OBJECT", "0x2000", 40, 105, 320],
  ["STRING", "0x2028", 120, 104, 960],
  ["STRING", "0x2028", 40, 106, 160],
  ["STRING", "0x2028", 80, 107, 64]
].freeze

def site(frame)
  _, file, line, label = FRAMES[frame - 100]
  %(, "file":#{file.to_json}, "line":#{line}, "method":#{label[/\w+\z/].to_json})
end

def root(category, value: nil, references: [])
  value = %( "value":#{value.to_json.to_json},) if value
  %({"type":"ROOT", "root":"#{category}",#{value} "references":#{references.to_json}}\n)
end

def klass(address, name, references = "")
  %({"address":"#{address}", "type":"CLASS", "class":"0x2050", "name":"#{name}", "references":[#{references}], "memsize":600}\n)
end

(1..3).each do |dump|
  lines = +""
  meta = { taken_by: "heap_inspector 0.1.0", pid: 7, time: "2026-01-0#{dump}T00:00:00.000Z", tracing: { mode: "sampled", every: EVERY } }
  lines << root("heap_inspector", value: meta)
  # Two lines, as of a tree that has grown.
  [[100, FRAMES.first(5)], [105, FRAMES.drop(5)]].each do |first, frames|
    lines << root("heap_inspector_stacks", value: { first: first, frames: frames })
  end
  lines << root("vm", references: %w[0x2000 0x2028 0x2050])
  number = 0
  objects = (1..dump).flat_map do |step|
    KINDS.flat_map do |type, of, bytes, frame, count|
      Array.new(count) do
        number += 1
        address = format("0x%x", 0x100000 + (number * 40))
        sampled = %(#{site(frame)}, "generation":#{step * 10}, "stack":#{frame}) if (number % EVERY).zero?
        text = type == "STRING" ? %( "bytesize":#{bytes - 40}, "encoding":"UTF-8",) : %( "ivars":1,)
        [address, %({"address":"#{address}", "type":"#{type}", "class":"#{of}",#{text} "references":[]#{sampled}, "memsize":#{bytes}}\n)]
      end
    end
  end
  lines << klass("0x2000", "Feed", '"0x2078"') << klass("0x2028", "String") << klass("0x2050", "Class")
  kept = objects.map(&:first).to_json.gsub(",", ", ")
  lines << %({"address":"0x2078", "type":"ARRAY", "class":"0x20a0", "length":#{objects.size}, "references":#{kept}, "memsize":4000}\n)
  lines << klass("0x20a0", "Array")
  objects.each { |_, line| lines << line }
  File.write(File.join(__dir__, "sampled-#{dump}.json"), lines)
end
