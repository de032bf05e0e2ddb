# frozen_string_literal: true

module HeapInspector
  # Makes what others wrote harmless for a terminal: process titles, messages of agents, names of files. The same rule and the same words
  # as the reading half's `view/escape.rs`, by Unicode property, since the half in a living process loads no extension for a list.
  #
  # @api private
  module Escape
    # Controls, format characters (they reorder or hide what stands around them), private, surrogate and unassigned ones, line and
    # paragraph separators, and what fonts are to draw as nothing.
    HOSTILE = /[\p{C}\p{Zl}\p{Zp}]|\p{Default_Ignorable_Code_Point}/

    # What has a shorter name.
    NAMED = { "\n" => "\\n", "\r" => "\\r", "\t" => "\\t", "\e" => "\\e" }.freeze

    private_constant :HOSTILE, :NAMED

    class << self
      # @param text [String]
      # @return [String] in UTF-8, with hostile characters as Ruby writes them: `\n`, `\u{202e}`
      def terminal(text)
        utf8(text).gsub(HOSTILE) { |letter| NAMED[letter] || format("\\u{%<code>x}", code: letter.ord) }
      end

      # @param json [String] JSON over several lines
      # @return [String] the same values, with hostile characters of its strings as JSON escapes
      def json(json)
        json.gsub(HOSTILE) do |letter|
          letter == "\n" ? letter : letter.encode(Encoding::UTF_16BE).unpack("n*").map { |unit| format("\\u%<unit>04x", unit: unit) }.join
        end
      end

      private

      # What comes from the system says it is in the locale's encoding, whatever it is in.
      def utf8(text)
        text = text.dup.force_encoding(Encoding::UTF_8) if [Encoding::US_ASCII, Encoding::BINARY].include?(text.encoding)
        text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace, replace: "?").scrub("?")
      end
    end
  end

  private_constant :Escape
end
