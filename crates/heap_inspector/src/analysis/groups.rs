//! Count and bytes by one property or several, of all objects or those a filter lets through.
//!
//! Costs one value of each key for each distinct slot, and memory for the groups. Where the keys, or the filter, ask for what is known of
//! sampled objects alone, groups are also estimated (`by_stack`).

use super::sorted::sort;
use super::{Context, Order, column, key_cell, share, titled};
use crate::aggregate::{self, Aggregate};
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue, Value, Values};
use crate::memory::{STRIDE, list, room, table};
use crate::names::Names;
use crate::properties::{ObjectProperties, PropertyMask};
use crate::report::{Cell, Column, Level, Report, Rest, Section, Table};
use crate::sampling::{FEW, Sampling};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::{Sum, Sums};
use crate::{Error, Result};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::cmp::Reverse;
use std::hash::BuildHasher;

/// Which groups, in which order.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The keys; none makes one group of all.
    pub by: Vec<Key>,
    /// Which objects.
    pub filter: Filter,
    /// The order.
    pub sort: Order,
    /// How many groups to keep; the others are summed up.
    pub limit: Option<usize>,
}

impl Options {
    /// The parts of slots that the keys and the filter need.
    #[must_use]
    pub fn parts(&self) -> PropertyMask {
        self.by.iter().fold(self.filter.parts(), |parts, key| parts.union(key.parts()))
    }
}

/// Objects with the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// What the objects come to.
    pub sum: Sum,
    /// What they stand for, where what was asked for is known of sampled objects alone.
    pub estimate: Option<Estimate>,
}

/// What a group of objects stands for, reckoned from those of them that were sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Estimate {
    /// How many of the group's objects were sampled.
    pub samples: u64,
    /// What the group would come to if all objects were known.
    pub sum: Sum,
}

impl Estimate {
    /// Whether it says little.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        (1..FEW).contains(&self.samples)
    }

    fn add(&mut self, other: Estimate) {
        self.samples += other.samples;
        self.sum.add(other.sum);
    }
}

/// The groups of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Groups {
    /// The keys.
    pub by: Vec<Key>,
    /// The groups in order, as many as the limit allows.
    pub groups: Vec<Group>,
    /// How many groups the limit cut off.
    pub rest_groups: u64,
    /// What those come to.
    pub rest: Sum,
    /// What all groups come to.
    pub total: Sum,
    /// How allocations were sampled, where the groups are estimated.
    pub sampling: Option<Sampling>,
    /// What the groups that the limit cut off stand for, and all groups.
    pub estimates: [Estimate; 2],
}

/// Runs once through `source`, in memory for the groups.
///
/// # Errors
/// Those of [`scan::scan`].
pub fn read(source: &Source, options: &Options, scanning: &scan::Options<'_>) -> Result<(Groups, Context)> {
    let aggregated = aggregate::Options {
        parts: options.parts(),
        summing: true,
        memsize: options.filter.memsize(),
        ..aggregate::Options::default()
    };
    let aggregate = Aggregate::take(source, &aggregated, scanning)?;
    let groups = fold(&aggregate.names, &aggregate.sums, options, &scanning.control)?;
    Ok((groups, Context { totals: aggregate.totals, diagnostics: aggregate.diagnostics }))
}

/// The groups of a loaded heap.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn groups(heap: &Heap, options: &Options, control: &Control<'_>) -> Result<Groups> {
    of(heap, heap.nodes(), options, control)
}

/// The groups of some nodes of a loaded heap.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn of(heap: &Heap, ids: impl Iterator<Item = NodeId>, options: &Options, control: &Control<'_>) -> Result<Groups> {
    control.check()?; // there may be none to walk over
    let sums = heap.sums_of(ids, options.parts(), options.filter.memsize(), control)?;
    fold(heap.names(), &sums, options, control)
}

/// Sums up slots by the values of their keys.
pub(crate) fn fold(names: &Names, sums: &Sums, options: &Options, control: &Control<'_>) -> Result<Groups> {
    let mut values = Values::new(names);
    let groups = Unordered::new(&mut values, sums, &options.by, &options.filter, control)?;
    groups.ordered(&values, options.sort, options.limit, control)
}

/// What groups stand for, where a part of the allocations was sampled. Each sampled object stands for itself and for `every` - 1 others,
/// of which nothing but type, class and the like is known. These lie in the *pool*: the groups without a line, or without a stack where
/// only stacks were sampled. So the pool shrinks by what the samples stand for, by each value of the keys that are known of all objects,
/// and the estimates of all groups come to what there is: by class all is exact.
struct Estimates {
    sampling: Sampling,
    /// Whether stacks are asked for, which no line stands for.
    is_of_stacks: bool,
    /// By key whether it is known of samples alone.
    is_sampled: Vec<bool>,
    /// Of each group what was sampled, and what is in the pool; where in `scopes` it stands.
    groups: Vec<(Sum, Sum, u32)>,
    /// The values of keys that are known of all objects, and what was sampled there.
    scopes: HashMap<Vec<Value>, u32>,
    sampled: Vec<Sum>,
}

impl Estimates {
    /// None where what is asked for is known of all objects.
    fn new(values: &Values<'_>, by: &[Key], filter: &Filter) -> Option<Estimates> {
        let sampling = values.names().sampling?;
        let is_sampled: Vec<bool> = by.iter().map(|key| is_sampled_key(*key, sampling)).collect();
        let is_asked = is_sampled.contains(&true) || filter.keys().any(|key| is_sampled_key(key, sampling));
        let is_of_stacks = by.iter().copied().chain(filter.keys()).any(|key| key == Key::Stack);
        let (groups, scopes, sampled) = Default::default();
        is_asked.then_some(Estimates { sampling, is_of_stacks, is_sampled, groups, scopes, sampled })
    }

    fn add(&mut self, group: u32, key: &[Value], values: &Values<'_>, properties: &ObjectProperties, sum: Sum) {
        if group as usize == self.groups.len() {
            let known = key.iter().zip(&self.is_sampled).filter(|(_, is_sampled)| !**is_sampled);
            let next = self.scopes.len() as u32;
            let scope = *self.scopes.entry(known.map(|(value, _)| *value).collect()).or_insert(next);
            if scope == next {
                self.sampled.push(Sum::default());
            }
            self.groups.push((Sum::default(), Sum::default(), scope));
        }
        let (sampled, pool, scope) = &mut self.groups[group as usize];
        match part(self.sampling, self.is_of_stacks, values, properties) {
            Part::Known => {}
            Part::Pool => pool.add(sum),
            Part::Sample => {
                sampled.add(sum);
                self.sampled[*scope as usize].add(sum);
            }
        }
    }

    /// The estimates of groups with these sums.
    fn finish(mut self, sums: &[Sum]) -> Vec<Estimate> {
        let every = self.sampling.every;
        // What the samples stand for beside themselves, and what of it the pools did not yet give.
        self.sampled.iter_mut().for_each(|sampled| *sampled = times(*sampled, every - 1));
        let mut estimates = Vec::with_capacity(sums.len());
        for (sum, (sampled, pool, scope)) in sums.iter().zip(&self.groups) {
            let owed = &mut self.sampled[*scope as usize];
            let given = least(*pool, *owed);
            *owed = less(*owed, given);
            let mut estimate = less(*sum, given);
            estimate.add(times(*sampled, every - 1));
            estimates.push(Estimate { samples: sampled.count, sum: estimate });
        }
        estimates
    }
}

fn each(one: Sum, other: Sum, of: impl Fn(u64, u64) -> u64) -> Sum {
    Sum {
        count: of(one.count, other.count),
        memsize: of(one.memsize, other.memsize),
        references: of(one.references, other.references),
    }
}

fn least(one: Sum, other: Sum) -> Sum {
    each(one, other, u64::min)
}

fn less(one: Sum, other: Sum) -> Sum {
    each(one, other, u64::saturating_sub)
}

/// A sum so many times. Sums add up counts without a look at their end, so they stay well below it.
pub(crate) fn times(sum: Sum, times: u64) -> Sum {
    each(sum, sum, |number, _| number.saturating_mul(times).min(u64::MAX >> 16))
}

/// Whether a key is known of sampled objects alone.
fn is_sampled_key(key: Key, sampling: Sampling) -> bool {
    match key {
        Key::Generation | Key::Traced | Key::Line => sampling.is_of_lines(),
        key => key.is_of_stack() || key.is_site() && sampling.is_of_lines(),
    }
}

/// What an object is to estimates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All is known of it; it stands for itself.
    Known,
    /// It stands for others too.
    Sample,
    /// One of those others.
    Pool,
}

fn part(sampling: Sampling, is_of_stacks: bool, values: &Values<'_>, properties: &ObjectProperties) -> Part {
    match sampling.is_of_lines() {
        _ if properties.tracer => Part::Known,
        true if properties.traced || properties.stack.is_some() => Part::Sample,
        true => Part::Pool,
        // Who allocated it is known without a stack.
        false if !is_of_stacks && values.names().is_app(properties.names.site) => Part::Known,
        false if properties.stack.is_some() => Part::Sample,
        false if properties.traced => Part::Pool,
        false => Part::Known,
    }
}

/// All groups, to be put in one order or several. A group is a number: the values of its keys stand in a row, so that it takes a few
/// dozen bytes.
#[derive(Default)]
pub(crate) struct Unordered {
    by: Vec<Key>,
    /// As many for each group as there are keys.
    values: Vec<Value>,
    sums: Vec<Sum>,
    total: Sum,
    sampling: Option<Sampling>,
    /// One for each group, where they are estimated.
    estimates: Vec<Estimate>,
}

impl Unordered {
    /// Sums up the slots that pass by the values of their keys.
    pub(crate) fn new(
        values: &mut Values<'_>,
        sums: &Sums,
        by: &[Key],
        filter: &Filter,
        control: &Control<'_>,
    ) -> Result<Unordered> {
        let hasher = DefaultHashBuilder::default();
        let mut groups = Unordered { by: by.to_vec(), ..Unordered::default() };
        let mut estimates = Estimates::new(values, by, filter);
        let mut numbers: HashTable<u32> = HashTable::new();
        let mut key = Vec::new();
        for (step, (properties, sum)) in sums.iter().enumerate() {
            if step.is_multiple_of(STRIDE) {
                control.check()?;
                room(&mut groups.values, STRIDE * by.len())?;
                room(&mut groups.sums, STRIDE)?;
                table(&mut numbers, STRIDE, |group| hasher.hash_one(groups.key(*group)))?;
            }
            if !filter.holds(values, properties) {
                continue;
            }
            key.clear();
            key.extend(by.iter().map(|by| values.value(*by, properties)));
            groups.total.add(*sum);
            let hash = hasher.hash_one(&key[..]);
            let group = match numbers.find(hash, |group| groups.key(*group) == key) {
                Some(group) => {
                    groups.sums[*group as usize].add(*sum);
                    *group
                }
                None => {
                    let group = u32::try_from(groups.sums.len()).map_err(|_| Error::format("more than 2^32 groups"))?;
                    groups.values.extend_from_slice(&key);
                    groups.sums.push(*sum);
                    numbers.insert_unique(hash, group, |group| hasher.hash_one(groups.key(*group)));
                    group
                }
            };
            if let Some(estimates) = &mut estimates {
                estimates.add(group, &key, values, properties, *sum);
            }
        }
        if let Some(estimates) = estimates {
            groups.sampling = Some(estimates.sampling);
            groups.estimates = estimates.finish(&groups.sums);
        }
        Ok(groups)
    }

    /// The values of a group's keys.
    fn key(&self, group: u32) -> &[Value] {
        let (at, keys) = (group as usize, self.by.len());
        &self.values[at * keys..(at + 1) * keys]
    }

    /// What all groups come to.
    pub(crate) fn total(&self) -> Sum {
        self.total
    }

    /// The first `limit` groups in the order of `sort`.
    pub(crate) fn ordered(
        &self,
        values: &Values<'_>,
        by: Order,
        limit: Option<usize>,
        control: &Control<'_>,
    ) -> Result<Groups> {
        let count = self.sums.len();
        let sum = |group: &u32| self.sums[*group as usize];
        let estimate = |group: &u32| self.estimates.get(*group as usize).copied();
        let mut groups: Vec<u32> = list(count)?;
        groups.extend(0..count as u32);
        let kept = limit.unwrap_or(count).min(count);
        let rank = |group: &u32| by.rank(&estimate(group).map_or_else(|| sum(group), |estimate| estimate.sum));
        let mut all = Estimate::default();
        self.estimates.iter().for_each(|estimate| all.add(*estimate));
        let (mut rest, mut rest_estimate) = (Sum::default(), Estimate::default());
        let mut leave_out = |group: &u32| {
            rest.add(sum(group));
            rest_estimate.add(estimate(group).unwrap_or_default());
        };
        // Names are dear to compare, and most groups of a large heap have the numbers of others: those that cannot be shown go first.
        if 0 < kept && kept < count {
            let (_, last, _) = groups.select_nth_unstable_by_key(kept - 1, |group| Reverse(rank(group)));
            let least = rank(last);
            groups.retain(|group| {
                let may_be_shown = rank(group) >= least;
                if !may_be_shown {
                    leave_out(group);
                }
                may_be_shown
            });
        }
        // A million groups of one count are told by their names: in place, since to make the texts takes ten times as long.
        sort(&mut groups, control, |a, b| {
            rank(b).cmp(&rank(a)).then_with(|| values.compare(self.key(*a), self.key(*b)))
        })?;
        groups[kept..].iter().for_each(leave_out);
        let mut shown = list(kept)?;
        for (step, group) in groups[..kept].iter().enumerate() {
            control.check_at(step)?;
            let key = self.key(*group).iter().map(|value| values.outside(*value)).collect();
            shown.push(Group { key, sum: sum(group), estimate: estimate(group) });
        }
        Ok(Groups {
            by: self.by.clone(),
            rest_groups: (count - kept) as u64,
            groups: shown,
            rest,
            total: self.total,
            sampling: self.sampling,
            estimates: [rest_estimate, all],
        })
    }
}

/// The numbers a table shows of each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    BytesAndCount,
    CountAndBytes,
    References,
}

impl Shows {
    /// What the groups are sorted by comes first.
    pub(crate) fn of(sort: Order) -> Shows {
        match sort {
            Order::Bytes => Shows::BytesAndCount,
            Order::Count => Shows::CountAndBytes,
            Order::References => Shows::References,
        }
    }
}

impl Groups {
    /// The groups as a table.
    pub(crate) fn table(&self, name: &'static str, title: String, shows: Shows) -> Table {
        let keys = self.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true });
        let columns = self.columns(shows).into_iter().chain(keys).collect();
        let numbers = |sum: &Sum, estimate: Option<Estimate>| match estimate {
            None => exact(sum, &self.total, shows),
            Some(estimate) => estimated(estimate, &self.estimates[1].sum, shows),
        };
        let unlabelled = |sum: &Sum, estimate: Estimate| -> Vec<Cell> {
            let estimate = self.sampling.map(|_| estimate);
            numbers(sum, estimate).into_iter().chain(self.by.iter().map(|_| Cell::Missing)).collect()
        };
        let [rest, all] = self.estimates;
        Table {
            name,
            title,
            columns,
            rows: self
                .groups
                .iter()
                .map(|group| {
                    let key = self.by.iter().zip(&group.key).map(|(key, value)| key_cell(*key, value));
                    numbers(&group.sum, group.estimate).into_iter().chain(key).collect()
                })
                .collect(),
            rest: (self.rest_groups > 0).then(|| Rest { rows: self.rest_groups, cells: unlabelled(&self.rest, rest) }),
            total: Some(unlabelled(&self.total, all)),
            bar: None,
        }
    }

    /// The columns of the numbers.
    fn columns(&self, shows: Shows) -> Vec<Column> {
        let (bytes, count, references) = match self.sampling {
            None => (
                [column("memsize", "Memory"), column("memsize_share", "")],
                [column("count", "Objects"), column("count_share", "")],
                [column("references", "References"), column("references_share", "")],
            ),
            Some(_) => (
                [column("estimated_memsize", "Memory"), column("estimated_memsize_share", "")],
                [column("estimated_count", "Objects"), column("estimated_count_share", "")],
                [column("estimated_references", "References"), column("estimated_references_share", "")],
            ),
        };
        let samples = self.sampling.map(|_| column("samples", "Samples"));
        ordered(shows, bytes, count, references).into_iter().chain(samples).collect()
    }

    /// What to say of estimates, where only stacks were sampled: a dump of sampled allocations says so in front of all.
    fn notes(&self) -> Option<Section> {
        let sampling = self.sampling.filter(|sampling| !sampling.is_of_lines())?;
        let text = format!(
            "one allocation of {} has a stack and stands for as many: numbers with ~ are reckoned from these samples; those with ? are \
             rough, of fewer than {FEW}",
            crate::human::count(sampling.every)
        );
        Some(super::note(Level::Info, text))
    }

    /// The answer of `top`.
    #[must_use]
    pub fn report(&self, dump: &str, filter: &Filter, sort: Order, context: &Context) -> Report {
        let names: Vec<&str> = self.by.iter().map(|key| key.name()).collect();
        let title = titled(&format!("Objects by {}", names.join(", ")), filter);
        let mut sections = context.head();
        sections.push(Section::Table(self.table("groups", title, Shows::of(sort))));
        sections.extend(self.notes());
        sections.extend(context.notes());
        Report { verb: "top", dump: dump.to_owned(), sections }
    }
}

/// What is sorted by first.
fn ordered<T>(shows: Shows, bytes: [T; 2], count: [T; 2], references: [T; 2]) -> Vec<T> {
    match shows {
        Shows::BytesAndCount => bytes.into_iter().chain(count).collect(),
        Shows::CountAndBytes => count.into_iter().chain(bytes).collect(),
        Shows::References => references.into_iter().chain(count).collect(),
    }
}

fn exact(sum: &Sum, total: &Sum, shows: Shows) -> Vec<Cell> {
    let bytes = [Cell::Bytes(sum.memsize), Cell::Share(share(sum.memsize, total.memsize))];
    let count = [Cell::Count(sum.count), Cell::Share(share(sum.count, total.count))];
    let references = [Cell::Count(sum.references), Cell::Share(share(sum.references, total.references))];
    ordered(shows, bytes, count, references)
}

fn estimated(estimate: Estimate, total: &Sum, shows: Shows) -> Vec<Cell> {
    let Estimate { samples, sum } = estimate;
    let [bytes, count, references] = [
        about(sum.memsize, true, estimate, total.memsize),
        about(sum.count, false, estimate, total.count),
        about(sum.references, false, estimate, total.references),
    ];
    let samples = if samples == 0 { Cell::Missing } else { Cell::Count(samples) };
    ordered(shows, bytes, count, references).into_iter().chain([samples]).collect()
}

fn about(amount: u64, of_bytes: bool, estimate: Estimate, whole: u64) -> [Cell; 2] {
    [Cell::About { amount, of_bytes, is_rough: estimate.is_rough() }, Cell::Share(share(amount, whole))]
}
