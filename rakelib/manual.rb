# frozen_string_literal: true

# The manual that the gem has: all that `heap_inspector man` writes, as one page. Packed it takes 11 KB, a page for each command three times
# as much, of the 8 MiB that an installed gem may take.
module Manual
  # Where it is.
  PATH = "man/man1/heap_inspector.1.gz"

  # @param folder [String] where the program wrote its pages
  # @return [String] the one page
  def self.of(folder)
    page = File.read("#{folder}/heap_inspector.1", encoding: "UTF-8")
    Dir["#{folder}/heap_inspector-*.1"].reduce(page) do |all, path|
      text = File.read(path, encoding: "UTF-8").sub(/\A.*?^\.TH [^\n]*\n/m, "").sub(/^\.SH NAME\n/, "")
      "#{all.chomp}\n.SH #{File.basename(path, ".1").sub("-", " ").upcase}\n#{text.gsub(/^\.SH /, ".SS ")}"
    end
  end
end
