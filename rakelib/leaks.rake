# frozen_string_literal: true

namespace :leaks do
  desc "Run the planted leaks and keep what `heap_inspector suspects` finds in docs/leaks.md, and the fingerprints in spec/leaks"
  task :table do
    require_relative "../spec/leaks/corpus"
    require_relative "../spec/leaks/faults"

    programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks"))
    Leaks::Program.run(programs.reject(&:fresh?))
    verdicts = programs.map { |program| Leaks::Verdict.new(program, Leaks::Command.new) }
    unanswered = verdicts.filter_map(&:unanswered).uniq
    abort "no table without all answers: #{unanswered.join("; ")}" if unanswered.any?

    File.write("docs/leaks.md", <<~MARKDOWN)
      # Planted leaks

      What `heap_inspector suspects` says of the programs in `spec/leaks/programs`, each of which leaks in its own way, or only looks
      as if it did (`none_…`). A program dumps its heap three times as it works. A leak is found where a suspect names holder, class and
      line; the table has the rank in the list, which with three dumps must be the first (or the second, for the lighter of two leaks)
      and with the last dump alone one of the first #{Leaks::Verdict::FIRST}. Made by `rake leaks:table`, on Ruby #{RUBY_VERSION}.

      #{Leaks::Table.of(verdicts)}
    MARKDOWN
    fingerprints = verdicts.select { |verdict| verdict.program.leaky? }.to_h do |verdict|
      [verdict.program.name, verdict.fingerprints_by_holder]
    end
    File.write(Leaks::FINGERPRINTS, "#{JSON.pretty_generate(fingerprints)}\n")
    puts "docs/leaks.md: #{verdicts.count(&:right?)} of #{verdicts.size} right"
  end
end
