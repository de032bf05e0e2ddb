# frozen_string_literal: true

require_relative "corpus"
require_relative "faults"

RSpec.describe "heap_inspector suspects" do
  programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks"))
  command = Leaks::Command.new
  verdicts = Hash.new { |all, program| all[program] = Leaks::Verdict.new(program, command) }
  # The same by our own tracer and dumper, which name constants and variables.
  named = Leaks::Program.named.to_h { |program| [program.name, program] }

  # The same leaks in other processes, and without the values of strings.
  again = { "untraced" => { "LEAKS_TRACER" => "none" }, "compacted between" => { "LEAKS_TRACER" => "none", "LEAKS_COMPACT" => "1" } }
  leaky = programs.select(&:leaky?)
  others = again.to_h { |way, env| [way, Leaks::Program.some(leaky.map(&:name), File.join(Leaks::ROOT, "tmp/leaks/again/#{way}"), env)] }
  others["redacted"] = leaky.map { |program| Leaks::Redacted.new(program, command) }

  before(:all) do
    Leaks::Program.run(programs + others.values_at(*again.keys).flatten)
    Leaks::Program.run(named.values) unless Helpers.tracer_missing
    Leaks::Program.run(others["redacted"]) unless command.missing
  end

  after(:all) do
    told = verdicts.slice(*named.values).values
    RSpec.configuration.reporter.message("\n#{Leaks::Table.of(told)}\n") if told.any?
  end

  programs.each do |program|
    describe program.name do
      it "is answered rightly from three dumps" do
        lacking verdicts[program].unanswered if verdicts[program].unanswered
        expect(verdicts[program].three_dumps).to be_empty
      end

      it "is answered rightly from dumps of our own, the holder by its constant or variable" do
        lacking Helpers.tracer_missing if Helpers.tracer_missing
        verdict = verdicts[named.fetch(program.name)]
        lacking verdict.unanswered if verdict.unanswered
        expect(verdict.program).to be_named
        expect(verdict.three_dumps + verdict.one_dump).to be_empty
      end

      next unless program.leaky?

      it "has its leak among the first suspects of one dump" do
        lacking verdicts[program].unanswered if verdicts[program].unanswered
        expect(verdicts[program].one_dump).to be_empty
      end

      it "has its faulty reference marked" do
        lacking verdicts[program].unanswered if verdicts[program].unanswered
        expect(verdicts[program].faults).to match Leaks.faults(program.name)
      end

      it "has a true truth: what it says to leak grows from dump to dump" do
        lacking program.missing if program.missing
        grown = program.leaks.map do |leak|
          steps = %i[weigh fill].map do |measure|
            first, second, third = program.dumps.map { |dump| Array(command.public_send(measure, leak, dump)).first }
            [second - first, third - second]
          end
          steps.transpose.map(&:max)
        end
        expect(grown).not_to be_empty
        expect(grown.flatten).to all(be > 1000)
      end
    end
  end

  it "gives different leaks different fingerprints" do
    told = leaky.reject { |program| verdicts[program].unanswered }
    lacking command.missing if told.empty?
    fingerprints = told.flat_map { |program| verdicts[program].fingerprints }
    expect(fingerprints).to all(match(/\Aleak-\h{6}\z/))
    expect(fingerprints.tally.select { |_, count| count > 1 }).to be_empty
  end

  it "gives them the fingerprints that they have in every Ruby" do
    told = leaky.reject { |program| verdicts[program].unanswered }
    lacking command.missing if told.empty?
    fingerprints = told.to_h { |program| [program.name, verdicts[program].fingerprints_by_holder] }
    expect(fingerprints).to eq Leaks.fingerprints.slice(*told.map(&:name))
    expect(Leaks.fingerprints.keys).to eq leaky.map(&:name)
  end

  others.each do |way, runs|
    it "gives each leak the same fingerprint in another process, #{way}" do
      told = runs.reject { |run| run.missing || command.missing }
      lacking command.missing || runs.first.missing if told.empty?
      fingerprints = told.to_h { |run| [run.name, Leaks::Verdict.new(run, command).fingerprints_by_holder] }
      expect(fingerprints).to eq Leaks.fingerprints.slice(*told.map(&:name))
    end
  end
end
