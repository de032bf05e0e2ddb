//! The process's own dumper: walks the heap of a forked child and writes what `ObjectSpace.dump_all` would, and by what each object
//! holds the others, which no other dump tells.
//!
//! Nothing of Ruby's runs here but functions that look: no Ruby object is made, no method is called, no lock is taken that another thread
//! may have held at the fork. So the child need not be told that it is one (`rb_thread_atfork`), and the stacks of the other threads
//! are still roots as they were. What the walk needs that no header has is asked of the libraries that are loaded (`api`); where
//! something is missing the dump is taken by `ObjectSpace.dump_all`.
//!
//! Costs one pass over the heap. Memory: a buffer of [`CHUNK`] bytes, and what the names of variables take, each once.

mod api;
mod code;
mod names;
mod record;
mod roots;
mod shapes;
mod text;
pub(crate) mod value;

pub(crate) use api::Api;
pub(crate) use code::know;
use names::Names;
use rb_sys::VALUE;
use std::ffi::{c_char, c_int, c_void};
use std::io;
use value::{T_NONE, builtin_type};

/// So many bytes are handed on at once, but for a single text that is longer.
pub(crate) const CHUNK: usize = 1 << 18;

/// What the walk writes to.
pub(crate) trait Out {
    /// Takes what is in the buffer and leaves it empty.
    fn take(&mut self, buffer: &mut Vec<u8>) -> io::Result<()>;
}

/// What is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Names of edges.
    pub(crate) names: bool,
    /// The texts of keys of hashes among them.
    pub(crate) texts: bool,
}

/// A walk under way.
pub(super) struct Walk<'a> {
    api: &'a Api,
    wanted: Wanted,
    buffer: Vec<u8>,
    out: &'a mut dyn Out,
    /// Why nothing more is written.
    failure: Option<io::Error>,
    names: Names,
    /// Of the object that is being written.
    class: VALUE,
    slot_size: usize,
    references: usize,
    category: *const c_char,
    encodings: Vec<Option<Vec<u8>>>,
    flags: Vec<(Vec<rb_sys::ID>, Vec<u8>)>,
}

/// Writes the whole heap: roots, shapes where this Ruby has them, objects page by page.
///
/// # Safety
/// To be called by a Ruby thread with the GVL in a process that has no other thread which could run Ruby, with garbage collection disabled.
pub(crate) unsafe fn walk(api: &Api, wanted: Wanted, out: &mut dyn Out) -> io::Result<()> {
    let mut walk = Walk {
        api,
        wanted,
        buffer: Vec::with_capacity(2 * CHUNK),
        out,
        failure: None,
        names: Names::default(),
        class: 0,
        slot_size: 0,
        references: 0,
        category: std::ptr::null(),
        encodings: Vec::new(),
        flags: Vec::new(),
    };
    let data = (&raw mut walk).cast::<c_void>();
    // SAFETY: the callbacks get the walk back, and nobody else looks at it meanwhile.
    unsafe {
        (api.from_roots)(roots::root, data);
        walk.end_roots();
        if let Some(shapes) = &api.shapes {
            (shapes.each)(shapes::shape, data);
        }
        (api.each)(page, data);
        if wanted.names {
            walk.name_roots();
        }
    }
    walk.flush();
    match walk.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// SAFETY: Ruby calls it for each page with the first slot, the end behind the last, the size of each, and the walk.
unsafe extern "C" fn page(start: *mut c_void, end: *mut c_void, stride: usize, walk: *mut c_void) -> c_int {
    let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
    walk.slot_size = stride;
    let mut object = start as VALUE;
    while object < end as VALUE {
        // SAFETY: a slot, whose first word is zero where it is free.
        unsafe {
            if value::flags(object) != 0 && builtin_type(object) != T_NONE && !walk.api.is_garbage(object) {
                walk.object(object);
            }
        }
        if walk.failure.is_some() {
            return 1;
        }
        object += stride as VALUE;
    }
    0
}

impl Walk<'_> {
    pub(super) fn text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// Hands the buffer on where it is full.
    pub(super) fn make_room(&mut self) {
        if self.buffer.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.out.take(&mut self.buffer).err();
        }
        self.buffer.clear();
    }
}
