//! What one thread allocates between moments, and what of it lives: for blocks of code that are measured one after the other.

use super::hooks::{add, with_certainly};
use super::ruby::{size, string_bytes};
use super::state::{Mode, State};
use crate::block_profile::location;
use crate::dumper::symbol;
use heap_inspector::gems::gem;
use heap_inspector_tracer::stacks::{NO_NODE, NodeId};
use heap_inspector_tracer::tracer::{Allocated, Tracer};
use magnus::{Error, RArray, Ruby};
use rb_sys::{Qnil, VALUE};
use std::collections::HashMap;
use std::ffi::c_void;

type MemsizeOf = unsafe extern "C" fn(VALUE) -> usize;

/// Begins to note each allocation of the calling thread, with its stack, beside what is known.
pub(super) fn start(ruby: &Ruby) -> Result<(), Error> {
    super::state(ruby)?;
    // SAFETY: a living thread, which Ruby never moves.
    let thread = unsafe { rb_sys::rb_thread_current() };
    let wanted = with_certainly(|state| {
        state.end();
        state.begin(Mode::Sampled, 1, 1.0, Some(thread))
    });
    wanted.into_iter().flatten().for_each(add);
    Ok(())
}

/// Whether it is noted where objects come from: lines and stacks. Without that what lives is told by class, and a tenth of the time is
/// taken.
pub(super) fn places(_ruby: &Ruby, are_noted: bool) {
    with_certainly(|state| state.takes_places = are_noted);
}

/// A moment: how many allocations were noted before it.
pub(super) fn moment(_ruby: &Ruby) -> u32 {
    with_certainly(|state| state.tracer.sampled as u32).unwrap_or(0)
}

/// Objects allocated so far, those that are Ruby's own left out.
pub(super) fn allocated_objects(_ruby: &Ruby) -> u64 {
    allocated(|more| more.objects)
}

/// Bytes of their slots.
pub(super) fn allocated_memsize(_ruby: &Ruby) -> u64 {
    allocated(|more| more.bytes)
}

fn allocated(number: impl Fn(Allocated) -> f64) -> u64 {
    let sum = with_certainly(|state| {
        let tracer = &state.tracer;
        let is_own = |site: u32| tracer.sites.get(site).is_some_and(|site| site.is_internal);
        tracer.allocated().filter(|(_, site, _)| !is_own(*site)).map(|(.., more)| number(more)).sum::<f64>()
    });
    sum.unwrap_or(0.0).round() as u64
}

/// Objects of one interval, class and place.
#[derive(Default)]
struct Survivors {
    count: u64,
    bytes: u64,
    /// The address of one of them.
    sample: u64,
}

/// What lives of what was allocated between each two neighbouring moments, by the names of `Tracing::Survivors`. With `is_whole` Ruby's own
/// objects are in it, as code is, and all bytes that `ObjectSpace.memsize_of` tells: for a process that is there to be measured, since on
/// some classes of some Rubies it crashes.
pub(super) fn survivors(ruby: &Ruby, moments: Vec<u32>, is_whole: bool) -> Result<RArray, Error> {
    // SAFETY: its type is that of gc.c.
    let memsize =
        unsafe { symbol(c"rb_obj_memsize_of").map(|found| std::mem::transmute::<*mut c_void, MemsizeOf>(found)) };
    let memsize = memsize.filter(|_| is_whole);
    let found = with_certainly(|state| {
        let State { api, tracer, .. } = state;
        let mut found: HashMap<(usize, u32, NodeId, VALUE), Survivors> = HashMap::new();
        let sampled =
            tracer.samples.iter().map(|(address, sample)| (address, sample.serial, sample.site, sample.stack));
        let counted = tracer.counted.iter().map(|(address, one)| (address, one.generation, one.site, NO_NODE));
        for (address, serial, number, stack) in sampled.chain(counted) {
            let site = tracer.sites.get(number);
            if !is_whole && site.is_some_and(|site| site.is_internal) {
                continue;
            }
            // A moment stands behind the allocations before it.
            let behind = moments.partition_point(|moment| *moment < serial);
            if behind == 0 || behind == moments.len() {
                continue;
            }
            let code = if is_whole { code_path(address as VALUE) } else { Qnil as VALUE };
            let survivors = found.entry((behind - 1, number, stack, code)).or_default();
            survivors.count += 1;
            survivors.bytes += match memsize {
                // SAFETY: a living object.
                Some(memsize) => unsafe { memsize(address as VALUE) as u64 },
                None => size(api, address),
            };
            survivors.sample = address;
        }
        let row = |((interval, site, stack, code), survivors): ((usize, u32, NodeId, VALUE), Survivors)| {
            let site = tracer.sites.get(site).unwrap_or_default();
            let class = tracer.texts.get(site.class).to_vec();
            let mut places = match stack {
                NO_NODE => place(&String::from_utf8_lossy(tracer.texts.get(site.path)), site.line),
                stack => places_of(tracer, stack),
            };
            if let Some(path) = string_bytes(code) {
                let path = String::from_utf8_lossy(path).into_owned();
                (places.gem, places.innermost) = (Some(gem(&path)), Some(path));
            }
            (interval, class, places, survivors)
        };
        found.into_iter().map(row).collect::<Vec<_>>()
    });
    let rows = ruby.ary_new();
    for (interval, class, Places { app, innermost, gem }, survivors) in found.unwrap_or_default() {
        let class = (!class.is_empty()).then(|| ruby.enc_str_new(&class, ruby.utf8_encoding()));
        let row = ruby.hash_new();
        row.aset(ruby.to_symbol("interval"), interval)?;
        row.aset(ruby.to_symbol("class_name"), class)?;
        row.aset(ruby.to_symbol("app_location"), app)?;
        row.aset(ruby.to_symbol("location"), innermost)?;
        row.aset(ruby.to_symbol("gem"), gem)?;
        row.aset(ruby.to_symbol("objects"), survivors.count)?;
        row.aset(ruby.to_symbol("memsize"), survivors.bytes)?;
        row.aset(ruby.to_symbol("address"), survivors.sample)?;
        rows.push(row)?;
    }
    Ok(rows)
}

/// Where a stack leads to.
#[derive(Default)]
struct Places {
    /// The innermost line of the app.
    app: Option<String>,
    /// The innermost line, and its gem.
    innermost: Option<String>,
    gem: Option<String>,
}

/// The path of the file that a piece of code was compiled of; nil for what is no code. Whatever required the file, it is the file's.
fn code_path(object: VALUE) -> VALUE {
    /// `imemo_iseq` of internal/imemo.h, the same in 3.1 to 3.4; its place in the flags is `FL_USHIFT`.
    const ISEQ: u64 = 7;
    // SAFETY: a living object; the path of an iseq is there, and nothing is made.
    unsafe {
        let is_memo = rb_sys::RB_BUILTIN_TYPE(object) == rb_sys::ruby_value_type::RUBY_T_IMEMO;
        let kind = (*(object as *const rb_sys::RBasic)).flags >> rb_sys::ruby_fl_ushift::RUBY_FL_USHIFT as u64 & 0xf;
        if is_memo && kind == ISEQ { rb_sys::rb_profile_frame_path(object) } else { Qnil as VALUE }
    }
}

/// Whether a file only loads others, for whoever asked for them.
fn is_loader(file: &str) -> bool {
    ["/rubygems/core_ext/kernel_require.rb", "/zeitwerk/kernel.rb", "/bundled_gems.rb"]
        .iter()
        .any(|end| file.ends_with(end))
        || file.contains("/bootsnap/")
        || file.starts_with("<internal:")
}

/// Where a line alone leads to.
fn place(file: &str, line: u32) -> Places {
    let (innermost, gem) = (location(file, line), gem(file));
    Places { app: innermost.clone().filter(|_| gem == "app"), gem: innermost.is_some().then_some(gem), innermost }
}

fn places_of(tracer: &Tracer, stack: NodeId) -> Places {
    let mut found = Places::default();
    for node in tracer.stacks.walk(stack) {
        let frame = tracer.frames.get(node.frame);
        let file = String::from_utf8_lossy(tracer.texts.get(frame.path));
        let Some(place) = location(&file, node.line).filter(|_| !is_loader(&file)) else { continue };
        let gem = gem(&file);
        if found.innermost.is_none() {
            (found.innermost, found.gem) = (Some(place.clone()), Some(gem.clone()));
        }
        if gem == "app" {
            found.app = Some(place);
            break;
        }
    }
    found
}
