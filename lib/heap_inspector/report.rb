# frozen_string_literal: true

require "io/console"
require "json"

module HeapInspector
  # A finished answer. Prints as the command line does, in all its formats; whatever the dump's texts hold, what is printed holds no
  # control characters. An Enumerable of its rows or facts; frozen, and complete without the heap.
  class Report
    include Enumerable # here, so that to_h below comes before its

    # Columns of text that goes to no terminal.
    PLAIN_WIDTH = 120

    # No terminal is wider.
    MOST_COLUMNS = 65_535

    # Lines that IRB shows; `puts` shows all.
    SHOWN_LINES = 40

    private_constant :PLAIN_WIDTH, :MOST_COLUMNS, :SHOWN_LINES

    # @param width [Integer, nil] columns that no line exceeds; by default the terminal's, 120 where standard output is none
    # @param color [Boolean] whether to colour headings and bars
    # @return [String] aligned tables for a terminal
    # @raise [ArgumentError] if the width is not a number of columns
    def to_s(width: nil, color: false)
      unless width.nil? || (width.is_a?(Integer) && width.between?(1, MOST_COLUMNS))
        raise ArgumentError, "width: expected a number of columns from 1 to #{MOST_COLUMNS} or nil, got #{width.inspect}"
      end

      @document.render("text", width || terminal_width, color ? true : false)
    end

    # @return [String] the JSON object that the command line writes with `--format json`
    def to_json(*)
      @document.render("json", PLAIN_WIDTH, false).chomp
    end

    # @return [String] tables for an issue or a pull request
    def to_markdown
      @document.render("markdown", PLAIN_WIDTH, false)
    end

    # @return [String] the tables alone, for a spreadsheet
    def to_csv
      @document.render("csv", PLAIN_WIDTH, false)
    end

    # @yield with a block it is Enumerable's: from rows to pairs
    # @return [Hash{Symbol => Object}] what {#to_json} says: `schema_version`, `verb`, `dump`, the sections by name, `notes`
    def to_h(&block)
      return super if block

      JSON.parse(to_json, symbolize_names: true, freeze: true)
    end

    # @return [String] a line about the report
    def inspect
      "#<#{self.class} #{about}>"
    end

    # Shows the report's text, as much as fits a screen; IRB prints by this.
    #
    # @param printer [PP]
    # @return [void]
    def pretty_print(printer)
      lines = to_s.lines(chomp: true)
      hidden = lines.size - SHOWN_LINES
      lines = lines.first(SHOWN_LINES) << "... (#{hidden} more lines; puts shows all)" if hidden > 1
      printer.text(inspect)
      lines.each do |line|
        printer.breakable("", 0)
        printer.text(line)
      end
    end

    private

    def terminal_width
      columns = $stdout.tty? && $stdout.respond_to?(:winsize) ? $stdout.winsize.last : 0
      columns.positive? ? columns : PLAIN_WIDTH
    end

    def grouped(number)
      Size.count(number)
    end
  end
end
