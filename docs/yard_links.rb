# frozen_string_literal: true

# Links between Markdown pages, as GitHub follows them, for the pages that YARD makes of them: loaded by .yardopts.
module RelativeLinks
  ROOT = File.expand_path("..", __dir__)
  PAGES = Dir.glob(%w[CHANGELOG.md SECURITY.md docs/[a-z]*.md], base: ROOT).map { |path| File.basename(path, ".md") }.freeze
  REPOSITORY = "https://github.com/heap-inspector/heap_inspector/blob/main"

  # What a link leads to: a page of YARD's, or the repository for what is not among them. RDoc's Markdown has renamed it already.
  def self.target(path, heading)
    name = File.basename(path).sub(/_md\.html\z|\.md\z/, "")
    return "file.#{name}.html#{heading}" if PAGES.include?(name)

    "#{REPOSITORY}/#{path.delete_prefix("../").sub(/_md\.html\z/, ".md").sub(/_rb\.html\z/, ".rb")}#{heading}"
  end

  def htmlify(text, markup = options.markup)
    html = super
    return html unless markup == :markdown

    html.gsub(%r{href="((?!https?:|file\.|#)[\w./-]+?(?:_md\.html|_rb\.html|\.md|\.rb))(#[^"]*)?"}) do
      %(href="#{RelativeLinks.target(Regexp.last_match(1), Regexp.last_match(2))}")
    end.gsub('src="docs/report.png"', 'src="report.png"')
  end
end

YARD::Templates::Template.extra_includes << RelativeLinks
