//! The Ruby extension of heap_inspector: what Ruby code cannot do by itself. The methods users see are written in Ruby and call the
//! private ones made here.
//!
//! All but what a class of its own reads is a function of `Native`, the heap first. Arguments arrive checked and in one plain form, answers
//! leave as Hashes by the names of the library's fields (`convert`), with a `document::Document` to render.
//! Long work runs on threads of its own while the Ruby thread waits without the GVL and serves them (`work`).
#![allow(missing_docs, reason = "the only public item is the one that magnus::init makes")]

mod block_profile;
mod command_line;
mod convert;
mod diff;
mod document;
mod dumper;
mod dumping;
mod errors;
mod export;
mod filter;
mod forked_thread;
mod graph;
mod gvl;
mod heap;
mod heap_object;
mod input;
mod memory;
mod native;
mod objects;
mod question;
mod standstill;
mod texts;
mod tracer;
mod walk;
mod work;

use magnus::{Error, Module, Object, Ruby, Value, value::ReprValue};

#[magnus::init]
fn init(ruby: &Ruby) -> Result<(), Error> {
    // SAFETY: called once, by Ruby, while it loads the extension. The methods keep no state outside of their objects, and these do
    // not change after they are made.
    unsafe { rb_sys::rb_ext_ractor_safe(true) };
    let module = ruby.define_module("HeapInspector")?;
    // What Ruby code of the gem calls, and nobody else.
    let native = module.define_module("Native")?;
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("Native"),))?;
    native.define_singleton_method("panic", native::function!(work::panic, 2))?;
    native.define_singleton_method("define_reading", native::function!(define_reading, 0))?;
    command_line::define(native)?;
    tracer::define(ruby, module, native)?;
    memory::define(native)?;
    dumping::define(ruby, module, native)
}

/// Makes what reads dumps: classes that a process which only traces or dumps does not have. `heap.rb` calls it, once.
fn define_reading(ruby: &Ruby) -> Result<(), Error> {
    let module = ruby.define_module("HeapInspector")?;
    let native = module.define_module("Native")?;
    document::define(ruby, module)?;
    heap::define(ruby, module, native)?;
    graph::define(native)?;
    question::define(native)?;
    export::define(native)?;
    diff::define(ruby, module, native)?;
    objects::define(ruby, module, native)
}
