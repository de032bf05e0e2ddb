# frozen_string_literal: true

# Prints the table of the planted leaks, and what is wrong, with dumps of the last run where they are fresh:
# `ruby spec/leaks/run.rb [--command PATH] [--dumps DIR] [--fresh] [NAME…]`. Exits with 1 if something is wrong.
require "optparse"
require_relative "corpus"

options = { command: Leaks::Command::PATH, dumps: File.join(Leaks::ROOT, "tmp/leaks") }
OptionParser.new do |parser|
  parser.on("--command PATH", "heap_inspector to ask")
  parser.on("--dumps DIR", "where the dumps are kept")
  parser.on("--fresh", "make all dumps again")
end.parse!(into: options)

programs = Leaks::Program.all(options[:dumps])
programs.select! { |program| ARGV.include?(program.name) } if ARGV.any?
Leaks::Program.run(programs.reject { |program| program.fresh? && !options[:fresh] })
command = Leaks::Command.new(options[:command])
verdicts = programs.map { |program| Leaks::Verdict.new(program, command) }
puts Leaks::Table.of(verdicts), ""
verdicts.each do |verdict|
  wrong = verdict.unanswered || (verdict.three_dumps + verdict.one_dump.map { |text| "one dump: #{text}" }).join("; ")
  puts "#{verdict.program.name}: #{wrong}" unless wrong.empty?
end
puts "#{verdicts.count(&:right?)} of #{verdicts.size} right"
exit verdicts.all?(&:right?)
