//! Room for what is as large as the input says. It is asked for, so that a dump too large for the memory is an error: the standard
//! library's own way is to end the process.

use crate::control::Control;
use crate::{Error, Result};
use bytemuck::Zeroable;
use hashbrown::{HashMap, HashTable};
use std::hash::{BuildHasher, Hash};

/// What loops make room for at a time.
pub(crate) const STRIDE: usize = 1 << 14;

fn refused<T>(count: usize) -> Error {
    Error::Memory { bytes: count.saturating_mul(size_of::<T>()) }
}

/// Room for so many more.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn room<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    list.try_reserve(more).map_err(|_| refused::<T>(list.len() + more))
}

/// An empty list with room for exactly so many.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn list<T>(count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| refused::<T>(count))?;
    Ok(list)
}

/// So many zeros, in memory that the system gives cleared: nothing is written.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn zeroed<T: Zeroable>(count: usize) -> Result<Vec<T>> {
    bytemuck::allocation::try_zeroed_vec(count).map_err(|()| refused::<T>(count))
}

/// So many of one value.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn filled<T: Clone>(value: T, count: usize) -> Result<Vec<T>> {
    let mut list = list(count)?;
    list.resize(count, value);
    Ok(list)
}

/// A list that reaches to a place, with this value in those that are new.
///
/// # Errors
/// [`Error::Memory`].
#[inline]
pub(crate) fn reach<T: Clone>(list: &mut Vec<T>, place: usize, value: T) -> Result<()> {
    if place >= list.len() {
        room(list, place + 1 - list.len())?;
        list.resize(place + 1, value);
    }
    Ok(())
}

/// Another list of the same.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn copied<T: Copy>(of: &[T]) -> Result<Vec<T>> {
    let mut list = list(of.len())?;
    list.extend_from_slice(of);
    Ok(list)
}

/// What is made of so many, as a list. The rows of an answer hold texts of any length, so what is left of the memory is looked at often.
///
/// # Errors
/// [`Error::Memory`], and [`Error::Interrupted`] when cancelled.
pub(crate) fn gathered<T>(made: impl ExactSizeIterator<Item = T>, control: &Control<'_>) -> Result<Vec<T>> {
    let mut list = list(made.len())?;
    for (step, one) in made.enumerate() {
        if step.is_multiple_of(STRIDE / 16) {
            control.check()?;
        }
        list.push(one);
    }
    Ok(list)
}

/// Room for so many more entries.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>, more: usize) -> Result<()> {
    map.try_reserve(more).map_err(|_| refused::<(K, V)>(map.len() + more))
}

/// Room for so many more numbers; `hash` tells the hash of one that is there.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn table(table: &mut HashTable<u32>, more: usize, hash: impl Fn(&u32) -> u64) -> Result<()> {
    table.try_reserve(more, hash).map_err(|_| refused::<u32>(table.len() + more))
}
