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
//! Several processes may walk one heap, each another part of its pages ([`Team`]).
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

/// What is behind a slot is asked of the memory so many slots before it is looked at.
const AHEAD: usize = 8;

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

/// Those who walk one heap together, each in a process of its own, seen by one of them. Pages stand in parts, which have the numbers from 1
/// on; part 0 is what comes before all objects.
pub(crate) trait Team {
    /// Whether this one writes what is no page.
    fn leads(&self) -> bool;
    /// At most so many slots are in a part, but where a page has more.
    fn slots(&self) -> usize;
    /// The number of the part that this one walks next: of those that nobody has begun the first, which there need not be any more.
    fn next(&mut self) -> u64;
    /// All of the part that this one began was handed on.
    fn end(&mut self);
    /// All pages were walked or are walked by others, and there were so many parts. Who leads waits for the others, gets what threads they
    /// all have met, and has begun the part behind the last.
    fn gather(&mut self, parts: u64, threads: &mut Vec<VALUE>);
}

/// Where a walk is of those that share a heap.
struct Share<'a, 't> {
    team: &'a mut (dyn Team + 't),
    /// The number of the part in which the last page was, and the slots of it so far.
    part: u64,
    slots: usize,
    /// The number of the part that is walked here.
    mine: u64,
}

impl Share<'_, '_> {
    /// The number of the part in which a page of so many slots stands, which comes next.
    fn place(&mut self, slots: usize) -> u64 {
        if self.part == 0 || self.slots + slots > self.team.slots() {
            (self.part, self.slots) = (self.part + 1, 0);
        }
        self.slots += slots;
        self.part
    }
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
    share: Option<Share<'a, 'a>>,
    names: Names,
    /// Of the object that is being written.
    class: VALUE,
    slot_size: usize,
    references: usize,
    category: *const c_char,
    encodings: Vec<Option<Vec<u8>>>,
    /// The names of types by number; 0 is none yet.
    types: [names::Name; 32],
    flags: Vec<(Vec<rb_sys::ID>, names::Name)>,
    last_flags: usize,
    /// The texts of our tracer, as they stand in a line.
    texts: Vec<Option<Box<[u8]>>>,
    /// For a text that is put together.
    scratch: Vec<u8>,
}

/// Writes the whole heap: the lines of `head`, roots, shapes where this Ruby has them, objects page by page. Of a team each writes its part.
///
/// # Safety
/// To be called by a Ruby thread with the GVL in a process that has no other thread which could run Ruby, with garbage collection disabled.
pub(crate) unsafe fn walk(
    api: &Api,
    wanted: Wanted<'_>,
    head: &[u8],
    out: Out<'_>,
    team: Option<&mut (dyn Team + '_)>,
) -> io::Result<()> {
    let mut failure = None;
    match out {
        Out::Lines(take) => {
            let mut take = |buffer: &mut Vec<u8>| {
                failure = take(buffer).err();
                failure.is_none()
            };
            // SAFETY: as for this function.
            unsafe { walk_into(api, wanted, head, Format::Lines(Lines::new(CHUNK, &mut take)), team) }
        }
        Out::Columns(take) => {
            let mut take = |block: &mut Block| {
                failure = take(block).err();
                failure.is_none()
            };
            // SAFETY: as for this function.
            unsafe { walk_into(api, wanted, head, Format::Columns(Box::new(Columns::new(&mut take))), team) }
        }
    }
    failure.map_or(Ok(()), Err)
}

unsafe fn walk_into(
    api: &Api,
    wanted: Wanted<'_>,
    head: &[u8],
    format: Format<'_>,
    team: Option<&mut (dyn Team + '_)>,
) {
    let leads = team.as_ref().is_none_or(|team| team.leads());
    let mut walk = Walk {
        api,
        wanted,
        format,
        share: team.map(|team| Share { team, part: 0, slots: 0, mine: 0 }),
        names: Names::default(),
        class: 0,
        slot_size: 0,
        references: 0,
        category: std::ptr::null(),
        encodings: Vec::new(),
        types: [0; 32],
        flags: Vec::new(),
        last_flags: 0,
        texts: Vec::new(),
        scratch: Vec::new(),
    };
    if leads {
        head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| walk.line(line));
    }
    let data = (&raw mut walk).cast::<c_void>();
    // SAFETY: the callbacks get the walk back, and nobody else looks at it meanwhile.
    unsafe {
        if leads {
            (api.from_roots)(roots::root, data);
            walk.end_roots();
            if let Some(shapes) = &api.shapes {
                (shapes.each)(shapes::shape, data);
            }
        }
        (api.each)(page, data);
        walk.gather();
        if leads && wanted.names {
            walk.name_roots();
        }
    }
    each!(&mut walk.format, to => to.flush());
    if leads && let Some(share) = &mut walk.share {
        share.team.end();
    }
}

/// The slots of all pages.
///
/// # Safety
/// As for [`walk`].
pub(crate) unsafe fn slots(api: &Api) -> usize {
    unsafe extern "C" fn count(start: *mut c_void, end: *mut c_void, stride: usize, slots: *mut c_void) -> c_int {
        // SAFETY: what is given below, which nobody else looks at meanwhile.
        unsafe { *slots.cast::<usize>() += (end as usize - start as usize) / stride.max(1) };
        0
    }
    let mut slots = 0;
    // SAFETY: as for this function.
    unsafe { (api.each)(count, (&raw mut slots).cast()) };
    slots
}

/// SAFETY: Ruby calls it for each page with the first slot, the end behind the last, the size of each, and the walk.
unsafe extern "C" fn page(start: *mut c_void, end: *mut c_void, stride: usize, walk: *mut c_void) -> c_int {
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    if !walk.is_mine((end as usize - start as usize) / stride.max(1)) {
        return 0;
    }
    walk.slot_size = stride;
    let mut object = start as VALUE;
    while object < end as VALUE {
        let ahead = object + (AHEAD * stride) as VALUE;
        if ahead < end as VALUE {
            // SAFETY: a slot, in use or free.
            unsafe { value::fetch_content(ahead) };
        }
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
    /// Whether the page that comes, of so many slots, is to be walked here. The part that ends with the page before is handed on.
    fn is_mine(&mut self, slots: usize) -> bool {
        let Some(share) = &mut self.share else { return true };
        let part = share.place(slots);
        if part > share.mine {
            self.hand_on();
            let Some(share) = &mut self.share else { return true };
            share.mine = share.team.next();
        }
        self.share.as_ref().is_none_or(|share| share.mine == part)
    }

    /// Hands on what there is of the part that was walked.
    fn hand_on(&mut self) {
        each!(&mut self.format, to => to.flush());
        if let Some(share) = &mut self.share
            && (share.mine > 0 || share.team.leads())
        {
            share.team.end();
        }
    }

    /// All pages are through: hears of the others what they met.
    fn gather(&mut self) {
        let Some(share) = &self.share else { return };
        if share.mine <= share.part {
            self.hand_on();
        }
        if let Some(share) = &mut self.share {
            share.team.gather(share.part, &mut self.names.threads);
        }
    }

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

    /// One of the names.
    #[inline]
    fn known_word(&mut self, field: Field, name: names::Name) {
        each!(&mut self.format, to => to.known_word(field, name, self.names.get(name)));
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
