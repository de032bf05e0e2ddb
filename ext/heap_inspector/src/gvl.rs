//! System calls without Ruby's lock. Beside one busy thread each time that the lock is given up costs 100 ms from Ruby 3.3 on, so what
//! belongs together is one call here.

use crate::errors;
use magnus::{Error, Ruby};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// What crosses to the side without the lock, and what comes back.
struct Call<F, T> {
    work: Option<F>,
    done: Option<std::thread::Result<T>>,
}

/// Runs `work` on this thread without the GVL. It should end soon after `interrupted` is raised, which Ruby does when a signal,
/// `Thread#kill` or `Timeout` is to be looked at. What these raise comes as an error, also before the work is begun.
pub(crate) fn without<T>(ruby: &Ruby, interrupted: &AtomicBool, work: impl FnOnce() -> T) -> Result<T, Error> {
    let mut call = Call { work: Some(work), done: None };
    loop {
        interrupted.store(false, Ordering::Relaxed);
        step(interrupted, &mut call)?;
        match call.done {
            Some(Ok(value)) => return Ok(value),
            Some(Err(_)) => return Err(errors::internal(ruby, "a system call panicked")),
            // An interrupt was there already; Ruby decides what becomes of it.
            None => ruby.thread_check_ints()?,
        }
    }
}

/// The same for what must be done in any case and is short: where an interrupt is pending it is done with the GVL.
pub(crate) fn without_if_possible(mut work: impl FnMut()) -> Result<(), Error> {
    let mut call = Call { work: Some(&mut work), done: None };
    let stepped = step(&AtomicBool::new(false), &mut call);
    if call.done.is_none() {
        work();
    }
    stepped
}

fn step<T, F: FnOnce() -> T>(interrupted: &AtomicBool, call: &mut Call<F, T>) -> Result<(), Error> {
    /// SAFETY: `call` is the one that `step` borrows until it returns. Nothing of Ruby's is touched.
    unsafe extern "C" fn run<T, F: FnOnce() -> T>(call: *mut c_void) -> *mut c_void {
        let call = unsafe { &mut *call.cast::<Call<F, T>>() };
        // What a panic leaves half done goes with the error.
        call.done = call.work.take().map(|work| catch_unwind(AssertUnwindSafe(work)));
        std::ptr::null_mut()
    }
    /// SAFETY: as above; another thread calls it, so it has a pointer to the flag alone.
    unsafe extern "C" fn unblock(interrupted: *mut c_void) {
        unsafe { &*interrupted.cast_const().cast::<AtomicBool>() }.store(true, Ordering::Relaxed);
    }
    let data = std::ptr::from_mut(call).cast::<c_void>();
    let flag = std::ptr::from_ref(interrupted).cast_mut().cast::<c_void>();
    // SAFETY: this is a Ruby thread with the GVL, since it was called by Ruby code; both functions keep to what is said at them, and
    // neither unwinds. Ruby 3.1 may raise from this call (see `work`), so it is protected, and no living Rust frame is jumped over.
    magnus::rb_sys::protect(|| unsafe {
        rb_sys::rb_thread_call_without_gvl2(Some(run::<T, F>), data, Some(unblock), flag);
        rb_sys::Qnil.into()
    })?;
    Ok(())
}
