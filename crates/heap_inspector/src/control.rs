//! How work is done, whatever the work is: on how many threads, until when, and who is told how far it came.

use crate::{Error, Result};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a caller says of how a question is worked out; it changes no answer.
#[derive(Clone, Copy, Default)]
pub struct Control<'a> {
    /// Threads at most; 0 for one a core.
    pub threads: usize,
    /// Stops the work with [`Error::Interrupted`] when raised.
    pub cancel: Option<&'a AtomicBool>,
    /// Told how many bytes of the file are read, and of how many if that is known; from any thread, about once a block.
    pub progress: Option<&'a (dyn Fn(u64, Option<u64>) + Sync)>,
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Control<'_> {
    /// The number of threads meant, at least 1.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads.min(256),
        }
    }

    /// An error where the caller raised the cancel flag, or where memory comes to its end.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Memory`].
    pub fn check(&self) -> Result<()> {
        #[cfg(test)]
        {
            LOOKS.set(LOOKS.get() + 1);
            if LOOKS.get() == TRIP.get() {
                return Err(Error::Interrupted);
            }
        }
        match self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Interrupted),
            _ => headroom(),
        }
    }

    /// [`Control::check`] at every so many steps of a loop, which `step` counts: a step that looks at a name or a hash takes a
    /// microsecond, so the flag is heeded within a few hundredths of a second.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    #[inline]
    pub(crate) fn check_at(&self, step: usize) -> Result<()> {
        if step.is_multiple_of(CHECK_INTERVAL) { self.check() } else { Ok(()) }
    }
}

/// So much memory must be left for the many small things (texts, cells, entries) that are made until the flag is looked at again: they
/// do not ask for room, and the standard library's way is to end the process where it is refused. More than what glibc ever
/// takes from its own stock, so that this asks the system, touches nothing and leaves nothing behind.
const HEADROOM: usize = 33 << 20;

fn headroom() -> Result<()> {
    if !is_limited() {
        return Ok(());
    }
    let mut room: Vec<u8> = Vec::new();
    let found = room.try_reserve_exact(HEADROOM).map_err(|_| Error::Memory { bytes: HEADROOM });
    std::hint::black_box(&room);
    found
}

/// Whether the system may refuse memory: it has a limit for the process (which may be set at any time), or promises no more than there is.
fn is_limited() -> bool {
    use rustix::process::{Resource, getrlimit};
    static PROMISES_LITTLE: LazyLock<bool> =
        LazyLock::new(|| std::fs::read("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim_ascii() == b"2"));
    [Resource::As, Resource::Data].into_iter().any(|of| getrlimit(of).current.is_some()) || *PROMISES_LITTLE
}

/// How many steps are made between two looks at the cancel flag.
const CHECK_INTERVAL: usize = 1 << 14;

#[cfg(test)]
thread_local! {
    static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    static TRIP: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Has the look after so many more of this thread find the flag up, and no other.
#[cfg(test)]
pub(crate) fn trip_after(looks: u64) {
    TRIP.set(LOOKS.get() + looks + 1);
}

/// How often this thread has looked at a cancel flag.
#[cfg(test)]
pub(crate) fn looks() -> u64 {
    LOOKS.get()
}
