//! A column of a heap that was opened from an index file stays there until somebody asks for it: most questions look at few, and some at
//! few objects.
//!
//! As long as few numbers of a column are asked for, the pieces of the file are read that they stand in; then the whole column is.
//! What is found to be damaged is taken from the dump itself, which is read again and put into the numbers that the file has for names,
//! so it is the same. Only where the dump cannot be read any more either, the column is empty, which leads nowhere, and
//! the heap tells so ([`Heap::whole`]): whoever answered with it must not.

use super::Heap;
use super::column::Column;
use crate::arrays::{Few, Group, Reader};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A column that may stay in an index file.
pub(crate) trait Kept: Sized {
    /// The same of which few numbers are read.
    type Few: fmt::Debug;
    /// What its numbers must keep to.
    type Bounds: Bounds;

    /// The column of so many objects, where the arrays can be such.
    fn from_parts(reader: &mut Reader, bounds: Self::Bounds) -> Option<Self>;
    /// The same without reading it.
    fn few(group: &Group, bounds: Self::Bounds) -> Option<Self::Few>;
    /// One of so many objects that leads nowhere.
    fn empty(objects: usize) -> Self;
}

/// What the numbers of a column must keep to: how many objects there are, at least.
pub(crate) trait Bounds: Copy + fmt::Debug {
    fn objects(self) -> usize;
}

impl Bounds for usize {
    fn objects(self) -> usize {
        self
    }
}

/// The number of objects, and what all numbers are below.
impl Bounds for (usize, u64) {
    fn objects(self) -> usize {
        self.0
    }
}

/// Where a heap was opened from.
pub(crate) struct Origin {
    /// The index file, for people.
    pub(crate) path: PathBuf,
    /// Reads the dump again, if it is still the same, with the index file's numbers for names.
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
pub(crate) struct Later<T: Kept> {
    made: OnceLock<T>,
    kept: Option<Box<Stored<T>>>,
}

/// Where a column stands.
#[derive(Debug)]
struct Stored<T: Kept> {
    group: Group,
    bounds: T::Bounds,
    /// The column of a heap that was read from its dump.
    of: fn(Heap) -> Option<T>,
    origin: Arc<Origin>,
    few: OnceLock<Option<T::Few>>,
    /// How often something of it was asked for.
    asked: AtomicUsize,
}

/// So often pieces are looked at: to find a number in its piece takes ten times as long as in a column.
const FEW: usize = 1 << 12;

impl<T: Kept> Default for Later<T> {
    fn default() -> Later<T> {
        Later::now(T::empty(0))
    }
}

impl<T: Kept> Later<T> {
    /// A column that is there.
    pub(crate) fn now(column: T) -> Later<T> {
        Later { made: OnceLock::from(column), kept: None }
    }

    /// A column that stands in an index file.
    pub(crate) fn kept(group: Group, bounds: T::Bounds, origin: &Arc<Origin>, of: fn(Heap) -> Option<T>) -> Later<T> {
        let (few, asked) = (OnceLock::new(), AtomicUsize::new(0));
        let kept = Stored { group, bounds, of, origin: Arc::clone(origin), few, asked };
        Later { made: OnceLock::new(), kept: Some(Box::new(kept)) }
    }

    /// The column, where it was read already.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&T> {
        self.made.get()
    }

    /// The column itself, where it is there.
    pub(crate) fn into_inner(self) -> Option<T> {
        self.made.into_inner()
    }

    /// Something of the column; as long as few was asked for, of those pieces of it in which that stands, where it can be had so.
    #[inline(always)]
    pub(crate) fn ask<'a, V>(&'a self, whole: impl FnOnce(&'a T) -> V, few: impl FnOnce(&'a T::Few) -> Option<V>) -> V {
        match self.made.get() {
            Some(column) => whole(column),
            None => self.ask_few(whole, few),
        }
    }

    #[cold]
    #[inline(never)]
    fn ask_few<'a, V>(&'a self, whole: impl FnOnce(&'a T) -> V, few: impl FnOnce(&'a T::Few) -> Option<V>) -> V {
        self.few().and_then(few).unwrap_or_else(|| whole(self))
    }

    /// The column without reading it all, for a number of it; none where many were asked for, or where it cannot be had so.
    fn few(&self) -> Option<&T::Few> {
        let kept = self.kept.as_ref()?;
        if kept.asked.fetch_add(1, Ordering::Relaxed) >= FEW {
            return None;
        }
        match kept.few.get() {
            Some(few) => few.as_ref(),
            // Not within the lock: a process that is forked meanwhile must not wait for a thread that it lacks.
            None => {
                let few = T::few(&kept.group, kept.bounds);
                kept.few.get_or_init(|| few).as_ref()
            }
        }
    }

    #[cold]
    fn fetch(&self) -> &T {
        // Not within the lock, as above.
        let column = self.kept.as_ref().map(|kept| {
            let objects = kept.bounds.objects();
            let stored = kept.group.read().and_then(|mut reader| T::from_parts(&mut reader, kept.bounds));
            let again =
                || (kept.origin.load)().filter(|heap| heap.object_count() == objects).and_then(|heap| (kept.of)(heap));
            stored.or_else(again).unwrap_or_else(|| {
                kept.origin.lost.store(true, Ordering::Release);
                T::empty(objects)
            })
        });
        self.made.get_or_init(|| column.unwrap_or_else(|| T::empty(0)))
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

impl Later<Column> {
    /// The number of a row.
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> u64 {
        self.ask(|column| column.get(row), |few| few.get(row))
    }
}

/// A [`Column`] of which few numbers are read.
#[derive(Debug)]
pub(crate) struct FewRows {
    /// The number of all rows, where it is one.
    same: Option<u64>,
    /// The greatest number of a cell, in whose place another stands beside.
    full: u64,
    rows: usize,
    cells: Few,
    big: Few,
    end: u64,
}

impl FewRows {
    /// The column whose three arrays begin at a place of the group, of numbers below `end`.
    pub(crate) fn new(group: &Group, first: usize, rows: usize, end: u64) -> Option<FewRows> {
        let sort: Vec<u64> = group.array(first)?;
        let [sort, count, number] = sort[..].try_into().ok()?;
        let (cells, big) = (group.few(first + 1)?, group.few(first + 2)?);
        big.count_of(8)?;
        let (same, full) = match sort {
            0 if count == rows as u64 && number < end => (Some(number), 0),
            1 | 2 | 4 if cells.count_of(sort) == Some(rows) => (None, u64::MAX >> (64 - 8 * sort)),
            _ => return None,
        };
        Some(FewRows { same, full, rows, cells, big, end })
    }

    /// The number of a row.
    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        if row >= self.rows {
            return None;
        }
        let number = match self.same {
            Some(number) => number,
            None => match self.cells.number(row)? {
                cell if cell < self.full => cell,
                _ => self.beside(row)?,
            },
        };
        Some(number).filter(|number| *number < self.end)
    }

    /// The number that stands beside the cell of a row.
    fn beside(&self, row: usize) -> Option<u64> {
        let (mut begin, mut end) = (0, self.big.count_of(8)? / 2);
        while begin < end {
            let middle = begin + (end - begin) / 2;
            match self.big.number(middle * 2)?.cmp(&(row as u64)) {
                std::cmp::Ordering::Less => begin = middle + 1,
                std::cmp::Ordering::Equal => return self.big.number(middle * 2 + 1),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }
}
