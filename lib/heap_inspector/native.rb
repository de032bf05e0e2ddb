# frozen_string_literal: true

# The extension alone, without what reads dumps: all that tracing, dumping and the command line need.
require_relative "errors"
# An installed gem has one for each Ruby, a checkout the one that was compiled last.
of_this_ruby = RUBY_VERSION[/\A\d+\.\d+/]
place = File.directory?("#{__dir__}/#{of_this_ruby}") ? "#{of_this_ruby}/" : ""
require "heap_inspector/#{place}heap_inspector_ext"
