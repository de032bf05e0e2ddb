# frozen_string_literal: true

require "heap_inspector/heap"

module HeapInspector
  # A leak in dumps from before a fix and from after it.
  class VerifiedLeak < Value
    # @!attribute [r] fingerprint
    #   @return [String] its short name, the same in each of its dumps: `"leak-3f9a1c"`
    # @!attribute [r] path
    #   @return [String] its normalised path: the classes from what holds it to what piles up
    # @!attribute [r] class_name
    #   @return [String] the class of what piles up
    # @!attribute [r] before
    #   @return [WorkRate] growth for each request, or whatever both processes counted, else for each second, before the fix
    # @!attribute [r] after
    #   @return [WorkRate] and after it
    # @!attribute [r] fate
    #   @return [Symbol] `:fixed`, `:better`, `:unchanged`, `:worse`, or `:new` for one that was not there before
    fields :fingerprint, :path, :class_name, :before, :after, :fate

    # @return [Float, nil] the part of its growth that is gone, 0.0 to 1.0; nil where it grows more
    def gone
      part = 1.0 - (after.memsize / before.memsize)
      part.clamp(0.0, 1.0) if before.memsize.positive? && part >= 0.0
    end
  end

  # Whether a leak is fixed, by dumps from before a fix and from after it. An Enumerable of {VerifiedLeak}, new ones last. An answer of
  # {HeapInspector.verify}.
  #
  # @example
  #   HeapInspector.verify(%w[a.json b.json c.json], %w[d.json e.json f.json]).fixed? # => true
  class Verification < Rows
    # @return [Symbol] `:fixed`: every leak is gone and no new one there; `:not_fixed`; or `:cannot_tell`, the {#reasons} of which say why
    attr_reader :outcome

    # @return [String] what became of the leaks that are not fixed, as `"better by 94 %"`; empty where there are none
    attr_reader :details

    # @return [Array<String>] why the dumps do not tell, and what to measure; empty where they do
    attr_reader :reasons

    # Does what {HeapInspector.verify} says.
    #
    # @param before [Array<Heap, String, Pathname, IO, #read>]
    # @param after [Array<Heap, String, Pathname, IO, #read>]
    # @param leak [String, nil]
    # @param options [Hash] see {HeapInspector.analyze}
    # @return [Verification]
    # @raise (see HeapInspector.verify)
    def self.of(before, after, leak: nil, **options)
      series = [before, after].map { |dumps| dumps.is_a?(Array) ? dumps : [dumps] }
      raise ArgumentError, "there are two series: dumps from before the fix, and from after it" if series.any?(&:empty?)

      raise TypeError, "leak: expected a fingerprint, got #{leak.inspect}" unless leak.nil? || leak.is_a?(String)

      leak &&= Where.text(leak)
      heaps = series.flatten(1).map { |dump| dump.is_a?(Heap) ? dump : Heap.load(dump, **options) }
      new(heaps, series.last.size, leak)
    end

    # @api private
    def initialize(heaps, after, leak)
      super()
      answer = Native.verify(heaps, after, leak)
      @document, @details = answer.values_at(:document, :details)
      @outcome, @reasons, leaks = answer[:verification].values_at(:outcome, :reasons, :leaks)
      @leaks = leaks.map { |one| leak(one) }.freeze
      freeze
    end

    # @return [Boolean] whether every leak is gone and no new one there
    def fixed?
      outcome == :fixed
    end

    private

    def rows
      @leaks
    end

    def leak(leak)
      VerifiedLeak.of(leak, class_name: leak[:class], before: WorkRate.of(leak[:before]), after: WorkRate.of(leak[:after]))
    end

    def about
      [outcome.to_s.tr("_", " "), (Native.escape(details) unless details.empty?)].compact.join(": ")
    end
  end
end
