//! The Ruby extension of heap_inspector.
#![allow(missing_docs, reason = "the only public item is the one that magnus::init makes")]
use heap_inspector::heap::Heap;
use heap_inspector::source::Source;
use magnus::{Class, Error, Module, Object, Ruby, function, method};

#[magnus::wrap(class = "HeapInspector::Heap", free_immediately)]
struct Loaded(Heap);

fn load(ruby: &Ruby, path: String) -> Result<Loaded, Error> {
    Heap::load(&Source::path(path), &Default::default())
        .map(Loaded)
        .map_err(|error| Error::new(ruby.exception_runtime_error(), error.to_string()))
}

/// Defines what Ruby sees.
#[magnus::init]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let class = ruby.define_module("HeapInspector")?.define_class("Heap", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_singleton_method("load", function!(load, 1))?;
    class.define_method("object_count", method!(|heap: &Loaded| heap.0.object_count(), 0))
}
