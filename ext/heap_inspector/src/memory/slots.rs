//! Ruby's heap, looked at with the GVL for a few milliseconds: where its pages are, and of some of them what lies in their slots and
//! holds beside them. Nothing is allocated, collected or marked.

use crate::dumper::symbol;
use crate::walk::value;
use rb_sys::VALUE;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::time::{Duration, Instant};

/// Sorts of what is in slots, as [`Slots::kinds`] counts them.
pub(super) const KINDS: [&str; 5] = ["objects", "strings", "symbols", "classes", "code"];

/// A page's slots.
#[derive(Clone, Copy)]
struct Page {
    start: u64,
    end: u64,
    stride: u64,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Slots {
    /// `start..end` of each page, sorted.
    pub(super) pages: Vec<(u64, u64)>,
    /// Pages whose slots were looked at.
    pub(super) looked: u64,
    /// In them by kind: slots, their bytes, and bytes beside them.
    pub(super) kinds: [[u64; 3]; 5],
    /// Symbols for good, which are no objects.
    pub(super) symbols: u64,
}

type EachPage = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut c_void) -> c_int;
type Each = unsafe extern "C" fn(EachPage, *mut c_void);
type Memsize = unsafe extern "C" fn(VALUE) -> usize;
type IsMarked = unsafe extern "C" fn(VALUE) -> c_int;

/// SAFETY: Ruby calls it for each page with the first slot, the end behind the last, the size of each, and the list.
unsafe extern "C" fn page(start: *mut c_void, end: *mut c_void, stride: usize, list: *mut c_void) -> c_int {
    let list = unsafe { &mut *list.cast::<Vec<Page>>() };
    list.push(Page { start: start as u64, end: end as u64, stride: stride as u64 });
    0
}

type Count = unsafe extern "C" fn() -> usize;
type Name = unsafe extern "C" fn(VALUE) -> *const c_char;

/// A function of Ruby's as gc.c and symbol.c have it from 3.1 to 3.4, all of which take and return words.
fn function<F: Copy>(name: &CStr) -> Option<F> {
    assert_eq!(mem::size_of::<F>(), mem::size_of::<*mut c_void>(), "a pointer");
    // SAFETY: the types above are those of these Rubies.
    unsafe { symbol(name).map(|found| mem::transmute_copy::<*mut c_void, F>(&found)) }
}

/// Looks. `page_bytes` is Ruby's own constant; `is_resting` says that neither marking nor sweeping is under way, `is_sweeping` that what is
/// dead may not be swept yet.
///
/// # Safety
/// To be called by a Ruby thread with the GVL while no other Ractor runs, on a Ruby whose objects begin as `walk::value` has it.
pub(super) unsafe fn look(page_bytes: u64, is_resting: bool, is_sweeping: bool, budget: Duration) -> Slots {
    let mut slots = Slots::default();
    if let Some(count) = function::<Count>(c"rb_sym_immortal_count") {
        // SAFETY: reads a number.
        slots.symbols = unsafe { count() } as u64;
    }
    // The one that ends a collection under way first may take long, so it is for when there is none.
    let each: Option<Each> = function(c"rb_objspace_each_objects_without_setup");
    let each = each.or_else(|| if is_resting { function(c"rb_objspace_each_objects") } else { None });
    let (Some(each), Some(memsize)) = (each, function::<Memsize>(c"rb_obj_memsize_of")) else { return slots };
    let listing = Instant::now();
    let mut pages: Vec<Page> = Vec::new();
    // SAFETY: the list outlives the call.
    unsafe { each(page, (&raw mut pages).cast()) };
    if page_bytes.is_power_of_two() {
        slots.pages = pages.iter().map(|page| page.start & !(page_bytes - 1)).map(|at| (at, at + page_bytes)).collect();
        slots.pages.sort_unstable();
        slots.pages.dedup();
    }
    // What is dead and not swept yet may hold what is gone already: then only what was marked is looked at.
    let marked: Option<IsMarked> = function(c"rb_objspace_marked_object_p");
    if is_sweeping && marked.is_none() {
        return slots;
    }
    let marked = if is_sweeping { marked } else { None };
    let count = pages.len();
    // The list alone takes 4 ms of 60,000 pages, a GiB of small objects: what it took beyond the budget is taken from the look.
    let budget = (budget * 2).saturating_sub(listing.elapsed()).clamp(budget / 4, budget);
    let begun = Instant::now();
    // Evenly, in an order that is good wherever it ends: steps of the golden section.
    let step = coprime(count);
    for number in 0..count {
        if begun.elapsed() > budget {
            break;
        }
        // SAFETY: nothing has run since the list was made.
        unsafe { slots.count(pages[number * step % count], memsize, marked) };
        slots.looked += 1;
    }
    slots
}

fn coprime(count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let golden = count * 618 / 1000;
    (golden.max(1)..).find(|step| gcd(*step, count) == 1).unwrap_or(1)
}

impl Slots {
    /// # Safety
    /// A page of Ruby's heap as it is now.
    unsafe fn count(&mut self, page: Page, memsize: Memsize, marked: Option<IsMarked>) {
        let mut object = page.start;
        while object < page.end {
            // SAFETY: a slot, whose first word is zero where it is free; only sorts that have a size are asked for it.
            unsafe {
                if let Some(kind) = kind(object)
                    && marked.is_none_or(|marked| marked(object) != 0)
                {
                    let kind = &mut self.kinds[kind];
                    kind[0] += 1;
                    kind[1] += page.stride;
                    kind[2] += beside(object, memsize, page.stride);
                }
            }
            object += page.stride;
        }
    }
}

/// Sorts of IMEMO that stand for code: crefs, methods, iseqs, what is known of calls and constants.
fn is_code(sort: u64) -> bool {
    [1, value::IMEMO_MENT, value::IMEMO_ISEQ, value::IMEMO_CALLINFO, value::IMEMO_CALLCACHE, 13].contains(&sort)
}

/// What an object holds beside its slot. Threads and fibers count the whole of their stacks, of which little is ever touched: what is
/// stands among the stacks.
///
/// # Safety
/// It must be a living object.
unsafe fn beside(object: VALUE, memsize: Memsize, stride: u64) -> u64 {
    // SAFETY: as the caller promises; the name is a C string.
    unsafe {
        let bytes = (memsize(object) as u64).saturating_sub(stride);
        if bytes >= 1 << 16 && value::builtin_type(object) == value::T_DATA {
            let name = function::<Name>(c"rb_objspace_data_type_name");
            let name = name.map(|name| name(object)).filter(|name| !name.is_null());
            if name.is_some_and(|name| {
                [&b"VM/thread"[..], b"fiber", b"VM/fiber"].contains(&CStr::from_ptr(name).to_bytes())
            }) {
                return 0;
            }
        }
        bytes
    }
}

/// The place in [`KINDS`]; none of what is no object.
///
/// # Safety
/// It must be a slot.
unsafe fn kind(object: VALUE) -> Option<usize> {
    // SAFETY: as the caller promises.
    let sort = unsafe { value::builtin_type(object) };
    match sort {
        value::T_STRING => Some(1),
        value::T_SYMBOL => Some(2),
        value::T_CLASS | value::T_MODULE | value::T_ICLASS => Some(3),
        value::T_IMEMO => Some(if is_code(unsafe { value::imemo_type(object) }) { 4 } else { 0 }),
        // From T_OBJECT to T_RATIONAL.
        0x01..=0x0f => Some(0),
        _ => None,
    }
}
