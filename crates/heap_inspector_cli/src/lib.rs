//! The command line of heap_inspector.
