//! The process's own dumper: walks the heap of a forked child and writes what `ObjectSpace.dump_all` would, and by what each object
//! holds the others, which no other dump tells.
//!
//! Nothing of Ruby's runs here but functions that look: no Ruby object is made, no method is called, no lock is taken that another thread
//! may have held at the fork. So the child need not be told that it is one (`rb_thread_atfork`), and the stacks of the other threads
//! are still roots as they were. What the walk needs that no header has is asked of the libraries that are loaded (`api`); where
//! something is missing the dump is taken by `ObjectSpace.dump_all`.
//!
//! It tells records field by field (`heap_inspector::heap_file`), to what prints lines or to what keeps columns.
//!
//! Costs one pass over the heap. Memory: a buffer of [`CHUNK`] bytes, or a block of columns, which may be as large as the longest object,
//! and what the names of variables take, each once.

mod api;
mod code;
mod frames;
mod names;
mod record;
mod roots;
mod shapes;
mod text;
pub(crate) mod value;

pub(crate) use api::Api;
pub(crate) use code::know;
pub(crate) use frames::{Known as KnownFrames, learn as learn_frames};
use heap_inspector::heap_file::lines::Lines;
use heap_inspector::heap_file::write::{Block, Columns};
use heap_inspector::heap_file::{Field, Fields};
use heap_inspector::redact::Values;
use heap_inspector_tracer::annotate::Numbering;
use heap_inspector_tracer::tracer::Tracer;
use names::Names;
use rb_sys::VALUE;
use std::ffi::{c_char, c_int, c_void};
use std::io;
use value::{T_NONE, builtin_type};

/// So many bytes of lines are handed on at once.
pub(crate) const CHUNK: usize = 1 << 18;

/// Who takes what is written, and in which form.
pub(crate) enum Out<'a> {
    /// Lines: bytes as they come. The buffer is left empty.
    Lines(&'a mut dyn FnMut(&mut Vec<u8>) -> io::Result<()>),
    /// Columns: blocks when they are full. An empty one is left.
    Columns(&'a mut dyn FnMut(&mut Block) -> io::Result<()>),
}

/// What is to be written.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Names of edges.
    pub(crate) names: bool,
    /// The texts of keys of hashes among them.
    pub(crate) texts: bool,
    /// What our tracer knows of objects, where it is to be told.
    pub(crate) traced: Option<(&'a Tracer, &'a Numbering)>,
    /// What values of strings and floats are replaced by.
    pub(crate) values: Option<&'a Values>,
}

/// What the walk tells records to.
pub(super) enum Format<'o> {
    Lines(Lines<'o>),
    Columns(Box<Columns<'o>>),
}

macro_rules! each {
    ($format:expr, $to:ident => $call:expr) => {
        match $format {
            Format::Lines($to) => $call,
            Format::Columns($to) => $call,
        }
    };
}
use each;

/// A walk under way.
pub(super) struct Walk<'a, 'o> {
    api: &'a Api,
    wanted: Wanted<'a>,
    format: Format<'o>,
    names: Names,
    /// Of the object that is being written.
    class: VALUE,
    slot_size: usize,
    references: usize,
    category: *const c_char,
    encodings: Vec<Option<Vec<u8>>>,
    flags: Vec<(Vec<rb_sys::ID>, Vec<u8>)>,
    last_flags: usize,
    /// The texts of our tracer, as they stand in a line.
    texts: Vec<Option<Box<[u8]>>>,
    /// For a text that is put together.
    scratch: Vec<u8>,
}

/// Writes the whole heap: the lines of `head`, roots, shapes where this Ruby has them, objects page by page.
///
/// # Safety
/// To be called by a Ruby thread with the GVL in a process that has no other thread which could run Ruby, with garbage collection disabled.
pub(crate) unsafe fn walk(api: &Api, wanted: Wanted<'_>, head: &[u8], out: Out<'_>) -> io::Result<()> {
    let mut failure = None;
    match out {
        Out::Lines(take) => {
            let mut take = |buffer: &mut Vec<u8>| {
                failure = take(buffer).err();
                failure.is_none()
            };
            // SAFETY: as for this function.
            unsafe { walk_into(api, wanted, head, Format::Lines(Lines::new(CHUNK, &mut take))) }
        }
        Out::Columns(take) => {
            let mut take = |block: &mut Block| {
                failure = take(block).err();
                failure.is_none()
            };
            // SAFETY: as for this function.
            unsafe { walk_into(api, wanted, head, Format::Columns(Box::new(Columns::new(&mut take)))) }
        }
    }
    failure.map_or(Ok(()), Err)
}

unsafe fn walk_into(api: &Api, wanted: Wanted<'_>, head: &[u8], format: Format<'_>) {
    let mut walk = Walk {
        api,
        wanted,
        format,
        names: Names::default(),
        class: 0,
        slot_size: 0,
        references: 0,
        category: std::ptr::null(),
        encodings: Vec::new(),
        flags: Vec::new(),
        last_flags: 0,
        texts: Vec::new(),
        scratch: Vec::new(),
    };
    for line in head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        walk.line(line);
    }
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
    each!(&mut walk.format, to => to.flush());
}

/// SAFETY: Ruby calls it for each page with the first slot, the end behind the last, the size of each, and the walk.
unsafe extern "C" fn page(start: *mut c_void, end: *mut c_void, stride: usize, walk: *mut c_void) -> c_int {
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    walk.slot_size = stride;
    let mut object = start as VALUE;
    while object < end as VALUE {
        // SAFETY: a slot, whose first word is zero where it is free.
        unsafe {
            if value::flags(object) != 0 && builtin_type(object) != T_NONE && !walk.api.is_garbage(object) {
                walk.object(object);
            }
        }
        if each!(&walk.format, to => to.is_over()) {
            return 1;
        }
        object += stride as VALUE;
    }
    0
}

impl Walk<'_, '_> {
    #[inline]
    pub(super) fn address(&mut self, field: Field, address: VALUE) {
        each!(&mut self.format, to => to.address(field, address));
    }

    #[inline]
    pub(super) fn number(&mut self, field: Field, number: u64) {
        each!(&mut self.format, to => to.number(field, number));
    }

    fn signed(&mut self, field: Field, number: i64) {
        each!(&mut self.format, to => to.signed(field, number));
    }

    fn truth(&mut self, field: Field) {
        each!(&mut self.format, to => to.truth(field));
    }

    /// A text as it stands in the line.
    #[inline]
    pub(super) fn word(&mut self, field: Field, word: &[u8]) {
        each!(&mut self.format, to => to.word(field, word));
    }

    /// One that stays where it is: all that is the program's own, in a child where nothing else runs.
    #[inline]
    fn fixed_word(&mut self, field: Field, word: &[u8]) {
        each!(&mut self.format, to => to.fixed_word(field, word));
    }

    /// A text that the line escapes.
    #[inline]
    fn text(&mut self, field: Field, text: &[u8]) {
        each!(&mut self.format, to => to.text(field, text));
    }

    /// A line as it stands.
    pub(super) fn line(&mut self, line: &[u8]) {
        each!(&mut self.format, to => {
            to.line(line);
            to.end();
        });
    }

    /// A text that is put together where no other is.
    fn with_scratch(&mut self, work: impl FnOnce(&mut Self, &mut Vec<u8>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        work(self, &mut scratch);
        self.scratch = scratch;
    }
}
