# frozen_string_literal: true

require_relative "memory"

module HeapInspector
  # Looks at one process's memory, one after another: which row carries the growth, and how fast.
  #
  # @api private
  class MemorySeries
    # Eighths of a letter's height.
    BARS = "▁▂▃▄▅▆▇█"
    # Points of a sparkline.
    POINTS = 60

    private_constant :BARS, :POINTS

    # @return [Array<Memory>]
    attr_reader :looks

    def initialize
      @looks = []
    end

    # @return [Boolean] whether there is a course to tell of
    def told?
      @looks.size >= 2 && @looks.last.time > @looks.first.time
    end

    # @return [Hash{String => Float}] bytes a minute of each row, by a line through all looks, the fastest first
    def slopes
      names = @looks.flat_map { |look| look.rows.map(&:name) }.uniq
      names.to_h { |name| [name, slope { |look| look.bytes(name) }] }.sort_by { |_, slope| -slope }.to_h
    end

    # @return [Hash{Symbol => Integer}] what the process did between the looks, as it counts that itself, most first
    def work
      counts = counting.map(&:work)
      done = counts.last.to_h.filter_map do |name, count|
        steps = counts.map { |each| each.fetch(name, 0) }
        [name, count - steps.first] if count > steps.first && steps == steps.sort
      end
      done.sort_by { |_, count| -count }.to_h
    end

    # Growth for each request or job: by a line through all looks, over how much was done until each. Of several sorts of work it is the one
    # with which the row that grows fastest goes best, and of those that are as good the one there was the most of.
    #
    # @return [Hash{Symbol => Object}, nil] `unit`, how much of it there was, and bytes for each, of all and by row; nil without any work
    def per_work
      done = work
      row = slopes.first&.first
      unit = done.keys.max_by { |name| similarity(name, row).round(2) } || (return nil)
      at = ->(look) { look.work.fetch(unit, 0) }
      rows = slopes.keys.to_h { |name| [name, line(points(counting, at) { |look| look.bytes(name) })] }
      { unit: unit.to_s, work: done[unit], rss: line(points(counting, at, &:rss)), rows: rows }
    end

    # @return [Float] bytes a minute of the whole
    def slope_of_rss
      slope(&:rss)
    end

    # @return [Array<MemoryDiagnosis>] by the first look and the last
    def diagnosis
      @looks.last.diagnosis(since: @looks.first)
    end

    # @return [String] resident memory over time
    def sparkline
      values = @looks.map(&:rss)
      values = values.each_slice((values.size / POINTS.to_f).ceil).map(&:last)
      least, most = values.minmax
      values.map { |value| BARS[most == least ? 0 : (value - least) * (BARS.size - 1) / (most - least)] }.join
    end

    # @return [Hash]
    def to_h
      slopes = self.slopes.transform_values(&:round)
      { growth: @looks.last.rss - @looks.first.rss, seconds: (@looks.last.time - @looks.first.time).round(1),
        rss_per_minute: slope_of_rss.round, carried_by: slopes.first&.last&.positive? ? slopes.first.first : nil,
        rows_per_minute: slopes, work: work, per_work: per_work_rounded, diagnosis: diagnosis }
    end

    private

    # Bytes of less than one say much where there were many requests.
    def per_work_rounded
      found = per_work || (return nil)
      found.merge(rss: found[:rss].round(1), rows: found[:rows].transform_values { |bytes| bytes.round(1) })
    end

    # Where the agent did not answer the kernel was asked, which counts no requests.
    def counting = @looks.select(&:work)

    def slope(&)
      start = @looks.first.time
      line(points(@looks, ->(look) { (look.time - start) / 60 }, &))
    end

    def points(looks, at) = looks.map { |look| [at.call(look), yield(look)] }

    # Least squares.
    def line(points)
      spread, _, both = spreads(points)
      spread.zero? ? 0.0 : both / spread
    end

    # The correlation of a row with what was done.
    def similarity(unit, row)
      found = points(counting, ->(look) { look.work.fetch(unit, 0) }) { |look| look.bytes(row) }
      of_work, of_row, both = spreads(found)
      product = of_work * of_row
      product.zero? ? 0.0 : both / Math.sqrt(product)
    end

    # Of points: how far they lie apart in the one direction, in the other, and in both together.
    def spreads(points)
      x, y = points.transpose.map { |values| values.sum.fdiv(values.size) }
      points.each_with_object([0.0, 0.0, 0.0]) do |(at, value), sums|
        sums[0] += (at - x)**2
        sums[1] += (value - y)**2
        sums[2] += (at - x) * (value - y)
      end
    end
  end

  private_constant :MemorySeries
end
