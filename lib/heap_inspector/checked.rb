# frozen_string_literal: true

# Loaded by `heap_inspector check` into the command that it runs: writes what is alive at the end, by gem, into a file of the folder
# `HEAP_INSPECTOR_CHECK`.
require "heap_inspector"
require "heap_inspector/child_ruby" # now, not in what is measured
require "heap_inspector/tracing"

module HeapInspector
  # @api private
  module Checked
    class << self
      # @param folder [String]
      # @return [void]
      def begin(folder)
        owner = Process.pid
        file = File.join(folder, "#{owner}.found")
        missing = Tracing.missing
        return ChildRuby.tell(file, { error: missing }) if missing

        Tracing.start(mode: :sampled, every: 1)
        at_exit { ChildRuby.tell(file, found) if Process.pid == owner }
      end

      private

      def found
        Tracing.off
        Tracing.collect
        gems = {}
        Tracing.survivors([0, Native.tracer_moment], whole: true).each do |found|
          sums = gems[name(found.gem)] ||= { memsize: 0, objects: 0, lines: Hash.new(0) }
          sums[:memsize] += found.memsize
          sums[:objects] += found.objects
          sums[:lines][found.location] += found.memsize if found.location
        end
        gems.each_value { |sums| sums[:line] = sums.delete(:lines).max_by { |_, bytes| bytes }&.first }
        { gems: gems }
      end

      # An update is no other gem.
      def name(gem) = gem.nil? ? "(no file)" : gem.sub(/ \d[^ ]*\z/, "")
    end
  end

  private_constant :Checked

  ENV.delete("HEAP_INSPECTOR_CHECK")&.then { |folder| Checked.begin(folder) }
end
