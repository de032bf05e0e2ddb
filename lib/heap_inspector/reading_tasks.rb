# frozen_string_literal: true

# `rake heap:suspects`, `heap:top` and so on: a task for each question of {HeapInspector::Questions}, which answers as the command of its
# name does. Behind the dump stands the command's word, if it has one, else the value of `--by`; the other options are in the environment,
# as BY, LINES, SORT, WHERE, FORMAT.

require "heap_inspector"
require "rake"

module HeapInspector
  # A Rake task that asks a question.
  #
  # @api private
  class ReadingTask
    include Rake::DSL

    # @return [Array<ReadingTask>] one for each question
    def self.all
      Questions::LIST.map { |question| new(question) }
    end

    # @param question [Hash] of {Questions::LIST}
    def initialize(question)
      @question = question
    end

    # @return [Symbol]
    def name
      @question[:name].to_sym
    end

    # @return [Array<Symbol>] the names of its arguments; of several dumps what follows is dumps, too
    def arguments
      return [:dump] if several? || !(word || by?)

      [:dump, word ? word[:value].downcase.to_sym : :key]
    end

    # @return [String]
    def description
      options = names.map { |name| variable(name) }
      "#{@question[:about]}: rake '#{usage}'#{"; #{options.join(", ")} of the environment are its options" if options.any?}"
    end

    # Makes it a task of Rake's.
    #
    # @return [void]
    def define
      namespace :heap do
        desc description
        task(name, arguments) { |_, words| run(words.values_at(*arguments) + words.extras) }
      end
    end

    # Runs the command.
    #
    # @param words [Array<String>] the task's arguments
    # @return [void]
    def run(words)
      dumps, others = several? ? [words, []] : [words.first(1), words.drop(1).compact]
      options = names.to_h { |name| [name, ENV.fetch(variable(name), nil)] }.compact
      others, options = placed(others.first, options)
      abort "Usage: rake '#{usage}'" unless dumps.compact.size >= @question[:dumps].begin && enough?(others, options)

      code = CommandLine.run([name.to_s, *options.flat_map { |key, value| option(key, value) }, *dumps.compact, *others])
      exit(code) unless code.zero?
    end

    private

    def several?
      @question[:dumps].end.nil?
    end

    def word
      @question[:word]
    end

    def by?
      @question[:options].key?(:by)
    end

    def names
      @question[:options].keys
    end

    def variable(name)
      name.to_s.upcase.tr("-", "_")
    end

    # What stands in place of an address is no address: the first of the options that may.
    def placed(other, options)
      return [[], options] if other.nil?
      return [[], options.merge(by: other)] unless word

      instead = word[:instead].first
      return [[other], options] if instead.nil? || other.match?(/\A0x\h+\z/i)

      [[], options.merge(instead.to_sym => other)]
    end

    def enough?(others, options)
      word.nil? || !word[:needed] || others.any? || word[:instead].any? { |name| options.key?(name.to_sym) }
    end

    def option(name, value)
      return value.match?(/\A(0|false|no|off|)\z/i) ? [] : ["--#{name}"] if @question[:options][name] == false

      ["--#{name}=#{value}"]
    end

    def usage
      dumps = several? ? "a.json,b.json,c.json" : "heap.json"
      dumps += ",--,d.json,e.json,f.json" if @question[:behind]
      behind = word ? [word[:value], *word[:instead].first(1).map(&:upcase)].join("|") : "KEY"
      "heap:#{name}[#{[dumps, (behind if arguments.size > 1)].compact.join(",")}]"
    end
  end

  private_constant :ReadingTask
  ReadingTask.all.each(&:define)
end
