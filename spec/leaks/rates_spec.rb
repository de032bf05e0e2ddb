# frozen_string_literal: true

require_relative "corpus"

# Growth for each request, where the programs count theirs: what is told against what lies in the dumps.
RSpec.describe "The growth for each request that heap_inspector suspects tells" do
  command = Leaks::Command.new
  env = { "LEAKS_TRACER" => "full", "LEAKS_COUNT" => "1" }
  programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks")).select(&:leaky?)
  programs = Leaks::Program.some(programs.map(&:name), File.join(Leaks::ROOT, "tmp/leaks/counted"), env)

  before(:all) do
    lacking command.missing if command.missing
    lacking Helpers.tracer_missing if Helpers.tracer_missing
    Leaks::Program.run(programs)
  end

  # By how much something grew for each request, from the first dump to the last.
  def each(program)
    (yield(program.dumps.last) - yield(program.dumps.first)) / (2.0 * program.requests)
  end

  near = 0.05

  programs.each do |program|
    it "is within 5 % of the truth: #{program.name}" do
      lacking program.missing if program.missing
      all = command.suspects(*program.dumps)
      program.leaks.each do |leak|
        suspect = all.find { |one| leak.holder?(one["holder"]) }
        expect(suspect).to include("unit" => "requests", "work" => 2 * program.requests)
        if suspect["count"] == 1 # a text or table that grows by itself: letters, or entries of three words
          truth = each(program) { |dump| command.fill(leak, dump) } * (suspect["class"] == "Hash" ? 24 : 1)
          expect(suspect["memsize_per_unit"]).to be_within(truth * near).of(truth)
        else
          truth = each(program) { |dump| command.count(suspect["class"], suspect["location"], dump) }
          expect(suspect["count_per_unit"]).to be_within(truth * near).of(truth)
        end
        expect(truth).to be > 0
      end
    end
  end
end
