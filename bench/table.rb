# frozen_string_literal: true

# Figures and what was promised of them, as tables of Markdown.
module Table
  # A promise: what it is, how the figure reads, and whether it holds.
  Target = Struct.new(:text, :figure, :met)

  def self.markdown(header, rows)
    [header, header.map { "---" }, *rows].map { |row| "| #{row.join(" | ")} |\n" }.join
  end

  # The figure is judged as it is printed.
  def self.at_least(text, value, least, digits: 2)
    Target.new("#{text}: at least #{least}", format("%.#{digits}f", value), value.round(digits) >= least)
  end

  def self.at_most(text, value, most, digits: 2)
    Target.new("#{text}: at most #{most}", format("%.#{digits}f", value), value.round(digits) <= most)
  end

  def self.targets(targets)
    rows = targets.map { |target| [target.text, target.figure, target.met ? "met" : "**missed**"] }
    markdown(["target", "measured", ""], rows)
  end

  def self.median(numbers) = numbers.sort[numbers.size / 2]

  def self.load_average = "load average beside: #{File.read("/proc/loadavg").split.first(3).join(" ")}"
end
