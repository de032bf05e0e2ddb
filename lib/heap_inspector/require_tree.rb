# frozen_string_literal: true

require "json"
require "rbconfig"
require "tmpdir"

module HeapInspector
  # What memory requiring files takes, as a tree of who requires whom.
  #
  # @api private
  class RequireTree
    # Own bytes and objects, and those with what it required.
    Node = Struct.new(:name, :own, :objects, :all, :children)

    private_constant :Node

    # @param features [Array<String>] what to require: gems, features, files
    # @raise [Error] where Ruby could not be started, or raised
    def initialize(features)
      found = measured(features)
      raise Error, found[:error] if found[:error]

      @nodes = found[:nodes].map { |name, _, memsize, objects| Node.new(name, memsize, objects, memsize, []) }
      @top = []
      found[:nodes].each_with_index { |(_, parent), at| (parent ? @nodes[parent].children : @top) << @nodes[at] }
      # What was required stands behind what required it.
      found[:nodes].each_index.reverse_each do |at|
        parent = found[:nodes][at][1]
        @nodes[parent].all += @nodes[at].all if parent
      end
      @gems = found[:gems].sort_by { |gem, (bytes, _)| [-bytes, gem] }
    end

    # @param depth [Integer] levels of the tree
    # @param min [Integer] bytes below which a file is not shown
    # @return [String]
    def text(depth:, min:)
      total = @top.sum(&:all)
      lines = ["#{Size.bytes(total)} alive, #{Size.count(@nodes.sum(&:objects))} objects", ""]
      lines << "#{"Memory".rjust(10)}  #{"Own".rjust(10)}  File"
      rows(@top, 0, depth, min) { |node, level| lines << "#{cells(node)}  #{"  " * level}#{Escape.terminal(short(node.name))}" }
      lines.push("", "#{"Memory".rjust(10)}  #{"Objects".rjust(10)}  Gem")
      @gems.each do |gem, (bytes, objects)|
        lines << "#{Size.bytes(bytes).rjust(10)}  #{Size.count(objects).rjust(10)}  #{Escape.terminal(gem)}" if bytes >= min
      end
      lines.join("\n")
    end

    # @return [String]
    def json
      tree = lambda do |node|
        { file: node.name, memsize: node.all, own_memsize: node.own, own_objects: node.objects,
          requires: node.children.select { |child| child.all.positive? }.map(&tree) }
      end
      gems = @gems.map { |gem, (bytes, objects)| { gem: gem, memsize: bytes, objects: objects } }
      Escape.json(JSON.pretty_generate({ memsize: @top.sum(&:all), requires: @top.map(&tree), gems: gems }, max_nesting: false))
    end

    private

    def measured(features)
      Dir.mktmpdir("heap_inspector") do |folder|
        path = File.join(folder, "required")
        environment = ChildRuby.environment("HEAP_INSPECTOR_REQUIRED", path)
        system(environment, RbConfig.ruby, "-e", "require 'heap_inspector/required'", "--", *features, out: :err)
        raise Error, "Ruby ended before all was required" unless File.exist?(path)

        ChildRuby.told(path)
      end
    end

    def rows(nodes, level, depth, min, &)
      return if level >= depth

      nodes.sort_by { |node| [-node.all, node.name] }.each do |node|
        next if node.all < min

        yield node, level
        rows(node.children, level + 1, depth, min, &)
      end
    end

    def cells(node) = "#{Size.bytes(node.all).rjust(10)}  #{Size.bytes(node.own).rjust(10)}"

    # A path as it is required, where it lies on the load path.
    def short(path)
      return path unless path.start_with?("/")

      folder = $LOAD_PATH.map { |one| File.join(one.to_s, "") }.select { |one| path.start_with?(one) }.max_by(&:size)
      folder ? path.delete_prefix(folder) : path.sub(%r{\A.*/gems/[^/]+/lib/}, "")
    end
  end

  private_constant :RequireTree
end
