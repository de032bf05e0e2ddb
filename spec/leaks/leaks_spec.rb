# frozen_string_literal: true

require_relative "corpus"
require_relative "faults"

RSpec.describe "heap_inspector suspects" do
  programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks"))
  command = Leaks::Command.new
  verdicts = Hash.new { |all, program| all[program] = Leaks::Verdict.new(program, command) }

  # One of each way to hold: a list, a hash, blocks, a linked list, a set, variables of many objects, Ruby's own structures.
  again = { traced_by_none: { "LEAKS_TRACER" => "none" }, compacted: { "LEAKS_TRACER" => "none", "LEAKS_COMPACT" => "1" } }
  samples = %w[constant_array service_object closure_callbacks linked_list_tail growing_set instance_variables suspended_fibers]
  others = again.to_h { |way, env| [way, Leaks::Program.some(samples, File.join(Leaks::ROOT, "tmp/leaks/again/#{way}"), env)] }

  before(:all) { Leaks::Program.run(programs + others.values.flatten) }

  after(:all) do
    RSpec.configuration.reporter.message("\n#{Leaks::Table.of(verdicts.values)}\n") unless verdicts.empty?
  end

  programs.each do |program|
    describe program.name do
      it "is answered rightly from three dumps" do
        lacking verdicts[program].unanswered if verdicts[program].unanswered
        expect(verdicts[program].three_dumps).to be_empty
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
    told = programs.select(&:leaky?).reject { |program| verdicts[program].unanswered }
    lacking command.missing if told.empty?
    fingerprints = told.flat_map { |program| verdicts[program].fingerprints }
    expect(fingerprints).to all(match(/\Aleak-\h{6}\z/))
    expect(fingerprints.tally.select { |_, count| count > 1 }).to be_empty
  end

  others.each do |way, runs|
    runs.each do |run|
      it "gives #{run.name} the same fingerprint in another process, #{way}" do
        lacking command.missing if command.missing
        program = programs.find { |other| other.name == run.name }
        expect(Leaks::Verdict.new(run, command).fingerprints_by_holder).to eq verdicts[program].fingerprints_by_holder
      end
    end
  end
end
