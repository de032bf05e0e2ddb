//! Growth by path: objects are counted by their normalised paths, not by identity.
//!
//! So it can be told of dumps of different processes and deploys of one program, after a compaction, and without tracing. What it cannot
//! tell is which objects are new, so a path grows where more objects have it in each dump than in the one before. Of the paths that grow
//! the first on each way down is where objects pile up; what lies below came with them.
//!
//! Costs the graph of every dump (dominators, shortest paths) and 4 bytes for each object.

use super::diff::{Growth, Trend};
use super::grouping::Grouping;
use super::in_use::{CACHES, own_bytes};
use super::normalised::{NormalisedPath, NormalisedPaths, PathId};
use super::work::{Rate, Work};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::keys::KeyValue;
use crate::memory::map;
use crate::record::Type;
use crate::select::Filter;
use crate::sums::Sum;
use crate::{Result, sort};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// A dump with its graph worked out.
#[derive(Clone, Copy, Debug)]
pub struct Pathed<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// Its heap.
    pub heap: &'a Heap,
    /// What dominates what there.
    pub tree: &'a Tree,
    /// The shortest paths there.
    pub shortest_paths: &'a ShortestPaths,
}

/// What has a path in one dump.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    sum: Sum,
    /// The bytes of them that are in use.
    used: u64,
    /// The length of the longest array among them.
    longest: u64,
}

/// What has which path, in each dump.
#[derive(Debug)]
pub struct ByPath {
    dumps: usize,
    found: BTreeMap<NormalisedPath, Vec<Found>>,
    work: Option<Work>,
}

/// A path by which objects pile up.
#[derive(Clone, Debug, PartialEq)]
pub struct Rising {
    /// The path, to what piles up.
    pub path: NormalisedPath,
    /// By how many objects more there were in each step.
    pub counts: Vec<u64>,
    /// By how many bytes they and all below them grew in each step.
    pub steps: Vec<u64>,
    /// Their bytes, and those of all below them, in the first dump.
    pub before: u64,
    /// Growth for each request, or what else it goes with.
    pub rate: Option<Rate>,
    /// The length of the longest array that holds them, or is one of them, where that is the same in all dumps.
    pub length: Option<u64>,
    /// Whether they are put into an array that is no longer for it: it was made for so many, as a ring is.
    pub is_filling: bool,
}

impl Rising {
    /// Whether it is what Ruby makes of code and closures.
    #[must_use]
    pub fn is_of_code(&self) -> bool {
        self.path.0.last().is_some_and(|last| last == CODE)
    }

    /// Whether it is no number of objects that grows but one text, list or table, or a few.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

/// The last step of the path of what Ruby makes of code and closures, which has the path of what holds it.
const CODE: &str = "(code)";
/// So many objects more are none that pile up.
const FEW: u64 = 9;
/// What lies below a path that grows came with it as long as there are no more than so many times as many for each new one.
const ALIKE: f64 = 2.0;

impl ByPath {
    /// Counts what passes the filter in the dumps, oldest first. The allocation tracer is left out, and what no root leads to.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
    pub fn new(dumps: &[Pathed<'_>], filter: &Filter, control: &Control<'_>) -> Result<ByPath> {
        let mut found: BTreeMap<NormalisedPath, Vec<Found>> = BTreeMap::new();
        for (at, dump) in dumps.iter().enumerate() {
            for (path, one) in count(dump, filter, control)? {
                found.entry(path).or_insert_with(|| vec![Found::default(); dumps.len()])[at] = one;
            }
        }
        let heaps: Vec<&Heap> = dumps.iter().map(|dump| dump.heap).collect();
        Ok(ByPath { dumps: dumps.len(), found, work: Work::between(&heaps) })
    }

    /// What the process did between the dumps, where they tell.
    #[must_use]
    pub fn work(&self) -> Option<&Work> {
        self.work.as_ref()
    }

    /// The paths of which there is more in the last dump than in the first, those of the most bytes first.
    #[must_use]
    pub fn growth(&self) -> Vec<Growth> {
        let mut growth: Vec<Growth> = self.found.iter().filter_map(|(path, found)| self.grown(path, found)).collect();
        sort::by(&mut growth, |a, b| b.memsize_delta().cmp(&a.memsize_delta()).then_with(|| a.key.cmp(&b.key)));
        growth
    }

    fn grown(&self, path: &NormalisedPath, found: &[Found]) -> Option<Growth> {
        let sums: Vec<Sum> = found.iter().map(|one| one.sum).collect();
        let key = vec![KeyValue::Text(path.to_string())];
        let mut growth = Growth { key, sums, retained_memsizes: None, trend: Trend::Flat, rate: None };
        let sizes: Vec<u64> = growth.sums.iter().map(|sum| sum.memsize).collect();
        growth.trend = Trend::of(&self.work.as_ref().map_or(sizes.clone(), |work| work.worked_sizes(&sizes)));
        let unit = self.work.as_ref().and_then(|work| work.units.first());
        growth.rate =
            unit.and_then(|unit| Rate::of(&unit.name, unit.sum(), growth.count_delta(), growth.memsize_delta()));
        (growth.memsize_delta() > 0).then_some(growth)
    }

    /// Where objects pile up, by at least so many bytes in each step in which the process did something; what grew the most in its
    /// smallest step first.
    #[must_use]
    pub fn rising(&self, floor: u64) -> Vec<Rising> {
        let by_count: Vec<&NormalisedPath> = self
            .found
            .iter()
            .filter(|(_, found)| self.is_rising(found, |one| one.sum.count, 1, FEW))
            .map(|(path, _)| path)
            .collect();
        let mut tops: Vec<&NormalisedPath> = Vec::new();
        for path in by_count {
            // In order, so what is above comes before.
            let above = tops.iter().rev().find(|top| path.0.starts_with(&top.0));
            if above.is_none_or(|above| !self.comes_with(above, path)) {
                tops.push(path);
            }
        }
        // A text, list or table that grows by itself, and not by what piles up in it.
        let grows = |found: &Vec<Found>| {
            let is_one = found.windows(2).all(|pair| pair[0].sum.count == pair[1].sum.count);
            is_one && self.is_rising(found, |one| one.used, floor, floor)
        };
        let is_known =
            |path: &NormalisedPath| tops.iter().any(|top| top.0.starts_with(&path.0) || path.0.starts_with(&top.0));
        let alone: Vec<&NormalisedPath> =
            self.found.iter().filter(|(path, found)| grows(found) && !is_known(path)).map(|(path, _)| path).collect();
        tops.extend(alone);
        let mut rising: Vec<Rising> = tops.iter().map(|top| self.risen(top, &tops)).collect();
        let least = |one: &Rising| self.worked(&one.steps).into_iter().min().unwrap_or(0);
        rising.retain(|one| least(one) >= floor);
        sort::by(&mut rising, |a, b| least(b).cmp(&least(a)).then_with(|| a.path.cmp(&b.path)));
        rising
    }

    /// By how much a path grew in each step, whether objects pile up there or not; none where no dump has it.
    #[must_use]
    pub fn of(&self, path: &NormalisedPath) -> Option<Rising> {
        self.found.contains_key(path).then(|| self.risen(path, &[]))
    }

    fn worked<T: Copy>(&self, steps: &[T]) -> Vec<T> {
        self.work.as_ref().map_or_else(|| steps.to_vec(), |work| work.worked(steps))
    }

    /// Whether there is more in each step by `least`, and in all by more than `few`.
    fn is_rising(&self, found: &[Found], of: impl Fn(&Found) -> u64, least: u64, few: u64) -> bool {
        let numbers: Vec<u64> = found.iter().map(of).collect();
        let (first, last) = (numbers.first().copied().unwrap_or(0), numbers.last().copied().unwrap_or(0));
        let steps: Vec<i128> = numbers.windows(2).map(|pair| i128::from(pair[1]) - i128::from(pair[0])).collect();
        let worked = self.worked(&steps);
        last.saturating_sub(first) > few
            && !worked.is_empty()
            && worked.into_iter().all(|step| step >= i128::from(least))
    }

    /// Whether for each new object of the path above no more came below than each had before.
    fn comes_with(&self, above: &NormalisedPath, path: &NormalisedPath) -> bool {
        let counts = |path: &NormalisedPath| {
            let found = self.found.get(path).map(Vec::as_slice).unwrap_or_default();
            let count = |one: Option<&Found>| one.map_or(0, |one| one.sum.count) as f64;
            (count(found.first()), count(found.last()))
        };
        let ((above_first, above_last), (first, last)) = (counts(above), counts(path));
        above_first == 0.0
            || first == 0.0
            || (last - first) / (above_last - above_first).max(1.0) <= ALIKE * (first / above_first)
    }

    /// The growth of a path with all that is below it, but for what piles up there by itself.
    fn risen(&self, path: &NormalisedPath, tops: &[&NormalisedPath]) -> Rising {
        let steps = self.dumps - 1;
        let mut bytes = vec![0i128; steps];
        let mut before = 0u64;
        let mut add = |found: &[Found]| {
            before = before.saturating_add(found.first().map_or(0, |first| first.used));
            let grown = found.windows(2).map(|pair| i128::from(pair[1].used) - i128::from(pair[0].used));
            bytes.iter_mut().zip(grown).for_each(|(sum, step)| *sum += step);
        };
        let is_other = |below: &NormalisedPath| {
            tops.iter().any(|top| **top != *path && top.0.len() > path.0.len() && below.0.starts_with(&top.0))
        };
        let below = self.found.range(path.clone()..).take_while(|(below, _)| below.0.starts_with(&path.0));
        below.filter(|(below, _)| !is_other(below)).for_each(|(_, found)| add(found));
        // The list that takes them in grows with them.
        let holder = path.0.split_last().map(|(_, before)| NormalisedPath(before.to_vec()));
        let is_one = |found: &&Vec<Found>| found.windows(2).all(|pair| pair[0].sum.count == pair[1].sum.count);
        let holder = holder.and_then(|holder| self.found.get(&holder)).filter(is_one);
        holder.into_iter().for_each(|found| add(found));
        // Where lists lie in lists the path of both may be one.
        let longest = |found: &Vec<Found>| {
            let first = found.first()?.longest;
            (first > 0 && found.iter().all(|one| one.longest == first)).then_some(first)
        };
        let length = holder.and_then(longest).or_else(|| self.found.get(path).and_then(longest));
        let is_array = path.0.len() > 1 && path.0[path.0.len() - 2] == "Array";
        let is_full = |found: &Vec<Found>| found.windows(2).all(|pair| pair[0].used == pair[1].used);
        let is_filling = is_array && holder.is_some_and(is_full);
        let positive = |step: &i128| u64::try_from((*step).max(0)).unwrap_or(u64::MAX);
        let bytes: Vec<u64> = bytes.iter().map(positive).collect();
        let own = self.found.get(path).map(Vec::as_slice).unwrap_or_default();
        let counts: Vec<u64> = own.windows(2).map(|pair| pair[1].sum.count.saturating_sub(pair[0].sum.count)).collect();
        let rate = self.work.as_ref().and_then(|work| work.rate(&bytes, counts.iter().sum()));
        Rising { path: path.clone(), counts, steps: bytes, before, rate, length, is_filling }
    }
}

/// What has a path in one dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSum {
    /// The path.
    pub path: NormalisedPath,
    /// What has it.
    pub sum: Sum,
}

/// What has which path in one dump, in no order; without the allocation tracer, and what no root leads to.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub fn counted(dump: &Pathed<'_>, control: &Control<'_>) -> Result<Vec<PathSum>> {
    let found = count(dump, &Filter::default(), control)?;
    Ok(found.into_iter().map(|(path, one)| PathSum { path, sum: one.sum }).collect())
}

/// By path what a dump has.
fn count(dump: &Pathed<'_>, filter: &Filter, control: &Control<'_>) -> Result<HashMap<NormalisedPath, Found>> {
    let Pathed { heap, tree, shortest_paths, .. } = *dump;
    let mut paths = NormalisedPaths::new(heap, tree, shortest_paths)?;
    let mut grouping = Grouping::new(heap, &[], filter);
    let mut found: HashMap<(PathId, bool), Found> = HashMap::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if !is_counted(heap, tree, id) || grouping.group(id).is_none() {
            continue;
        }
        let path = (paths.of(id)?, is_code(heap, id));
        map(&mut found, 1)?;
        let one = found.entry(path).or_default();
        one.sum.add(Sum { count: 1, memsize: heap.bytes(id), references: 0 });
        one.used = one.used.saturating_add(own_bytes(heap, id, heap.ty(id)));
        if heap.ty(id) == Type::Array {
            one.longest = one.longest.max(heap.length(id).map_or(0, u64::from));
        }
    }
    // Two paths of one heap may read the same.
    let mut by_text: HashMap<NormalisedPath, Found> = HashMap::new();
    for ((path, is_code), one) in found {
        map(&mut by_text, 1)?;
        let all = by_text.entry(words(&paths, path, is_code)).or_default();
        all.sum.add(one.sum);
        all.used = all.used.saturating_add(one.used);
        all.longest = all.longest.max(one.longest);
    }
    Ok(by_text)
}

/// A path in words.
pub(super) fn words(paths: &NormalisedPaths<'_>, path: PathId, is_code: bool) -> NormalisedPath {
    let mut words = paths.path(path);
    words.0.extend(is_code.then(|| CODE.to_owned()));
    words
}

/// Whether an object is what Ruby makes of code, methods and closures.
pub(super) fn is_code(heap: &Heap, id: NodeId) -> bool {
    matches!(heap.ty(id), Type::Imemo | Type::Iclass)
}

/// Whether an object is the app's: reachable, and neither a store of the allocation tracer nor one of Ruby's caches of calls.
pub(super) fn is_counted(heap: &Heap, tree: &Tree, id: NodeId) -> bool {
    let properties = heap.properties(id);
    let is_cache =
        || properties.ty == Type::Imemo && CACHES.contains(&heap.names().tables.symbols.bytes(properties.names.label));
    !properties.tracer && tree.is_reachable(id) && !is_cache()
}

#[cfg(test)]
mod tests;
