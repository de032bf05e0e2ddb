# frozen_string_literal: true

module HeapInspector
  # What a process did, and what of it should be gone and is not, in words: what `trace PID status` prints below how tracing stands.
  #
  # @api private
  module WorkStatus
    # @param status [Hash] what the agent said
    # @return [Array<String>]
    def self.lines(status)
      work = counts(status["work"])
      left = counts(status.dig("uncollected", "left"))
      [work && "counted #{work}", left && "holds what should be gone: #{left}; a dump tells who holds it"].compact
    end

    def self.counts(counts)
      told = (counts || {}).map { |name, count| "#{Size.count(count)} #{Escape.terminal(name)}" }
      told.join(", ") if told.any?
    end
    private_class_method :counts
  end

  private_constant :WorkStatus
end
