# frozen_string_literal: true

require "tmpdir"
require "yaml"

module HeapInspector
  # Runs a command and compares the memory alive at its end, by gem, with a file of limits.
  #
  # @api private
  class Check
    # Where limits stand.
    FILE = ".heap_inspector.yml"
    # What all gems take together.
    TOTAL = "total"
    # Percent by which a limit may be exceeded.
    TOLERANCE = 10
    # Bytes that are noise.
    FLOOR = 64 << 10

    # A gem beside its limit; nil where there is none.
    Row = Struct.new(:gem, :limit, :memsize, :line, :broken)

    HEADS = ["Memory", "Limit", "Change", "", "Gem"].freeze

    private_constant :Row, :HEADS

    # @param command [Array<String>]
    # @param file [String] of limits
    # @param out [IO]
    def initialize(command, file, out)
      @command = command
      @file = file
      @out = out
    end

    # @param update [Boolean] whether to write what was found as the limits
    # @return [Integer] the exit code: 0, or 1 where a limit is broken or the command failed
    def run(update:)
      limits = update ? {} : limits_of_file
      gems = measured
      return write(gems) if update

      rows = compared(gems, limits)
      @out.puts(table(rows))
      summarize(rows)
      broken = rows.count(&:broken)
      @out.puts(broken.zero? ? "All within their limits." : "#{broken} above the limit. If that is intended: #{again}")
      broken.zero? ? 0 : 1
    end

    private

    def again = "heap_inspector check --update#{" --file #{@file}" unless @file == FILE} -- #{@command.join(" ")}"

    def limits_of_file
      text = File.read(@file)
      found = YAML.safe_load(text)
      unless found.is_a?(Hash) && found["retained"].is_a?(Hash) && found["retained"].values.all?(Integer)
        raise Error, "#{@file} holds no limits (retained: bytes by gem); write it with #{again}"
      end

      found
    rescue Errno::ENOENT
      raise Error, "#{@file} is missing; write it with #{again}"
    rescue Psych::Exception => e
      raise Error, "#{@file} is not valid YAML: #{e.message}"
    end

    # What the command's process says, or of several the one that has most.
    def measured
      Dir.mktmpdir("heap_inspector") do |folder|
        pid = Process.spawn(environment(folder), *@command)
        _, status = Process.wait2(pid)
        raise Error, "the command failed (#{status.to_s.sub(/\Apid \d+ /, "")})" unless status.success?

        found = Dir[File.join(folder, "*.found")].to_h { |path| [File.basename(path, ".found").to_i, ChildRuby.told(path)] }
        raise Error, "the command ran no Ruby to its end" if found.empty?

        chosen = found[pid] || found.values.max_by { |one| one.fetch(:gems, {}).sum { |_, sums| sums[:memsize] } }
        chosen.fetch(:gems) { raise Error, chosen[:error] }
      end
    rescue Errno::ENOENT, Errno::EACCES => e
      raise Error, "the command cannot be run: #{e.message}"
    end

    def environment(folder)
      options = ["-rheap_inspector/checked", *ENV.fetch("RUBYOPT", nil)]
      ChildRuby.environment("HEAP_INSPECTOR_CHECK", folder).merge("RUBYOPT" => options.join(" "))
    end

    def write(gems)
      sizes = gems.transform_values { |sums| sums[:memsize] }.select { |_, bytes| bytes >= FLOOR }
      retained = { TOTAL => total(gems), **sizes.sort_by { |gem, bytes| [-bytes, gem] }.to_h }
      text = <<~TEXT
        # Bytes alive at the end of `#{@command.join(" ").gsub(/\s+/, " ")}`, by gem. Write it anew:
        # #{again.gsub(/\s+/, " ")}
        #{YAML.dump({ "tolerance" => TOLERANCE, "retained" => retained }).delete_prefix("---\n")}
      TEXT
      File.write(@file, "#{text.rstrip}\n")
      @out.puts "#{@file}: #{Size.bytes(total(gems))} in #{retained.size - 1} gems"
      0
    end

    def total(gems) = gems.sum { |_, sums| sums[:memsize] }

    def compared(gems, limits)
      allowed = 1 + (Float(limits.fetch("tolerance", TOLERANCE)) / 100)
      known = limits["retained"]
      row = lambda do |gem, memsize, line|
        limit = known[gem]
        least = limit || 0
        Row.new(gem, limit, memsize, line, memsize - least > FLOOR && memsize > least * allowed)
      end
      rows = gems.map { |gem, sums| row.call(gem, sums[:memsize], sums[:line]) }.select { |one| one.limit || one.memsize >= FLOOR }
      gone = (known.keys - gems.keys - [TOTAL]).map { |gem| row.call(gem, 0, nil) }
      all = known.key?(TOTAL) ? [row.call(TOTAL, total(gems), nil)] : []
      all + (rows + gone).sort_by { |one| [one.broken ? 0 : 1, -one.memsize, one.gem] }
    end

    def cells(row)
      percent = 100.0 * (row.memsize - row.limit) / row.limit if row.limit&.positive?
      change = row.limit ? format("%+<percent>d %%", percent: percent.to_f.round) : "new"
      [Size.bytes(row.memsize), row.limit ? Size.bytes(row.limit) : "-", change, row.broken ? "above" : "", Escape.terminal(row.gem)]
    end

    def table(rows)
      lines = [HEADS, *rows.map { |row| cells(row) }]
      widths = lines.transpose.map { |column| column.map(&:size).max }
      lines.map do |line|
        line.zip(widths).each_with_index.map { |(cell, width), at| at < 3 ? cell.rjust(width) : cell.ljust(width) }.join("  ").rstrip
      end
    end

    # For GitHub's page of the job, and beside the app's line.
    def summarize(rows)
      return unless ENV["GITHUB_ACTIONS"]

      broken = rows.select(&:broken)
      ENV["GITHUB_STEP_SUMMARY"]&.then { |path| File.write(path, "#{markdown(rows)}\n", mode: "a") }
      broken.each do |row|
        file, line = row.line&.match(/\A(.*):(\d+)\z/m)&.captures
        place = "file=#{property(file.delete_prefix("#{Dir.pwd}/"))},line=#{line}," if file && row.gem == "app"
        text = "#{row.gem} keeps #{Size.bytes(row.memsize)}, its limit is #{row.limit ? Size.bytes(row.limit) : "not known"}"
        @out.puts "::error #{place}title=Memory above the limit::#{escape(text)}"
      end
    end

    def markdown(rows)
      lines = rows.map { |row| "| #{cells(row).map { |cell| cell.gsub(/[|<>\\`*_\[\]]/) { |letter| "&##{letter.ord};" } }.join(" | ")} |" }
      ["### Memory by gem", "", "| #{HEADS.join(" | ")} |", "|---:|---:|---:|---|---|", *lines].join("\n")
    end

    # As GitHub's workflow commands want it.
    def escape(text) = Escape.terminal(text).gsub("%", "%25")

    def property(text) = escape(text).gsub(":", "%3A").gsub(",", "%2C")
  end

  private_constant :Check
end
