# frozen_string_literal: true

require "fileutils"
require "pathname"

# What the pages say to read and to type.
RSpec.describe "The documentation" do
  pages = Dir.glob(%w[*.md docs/*.md], base: Helpers::ROOT).to_h do |path|
    [path, File.read(File.join(Helpers::ROOT, path), encoding: "UTF-8")]
  end

  # Text outside of code blocks.
  prose = ->(text) { text.gsub(/^```.*?^```$/m, "") }
  # As GitHub makes them.
  anchor = ->(heading) { heading.downcase.gsub(/[^\p{Alnum}\s_-]/, "").strip.tr(" ", "-") }
  anchors = pages.transform_values { |text| prose[text].scan(/^\#{1,6} +(.+?)\s*$/).flatten.map(&anchor) }

  it "links to files and headings that there are" do
    broken = pages.flat_map do |page, text|
      prose[text].scan(/\]\(([^)\s]+)\)/).flatten.grep_v(/\A(?:https?|mailto):/).filter_map do |link|
        path, heading = link.split("#", 2)
        target = path.to_s.empty? ? page : File.join(File.dirname(page), path).delete_prefix("./")
        target = Pathname(target).cleanpath.to_s
        next "#{page}: #{link}: no such file" unless File.exist?(File.join(Helpers::ROOT, target))

        "#{page}: #{link}: no such heading" if heading && !anchors.fetch(target, []).include?(heading)
      end
    end
    expect(broken).to eq([])
    expect(pages.values.sum { |text| prose[text].scan("](").size }).to be > 60
  end

  it "has every page in the guide's index" do
    index = pages.fetch("docs/README.md")
    names = pages.keys.grep(%r{\Adocs/}).map { |path| File.basename(path) } - ["README.md"]
    missing = names.reject { |name| index.include?("(#{name})") }
    expect(missing).to eq([])
  end

  it "is linked in the pages that YARD makes of it, too" do
    Dir.mktmpdir do |folder|
      # Of the code one file, since the rest takes a minute.
      options = File.readlines(File.join(Helpers::ROOT, ".yardopts"), chomp: true).flat_map(&:split)
      expect(options).to include(code = "lib/**/*.rb")
      options[options.index(code)] = "lib/heap_inspector/version.rb"
      said, status = Open3.capture2e("yard", "doc", "--no-yardopts", "--quiet", "--no-cache", "--no-save", "--output-dir", folder, *options,
                                     chdir: Helpers::ROOT)
      expect(status).to be_success, said
      files = Dir["#{folder}/{index,file.*}.html"]
      links = files.flat_map { |file| File.read(file, encoding: "UTF-8").scan(/(?:href|src)="([^"#?]+)[^"]*"/).flatten }
      local = links.uniq.grep_v(/\A(?:https?|mailto|javascript):/)
      expect(local.reject { |link| File.exist?(File.join(folder, link)) }).to eq([])
      expect(local).to include("file.exports.html", "file.retained.html", "report.png")
    end
  end

  # The drawing of docs/retained.md as a dump.
  it "tells the retained sizes that are worked out" do
    sizes = { "Catalog" => 40, "Session" => 40, "Array" => 80, "Hash" => 160, "A" => 40, "B" => 40, "C" => 40 }
    edges = { "Catalog" => %w[Array Hash], "Session" => %w[Hash], "Array" => %w[A B], "Hash" => %w[C] }
    addresses = sizes.keys.each_with_index.to_h { |name, at| [name, format("0x7f%010x", (at + 1) * 40)] }
    lines = sizes.map do |name, memsize|
      JSON.generate(address: addresses[name], type: "OBJECT", references: addresses.values_at(*edges.fetch(name, [])), memsize:)
    end
    root = JSON.generate(type: "ROOT", root: "vm", references: addresses.values_at("Catalog", "Session"))
    heap = HeapInspector.analyze(StringIO.new([root, *lines, ""].join("\n")))
    table = pages.fetch("docs/retained.md").scan(/^\| `(\w+)` \| (\d+) \| (\d+) \|/)
    expect(table.map(&:first)).to eq(%w[Array Hash Catalog Session])
    table.each do |name, own, retained|
      object = heap[addresses.fetch(name)]
      expect([name, object.memsize, object.retained_memsize]).to eq([name, own.to_i, retained.to_i])
    end
    expect(heap.objects.sum(:memsize)).to eq(pages.fetch("docs/retained.md")[/^\| the root \| 0 \| (\d+)/, 1].to_i)
  end
end

RSpec.describe "The documentation's commands" do
  pages = Dir.glob(%w[README.md SECURITY.md docs/*.md], base: Helpers::ROOT).to_h do |path|
    [path, File.read(File.join(Helpers::ROOT, path), encoding: "UTF-8")]
  end

  # A living process is asked; spec/live does that. The rest is not for a test to do, or done by another one.
  not_run = {
    /\Aheap_inspector (?:ps|memory|dump|watch|profile|trace|trim) .*(?:worker|PID|shop)|\Aheap_inspector ps/ => "needs a server: spec/live",
    /\Aheap_inspector summarize \d/ => "needs an armed process: spec/live/summary_spec.rb",
    %r{\Abin/(?:demo|test|setup|servers|valgrind|fuzz)} => "takes minutes: bin/test runs it, or is it",
    /\Arake ['"]?gem:native/ => "compiles the extension: spec/build_spec.rb builds such a gem of the one that is there",
    /\Aheap_inspector (?:serve|mcp|console)/ => "waits for a client: spec/serve_spec.rb, spec/mcp_spec.rb, spec/console_spec.rb",
    /\Aheap_inspector (?:check|require) / => "needs gems of an app: spec/live/check_spec.rb",
    /\A(?:gem|cargo) install/ => "installs: spec/gem_spec.rb",
    /\Agem_dir=/ => "asks for the installed gem; what is in it is tried by spec/installed_spec.rb",
    /\Adocker/ => "needs docker",
    /go tool pprof/ => "needs Go: spec/exports_spec.rb",
    /\Arake ['"]?heap:/ => "spec/rails_spec.rb runs the tasks"
  }

  commands = pages.flat_map do |page, text|
    fenced = text.scan(/^```(\w*)\n(.*?)^```$/m).filter_map { |language, block| block if ["", "sh", "console"].include?(language) }
    blocks = fenced + text.gsub(/^```.*?^```$/m, "").scan(/^(?: {4}\S.*\n)+/)
    lines = blocks.flat_map { |block| block.lines.map { |line| line.strip.delete_prefix("$ ") } }
    lines.grep(%r{\A(?:heap_inspector|ruby|rake|gem|cargo|docker|bin/|[A-Z_]+=\S+ +heap_inspector)}).map { |line| [page, line] }
  end.uniq

  copies = { "a.json" => %w[heap-1.json 1-p.zst d.json], "b.json" => %w[heap-2.json 2-p.zst e.json],
             "c.json" => %w[heap-3.json 3-p.zst f.json heap.json a.json.zst] }

  # A folder with all the files that commands name.
  before(:context) do
    @folder = Dir.mktmpdir
    folders = %w[bin summaries home/.zfunc home/.config/fish/completions home/.local/share/bash-completion/completions]
    FileUtils.mkdir_p(folders.map { |name| File.join(@folder, name) })
    FileUtils.ln_s("#{Helpers::ROOT}/examples", @folder)
    command = "exec '#{RbConfig.ruby}' '-I#{Helpers::ROOT}/lib' '#{Helpers::ROOT}/exe/heap_inspector' \"$@\""
    File.write("#{@folder}/bin/heap_inspector", "#!/bin/sh\n#{command}\n")
    File.chmod(0o755, "#{@folder}/bin/heap_inspector")
    system(RbConfig.ruby, "examples/leaky.rb", *copies.keys, chdir: @folder, exception: true)
    copies.each { |from, names| names.each { |name| FileUtils.cp("#{@folder}/#{from}", "#{@folder}/#{name}") } }
    FileUtils.cp(Dir["#{Helpers::ROOT}/crates/*/tests/dumps/*.json.zst"], @folder)
    system("#{@folder}/bin/heap_inspector summarize heap.json -o summaries/base.parquet >/dev/null", chdir: @folder, exception: true)
    json, = Open3.capture2("#{@folder}/bin/heap_inspector", "suspects", "#{@folder}/heap.json", "--format", "json")
    @address = JSON.parse(json).dig("suspects", 0, "address")
  end

  after(:context) { FileUtils.rm_rf(@folder) }

  # Numbers and addresses aside, and how the lines are broken.
  plain = ->(text) { text.split.join(" ").gsub(/0x\h+/, "0x").gsub(/\d[\d,.]*/, "N").gsub(/N [KM]?i?B\b/, "N B") }

  it "print what the first screen of the README shows" do
    shown = pages.fetch("README.md")[%r{^\$ ruby examples/leaky\.rb a\.json b\.json c\.json\n\$ (heap_inspector suspects .*?)^```$}m, 1]
    command, lines = shown.split("\n", 2)
    out, status = Open3.capture2e("#{@folder}/bin/#{command}", chdir: @folder)
    expect(status).to be_success, out
    parts = lines.split(/^\.\.\.$/).map(&plain).reject(&:empty?)
    expect(parts.join.length).to be > 400
    rest = plain[out]
    parts.each do |part|
      expect(rest).to include(part)
      rest = rest.split(part, 2).last
    end
  end

  it "say of --redact what is kept, and not that it is left out" do
    told = pages.slice("README.md", "SECURITY.md", "docs/production.md", "docs/dump-format.md", "docs/faq.md")
    help = %w[redact dump].to_h { |name| [name, Open3.capture2e("#{@folder}/bin/heap_inspector", name, "--help").first] }
    told.merge(help).each do |name, text|
      about = text.split(/\n{2,}|^ *- /).grep(/redact|others\s+of\s+the(ir| same)\s+length/i).join("\n")
      expect(about).to match(/symbols/i), name
      expect(about).to match(/keys of\s+hashes|\[12\]/), name
      expect(text).not_to match(/leaves values of strings, symbols/), name
    end
  end

  it "are many, and each reason not to run one is for some" do
    expect(commands.size).to be > 50
    expect(not_run.keys.reject { |pattern| commands.any? { |_, line| line.match?(pattern) } }).to eq([]), "reasons for nothing"
  end

  commands.each do |page, line|
    reason = not_run.find { |pattern, why| why && line.match?(pattern) }&.last
    next if reason

    it "run: #{page}: #{line}" do
      written = "rm -f *.heapsnapshot *.pb.gz *.speedscope.json new.json summaries/heap.parquet; rm -rf snapshots tables"
      script = "#{written}\n#{line.gsub("0x7f1386ee2a78", @address).sub(/ \.\.\.\z/, "")}"
      path = ["#{@folder}/bin", "#{Helpers::ROOT}/tmp/fleet/bin", ENV.fetch("PATH")].join(":")
      is_asked = line.match?(/\Aheap_inspector fleet(?!.*--sql\s*$)/)
      if is_asked && !system({ "PATH" => path }, "bash", "-c", "command -v duckdb", out: IO::NULL)
        lacking "there is no duckdb, which bin/setup --test installs"
      end
      # What goes into somebody's own folders goes into others.
      home = { "HOME" => "#{@folder}/home" } if line.include?("~/")
      out, status = Open3.capture2e({ "PATH" => path, **home.to_h }, "bash", "-c", script, chdir: @folder)
      # The same dumps twice are no fix, which `verify` says by its code, or that dumps by Ruby itself do not tell.
      expect(status.exitstatus).to eq(0).or(satisfy { |code| line.include?("verify") && code < 3 && out.match?(/outcome/i) }), out
    end
  end
end
