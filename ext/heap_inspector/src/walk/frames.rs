//! Where threads and fibers wait: file and line of the innermost frame of Ruby code. And where threads keep their names.
//!
//! Both stand in structs whose layout differs from version to version and is in no header. So it is looked for, in fibers and threads whose
//! code and names are known: for the place that has the stack of frames, for the bytes of a frame, for the place of the name. Where none or
//! more than one is found, it is not told. What such a stack, a frame and a piece of code begin with is the same on 3.1, 3.3 and 3.4.

use super::api::Api;
use super::code::{Probe, only};
use super::value::*;
use rb_sys::VALUE;
use std::sync::OnceLock;

/// Where things stand in the data of fibers and threads.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    /// Bytes of a frame.
    frame: usize,
    /// In a fiber: its stack of frames.
    of_fiber: Option<usize>,
    /// In a thread: a pointer to such.
    of_thread: Option<usize>,
    /// In a thread: its name.
    name: Option<usize>,
}

static LAYOUT: OnceLock<Layout> = OnceLock::new();

/// Bytes in which something is looked for at most.
const SEARCHED: usize = 4096;
/// Bytes that a frame may have: seven words, up to 3.1 eight.
const FRAMES: [usize; 2] = [56, 64];
/// Words that a stack has at most.
const MOST: u64 = 1 << 28;
/// Bytes of a stack's beginning: where its words are, how many, its innermost frame.
const STACK: usize = 24;

/// Objects by which the layout is found, each with what it should have.
pub(crate) struct Known {
    /// Fibers that wait in a C function which their block called, with that block's code.
    pub(crate) fibers: Vec<(VALUE, VALUE)>,
    /// The thread that runs, in a C function, with the code that called it.
    pub(crate) thread: (VALUE, VALUE),
    /// Threads with their names.
    pub(crate) names: Vec<(VALUE, VALUE)>,
}

/// Looks for the layout, once.
///
/// # Safety
/// They must be such objects, and stay as they are meanwhile.
pub(crate) unsafe fn learn(known: &Known) {
    // SAFETY: as above.
    LAYOUT.get_or_init(|| unsafe { find(known) }.unwrap_or_default());
}

unsafe fn find(known: &Known) -> Option<Layout> {
    let probe = Probe::new()?;
    let stacks = |frame: usize| {
        // SAFETY: within what the fiber was given.
        place(&known.fibers, STACK, |at, code| unsafe { is_stack(&probe, at, frame, code) })
    };
    let (frame, of_fiber) = only(FRAMES.into_iter().filter_map(|frame| Some((frame, stacks(frame)?))))?;
    let of_thread = place(&[known.thread], 8, |at, code| {
        // SAFETY: a word of the thread's; what it leads to is asked first.
        unsafe {
            let stack = word(at, 0) as VALUE;
            is_readable(&probe, stack, STACK) && is_stack(&probe, stack, frame, code)
        }
    });
    let name = match known.names.len() {
        0 | 1 => None,
        // SAFETY: as above.
        _ => place(&known.names, 8, |at, name| unsafe { word(at, 0) as VALUE == name }),
    };
    Some(Layout { frame, of_fiber: Some(of_fiber), of_thread, name })
}

/// The only place in which all of some objects have `bytes` that are what they should be.
fn place(objects: &[(VALUE, VALUE)], bytes: usize, is_it: impl Fn(VALUE, VALUE) -> bool) -> Option<usize> {
    // SAFETY: DATA objects.
    let data = objects.iter().map(|(object, sought)| unsafe { Some((typed_data(*object)?.1, *sought)) });
    let data = data.collect::<Option<Vec<_>>>()?;
    let room = data.iter().map(|(data, _)| room(*data)).min()?;
    only((0..=room.checked_sub(bytes)?).step_by(8).filter(|at| {
        let mut all = data.iter();
        all.all(|(data, sought)| is_it(*data + *at as VALUE, *sought))
    }))
}

/// Bytes of what was allocated there.
fn room(data: VALUE) -> usize {
    #[cfg(target_os = "linux")]
    // SAFETY: Ruby has the data of these from malloc.
    unsafe {
        libc::malloc_usable_size(data as *mut libc::c_void).min(SEARCHED)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (data, SEARCHED);
        0
    }
}

fn is_readable(probe: &Probe, address: VALUE, bytes: usize) -> bool {
    address > 0xffff && address.is_multiple_of(8) && probe.is_readable(address, bytes)
}

/// Whether a stack begins there whose innermost frame is one of C and whose next one is of this code, so many bytes behind it.
unsafe fn is_stack(probe: &Probe, at: VALUE, frame: usize, code: VALUE) -> bool {
    unsafe {
        let Some((innermost, end)) = frames(at) else { return false };
        let next = innermost + frame as VALUE;
        next < end
            && (end - innermost).is_multiple_of(frame as VALUE)
            && is_readable(probe, innermost, 2 * frame)
            && word(innermost, 16) == 0
            && word(next, 16) as VALUE == code
    }
}

/// The innermost frame, and where they end; none where there are none. `rb_execution_context_t` of vm_core.h begins so.
unsafe fn frames(stack: VALUE) -> Option<(VALUE, VALUE)> {
    unsafe {
        let (start, words, innermost) = (word(stack, 0), word(stack, 8), word(stack, 16));
        let is_one = start > 0xffff && start.is_multiple_of(8) && words <= MOST;
        let end = start.checked_add(words.checked_mul(8)?)?;
        (is_one && innermost.is_multiple_of(8) && start < innermost && innermost < end)
            .then_some((innermost as VALUE, end as VALUE))
    }
}

/// The name of a thread, nil or 0 where it has none.
///
/// # Safety
/// It must be the data of a thread.
pub(super) unsafe fn name(thread: VALUE) -> VALUE {
    let at = LAYOUT.get().and_then(|layout| layout.name);
    at.map_or(0, |at| unsafe { word(thread, at) as VALUE })
}

/// Writes where a thread waits, or runs.
///
/// # Safety
/// As for [`name`].
pub(super) unsafe fn thread(api: &Api, thread: VALUE, out: &mut Vec<u8>) {
    let Some(Layout { frame, of_thread: Some(at), .. }) = LAYOUT.get() else { return };
    unsafe {
        let stack = word(thread, *at) as VALUE;
        if stack != 0 {
            location(api, stack, *frame, out);
        }
    }
}

/// Writes where a fiber waits, or runs.
///
/// # Safety
/// It must be the data of a fiber.
pub(super) unsafe fn fiber(api: &Api, fiber: VALUE, out: &mut Vec<u8>) {
    let Some(Layout { frame, of_fiber: Some(at), .. }) = LAYOUT.get() else { return };
    unsafe { location(api, fiber + *at as VALUE, *frame, out) };
}

/// The innermost frame of Ruby code, Ruby's own where there is no other.
unsafe fn location(api: &Api, stack: VALUE, bytes: usize, out: &mut Vec<u8>) {
    unsafe {
        let Some((mut frame, end)) = frames(stack) else { return };
        let mut internal = None;
        while frame < end {
            let code = word(frame, 16) as VALUE;
            // A frame of C has none, one of a block in C another thing.
            if !is_special(code)
                && builtin_type(code) == T_IMEMO
                && imemo_type(code) == IMEMO_ISEQ
                && word(code, 16) != 0
            {
                let Some(path) = string_or_none((api.iseq_path)(code)) else { return };
                if !path.starts_with(b"<internal:") {
                    return write(api, path, code, word(frame, 0), out);
                }
                internal = internal.or(Some((path, code, word(frame, 0))));
            }
            frame += bytes as VALUE;
        }
        if let Some((path, code, next)) = internal {
            write(api, path, code, next, out);
        }
    }
}

/// `next` is the instruction behind the one that is under way, as `calc_lineno` of vm_backtrace.c has it.
unsafe fn write(api: &Api, path: &[u8], code: VALUE, next: u64, out: &mut Vec<u8>) {
    // SAFETY: `rb_iseq_constant_body`: sort, count of words of the code, these.
    unsafe {
        let body = word(code, 16) as VALUE;
        let (count, first) = (u64::from(*((body as usize + 4) as *const u32)), word(body, 8));
        super::names::escape(out, path);
        let place = next.wrapping_sub(first) / 8;
        let line = match api.line_at {
            Some(line_at) if next >= first && place <= count && count > 0 => {
                u64::from(line_at(code, place.saturating_sub(1) as usize))
            }
            _ => match (api.iseq_line)(code) {
                line if line & 1 == 1 => line >> 1,
                _ => 0,
            },
        };
        if line > 0 {
            out.push(b':');
            super::text::put_number(out, line);
        }
    }
}
