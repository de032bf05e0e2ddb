# frozen_string_literal: true

require "heap_inspector"
