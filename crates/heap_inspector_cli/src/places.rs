//! Who may work: answers are worked out a few at a time, whoever asks.

use crate::http::LOOK;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// So many may work at once; others wait for their turn.
pub(crate) struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Places {
    pub(crate) fn new(count: usize) -> Places {
        Places { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Does the work when there is a place; none where it was cancelled before.
    pub(crate) fn work<T>(&self, cancel: &AtomicBool, work: impl FnOnce() -> T) -> Option<T> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
            free = self.freed.wait_timeout(free, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        drop(free);
        let _freeing = Freeing(self);
        Some(work())
    }
}

/// Gives a place back, also where the work panics.
struct Freeing<'a>(&'a Places);

impl Drop for Freeing<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
