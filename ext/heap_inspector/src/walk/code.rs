//! Local variables of closures, and where a block stands.
//!
//! The names of local variables stand in Ruby's code objects, whose layout differs from version to version and is in no header. So it is
//! looked for: in the code of blocks that are known, for the place where the names of their variables stand, and for the one where
//! their count does. Where neither or more than one is found, local variables have no names.

use super::api::Api;
use super::value::*;
use rb_sys::{ID, VALUE};
use std::ffi::c_int;
use std::sync::OnceLock;

/// Where the names of local variables stand in the body of a piece of code, and where their count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    table: usize,
    count: usize,
}

/// Blocks whose local variables are known, and how their code is asked for.
struct Known {
    blocks: Vec<(VALUE, Vec<ID>)>,
    code: Box<dyn Fn(VALUE) -> VALUE + Send + Sync>,
}

static KNOWN: OnceLock<Known> = OnceLock::new();

/// Bytes of the body in which the places are looked for: less than it has on any Ruby.
const SEARCHED: usize = 280;
/// Bytes in which the count stands behind the names.
const BEHIND: usize = 120;

/// Takes note of blocks with their local variables, which must live on and stay where they are, and of how the code of one is found.
pub(crate) fn know(blocks: Vec<(VALUE, Vec<ID>)>, code: impl Fn(VALUE) -> VALUE + Send + Sync + 'static) {
    KNOWN.get_or_init(|| Known { blocks, code: Box::new(code) });
}

/// The layout of this Ruby.
pub(super) fn layout() -> Option<Layout> {
    static LAYOUT: OnceLock<Option<Layout>> = OnceLock::new();
    *LAYOUT.get_or_init(|| find(KNOWN.get()?))
}

fn find(known: &Known) -> Option<Layout> {
    let probe = Probe::new()?;
    let mut bodies: Vec<(VALUE, &[ID])> = Vec::new();
    for (block, locals) in &known.blocks {
        let iseq = (known.code)(*block);
        // SAFETY: `rb_iseq_t`: flags, wrapper, body.
        let body = if is_special(iseq) { 0 } else { unsafe { word(iseq, 16) } };
        if body == 0 {
            return None;
        }
        bodies.push((body as VALUE, locals));
    }
    if bodies.len() < 2 {
        return None;
    }
    // SAFETY: within the body.
    let has_names = |(body, locals): &(VALUE, &[ID]), at: usize| unsafe {
        let table = word(*body, at) as VALUE;
        table > 0xffff
            && table.is_multiple_of(8)
            && probe.is_readable(table, size_of_val(*locals))
            && locals.iter().enumerate().all(|(place, id)| word(table, place * 8) == *id)
    };
    let has_count = |(body, locals): &(VALUE, &[ID]), at: usize| unsafe {
        *((*body as usize + at) as *const u32) as usize == locals.len()
    };
    let table = only((0..SEARCHED).step_by(8).filter(|at| bodies.iter().all(|body| has_names(body, *at))))?;
    let count =
        only((table + 8..table + BEHIND).step_by(4).filter(|at| bodies.iter().all(|body| has_count(body, *at))))?;
    Some(Layout { table, count })
}

/// The only one there is.
pub(super) fn only<T>(mut places: impl Iterator<Item = T>) -> Option<T> {
    places.next().filter(|_| places.next().is_none())
}

/// Tells whether memory can be read, by having the system read it.
pub(super) struct Probe {
    _reader: std::io::PipeReader,
    writer: std::io::PipeWriter,
}

impl Probe {
    pub(super) fn new() -> Option<Probe> {
        let (reader, writer) = std::io::pipe().ok()?;
        Some(Probe { _reader: reader, writer })
    }

    pub(super) fn is_readable(&self, address: VALUE, bytes: usize) -> bool {
        use std::os::fd::AsRawFd;
        // SAFETY: what cannot be read is an error of the system's. So little fits in the pipe some hundred times, and it is asked less often.
        let written = unsafe { libc::write(self.writer.as_raw_fd(), address as *const libc::c_void, bytes) };
        usize::try_from(written) == Ok(bytes)
    }
}

/// The names of the local variables of a piece of code, in the order of the places of its environment.
///
/// # Safety
/// It must be an IMEMO iseq.
pub(super) unsafe fn locals<'a>(iseq: VALUE) -> Option<&'a [ID]> {
    let layout = layout()?;
    unsafe {
        let body = word(iseq, 16) as VALUE;
        if body == 0 {
            return None;
        }
        let (table, count) = (word(body, layout.table), *((body as usize + layout.count) as *const u32));
        (table != 0).then(|| std::slice::from_raw_parts(table as *const ID, count as usize))
    }
}

/// What a closure captured: `struct rb_block` of vm_core.h, with which a Proc and a Binding begin.
pub(super) enum Block {
    /// Code with a `self`.
    Code { itself: VALUE, code: VALUE },
    /// C code with a `self`.
    Native { itself: VALUE, code: VALUE },
    /// What stands for a block: a Proc.
    Other(VALUE),
}

/// # Safety
/// It must be the data of a Proc or Binding.
pub(super) unsafe fn block(data: VALUE) -> Option<Block> {
    unsafe {
        let kind = *((data as usize + 24) as *const c_int);
        let (itself, code) = (word(data, 0) as VALUE, word(data, 16) as VALUE);
        match kind {
            0 => Some(Block::Code { itself, code }),
            1 => Some(Block::Native { itself, code }),
            3 => Some(Block::Other(itself)),
            _ => None,
        }
    }
}

/// File and line of a piece of code.
///
/// # Safety
/// It must be an IMEMO iseq.
pub(super) unsafe fn location(api: &Api, iseq: VALUE, out: &mut Vec<u8>) -> bool {
    unsafe {
        if is_special(iseq) || word(iseq, 16) == 0 {
            return false;
        }
        let Some(path) = string_or_none((api.iseq_path)(iseq)) else { return false };
        super::names::escape(out, path);
        let line = (api.iseq_line)(iseq);
        if line & 1 == 1 {
            out.push(b':');
            super::text::put_number(out, line >> 1);
        }
        true
    }
}
