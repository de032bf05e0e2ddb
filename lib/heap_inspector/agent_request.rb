# frozen_string_literal: true

module HeapInspector
  # What another process's agent is to write, into a file or down a pipe.
  #
  # @api private
  class AgentRequest
    # @param ask [Hash] what is asked of the agent, by the names of its request
    # @param out [IO] where to write to that no file is given for
    # @param err [IO] where is told what came, and how far it is
    def initialize(ask, out, err)
      @ask = ask
      @out = out
      @err = err
    end

    private

    # @param what [String] a dump, for one
    # @yield where standard output is no terminal
    def redirected(what)
      raise ArgumentError, "#{what} is nothing for a terminal: redirect standard output, or give a file with -o" if @out.tty?

      @out.flush
      yield
    end
  end

  private_constant :AgentRequest
end
