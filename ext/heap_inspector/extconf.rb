# frozen_string_literal: true

require "mkmf"
require "rb_sys/mkmf"

create_rust_makefile("heap_inspector/heap_inspector_ext")
