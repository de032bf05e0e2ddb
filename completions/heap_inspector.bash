# Completions of heap_inspector for bash: the program says them itself, so they are those of the version that is installed.
source <(heap_inspector completions bash)
