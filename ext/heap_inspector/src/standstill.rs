//! A moment in which no other Ractor runs, for a fork: its child has them as they stood, and no lock that one of them held.
//!
//! Ractors run beside a thread that has the GVL. Ruby stops the others where it marks, each at a place where it may be interrupted, with
//! the end of its stack noted. What does only this is not exported by each Ruby, but hooks are called at the end of a collection, while they
//! still stand. So marking is begun in steps, `rb_gc_disable` does what is left of it, and the work is done in the hook. Other than `GC.start`
//! it runs no finalizer behind the hook, which must not run in a forked child. An allocation elsewhere may have ended the marking before;
//! the first hook, at the beginning, sees that.
//!
//! Costs a full collection.

use magnus::value::ReprValue;
use magnus::{Error, Value, kwargs};
use rb_sys::{Qnil, VALUE};
use std::ffi::c_uint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How often marking is begun, where others end it before.
const TRIES: u32 = 8;

/// What waits for the moment.
struct Waiting<'a> {
    thread: libc::pthread_t,
    /// `:state`, and what `GC.latest_gc_info` says of it while marking is under way.
    state: VALUE,
    marking: VALUE,
    has_stopped: bool,
    work: &'a mut dyn FnMut(),
}

/// The one that waits, behind the GVL of the main Ractor.
static WAITING: AtomicPtr<Waiting<'static>> = AtomicPtr::new(ptr::null_mut());

/// What waits on this thread; hooks may be called for what other Ractors do.
fn waiting<'a>() -> Option<&'a mut Waiting<'static>> {
    // SAFETY: it is there until `with` has taken it out, on the thread that it names.
    unsafe {
        let waiting = WAITING.load(Ordering::Acquire).as_mut()?;
        (libc::pthread_equal(waiting.thread, libc::pthread_self()) != 0).then_some(waiting)
    }
}

impl Waiting<'_> {
    fn is_marking(&self) -> bool {
        // SAFETY: a Symbol that Ruby knows; it reads a flag.
        unsafe { rb_sys::rb_gc_latest_gc_info(self.state) == self.marking }
    }
}

/// A step of a collection begins: Ruby stops the others where marking is not at its end.
///
/// SAFETY: Ruby calls it in a collection.
unsafe extern "C" fn on_enter(_data: VALUE, _argument: *mut rb_sys::rb_trace_arg_t) {
    if let Some(waiting) = waiting() {
        waiting.has_stopped = waiting.is_marking();
    }
}

/// The step ends, and they still stand.
///
/// SAFETY: Ruby calls it in a collection.
unsafe extern "C" fn on_exit(_data: VALUE, _argument: *mut rb_sys::rb_trace_arg_t) {
    if let Some(waiting) = waiting()
        && waiting.has_stopped
    {
        waiting.has_stopped = false;
        // It must not unwind through Ruby.
        let _ = catch_unwind(AssertUnwindSafe(&mut *waiting.work));
    }
}

type Hook = unsafe extern "C" fn(VALUE, *mut rb_sys::rb_trace_arg_t);

fn hook(function: Hook) -> rb_sys::rb_event_hook_func_t {
    // SAFETY: with the flag for raw arguments Ruby calls it with these two (debug.h).
    unsafe { std::mem::transmute::<Hook, rb_sys::rb_event_hook_func_t>(function) }
}

fn add(function: Hook, event: u32) {
    type Add = unsafe extern "C" fn(rb_sys::rb_event_hook_func_t, u32, VALUE, c_uint);
    let flags = rb_sys::rb_event_hook_flag_t::RUBY_EVENT_HOOK_FLAG_SAFE as c_uint
        | rb_sys::rb_event_hook_flag_t::RUBY_EVENT_HOOK_FLAG_RAW_ARG as c_uint;
    // SAFETY: of a set of flags in C bindgen makes an enum, which cannot hold two.
    unsafe {
        let add = std::mem::transmute::<*const (), Add>(rb_sys::rb_add_event_hook2 as *const ());
        add(hook(function), event, Qnil as VALUE, flags);
    }
}

/// Does `work` while no other Ractor runs; none where they could not be stopped. Collections must be disabled, and are so afterwards.
pub(crate) fn with<T>(work: impl FnOnce() -> T) -> Result<Option<T>, Error> {
    // SAFETY: C strings; the module lives on.
    let (state, marking, gc) = unsafe {
        let symbol = |name: &std::ffi::CStr| rb_sys::rb_id2sym(rb_sys::rb_intern(name.as_ptr()));
        (symbol(c"state"), symbol(c"marking"), <Value as magnus::rb_sys::FromRawValue>::from_raw(rb_sys::rb_mGC))
    };
    let (mut work, mut done) = (Some(work), None);
    for _ in 0..TRIES {
        let _: Value = gc.funcall("start", (kwargs!("immediate_mark" => false, "immediate_sweep" => false),))?;
        let mut once = || done = work.take().map(|work| work());
        // SAFETY: libc's own name of this thread.
        let thread = unsafe { libc::pthread_self() };
        let mut waiting = Waiting { thread, state, marking, has_stopped: false, work: &mut once };
        // The first question makes the Symbols of all answers.
        if !waiting.is_marking() {
            continue;
        }
        WAITING.store((&raw mut waiting).cast(), Ordering::Release);
        add(on_enter, rb_sys::RUBY_INTERNAL_EVENT_GC_ENTER);
        add(on_exit, rb_sys::RUBY_INTERNAL_EVENT_GC_EXIT);
        // SAFETY: what it calls is above, and raises nothing.
        unsafe {
            rb_sys::rb_gc_disable();
            rb_sys::rb_remove_event_hook(hook(on_enter));
            rb_sys::rb_remove_event_hook(hook(on_exit));
        }
        WAITING.store(ptr::null_mut(), Ordering::Release);
        if done.is_some() {
            break;
        }
    }
    Ok(done)
}
