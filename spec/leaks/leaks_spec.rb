# frozen_string_literal: true

require_relative "corpus"

RSpec.describe "heap_inspector suspects" do
  programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks"))
  command = Leaks::Command.new
  verdicts = Hash.new { |all, program| all[program] = Leaks::Verdict.new(program, command) }

  before(:all) { Leaks::Program.run(programs) }

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
end
