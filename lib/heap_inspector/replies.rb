# frozen_string_literal: true

require_relative "extension_gems"
require_relative "memory"

module HeapInspector
  # What an agent may say: the shapes of its replies. Whoever asks need not trust it, so a reply of another shape is none.
  #
  # @api private
  module Replies
    # What a number of bytes, seconds or collections stays below.
    MOST = 1 << 53
    # Seconds since 1970, until the year 9999.
    TIMES = (0..253_402_300_799)

    whole = ->(value) { value.is_a?(Integer) && value.between?(0, MOST) }
    seconds = ->(value) { value.is_a?(Numeric) && value.between?(0, MOST) }
    text = ->(value) { value.is_a?(String) && value.valid_encoding? }
    flag = ->(value) { [true, false].include?(value) }
    maybe = ->(shape) { ->(value) { value.nil? || shape.call(value) } }
    tracer = lambda do |value|
      numbers = %w[every seen samples live sites stacks memory lost cpu seconds]
      value.is_a?(Hash) && text.call(value.fetch("mode", "")) && value.values_at(*numbers).all?(&maybe.call(seconds)) &&
        maybe.call(text).call(value["fallback"])
    end
    counts = ->(value) { value.is_a?(Hash) && value.size <= 32 && value.keys.all?(&text) && value.values.all?(&whole) }
    uncollected = lambda do |value|
      value.is_a?(Hash) && value.values_at("waiting", "skipped").all?(&whole) && counts.call(value["left"])
    end
    status = {
      "pid" => whole, "version" => text, "ruby" => text, "worker" => maybe.call(whole), "tracing" => flag, "daemon" => maybe.call(flag),
      "tracing_since" => maybe.call(->(value) { value.is_a?(Integer) && TIMES.cover?(value) }),
      "tracer" => maybe.call(tracer), "work" => maybe.call(counts), "uncollected" => maybe.call(uncollected)
    }

    short = ->(value) { text.call(value) && value.length <= 400 }
    row = lambda do |value|
      value.is_a?(Hash) && short.call(value["name"]) && whole.call(value["bytes"]) && flag.call(value["named"]) && short.call(value["by"])
    end
    facts = ->(value) { value.is_a?(Hash) && value.values_at(*MemoryTold::FACTS).all?(&maybe.call(seconds)) }
    # What older agents do not tell.
    gems = lambda do |value|
      value.nil? || (value.is_a?(Array) && value.size <= ExtensionGems::MOST &&
        value.all? { |name| text.call(name) && name.match?(ExtensionGems::NAME) })
    end
    memory = { "pid" => whole, "time" => seconds, "rss" => whole, "allocator" => maybe.call(short), "missing" => maybe.call(text),
               "work" => maybe.call(counts), "extensions" => gems,
               "facts" => facts, "rows" => ->(value) { value.is_a?(Array) && value.size <= 200 && value.all?(&row) } }
    look = lambda do |value|
      value.is_a?(Hash) && memory.all? { |name, shape| shape.call(value[name]) } &&
        value["rows"].sum { |each| each["bytes"] } == value["rss"]
    end

    # The values that each verb's answer has, and what they must be; without a name the whole answer.
    ANSWERS = {
      memory: { nil => look },
      trim: { "before" => look, "after" => look, "compacted" => maybe.call(flag), "trimmed" => maybe.call(flag), "gc_seconds" => seconds,
              "seconds" => seconds },
      status: status, trace: status, summarize: { "bytes" => whole }, profile: { "bytes" => whole, "samples" => whole, "serial" => whole },
      dump: { "bytes" => whole, "compressed_bytes" => ->(value) { whole.call(value) && value.positive? }, "fork_seconds" => seconds,
              "gc_seconds" => seconds, "seconds" => seconds, "write_seconds" => maybe.call(seconds),
              "wait_seconds" => maybe.call(seconds), "lost" => whole, "fallback" => maybe.call(text) }
    }.freeze

    private_constant :MOST, :TIMES, :ANSWERS

    # @param reply [Hash]
    # @param verb [Symbol] what was asked
    # @param ready [Boolean] whether the agent may ask for the file of a dump
    # @return [Symbol, nil] `:ok`, `:error`, `:progress`, `:ready`; nil where it is none of them
    def self.sort(reply, verb, ready: false)
      case reply.keys
      when ["ok"] then :ok if answer?(reply["ok"], ANSWERS.fetch(verb))
      when ["error"], %w[error class] then :error if reply["error"].is_a?(String) && reply["error"].valid_encoding?
      when ["progress"] then :progress if %i[dump summarize].include?(verb) && bytes?(reply["progress"])
      when ["ready"] then :ready if %i[dump profile summarize].include?(verb) && ready && reply["ready"] == true
      end
    end

    def self.bytes?(number) = number.is_a?(Integer) && number.between?(0, MOST)
    private_class_method :bytes?

    def self.answer?(answer, shapes)
      answer.is_a?(Hash) && shapes.all? { |name, shape| shape.call(name ? answer[name] : answer) }
    end
    private_class_method :answer?
  end

  private_constant :Replies
end
