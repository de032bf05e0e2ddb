//! A column of a heap that was opened from an index file stays there until somebody asks for it: most questions look at few.
//!
//! What is found to be damaged then is taken from the dump itself, which is read again: what stays behind does not depend on how classes and
//! texts are numbered, so it is the same. Only where the dump cannot be read any more either, the column is empty, which leads nowhere, and
//! the heap tells so ([`Heap::whole`]): whoever answered with it must not.

use super::Heap;
use crate::arrays::{Group, Reader};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A column that may stay in an index file.
pub(super) trait Kept: Sized {
    /// The column of so many objects, where the arrays can be such.
    fn from_parts(reader: &mut Reader, objects: usize) -> Option<Self>;
    /// The column of a heap that was read from its dump.
    fn of(heap: Heap) -> Option<Self>;
    /// One of so many objects that leads nowhere.
    fn empty(objects: usize) -> Self;
}

/// Where a heap was opened from.
pub(crate) struct Origin {
    /// The index file, for people.
    pub(crate) path: PathBuf,
    /// Reads the dump again, if it is still the same.
    pub(crate) load: Box<dyn Fn() -> Option<Heap> + Send + Sync>,
    /// Whether something is lost.
    pub(crate) lost: AtomicBool,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A column, or where it stands.
#[derive(Debug)]
pub(super) struct Later<T> {
    made: OnceLock<T>,
    kept: Option<(Group, usize, Arc<Origin>)>,
}

impl<T> Later<T> {
    /// A column that is there.
    pub(super) fn now(column: T) -> Later<T> {
        Later { made: OnceLock::from(column), kept: None }
    }

    /// A column of so many objects that stands in an index file.
    pub(super) fn kept(group: Group, objects: usize, origin: &Arc<Origin>) -> Later<T> {
        Later { made: OnceLock::new(), kept: Some((group, objects, Arc::clone(origin))) }
    }

    /// The column, where somebody asked for it already.
    pub(super) fn peek(&self) -> Option<&T> {
        self.made.get()
    }

    /// The column itself, where it is there.
    pub(super) fn into_inner(self) -> Option<T> {
        self.made.into_inner()
    }
}

impl<T: Kept> Deref for Later<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self.made.get() {
            Some(column) => column,
            None => self.fetch(),
        }
    }
}

impl<T: Kept> Later<T> {
    #[cold]
    fn fetch(&self) -> &T {
        // Not within the lock: a process that is forked meanwhile must not wait for a thread that it lacks.
        let column = self.kept.as_ref().map(|(group, objects, origin)| {
            let stored = group.read().and_then(|mut reader| T::from_parts(&mut reader, *objects));
            let again = || (origin.load)().filter(|heap| heap.object_count() == *objects).and_then(T::of);
            stored.or_else(again).unwrap_or_else(|| {
                origin.lost.store(true, Ordering::Release);
                T::empty(*objects)
            })
        });
        self.made.get_or_init(|| column.unwrap_or_else(|| T::empty(0)))
    }
}
