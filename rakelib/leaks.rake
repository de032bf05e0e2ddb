# frozen_string_literal: true

namespace :leaks do
  desc "Run the planted leaks and keep what `heap_inspector suspects` finds in docs/leaks.md, and the fingerprints in spec/leaks"
  task :table do
    require_relative "../spec/leaks/corpus"
    require_relative "../spec/leaks/faults"

    programs = Leaks::Program.named
    Leaks::Program.run(programs.reject(&:fresh?))
    verdicts = programs.map { |program| Leaks::Verdict.new(program, Leaks::Command.new) }
    unanswered = verdicts.filter_map(&:unanswered).uniq
    abort "no table without all answers: #{unanswered.join("; ")}" if unanswered.any?

    File.write("docs/leaks.md", <<~MARKDOWN)
      # Planted leaks

      What `heap_inspector suspects` says of the programs in `spec/leaks/programs`, each of which leaks in its own way, or only looks
      as if it did (`none_…`). A program dumps its heap three times as it works. A leak is found where a suspect names holder, class and
      line; the table has the rank in the list, which with three dumps must be the first (or the second, for the lighter of two leaks)
      and with the last dump alone one of the first #{Leaks::Verdict::FIRST}. Made by `rake leaks:table`, on Ruby #{RUBY_VERSION}, with every
      allocation traced (`full`) and dumps of our own. Those of Ruby's `ObjectSpace.dump_all` name no constants and variables: of them the
      holder told is the class or module alone (`Audit`, not `Audit::EVENTS`), and `root global_tbl` for a global variable; faulty references
      have no names of constants, variables and methods either.

      #{Leaks::Table.of(verdicts)}

      ## Of samples

      With one allocation of 512 traced (`sampled`), the first suspect of three dumps is also right in holder, class and line, and nothing is
      said of the harmless programs, where enough was sampled: `spec/leaks/sampled_spec.rb` lets the programs do 8,000 requests between
      dumps, so that of what leaks 31 samples are expected where each request leaves one object, and fewer where a program would need too
      much of the machine (threads: 12). One sample names the line of all objects of its class that one place holds. With n new objects the
      odds that none was sampled are 0.998ⁿ: 31 % of the 600 that the 300 requests above leave, 0.3 % of 3,000, none in a million of 7,100.
      Where none was, holder and class are told as always, and the line is that of the constant which holds the place, if one does and the
      dump is ours.

      What grows in one object, as a hash of numbers or a text, has one chance in 512 to be traced, however large it gets: Ruby tells a
      tracer of the object, not of the memory that it takes later. So the line of `integer_counters` and `string_buffer` is known by their
      constants, and `longer_string`, a variable of a class whose one text each request replaces by a longer one, is the one that `sampled`
      misses: its line always, and the leak itself in some runs, where the text lies at the address of another that was there. `full` tells
      it.
    MARKDOWN
    fingerprints = verdicts.select { |verdict| verdict.program.leaky? }.to_h do |verdict|
      [verdict.program.name, verdict.fingerprints_by_holder]
    end
    File.write(Leaks::FINGERPRINTS, "#{JSON.pretty_generate(fingerprints)}\n")
    puts "docs/leaks.md: #{verdicts.count(&:right?)} of #{verdicts.size} right"
  end
end
