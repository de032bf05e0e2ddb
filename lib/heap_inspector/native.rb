# frozen_string_literal: true

# The extension alone, without what reads dumps: all that tracing, dumping and the command line need.
require_relative "errors"
require "heap_inspector/heap_inspector_ext"
