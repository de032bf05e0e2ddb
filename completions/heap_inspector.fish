# Completions of heap_inspector for fish: the program says them itself, so they are those of the version that is installed.
heap_inspector completions fish | source
