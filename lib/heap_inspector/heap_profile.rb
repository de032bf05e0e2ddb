# frozen_string_literal: true

require "json"
require_relative "native"

module HeapInspector
  # What is alive in this process by the stack that allocated it, as the tracer's samples tell; see {HeapInspector.heap_profile}.
  class HeapProfile
    # The forms it can be written in, and the ends of files that ask for them.
    FORMATS = { pprof: %w[.pb.gz .pprof], folded: %w[.folded .txt], flamegraph: %w[.svg], json: %w[.json] }.freeze

    # @param path [String]
    # @return [Symbol] the form that the end of a file's name asks for, pprof where it asks for none
    def self.format_of(path)
      FORMATS.find { |_, ends| ends.any? { |ending| path.end_with?(ending) } }&.first || :pprof
    end

    # @api private
    # @param taken [TakenProfile]
    def initialize(taken)
      @taken = taken
    end

    # @return [Integer] the number of the last sample, for `since`
    def serial = @taken.serial

    # @return [String] bytes of pprof's form, compressed by gzip: for `go tool pprof`, Pyroscope, speedscope, Perfetto
    def to_pprof = @taken.render("pprof")

    # @return [String] folded stacks, a line each with the bytes alive
    def to_folded = @taken.render("folded")

    # @return [String] SVG
    # @raise [Error] where nothing of what was sampled is alive
    def to_flamegraph = @taken.render("flamegraph")

    # @return [String] frames and rows
    def to_json(*) = @taken.render("json")

    # @return [Hash{String => Object}]
    def to_h = JSON.parse(to_json)

    # @param format [Symbol, String] one of {FORMATS}
    # @return [String]
    # @raise [ArgumentError] if the form is unknown
    def render(format)
      raise ArgumentError, "unknown format #{format.inspect}: expected #{FORMATS.keys.join(", ")}" unless FORMATS.key?(format.to_s.to_sym)

      @taken.render(format.to_s)
    end

    # Writes it to a file of mode 0600, which has its name when it is whole.
    #
    # @param path [String, Pathname]
    # @param format [Symbol, String, nil] by default what the name's end asks for
    # @return [String] the path
    def write(path, format: nil)
      path = File.path(path)
      bytes = render(format || self.class.format_of(path))
      WholeFile.create(path) { |file, _| file.write(bytes) }
      path
    end

    # @return [String]
    def inspect = "#<#{self.class} of #{serial} samples>"
    alias to_s inspect
  end
end
