//! The allocation tracer: Ruby's hooks on one side, the tables of `heap_inspector_tracer` on the other. See `lib/heap_inspector/tracing.rb`.
//!
//! The hook of an allocation makes no Ruby object and takes no lock. Ruby calls it with the GVL and, where there are Ractors, with the lock
//! of the VM; what reads the tables meanwhile from another Ractor raises [`hooks::BUSY`], and the hook then leaves the allocation out. A forked
//! child has one thread, so it lowers the flag.
//!
//! What lives is known without a hook for each death: when marking has ended, `rb_obj_gc_flags` tells who is not marked. Up to Ruby 3.2
//! the bare presence of any hook of the collector makes each allocation slow. There the hook for the end of marking is put in by the mark
//! function of an object of ours, with which marking comes by, and taken out when it has run. Ruby's room for a hook must not bring a
//! collection then: [`hooks::add_while_marking`] sees to that, and under `GC.stress` the hook stays in.

mod hooks;
mod intervals;
mod ruby;
mod state;

use crate::block_profile::{self, KeptString, location};
use crate::document::Document;
use crate::dumper::symbol;
use crate::errors;
use crate::gvl;
use crate::native::{function, method};
use heap_inspector_tracer::profile::Profile;
use heap_inspector_tracer::stacks::NO_NODE;
use heap_inspector_tracer::texts::TextId;
pub(crate) use hooks::frozen;
use hooks::{PASSENGER, STATE, add, after_fork, with_certainly};
use magnus::value::ReprValue;
use magnus::{Class, Error, Module, Object, RArray, RHash, RModule, RString, Ruby, Value};
use rb_sys::{ID, Qnil, VALUE};
use ruby::{Api, GcFlags, SlotSize, generation, intern, size, string_bytes};
use state::{Mode, State, processor_time};
use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Why this Ruby cannot be traced, if so: nil or words.
fn missing(_ruby: &Ruby) -> Option<&'static str> {
    // SAFETY: only asked for.
    let flags = unsafe { symbol(c"rb_obj_gc_flags") };
    flags.is_none().then_some("it does not export rb_obj_gc_flags, by which is known what lives (Ruby 4.0 and later)")
}

/// Makes the state, once.
fn state(ruby: &Ruby) -> Result<(), Error> {
    if !STATE.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    // SAFETY: their types are those of gc.c.
    let (gc_flags, slot_size) = unsafe {
        let flags = symbol(c"rb_obj_gc_flags").map(|found| std::mem::transmute::<*mut c_void, GcFlags>(found));
        let size = symbol(c"rb_gc_obj_slot_size").map(|found| std::mem::transmute::<*mut c_void, SlotSize>(found));
        (flags, size)
    };
    let Some(gc_flags) = gc_flags else {
        return Err(errors::named(ruby, "Error", "this Ruby cannot be traced".to_owned()));
    };
    let mut flags: [ID; 16] = [0; 16];
    // SAFETY: a living object. The first call makes the names, which must not be in a collection.
    unsafe { gc_flags(rb_sys::rb_cObject, flags.as_mut_ptr(), flags.len()) };
    // SAFETY: C strings.
    let (marked, old) = unsafe { (rb_sys::rb_intern(c"marked".as_ptr()), rb_sys::rb_intern(c"old".as_ptr())) };
    // SAFETY: names that were interned.
    let key = |name: &CStr| unsafe { rb_sys::rb_id2sym(rb_sys::rb_intern(name.as_ptr())) };
    // The flag that tells hooks of allocations from others came with 3.3, and this function as well.
    let hides_hooks = slot_size.is_none();
    let api = Api {
        gc_flags,
        marked,
        old,
        slot_size,
        hides_hooks,
        gc_state: key(c"state"),
        is_marking: key(c"marking"),
        major_count: key(c"major_gc_count"),
        total_allocated: key(c"total_allocated_objects"),
        malloc_increase: key(c"malloc_increase_bytes"),
    };
    // Of this, too, the first call makes the names.
    api.is_marking();
    STATE.store(Box::into_raw(Box::new(State::new(api))), Ordering::Release);
    // SAFETY: a handler that only lowers a flag.
    unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    magnus::rb_sys::protect(|| {
        // SAFETY: the type is static, and the pointer not null: of such Ruby marks nothing. It is never looked at.
        unsafe {
            let pointer = ptr::from_ref(&PASSENGER).cast_mut().cast::<c_void>();
            let passenger = rb_sys::rb_data_typed_object_wrap(0, pointer, &raw const PASSENGER.0);
            rb_sys::rb_gc_register_mark_object(passenger);
            Qnil as VALUE
        }
    })?;
    Ok(())
}

/// Begins to trace: `full`, `sampled` or `continuous`; one stack for so many allocations; the share of the processor that continuous
/// tracing may take.
fn start(ruby: &Ruby, mode: String, every: u32, budget: f64) -> Result<(), Error> {
    let Some((mode, _)) = Mode::NAMED.iter().find(|(_, name)| *name == mode) else {
        return Err(Error::new(ruby.exception_arg_error(), format!("there is no mode {mode:?}")));
    };
    state(ruby)?;
    let wanted = with_certainly(|state| {
        state.end();
        state.begin(*mode, every, budget, None)
    });
    wanted.into_iter().flatten().for_each(add);
    Ok(())
}

/// Whether `GC.stress` is or will be on.
fn stress(_ruby: &Ruby, is_stressed: bool) {
    let wanted = with_certainly(|state| {
        state.is_stressed = is_stressed;
        if is_stressed { state.await_marks() } else { None }
    });
    add(wanted.flatten());
}

/// Ends it; what is known stays.
fn stop(_ruby: &Ruby) {
    with_certainly(State::end);
}

/// Forgets what is known.
fn clear(_ruby: &Ruby) {
    with_certainly(State::clear);
}

/// Opens a window of continuous tracing. Returns how many seconds after it the next should be opened, on average.
fn open_window(_ruby: &Ruby) -> Option<f64> {
    let (wanted, interval) = with_certainly(|state| (state.open_window(), state.rhythm.interval(state.budget)))?;
    add(wanted);
    Some(interval.as_secs_f64())
}

/// Closes it.
fn close_window(_ruby: &Ruby) {
    with_certainly(State::close_window);
}

/// How it stands, nil where nothing was ever traced: what is on, and what it cost.
fn status(ruby: &Ruby) -> Result<Option<RHash>, Error> {
    let Some(values) = with_certainly(|state| {
        state.settle();
        let processor = processor_time().saturating_sub(state.began_processor).as_nanos() as f64;
        let cost = state.whole_cost();
        let share = if processor > 0.0 { (cost / processor).min(1.0) } else { 0.0 };
        let tracer = &state.tracer;
        let numbers = [
            ("every", u64::from(state.distances.mean())),
            ("weight", state.weight().round() as u64),
            ("seen", state.seen()),
            ("samples", tracer.sampled),
            ("live", tracer.live() as u64),
            ("sites", tracer.sites.len() as u64),
            ("stacks", tracer.stacks.nodes().len() as u64),
            ("memory", tracer.memory() as u64),
            ("lost", tracer.lost),
        ];
        (
            state.is_on,
            state.mode,
            state.began.elapsed().as_secs_f64(),
            share,
            state.rhythm.interval(state.budget),
            state.budget,
            numbers,
        )
    }) else {
        return Ok(None);
    };
    let (is_on, mode, seconds, share, interval, budget, numbers) = values;
    let hash = ruby.hash_new();
    hash.aset(ruby.to_symbol("on"), is_on)?;
    hash.aset(ruby.to_symbol("mode"), ruby.to_symbol(mode.name()))?;
    hash.aset(ruby.to_symbol("seconds"), seconds)?;
    hash.aset(ruby.to_symbol("cpu"), share)?;
    if mode == Mode::Continuous {
        hash.aset(ruby.to_symbol("budget"), budget)?;
        hash.aset(ruby.to_symbol("interval"), interval.as_secs_f64())?;
    }
    for (name, number) in numbers {
        hash.aset(ruby.to_symbol(name), number)?;
    }
    Ok(Some(hash))
}

/// Asks the frames that wait for their class. It makes Ruby objects, so nobody is at the tables meanwhile, and another Ractor may collect
/// garbage and have the tables forgotten: the frame that is asked stands on the stack, where the collector sees it.
pub(crate) fn name_frames() {
    while let Some(Some(asked)) = with_certainly(|state| state.tracer.frames.next_pending()) {
        let frame = asked.0 as VALUE;
        // SAFETY: a frame's code or method, which was kept alive.
        let label = magnus::rb_sys::protect(|| unsafe { rb_sys::rb_profile_frame_full_label(frame) });
        std::hint::black_box(&frame);
        with_certainly(|state| {
            let label = label.as_ref().map_or(TextId::NONE, |label| intern(&mut state.tracer.texts, *label));
            state.tracer.frames.name(asked, label);
        });
    }
}

/// What is alive by stack, as it was at a moment.
#[magnus::wrap(class = "HeapInspector::TakenProfile", free_immediately)]
struct TakenProfile {
    profile: Profile,
    time: SystemTime,
    duration: Duration,
}

impl TakenProfile {
    /// As `pprof`, `folded`, `flamegraph` or `json`.
    fn render(ruby: &Ruby, taken: &TakenProfile, format: String) -> Result<RString, Error> {
        let profile = &taken.profile;
        let bytes = gvl::without(ruby, &AtomicBool::new(false), || match format.as_str() {
            "pprof" => profile.pprof(taken.time, taken.duration),
            "folded" => Ok(profile.folded().into_bytes()),
            "flamegraph" => profile.flamegraph().map(String::into_bytes),
            _ => Ok(profile.json().into_bytes()),
        })?;
        let bytes = bytes.map_err(|error| errors::named(ruby, "Error", error.to_string()))?;
        Ok(if format == "pprof" { ruby.str_from_slice(&bytes) } else { ruby.enc_str_new(&bytes, ruby.utf8_encoding()) })
    }

    /// The number of the last sample.
    fn serial(_ruby: &Ruby, taken: &TakenProfile) -> u32 {
        taken.profile.serial
    }
}

/// Takes a profile; only of what came after a sample, where its number is given. Nil where nothing was traced.
fn profile(_ruby: &Ruby, since: Option<u32>) -> Option<TakenProfile> {
    name_frames();
    with_certainly(|state| {
        state.settle();
        state.close_window();
        let State { api, tracer, .. } = state;
        let profile =
            Profile::new(tracer, state.distances.mean(), generation(), since, |_| true, |address| size(api, address));
        TakenProfile { profile, time: SystemTime::now(), duration: state.began.elapsed() }
    })
}

/// Bytes of a text that are shown.
const SHOWN: usize = 80;

/// What lives and what was allocated since the tables were last cleared, as a report with at most `limit` rows a table, and the profile
/// itself. For a block that was traced alone, each allocation with its stack. What is Ruby's own, as inline caches, is left out.
fn report(ruby: &Ruby, limit: usize) -> Result<Option<RArray>, Error> {
    name_frames();
    let Some((taken, strings)) = with_certainly(|state| {
        state.settle();
        let State { api, tracer, .. } = state;
        let profile =
            Profile::new(tracer, 1, generation(), None, |site| !site.is_internal, |address| size(api, address));
        let mut strings = Vec::new();
        for (address, sample) in tracer.samples.iter() {
            let is_internal = tracer.sites.get(sample.site).is_some_and(|site| site.is_internal);
            let Some(bytes) = string_bytes(address as VALUE).filter(|_| !is_internal) else { continue };
            let mut shown = bytes.get(..SHOWN).unwrap_or(bytes);
            let is_cut = shown.len() < bytes.len();
            // A letter is not cut in the middle, where it is UTF-8.
            while is_cut
                && shown.last().is_some_and(|last| *last >= 0x80)
                && std::str::from_utf8(shown).is_err()
                && shown.len() > SHOWN - 4
            {
                shown = &shown[..shown.len() - 1];
            }
            let mut frames = tracer.stacks.walk(sample.stack);
            let location = frames.find_map(|node| {
                location(&String::from_utf8_lossy(tracer.texts.get(tracer.frames.get(node.frame).path)), node.line)
            });
            let (value, memsize) = (String::from_utf8_lossy(shown).into_owned(), size(api, address));
            strings.push(KeptString { value, is_cut, memsize, location });
        }
        let taken = TakenProfile { profile, time: SystemTime::now(), duration: state.began.elapsed() };
        (taken, strings)
    }) else {
        return Ok(None);
    };
    let row = ruby.ary_new();
    row.push(Document::made(ruby, block_profile::report(&taken.profile, strings, limit)))?;
    row.push(ruby.obj_wrap(taken))?;
    Ok(Some(row))
}

/// What is known of an object, by the names of `Allocation` and its `Frame`s, innermost first; nil for none.
fn lookup(ruby: &Ruby, object: Value) -> Result<Option<RHash>, Error> {
    use magnus::rb_sys::AsRawValue;
    name_frames();
    let address = object.as_raw();
    let found = with_certainly(|state| {
        state.settle();
        let tracer = &state.tracer;
        let traced = tracer.get(address)?;
        let text = |id: TextId| tracer.texts.get(id).to_vec();
        let site = traced.site.map(|site| (text(site.path), site.line, text(site.method), text(site.class)));
        let frames = tracer.stacks.walk(traced.stack.unwrap_or(NO_NODE)).map(|node| {
            let frame = tracer.frames.get(node.frame);
            (text(frame.path), node.line, text(frame.label))
        });
        Some((site, traced.generation, frames.collect::<Vec<_>>()))
    });
    let Some(Some((site, generation, frames))) = found else { return Ok(None) };
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| ruby.enc_str_new(bytes, ruby.utf8_encoding()));
    let line = |line: u32| (line > 0).then_some(line);
    let stack = ruby.ary_new();
    for (path, at, label) in frames {
        let frame = ruby.hash_new();
        frame.aset(ruby.to_symbol("file"), text(&path))?;
        frame.aset(ruby.to_symbol("line"), line(at))?;
        frame.aset(ruby.to_symbol("label"), text(&label))?;
        stack.push(frame)?;
    }
    let (path, at, method, class) = site.unwrap_or_default();
    let found = ruby.hash_new();
    found.aset(ruby.to_symbol("file"), text(&path))?;
    found.aset(ruby.to_symbol("line"), line(at))?;
    found.aset(ruby.to_symbol("method_name"), text(&method))?;
    found.aset(ruby.to_symbol("class_name"), text(&class))?;
    found.aset(ruby.to_symbol("generation"), generation)?;
    found.aset(ruby.to_symbol("stack"), stack)?;
    Ok(Some(found))
}

/// Overwrites what ended calls left on the machine stack beneath the caller. The collector takes each word there for an object where it
/// could be one, as far down as its own call goes, which does not write to all of its frames.
fn clear_stack(_ruby: &Ruby) {
    std::hint::black_box([0u8; STACK_BYTES].as_mut_ptr());
}

/// Calls the block so far down the machine stack that what it leaves there lies beneath all of a collection after it.
fn deeper(ruby: &Ruby) -> Result<Value, Error> {
    let mut between = [0u8; STACK_BYTES];
    std::hint::black_box(between.as_mut_ptr());
    let given = ruby.yield_values(()); // no argument: a lambda would refuse it
    std::hint::black_box(between.as_mut_ptr()); // still there, so the block had to be deeper
    given
}

/// More than a collection's calls need, and little of the 256 KiB that a fiber has at least.
const STACK_BYTES: usize = 16 << 10;

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    let class = module.define_class("TakenProfile", ruby.class_object())?;
    class.undef_default_alloc_func();
    module.funcall::<_, _, Value>("private_constant", (ruby.to_symbol("TakenProfile"),))?;
    class.define_method("render", method!(TakenProfile::render, 1))?;
    class.define_method("serial", method!(TakenProfile::serial, 0))?;
    native.define_singleton_method("tracer_missing", function!(missing, 0))?;
    native.define_singleton_method("tracer_start", function!(start, 3))?;
    native.define_singleton_method("tracer_stress", function!(stress, 1))?;
    native.define_singleton_method("tracer_stop", function!(stop, 0))?;
    native.define_singleton_method("tracer_clear", function!(clear, 0))?;
    native.define_singleton_method("tracer_open_window", function!(open_window, 0))?;
    native.define_singleton_method("tracer_close_window", function!(close_window, 0))?;
    native.define_singleton_method("tracer_status", function!(status, 0))?;
    native.define_singleton_method("tracer_profile", function!(profile, 1))?;
    native.define_singleton_method("tracer_report", function!(report, 1))?;
    native.define_singleton_method("tracer_lookup", function!(lookup, 1))?;
    native.define_singleton_method("tracer_start_thread", function!(intervals::start, 0))?;
    native.define_singleton_method("clear_stack", function!(clear_stack, 0))?;
    native.define_singleton_method("deeper", function!(deeper, 0))?;
    native.define_singleton_method("tracer_places", function!(intervals::places, 1))?;
    native.define_singleton_method("tracer_moment", function!(intervals::moment, 0))?;
    native.define_singleton_method("tracer_allocated_objects", function!(intervals::allocated_objects, 0))?;
    native.define_singleton_method("tracer_allocated_memsize", function!(intervals::allocated_memsize, 0))?;
    native.define_singleton_method("tracer_survivors", function!(intervals::survivors, 2))
}
