# frozen_string_literal: true

# The stacks of dumps that heap_inspector's own tracer wrote; one allocation of 16 has one.
RSpec.describe "stacks" do
  dumps = (1..3).map { |number| File.join(Helpers::ROOT, "crates/heap_inspector_cli/tests/dumps/sampled-#{number}.json.zst") }
  rack = "/usr/local/bundle/gems/rack-3.0.8"

  let(:heap) { HeapInspector.analyze(dumps.first, index: false) }
  let(:sampled) { heap.where(class: "String").find { |object| object.stack.any? } }

  it "are frames, the innermost first" do
    expect(sampled.stack.map(&:label)).to eq(["JSON.parse", "Feed.load_feed", "FeedsController#index", "Rack::Head#call",
                                              "block in Puma::ThreadPool#spawn_thread"])
    expect(sampled.stack.map(&:app?)).to eq([false, true, true, false, false])
    frame = sampled.stack[1]
    expect(frame).to have_attributes(file: "/srv/app/app/models/feed.rb", line: 31, location: "/srv/app/app/models/feed.rb:31")
    expect(frame.to_s).to eq("/srv/app/app/models/feed.rb:31 in Feed.load_feed")
    expect(sampled.stack).to be_frozen
  end

  it "tell the app's own line" do
    expect(sampled).to have_attributes(location: "/usr/local/bundle/gems/json-2.7.1/lib/json/common.rb:219",
                                       app_location: "/srv/app/app/models/feed.rb:31")
    untraced = heap.objects.first
    expect([untraced.stack, untraced.app_location]).to eq([[], nil])
    expect(heap.where(app_location: "models/*:31").count).to eq(64)
  end

  it "group what is alive, scaled by the rate of the samples" do
    group = heap.groups(by: :app_location)["/srv/app/app/models/feed.rb:31"]
    expect(group).to have_attributes(count: 64, estimate: have_attributes(samples: 64, count: 1024))
    expect(heap.groups(by: :class).map(&:estimate)).to all(be_nil)
    expect(heap.groups(by: :stack).map(&:key)).to include(start_with("#{sampled.location} in JSON.parse ← /srv/app/app/models/feed.rb:31"))
  end

  it "are drawn as flame graphs" do
    groups = heap.groups(by: :stack, sort: :count)
    expect(groups.to_folded.lines.first).to start_with("#{dumps.first};block in Puma::ThreadPool#spawn_thread (puma/thread_pool.rb:155);")
    expect(groups.to_flamegraph).to include("Feed.load_feed")
    expect { heap.groups.to_flamegraph }.to raise_error(ArgumentError, "only groups by stack can be drawn: groups(by: :stack)")
  end

  it "say whose a file is by the folders that are named, or by the environment" do
    told = ->(heap) { heap.groups(by: :gem).map(&:key) }
    expect(told[heap]).to include("app", "rack 3.0.8")
    expect(told[HeapInspector.analyze(dumps.first, index: false, app: rack)]).to include("app", "other")
    ENV["HEAP_INSPECTOR_APP"] = "/srv/other:#{rack}"
    expect(told[HeapInspector.analyze(dumps.first, index: false)]).to include("app", "other")
    expect(told[HeapInspector.analyze(dumps.first, index: false, app: ["/srv/app"])]).to include("app", "rack 3.0.8")
    expect { HeapInspector.analyze(dumps.first, app: 3) }.to raise_error(TypeError, /app: expected a folder/)
  ensure
    ENV.delete("HEAP_INSPECTOR_APP")
  end

  it "name the app's line of a suspect" do
    suspect = HeapInspector.diff(*dumps, index: false).suspects.first
    expect(suspect).to have_attributes(holder: "Feed", app_location: "/srv/app/app/models/feed.rb:31",
                                       location: "/usr/local/bundle/gems/json-2.7.1/lib/json/common.rb:219")
  end
end
