# frozen_string_literal: true

require_relative "corpus"

# Growth by path: untraced dumps of three processes, each of which has done more than the one before, and none of them for long.
RSpec.describe "heap_inspector suspects of several processes" do
  command = Leaks::Command.new
  programs = Leaks::Program.all(File.join(Leaks::ROOT, "tmp/leaks"))
  series = programs.map(&:name).to_h do |name|
    runs = [100, 200, 300].map do |rounds|
      env = { "LEAKS_TRACER" => "none", "LEAKS_ROUNDS" => rounds.to_s }
      Leaks::Program.new(name, File.join(Leaks::ROOT, "tmp/leaks/series/#{rounds}"), env)
    end
    [name, runs]
  end
  leaky = programs.select(&:leaky?).map(&:name)
  suspects = Hash.new { |all, name| all[name] = command.suspects(*series[name].map { |run| run.dumps.first }) }

  before(:all) do
    lacking command.missing if command.missing
    Leaks::Program.run(series.values.flatten)
  end

  def told(suspect)
    suspect&.values_at("confidence", "holder", "class")
  end

  it "name holder and class of nine leaks in ten first" do
    asked = leaky.reject { |name| series[name].any?(&:missing) }
    wrong = asked.filter_map do |name|
      first = suspects[name].first
      "#{name}: #{told(first)}" unless first && (series[name].last.leaks.first.errors(first) - [:location]).empty?
    end
    expect(asked.size).to be > 35
    expect(wrong.size).to be <= asked.size / 10, wrong.join("\n")
  end

  (programs.map(&:name) - leaky).each do |name|
    it "believe in nothing where a program is harmless, and say why: #{name}" do
      lacking series[name].first.missing if series[name].first.missing
      expect(suspects[name].reject { |suspect| suspect["confidence"] == "low" }.map { |suspect| told(suspect) }).to eq([])
      why = /fills|filled|much more in one step|smaller than the one before/
      expect(suspects[name].map { |suspect| suspect["reasons"].first }).to all(match(why))
    end
  end
end
