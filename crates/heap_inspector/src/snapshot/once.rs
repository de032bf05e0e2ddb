//! A value that is made when it is first asked for.

use crate::Result;
use crate::control::Control;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A value made once, by whoever asks first; others wait for it, as long as they are not cancelled. Where making fails the next one
/// who asks tries again. Nothing is locked while the value is made: a process forked in that time makes its own.
#[derive(Debug)]
pub struct Once<T> {
    value: OnceLock<T>,
    /// The process in which a thread makes the value; 0 for none.
    maker: AtomicU32,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Once { value: OnceLock::new(), maker: AtomicU32::new(0) }
    }
}

/// How long a look at another's progress is put off.
const NAP: Duration = Duration::from_millis(2);

impl<T> Once<T> {
    /// The value, where it is made already.
    pub fn peek(&self) -> Option<&T> {
        self.value.get()
    }

    /// A value that came otherwise.
    pub fn of(value: T) -> Once<T> {
        Once { value: OnceLock::from(value), maker: AtomicU32::new(0) }
    }

    /// The value, made by `make` where nobody has made it.
    pub fn get(&self, control: &Control<'_>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        /// Lets another try, even after a panic.
        struct Claim<'a>(&'a AtomicU32);
        impl Drop for Claim<'_> {
            fn drop(&mut self) {
                self.0.store(0, Ordering::Release);
            }
        }
        let own = std::process::id();
        loop {
            if let Some(value) = self.value.get() {
                return Ok(value);
            }
            let maker = self.maker.load(Ordering::Acquire);
            if maker != own && self.maker.compare_exchange(maker, own, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                let _claim = Claim(&self.maker);
                // Its last maker may have finished between the two looks.
                if let Some(value) = self.value.get() {
                    return Ok(value);
                }
                let value = make()?;
                return Ok(self.value.get_or_init(|| value));
            }
            control.check()?;
            std::thread::sleep(NAP);
        }
    }
}
