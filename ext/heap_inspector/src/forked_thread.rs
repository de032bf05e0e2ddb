//! Threads of a forked child, on stacks of their own.
//!
//! The threads that the fork left behind are gone, but not their stacks, and what these hold is to be found by the walk. The C library
//! would give such a stack to the next thread, or give it back to the system; so new threads bring theirs.

use std::ffi::{CStr, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::mpsc::{self, Receiver};

/// Bytes of a stack, as Rust's own threads have it, and of what keeps it from growing beyond.
const STACK: usize = 2 << 20;
const GUARD: usize = 64 << 10;

/// A thread that was started.
pub(crate) struct Handle<T>(Receiver<T>);

impl<T> Handle<T> {
    /// Waits for what the thread returns; none where it ended without.
    pub(crate) fn join(self) -> Option<T> {
        self.0.recv().ok()
    }
}

/// Starts a thread, whose stack is never given back.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static CStr,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Handle<T>> {
    type Task = Box<dyn FnOnce() + Send>;
    extern "C" fn begin(task: *mut c_void) -> *mut c_void {
        // SAFETY: the box that was given to the thread, and to it alone.
        let task = unsafe { Box::from_raw(task.cast::<Task>()) };
        task();
        ptr::null_mut()
    }
    let (sender, receiver) = mpsc::channel();
    let task: Task = Box::new(move || {
        #[cfg(target_os = "linux")]
        // SAFETY: a C string.
        unsafe {
            libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        }
        #[cfg(not(target_os = "linux"))]
        let _ = name;
        // Who started it may be gone.
        let _ = sender.send(run());
    });
    let task = Box::into_raw(Box::new(task));
    let result = stack().and_then(|stack| {
        let mut attributes = MaybeUninit::uninit();
        let mut thread = MaybeUninit::uninit();
        // SAFETY: the attributes are made before they are used, the stack is the thread's alone, and the task goes over to it.
        let failed = unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack, STACK);
            let failed = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), begin, task.cast::<c_void>());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            failed
        };
        if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
    });
    match result {
        Ok(()) => Ok(Handle(receiver)),
        Err(error) => {
            // SAFETY: no thread has it.
            drop(unsafe { Box::from_raw(task) });
            Err(error)
        }
    }
}

fn stack() -> io::Result<*mut c_void> {
    // SAFETY: new memory, whose lower end is made unreadable.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let memory = libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if memory == libc::MAP_FAILED || libc::mprotect(memory, GUARD, libc::PROT_NONE) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(memory.cast::<u8>().add(GUARD).cast())
    }
}
