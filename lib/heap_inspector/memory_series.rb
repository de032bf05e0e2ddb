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
        rows_per_minute: slopes, diagnosis: diagnosis }
    end

    private

    # Least squares.
    def slope
      start = @looks.first.time
      points = @looks.map { |look| [(look.time - start) / 60, yield(look)] }
      x, y = points.transpose.map { |values| values.sum.fdiv(values.size) }
      spread = points.sum { |at, _| (at - x)**2 }
      spread.zero? ? 0.0 : points.sum { |at, value| (at - x) * (value - y) } / spread
    end
  end

  private_constant :MemorySeries
end
