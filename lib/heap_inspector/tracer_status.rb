# frozen_string_literal: true

module HeapInspector
  # How a process's tracing stands, in words: what `trace` prints.
  #
  # @api private
  module TracerStatus
    # @param status [Hash] what the agent said
    # @param cost [Boolean] whether to tell what it costs
    # @return [String]
    def self.text(status, cost: false)
      return "does not trace allocations" unless status["tracing"]

      tracer = status["tracer"] || {}
      fallback = tracer["fallback"] && "since #{Escape.terminal(tracer["fallback"])}"
      [what(tracer), cost ? cost(tracer) : nil, fallback].compact.join("; ")
    end

    def self.what(tracer)
      case tracer["mode"]
      when "full" then "traces every allocation, one of #{tracer["every"]} with its stack"
      when "sampled" then "traces one allocation of #{tracer["every"]}, with its stack"
      when "continuous" then "traces one allocation of #{tracer["every"]} in short windows, with its stack"
      when "ruby" then "traces every allocation by Ruby's own tracer"
      else "traces allocations"
      end
    end

    def self.cost(tracer)
      return unless tracer["samples"]

      said = %w[samples live sites].zip(["samples", "objects alive", "sites"]).map { |key, word| "#{Size.count(tracer[key])} #{word}" }
      said.push("#{Size.mebibytes(tracer["memory"])} of memory", format("%.1f %% of its CPU time", 100 * tracer["cpu"].to_f))
      said << "#{Size.count(tracer["lost"])} lost" if tracer["lost"].to_i.positive?
      said.join(", ")
    end
    private_class_method :what, :cost
  end

  private_constant :TracerStatus
end
