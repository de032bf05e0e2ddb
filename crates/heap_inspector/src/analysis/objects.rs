//! The objects that a query asks for: which they are, in which order, and what they come to, in all or by group.
//!
//! A query is a list of clauses, and an object passes it by passing any of them. What concerns distinct slots (class, location, ...) is
//! decided once for each of those, numbers and membership for each object. A question costs a pass over the columns that it needs, on
//! several threads; ordering the objects it keeps also 12 bytes for each and criterion.

use super::grouping::{Coding, Grouping};
use super::retained;
use crate::control::Control;
use crate::error::named;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue, Values};
use crate::memory::reach;
use crate::select::Filter;
use crate::{Error, Result, sort, threads};
use std::ops::Range;
use std::str::FromStr;

/// A number that each object has, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// Its bytes, slot included.
    Memsize,
    /// The bytes that would go with it; 0 of an unreachable object.
    RetainedMemsize,
    /// How many objects would go with it.
    RetainedCount,
    /// Elements, entries, bytes of text or instance variables.
    Length,
    /// How many references it holds, its class not among them.
    ReferenceCount,
    /// The GC count at its allocation.
    Generation,
    /// Bytes of its slot.
    SlotSize,
    /// Its address.
    Address,
    /// Its place in the dump.
    Index,
}

impl Number {
    /// Every number with its name.
    pub const NAMED: [(Number, &'static str); 9] = [
        (Number::Memsize, "memsize"),
        (Number::RetainedMemsize, "retained_memsize"),
        (Number::RetainedCount, "retained_count"),
        (Number::Length, "length"),
        (Number::ReferenceCount, "reference_count"),
        (Number::Generation, "generation"),
        (Number::SlotSize, "slot_size"),
        (Number::Address, "address"),
        (Number::Index, "index"),
    ];

    /// The object's number; none where it has none, as the generation of an untraced one, and without the `tree` that it needs.
    #[must_use]
    #[inline(always)]
    pub fn of(self, heap: &Heap, tree: Option<&Tree>, id: NodeId) -> Option<u64> {
        match self {
            Number::Memsize => Some(heap.bytes(id)),
            Number::RetainedMemsize => tree.map(|tree| tree.retained(id)),
            Number::RetainedCount => tree.map(|tree| tree.retained_count(id)),
            Number::Length => heap.length(id).map(u64::from),
            Number::ReferenceCount => Some(heap.references(id).len() as u64),
            Number::Generation => heap.generation(id).checked_sub(1).map(u64::from),
            Number::SlotSize => Some(heap.slot_size(id)).filter(|bytes| *bytes > 0).map(u64::from),
            Number::Address => Some(heap.address(id)),
            Number::Index => Some(u64::from(id.0)),
        }
    }

    /// Hands out the number of each object, with its place.
    fn each(self, heap: &Heap, tree: Option<&Tree>, ids: &[NodeId], mut take: impl FnMut(usize, Option<u64>)) {
        // A loop for each number, which knows it.
        macro_rules! each {
            ($($number:ident)*) => {
                match self {
                    $(Number::$number => {
                        ids.iter().enumerate().for_each(|(at, id)| take(at, Number::$number.of(heap, tree, *id)));
                    })*
                }
            };
        }
        each!(Memsize RetainedMemsize RetainedCount Length ReferenceCount Generation SlotSize Address Index);
    }

    /// Whether it comes from the dominator tree.
    #[must_use]
    pub fn needs_tree(self) -> bool {
        matches!(self, Number::RetainedMemsize | Number::RetainedCount)
    }
}

impl FromStr for Number {
    type Err = Error;

    fn from_str(name: &str) -> Result<Number> {
        named(&Number::NAMED, name, format_args!("{name:?} is not a number"))
    }
}

/// Ranges of a number: outside of all of them where negated, else in any.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The number.
    pub number: Number,
    /// Whether it must lie outside.
    pub negated: bool,
    /// From the first to the second, both included; none stands for objects without the number.
    pub ranges: Vec<Option<(u64, u64)>>,
}

impl Bound {
    fn holds(&self, number: Option<u64>) -> bool {
        let lies_in = |range: &Option<(u64, u64)>| match (range, number) {
            (None, None) => true,
            (Some((low, high)), Some(number)) => (*low..=*high).contains(&number),
            _ => false,
        };
        self.ranges.iter().any(lies_in) != self.negated
    }

    fn retain(&self, heap: &Heap, tree: Option<&Tree>, ids: &mut Vec<NodeId>) {
        let mut holds = Vec::with_capacity(ids.len());
        self.number.each(heap, tree, ids, |_, number| holds.push(self.holds(number)));
        let mut holds = holds.into_iter();
        ids.retain(|_| holds.next() == Some(true));
    }
}

/// What an object must be, all of it.
#[derive(Clone, Debug, Default)]
pub struct Clause {
    /// Passes this filter.
    pub filter: Filter,
    /// Has these numbers.
    pub bounds: Vec<Bound>,
    /// Is reachable, or is not.
    pub is_reachable: Option<bool>,
    /// Is retained by each of these; they themselves are not.
    pub retained_by: Vec<NodeId>,
    /// Is one of these, where there is such a list.
    pub among: Option<Vec<NodeId>>,
}

/// Which objects: those that pass any clause.
#[derive(Clone, Debug)]
pub struct Query {
    /// The clauses.
    pub any: Vec<Clause>,
}

impl Default for Query {
    /// All objects.
    fn default() -> Query {
        Query { any: vec![Clause::default()] }
    }
}

impl Query {
    /// Whether it can be answered with the dominator tree alone.
    #[must_use]
    pub fn needs_tree(&self) -> bool {
        self.any.iter().any(|clause| {
            clause.is_reachable.is_some()
                || !clause.retained_by.is_empty()
                || clause.bounds.iter().any(|bound| bound.number.needs_tree())
        })
    }
}

/// What the numbers of some objects come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// How many objects.
    pub count: u64,
    /// How many of them have the number.
    pub known: u64,
    /// The sum.
    pub sum: u64,
    least: u64,
    greatest: u64,
}

impl Default for Measure {
    fn default() -> Measure {
        Measure { count: 0, known: 0, sum: 0, least: u64::MAX, greatest: 0 }
    }
}

impl Measure {
    /// The least and the greatest; none where no object has the number.
    #[must_use]
    pub fn extremes(&self) -> Option<(u64, u64)> {
        (self.known > 0).then_some((self.least, self.greatest))
    }

    /// The mean over the objects that have the number; none where none has.
    #[must_use]
    pub fn average(&self) -> Option<f64> {
        (self.known > 0).then(|| self.sum as f64 / self.known as f64)
    }

    #[inline]
    fn take(&mut self, number: Option<u64>) {
        self.count += 1;
        if let Some(number) = number {
            self.add(Measure { count: 0, known: 1, sum: number, least: number, greatest: number });
        }
    }

    #[inline]
    fn add(&mut self, other: Measure) {
        self.count += other.count;
        self.known += other.known;
        self.sum = self.sum.saturating_add(other.sum);
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }
}

/// What the objects with the same values of the keys retain together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// A value for each key.
    pub key: Vec<KeyValue>,
    /// The bytes.
    pub memsize: u64,
    /// How many objects.
    pub count: u64,
}

/// What objects are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBy {
    /// A number; objects without it first.
    Number(Number),
    /// The value of a key.
    Key(Key),
}

/// A query about to be answered.
#[derive(Debug)]
pub struct Objects<'a> {
    heap: &'a Heap,
    tree: Option<&'a Tree>,
    query: &'a Query,
    /// For each clause whether an object is a member of its lists, where it has some.
    members: Vec<Option<Vec<bool>>>,
    /// No filter.
    all: Filter,
}

impl<'a> Objects<'a> {
    /// The objects of a heap that pass `query`. A query that [needs](Query::needs_tree) the tree finds nothing without.
    #[must_use]
    pub fn new(heap: &'a Heap, tree: Option<(&'a Tree, &Children)>, query: &'a Query) -> Objects<'a> {
        let members = query.any.iter().map(|clause| members(heap, tree.map(|(_, children)| children), clause));
        let members = members.collect();
        Objects { heap, tree: tree.map(|(tree, _)| tree), query, members, all: Filter::default() }
    }

    /// Which they are, in the order of the dump.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when cancelled.
    pub fn ids(&self, control: &Control<'_>) -> Result<Vec<NodeId>> {
        let parts = self.divide(control, |range| {
            let mut found = Vec::new();
            self.walk(range, control, |ids| found.extend_from_slice(ids))?;
            Ok(found)
        })?;
        Ok(parts.concat())
    }

    /// What a number comes to by the values of the keys, in no order; without keys one row, or none where there are no objects.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when cancelled.
    pub fn groups(&self, by: &[Key], number: Number, control: &Control<'_>) -> Result<Vec<(Vec<KeyValue>, Measure)>> {
        let parts = self.divide(control, |range| {
            let (mut coding, mut measures) = (Coding::new(self.heap, by), Vec::<Measure>::new());
            let mut groups = Vec::new();
            let mut refused = None;
            self.walk(range, control, |ids| {
                let known = coding.groups(ids, &mut groups);
                let has_room = known.and_then(|known| match known {
                    0 => Ok(()),
                    _ => reach(&mut measures, known - 1, Measure::default()),
                });
                if let Err(error) = has_room {
                    refused = Some(error);
                    return;
                }
                number.each(self.heap, self.tree, ids, |at, number| measures[groups[at] as usize].take(number));
            })?;
            refused.map_or(Ok((coding.first(), measures)), Err)
        })?;
        let (mut grouping, mut groups) = (Grouping::new(self.heap, by, &self.all), Vec::<Measure>::new());
        for (first, measures) in parts {
            for (id, measure) in first.into_iter().zip(measures) {
                let Some(group) = grouping.group(id) else { continue };
                reach(&mut groups, group, Measure::default())?;
                groups[group].add(measure);
            }
        }
        Ok(grouping.keys(control)?.into_iter().zip(groups).collect())
    }

    /// The values of a key that objects may have; of sites also those whose objects are gone. Costs no pass over the objects for keys
    /// of sites.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when cancelled.
    pub fn values(heap: &Heap, key: Key, control: &Control<'_>) -> Result<Vec<KeyValue>> {
        if key.is_site() {
            return Ok(Values::new(heap.names()).of_sites(key));
        }
        let all = Query::default();
        let groups = Objects::new(heap, None, &all).groups(&[key], Number::Index, control)?;
        Ok(groups.into_iter().flat_map(|(key, _)| key).collect())
    }

    /// What the reachable ones retain together by the values of the keys: bytes and objects, of those that no other of their group
    /// retains. Needs the tree.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when cancelled.
    pub fn retained(&self, by: &[Key], children: &Children, control: &Control<'_>) -> Result<Vec<Retained>> {
        let Some(tree) = self.tree else { return Ok(Vec::new()) };
        let mut passes = vec![false; self.heap.object_count()];
        self.ids(control)?.into_iter().for_each(|id| passes[id.0 as usize] = true);
        let mut grouping = Grouping::new(self.heap, by, &self.all);
        let group = |id: NodeId| if passes[id.0 as usize] { grouping.group(id) } else { None };
        let sums = retained::walk(self.heap, tree, children, group, control)?;
        let groups = grouping.keys(control)?.into_iter().zip(sums);
        Ok(groups.map(|(key, (_, memsize, count))| Retained { key, memsize, count }).collect())
    }

    /// Has `work` done on parts of the heap at once; the results in order.
    fn divide<T: Send>(&self, control: &Control<'_>, work: impl Fn(Range<u32>) -> Result<T> + Sync) -> Result<Vec<T>> {
        let count = self.heap.object_count() as u32;
        let parts = control.thread_count().min(count as usize / WORTH_A_THREAD + 1) as u32;
        let bounds: Vec<u32> =
            (0..=parts).map(|part| (u64::from(count) * u64::from(part) / u64::from(parts)) as u32).collect();
        let work = &work;
        let jobs = bounds.windows(2).map(|pair| move || work(pair[0]..pair[1]));
        threads::all(jobs.collect()).into_iter().collect()
    }

    /// Hands out the objects of a part that pass, some at a time.
    fn walk(&self, range: Range<u32>, control: &Control<'_>, mut each: impl FnMut(&[NodeId])) -> Result<()> {
        let mut sieves: Vec<Grouping<'_>> =
            self.query.any.iter().map(|clause| Grouping::new(self.heap, &[], &clause.filter)).collect();
        let (mut ids, mut found) = (Vec::with_capacity(BLOCK as usize), Vec::new());
        for from in range.clone().step_by(BLOCK as usize) {
            control.check()?;
            found.clear();
            for (place, sieve) in sieves.iter_mut().enumerate() {
                ids.clear();
                ids.extend((from..range.end.min(from.saturating_add(BLOCK))).map(NodeId));
                self.retain(place, sieve, &mut ids);
                found.extend_from_slice(&ids);
            }
            if sieves.len() > 1 {
                found.sort_unstable();
                found.dedup();
            }
            each(&found);
        }
        Ok(())
    }

    /// Keeps the objects that pass a clause.
    fn retain(&self, place: usize, sieve: &mut Grouping<'_>, ids: &mut Vec<NodeId>) {
        let (clause, tree) = (&self.query.any[place], self.tree);
        if let Some(members) = &self.members[place] {
            ids.retain(|id| members[id.0 as usize]);
        }
        sieve.retain(ids);
        if let Some(wanted) = clause.is_reachable {
            ids.retain(|id| tree.is_some_and(|tree| tree.is_reachable(*id) == wanted));
        }
        clause.bounds.iter().for_each(|bound| bound.retain(self.heap, tree, ids));
    }
}

/// Fewer objects are not worth another thread.
const WORTH_A_THREAD: usize = 100_000;

/// So many objects are looked at together: one column after the other, what is needed of them staying in the fastest cache.
const BLOCK: u32 = 1 << 11;

/// Which objects are in all lists of a clause; none where it has no lists.
fn members(heap: &Heap, children: Option<&Children>, clause: &Clause) -> Option<Vec<bool>> {
    let mut all: Option<Vec<bool>> = None;
    let mut keep = |list: Vec<bool>| match &mut all {
        None => all = Some(list),
        Some(all) => all.iter_mut().zip(list).for_each(|(kept, member)| *kept &= member),
    };
    let none = || vec![false; heap.object_count()];
    if let Some(among) = &clause.among {
        let mut list = none();
        among.iter().for_each(|id| list[id.0 as usize] = true);
        keep(list);
    }
    for holder in &clause.retained_by {
        let (mut list, mut stack) = (none(), vec![*holder]);
        while let (Some(id), Some(children)) = (stack.pop(), children) {
            for held in children.of(Dominator::Node(id)) {
                list[held.0 as usize] = true;
                stack.push(held);
            }
        }
        keep(list);
    }
    all
}

/// Orders `ids` by criteria, each ascending or (`true`) descending, equal ones as they came, and keeps those of a range of places.
///
/// ```
/// use heap_inspector::analysis::objects::{Number, Objects, OrderBy, Query, ordered};
/// use heap_inspector::heap::Heap;
/// use heap_inspector::source::Source;
///
/// let source = Source::path("tests/dumps/ruby-3.4-x86_64.json.zst");
/// let control = Default::default();
/// let heap = Heap::load(&source, &Default::default())?;
/// let ids = Objects::new(&heap, None, &Query::default()).ids(&control)?;
/// let biggest = ordered(&heap, None, ids, &[(OrderBy::Number(Number::Memsize), true)], 0..3, &control)?;
/// assert!(biggest.len() == 3 && heap.bytes(biggest[0]) >= heap.bytes(biggest[1]));
/// # Ok::<(), heap_inspector::Error>(())
/// ```
///
/// # Errors
/// [`Error::Interrupted`] when cancelled.
pub fn ordered(
    heap: &Heap,
    tree: Option<&Tree>,
    mut ids: Vec<NodeId>,
    criteria: &[(OrderBy, bool)],
    places: Range<usize>,
    control: &Control<'_>,
) -> Result<Vec<NodeId>> {
    let range = places.start.min(ids.len())..places.end.min(ids.len());
    if criteria.is_empty() || range.is_empty() {
        ids.truncate(range.end);
        ids.drain(..range.start.min(range.end));
        return Ok(ids);
    }
    let ranks: Vec<Vec<u64>> = criteria
        .iter()
        .map(|(order, descending)| {
            control.check()?;
            let mut ranks = match order {
                OrderBy::Key(key) => key_ranks(heap, *key, &ids, control)?,
                OrderBy::Number(number) => {
                    // Those without the number first.
                    let rank = |id: &NodeId| number.of(heap, tree, *id).map_or(0, |number| number.saturating_add(1));
                    ids.iter().map(rank).collect()
                }
            };
            if *descending {
                ranks.iter_mut().for_each(|rank| *rank = !*rank);
            }
            Ok(ranks)
        })
        .collect::<Result<_>>()?;
    let compare = |one: &u32, other: &u32| {
        let by_rank = ranks.iter().map(|ranks| ranks[*one as usize].cmp(&ranks[*other as usize]));
        by_rank.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(one.cmp(other))
    };
    let mut positions: Vec<u32> = (0..ids.len() as u32).collect();
    if range.end < positions.len() {
        positions.select_nth_unstable_by(range.end - 1, compare);
        positions.truncate(range.end);
    }
    control.check()?;
    positions.sort_unstable_by(compare);
    Ok(positions[range].iter().map(|position| ids[*position as usize]).collect())
}

/// The places of the objects' values among all values, sorted.
fn key_ranks(heap: &Heap, key: Key, ids: &[NodeId], control: &Control<'_>) -> Result<Vec<u64>> {
    let (by, all) = ([key], Filter::default());
    let mut grouping = Grouping::new(heap, &by, &all);
    let groups: Vec<usize> = ids.iter().map(|id| grouping.group(*id).unwrap_or(0)).collect();
    let keys = grouping.keys(control)?;
    let mut sorted: Vec<usize> = (0..keys.len()).collect();
    sort::by(&mut sorted, |one, other| keys[*one].cmp(&keys[*other]));
    let mut places = vec![0u64; keys.len()];
    sorted.iter().enumerate().for_each(|(place, group)| places[*group] = place as u64);
    Ok(groups.into_iter().map(|group| places[group]).collect())
}

#[cfg(test)]
mod tests;
