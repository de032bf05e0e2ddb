//! How functions become methods of Ruby: as magnus makes them, but that a panic is a `HeapInspector::Error`, which Ruby code can rescue.
//! magnus itself raises a `fatal` of it, which ends the process whatever code says.

use crate::errors;
use magnus::method::ReturnValue;
use magnus::{Error, Ruby, Value};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the call returns; an error where it panics.
pub(crate) fn guarded<T: ReturnValue>(ruby: &Ruby, call: impl FnOnce() -> T) -> Result<Value, Error> {
    // What a panic leaves half done is the call's own: objects for Ruby change under locks alone, and what these guard stays whole.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(returned) => returned.into_return_value_with(ruby),
        Err(panic) => Err(errors::internal(ruby, panic_message(&*panic))),
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

/// `magnus::function!` or `magnus::method!` of a closure that guards the call; the function takes a `&Ruby` first, and so many arguments.
macro_rules! guard {
    ($kind:ident, $function:expr, $count:tt, $($argument:ident)*) => {
        magnus::$kind!(
            |ruby: &magnus::Ruby, $($argument),*| $crate::native::guarded(ruby, || $function(ruby, $($argument),*)),
            $count
        )
    };
}

macro_rules! function {
    ($function:expr, 0) => { $crate::native::guard!(function, $function, 0,) };
    ($function:expr, 1) => { $crate::native::guard!(function, $function, 1, a) };
    ($function:expr, 2) => { $crate::native::guard!(function, $function, 2, a b) };
    ($function:expr, 3) => { $crate::native::guard!(function, $function, 3, a b c) };
    ($function:expr, 4) => { $crate::native::guard!(function, $function, 4, a b c d) };
    ($function:expr, 5) => { $crate::native::guard!(function, $function, 5, a b c d e) };
    ($function:expr, 6) => { $crate::native::guard!(function, $function, 6, a b c d e f) };
    ($function:expr, 7) => { $crate::native::guard!(function, $function, 7, a b c d e f g) };
    ($function:expr, 8) => { $crate::native::guard!(function, $function, 8, a b c d e f g h) };
    ($function:expr, 9) => { $crate::native::guard!(function, $function, 9, a b c d e f g h i) };
}

/// The same with the receiver before the arguments.
macro_rules! method {
    ($function:expr, 0) => { $crate::native::guard!(method, $function, 0, receiver) };
    ($function:expr, 1) => { $crate::native::guard!(method, $function, 1, receiver a) };
    ($function:expr, 2) => { $crate::native::guard!(method, $function, 2, receiver a b) };
    ($function:expr, 3) => { $crate::native::guard!(method, $function, 3, receiver a b c) };
    ($function:expr, 4) => { $crate::native::guard!(method, $function, 4, receiver a b c d) };
    ($function:expr, 5) => { $crate::native::guard!(method, $function, 5, receiver a b c d e) };
}

pub(crate) use {function, guard, method};
