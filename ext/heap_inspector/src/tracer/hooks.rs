//! The hooks that Ruby calls, and who may be at the tables.

use super::state::State;
use heap_inspector_tracer::tracer::Tracer;
use rb_sys::{Qnil, VALUE};
use std::ffi::{c_uint, c_void};
use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// The one state, made when tracing begins for the first time, and never freed: hooks may be under way.
pub(super) static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// Whether somebody is at the tables.
pub(super) static BUSY: AtomicBool = AtomicBool::new(false);

/// How many allocations until the next sample.
pub(super) static LEFT: AtomicU32 = AtomicU32::new(1);

/// Whether nothing is to be noted any more: in a child that dumps.
pub(super) static FROZEN: AtomicBool = AtomicBool::new(false);

/// Runs `work` at the tables, unless somebody else is there or there are none.
pub(super) fn with<T>(work: impl FnOnce(&mut State) -> T) -> Option<T> {
    let state = STATE.load(Ordering::Acquire);
    if state.is_null() || BUSY.swap(true, Ordering::Acquire) {
        return None;
    }
    // A panic must not cross Ruby's frames; what it leaves half done is not looked at again.
    // SAFETY: the state is never freed, and the flag keeps all others out.
    let done = catch_unwind(AssertUnwindSafe(|| work(unsafe { &mut *state })));
    if done.is_err() {
        FROZEN.store(true, Ordering::Relaxed);
    }
    BUSY.store(false, Ordering::Release);
    done.ok()
}

/// The same for what must be done: others are gone after some microseconds, since they hold nothing that they could wait with.
pub(super) fn with_certainly<T>(mut work: impl FnMut(&mut State) -> T) -> Option<T> {
    while !STATE.load(Ordering::Acquire).is_null() {
        if let Some(done) = with(&mut work) {
            return Some(done);
        }
        if FROZEN.load(Ordering::Relaxed) {
            return None;
        }
        hint::spin_loop();
    }
    None
}

/// The tables for a child that dumps, where nothing changes them any more.
pub(crate) fn frozen() -> Option<&'static Tracer> {
    FROZEN.store(true, Ordering::Relaxed);
    // SAFETY: never freed; hooks look at the flag, and this process has but the thread that is here. Where the fork came while another
    // Ractor's thread was at the tables they may be half written: then there is nothing to tell.
    let state = unsafe { STATE.load(Ordering::Acquire).as_ref() }?;
    (!BUSY.load(Ordering::Acquire) && !state.is_outdated() && !state.tracer.is_empty()).then_some(&state.tracer)
}

pub(super) type Hook = unsafe extern "C" fn(VALUE, *mut rb_sys::rb_trace_arg_t);

/// A hook as Ruby takes it: with the flag for raw arguments it calls it with these two.
pub(super) fn hook(function: Hook) -> rb_sys::rb_event_hook_func_t {
    // SAFETY: Ruby calls it with what it was registered for (`RUBY_EVENT_HOOK_FLAG_RAW_ARG` in debug.h).
    unsafe { std::mem::transmute::<Hook, rb_sys::rb_event_hook_func_t>(function) }
}

/// A hook to put in, and its event. That makes room by Ruby's means, which may bring a collection: so nobody is at the tables meanwhile.
pub(super) type Wanted = Option<(Hook, u32)>;

pub(super) fn add(wanted: Wanted) {
    let Some((function, event)) = wanted else { return };
    type AddEventHook = unsafe extern "C" fn(Hook, u32, VALUE, c_uint);
    let flags = rb_sys::rb_event_hook_flag_t::RUBY_EVENT_HOOK_FLAG_SAFE as c_uint
        | rb_sys::rb_event_hook_flag_t::RUBY_EVENT_HOOK_FLAG_RAW_ARG as c_uint;
    // SAFETY: of a set of flags in C bindgen makes an enum, which cannot hold two; and with the second Ruby calls a function with other
    // arguments than the type says (debug.h). Both types have the form of the function's.
    unsafe {
        let add = std::mem::transmute::<*const (), AddEventHook>(rb_sys::rb_add_event_hook2 as *const ());
        add(function, event, Qnil as VALUE, flags);
    }
}

/// The same in a collection. The hook is made by `xmalloc`, which begins a collection where more was allocated than a limit allows, and
/// dies where one is under way. So nothing is allocated, for the moment.
pub(super) fn add_while_marking(wanted: Wanted) {
    let Some((_, _)) = wanted else { return };
    let Some(key) = with_certainly(|state| state.api.malloc_increase) else { return };
    // SAFETY: the first makes no object; the second changes a counter and begins no collection.
    unsafe {
        let increase = rb_sys::rb_gc_stat(key) as rb_sys::ssize_t;
        rb_sys::rb_gc_adjust_memory_usage(-increase);
        add(wanted);
        rb_sys::rb_gc_adjust_memory_usage(increase);
    }
}

pub(super) fn remove_hook(function: Hook) {
    // SAFETY: takes out what is in, or nothing.
    unsafe { rb_sys::rb_remove_event_hook(hook(function)) };
}

/// An allocation, of which one of many is looked at.
///
/// SAFETY: Ruby calls it at an allocation.
pub(super) unsafe extern "C" fn on_allocation(_data: VALUE, argument: *mut rb_sys::rb_trace_arg_t) {
    let left = LEFT.load(Ordering::Relaxed).wrapping_sub(1);
    LEFT.store(left, Ordering::Relaxed);
    if left == 0 {
        with(|state| state.sample(argument)).unwrap_or_else(|| LEFT.store(1, Ordering::Relaxed));
    }
}

/// An allocation, of which each is noted.
///
/// SAFETY: Ruby calls it at an allocation.
pub(super) unsafe extern "C" fn on_each_allocation(_data: VALUE, argument: *mut rb_sys::rb_trace_arg_t) {
    let left = LEFT.load(Ordering::Relaxed).wrapping_sub(1);
    LEFT.store(left, Ordering::Relaxed);
    with(|state| if left == 0 { state.sample(argument) } else { state.note(argument) });
}

/// Marking has ended.
///
/// SAFETY: Ruby calls it in a collection.
pub(super) unsafe extern "C" fn on_marked(_data: VALUE, _argument: *mut rb_sys::rb_trace_arg_t) {
    with_certainly(|state| {
        state.sweep();
        if (state.api.hides_hooks && !state.is_stressed) || !state.has_work() {
            remove_hook(on_marked);
            state.awaits_marks = false;
        }
    });
}

/// SAFETY: Ruby calls it while it marks.
pub(super) unsafe extern "C" fn mark(_data: *mut c_void) {
    let awaits = with_certainly(|state| {
        state.begin_marking();
        for address in state.tracer.frames.pending() {
            // SAFETY: Ruby marks; it was kept alive until now.
            unsafe { rb_sys::rb_gc_mark(address as VALUE) };
        }
        state.await_marks()
    });
    add_while_marking(awaits.flatten());
}

/// SAFETY: Ruby calls it when it has moved objects.
pub(super) unsafe extern "C" fn relocate(_data: *mut c_void) {
    // SAFETY: what the tables know lives, so the slot is one of Ruby's, and holds the object or where it went.
    with_certainly(|state| state.tracer.relocate(|address| unsafe { rb_sys::rb_gc_location(address as VALUE) } as u64));
}

/// SAFETY: Ruby calls it at any time.
pub(super) unsafe extern "C" fn memory(_data: *const c_void) -> rb_sys::size_t {
    with(|state| state.tracer.memory() as rb_sys::size_t).unwrap_or(0)
}

/// SAFETY: the system calls it in a forked child, whose only thread this is.
pub(super) unsafe extern "C" fn after_fork() {
    BUSY.store(false, Ordering::Release);
}

/// The object with whose marking ours comes by. It is not protected by write barriers, so minor collections pass by as well.
pub(super) struct Passenger(pub(super) rb_sys::rb_data_type_t);

// SAFETY: nothing writes to it.
unsafe impl Sync for Passenger {}

pub(super) static PASSENGER: Passenger = Passenger(rb_sys::rb_data_type_t {
    // As Ruby's own tracer calls its store, so that whoever reads a dump knows it for what it is.
    wrap_struct_name: c"ObjectTracing/allocation_info_tracer".as_ptr(),
    function: rb_sys::rb_data_type_struct__bindgen_ty_1 {
        dmark: Some(mark),
        dfree: None,
        dsize: Some(memory),
        dcompact: Some(relocate),
        reserved: [ptr::null_mut(); 1],
    },
    parent: ptr::null(),
    data: ptr::null_mut(),
    flags: 0,
});
