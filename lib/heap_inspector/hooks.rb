# frozen_string_literal: true

require_relative "request_counter"

module HeapInspector
  # What is put around requests and jobs of Rails and Sidekiq where they ask for it: it counts jobs, and expects controllers and jobs to be
  # gone when they are done.
  #
  # @api private
  module Hooks
    # What can be watched.
    WATCHED = %i[controllers jobs].freeze

    # Counts jobs of Active Job.
    module CountedJobs
      # @return [Object] what the job returns
      def perform_now
        Work.job { super }
      end
    end

    # Jobs of Active Job should be gone when they are done.
    module WatchedJobs
      # @return [Object] what the job returns
      def perform_now
        super
      ensure
        HeapInspector.expect_collected(self, :jobs)
      end
    end

    # Controllers should be gone when they have answered.
    module WatchedControllers
      # @return [Object] what Action Controller returns
      def dispatch(*)
        super
      ensure
        HeapInspector.expect_collected(self, :controllers)
      end
    end

    # Server middleware of Sidekiq's.
    class SidekiqJobs
      # @param watched [Array<Symbol>] some of {WATCHED}
      def initialize(watched)
        @is_watched = watched.include?(:jobs)
      end

      # @param worker [Object] what performs the job
      # @yield the job
      # @return [Object] what the job returns
      def call(worker, *, &)
        Work.job(&)
      ensure
        HeapInspector.expect_collected(worker, :jobs) if @is_watched
      end
    end

    class << self
      # @param words [Array<Symbol, String>, Symbol, String, Boolean, nil] what a host says of what to watch; true is all
      # @return [Array<Symbol>] some of {WATCHED}; what is unknown is told and left out
      def watched(words)
        return WATCHED if words == true

        words = (words.is_a?(String) ? words.split(",") : Array(words || [])).map { |word| word.to_s.strip }.reject(&:empty?)
        unknown = words - WATCHED.map(&:to_s)
        Background.tell("watch: there is no #{unknown.join(", ")}; there are #{WATCHED.join(" and ")}") if unknown.any?
        WATCHED & words.map(&:to_sym)
      end
    end
  end

  private_constant :Hooks
end
