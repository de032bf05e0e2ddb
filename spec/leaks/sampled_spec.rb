# frozen_string_literal: true

require_relative "corpus"

# What is known when one allocation of 512 is traced, as a process in production is. The leaking programs run for so long that something
# of each leak was sampled (LEAKS_LONG in harness.rb), the harmless ones as they were made, where their numbers look like a leak.
RSpec.describe "heap_inspector suspects of sampled allocations" do
  command = Leaks::Command.new
  all = Leaks::Program.all(nil)
  dir = File.join(Leaks::ROOT, "tmp/leaks/sampled")
  # Not told but by chance: a text that each request replaces by a longer one. At any time it is one object, of which one in 512 is traced,
  # and where it lies at the address of another String that was there it is taken for that one.
  missed = %w[longer_string]
  run = lambda do |program|
    lacking command.missing || Helpers.tracer_missing if command.missing || Helpers.tracer_missing
    program.run
    lacking program.missing if program.missing
    suspects = command.suspects(*program.dumps)
    [program.leaks, suspects, program.at_most]
  ensure
    program.clear # hundreds of megabytes
  end

  all.select { |program| program.leaky? && !missed.include?(program.name) }.each do |program|
    it "name holder, class and line of a leak: #{program.name}", :slow do
      env = { "LEAKS_TRACER" => "sampled", "LEAKS_LONG" => "1" }
      leaks, suspects, = instance_exec(Leaks::Program.new(program.name, dir, env), &run)
      wrong = leaks.zip(suspects).map { |leak, suspect| suspect ? leak.errors(suspect) : [:missing] }
      expect(wrong).to all(be_empty), suspects.first(2).map { |suspect| suspect.slice("holder", "class", "location", "steps") }.inspect
      expect(suspects.first["steps"]).to all(be >= 4096)
    end
  end

  all.reject(&:leaky?).each do |program|
    it "say nothing of a harmless program: #{program.name}" do
      _, suspects, at_most = instance_exec(Leaks::Program.new(program.name, dir, { "LEAKS_TRACER" => "sampled" }), &run)
      above = suspects.select { |suspect| Leaks::Verdict.above?(suspect["confidence"], at_most) }
      expect(above.map { |suspect| suspect.slice("holder", "class", "confidence", "reasons") }).to eq([])
    end
  end
end
