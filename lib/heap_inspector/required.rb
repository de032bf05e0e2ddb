# frozen_string_literal: true

# Loaded by `heap_inspector require` into a Ruby of its own: requires what it is told and says what each file takes.
require "heap_inspector"
require "heap_inspector/child_ruby" # now, not in what is measured
require "heap_inspector/tracing"

module HeapInspector
  # @api private
  module Required
    # A file that was required, by what.
    Node = Struct.new(:name, :parent, :memsize, :objects)

    # What Ruby asks for files goes through here.
    module Hook
      # @return [Boolean]
      def require(name) = Required.within(name) { super }

      # Ruby's own looks where it was called from, which would be here.
      #
      # @return [Boolean]
      def require_relative(name)
        from = caller_locations(1, 1).first
        require(File.expand_path(name.respond_to?(:to_path) ? name.to_path : name, File.dirname(from.absolute_path || from.path)))
      end

      # @return [Boolean]
      def load(name, *) = Required.within(name) { super }
    end

    @nodes = []
    @owners = []
    @moments = []
    @at = nil

    class << self
      # Notes that what is allocated meanwhile is a file's.
      #
      # @yield
      # @return [Object] what the block gives
      def within(name)
        return yield unless @thread.equal?(Thread.current)

        before = @at
        @nodes << Node.new(name.respond_to?(:to_path) ? name.to_path : name.to_s, before, 0, 0)
        turn(@nodes.size - 1)
        begin
          yield
        ensure
          turn(before)
        end
      end

      # @param features [Array<String>]
      # @return [Hash] `nodes` and `gems`, or an `error`
      def run(features)
        missing = Tracing.missing
        return { error: missing } if missing

        @thread = Thread.current
        Tracing.tracer.prepare
        Kernel.prepend(Hook)
        Tracing.collect
        Native.tracer_start_thread
        turn(nil)
        failure = attempt(features)
        turn(nil)
        Native.tracer_stop
        Tracing.collect
        { error: failure, **sums }.compact
      end

      private

      def turn(node)
        @at = node
        @moments << Native.tracer_moment
        @owners << node
      end

      # A gem's name need not be a file's: net-http is net/http.
      def attempt(features)
        features.each do |name|
          Object.new.instance_eval { require name }
        rescue LoadError => e
          other = name.tr("-", "/")
          raise if e.path != name || other == name

          Object.new.instance_eval { require other }
        end
        nil
      rescue LoadError, StandardError, SyntaxError => e
        "#{e.message.lines.first&.chomp} (#{e.class})"
      end

      def sums
        gems = {}
        Tracing.survivors(@moments, whole: true).each do |found|
          owner = @owners[found.interval]
          next if owner.nil? || found.location&.start_with?(__FILE__)

          @nodes[owner].memsize += found.memsize
          @nodes[owner].objects += found.objects
          sums = gems[found.gem || "(no file)"] ||= [0, 0]
          sums[0] += found.memsize
          sums[1] += found.objects
        end
        { nodes: @nodes.map(&:to_a), gems: gems }
      end
    end
  end

  private_constant :Required

  if (path = ENV.delete("HEAP_INSPECTOR_REQUIRED"))
    ChildRuby.tell(path, Required.run(ARGV))
    exit!(0)
  end
end
