//! Count and bytes by one property or several, of all objects or those a filter lets through.
//!
//! Costs one value of each key for each distinct slot, and memory for the groups.

use super::sorted::sort;
use super::{Context, Order, column, key_cell, share, titled};
use crate::aggregate::{self, Aggregate};
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue, Value, Values};
use crate::memory::{STRIDE, list, room, table};
use crate::names::Names;
use crate::properties::PropertyMask;
use crate::report::{Cell, Column, Report, Rest, Section, Table};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::{Sum, Sums};
use crate::{Error, Result};
use hashbrown::{DefaultHashBuilder, HashTable};
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
    pub(crate) fn parts(&self) -> PropertyMask {
        self.by.iter().fold(self.filter.parts(), |parts, key| parts.union(key.parts()))
    }
}

/// Objects with the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// What the objects come to.
    pub sum: Sum,
}

/// The groups of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// All groups, to be put in one order or several. A group is a number: the values of its keys stand in a row, so that it takes a few
/// dozen bytes.
pub(crate) struct Unordered {
    by: Vec<Key>,
    /// As many for each group as there are keys.
    values: Vec<Value>,
    sums: Vec<Sum>,
    total: Sum,
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
        let mut groups = Unordered { by: by.to_vec(), values: Vec::new(), sums: Vec::new(), total: Sum::default() };
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
            match numbers.find(hash, |group| groups.key(*group) == key) {
                Some(group) => groups.sums[*group as usize].add(*sum),
                None => {
                    let group = u32::try_from(groups.sums.len()).map_err(|_| Error::format("more than 2^32 groups"))?;
                    groups.values.extend_from_slice(&key);
                    groups.sums.push(*sum);
                    numbers.insert_unique(hash, group, |group| hasher.hash_one(groups.key(*group)));
                }
            }
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
        let mut groups: Vec<u32> = list(count)?;
        groups.extend(0..count as u32);
        let kept = limit.unwrap_or(count).min(count);
        let rank = |group: &u32| by.rank(&sum(group));
        let mut rest = Sum::default();
        // Names are dear to compare, and most groups of a large heap have the numbers of others: those that cannot be shown go first.
        if 0 < kept && kept < count {
            let (_, last, _) = groups.select_nth_unstable_by_key(kept - 1, |group| Reverse(rank(group)));
            let least = rank(last);
            groups.retain(|group| {
                let may_be_shown = rank(group) >= least;
                if !may_be_shown {
                    rest.add(sum(group));
                }
                may_be_shown
            });
        }
        // A million groups of one count are told by their names: in place, since to make the texts takes ten times as long.
        sort(&mut groups, control, |a, b| {
            rank(b).cmp(&rank(a)).then_with(|| values.compare(self.key(*a), self.key(*b)))
        })?;
        groups[kept..].iter().for_each(|group| rest.add(sum(group)));
        let mut shown = list(kept)?;
        for (step, group) in groups[..kept].iter().enumerate() {
            control.check_at(step)?;
            let key = self.key(*group).iter().map(|value| values.outside(*value)).collect();
            shown.push(Group { key, sum: sum(group) });
        }
        Ok(Groups { by: self.by.clone(), rest_groups: (count - kept) as u64, groups: shown, rest, total: self.total })
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
        let bytes = [column("memsize", "Memory"), column("memsize_share", "")];
        let count = [column("count", "Objects"), column("count_share", "")];
        let mut columns: Vec<Column> = match shows {
            Shows::BytesAndCount => bytes.into_iter().chain(count).collect(),
            Shows::CountAndBytes => count.into_iter().chain(bytes).collect(),
            Shows::References => {
                [column("references", "References"), column("references_share", "")].into_iter().chain(count).collect()
            }
        };
        columns.extend(self.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
        let total = self.total;
        let numbers = |sum: &Sum| -> Vec<Cell> {
            let bytes = [Cell::Bytes(sum.memsize), Cell::Share(share(sum.memsize, total.memsize))];
            let count = [Cell::Count(sum.count), Cell::Share(share(sum.count, total.count))];
            let references = [Cell::Count(sum.references), Cell::Share(share(sum.references, total.references))];
            match shows {
                Shows::BytesAndCount => bytes.into_iter().chain(count).collect(),
                Shows::CountAndBytes => count.into_iter().chain(bytes).collect(),
                Shows::References => references.into_iter().chain(count).collect(),
            }
        };
        let unlabelled = |sum: &Sum| -> Vec<Cell> {
            numbers(sum).into_iter().chain(self.by.iter().map(|_| Cell::Missing)).collect()
        };
        Table {
            name,
            title,
            columns,
            rows: self
                .groups
                .iter()
                .map(|group| {
                    let key = self.by.iter().zip(&group.key).map(|(key, value)| key_cell(*key, value));
                    numbers(&group.sum).into_iter().chain(key).collect()
                })
                .collect(),
            rest: (self.rest_groups > 0).then(|| Rest { rows: self.rest_groups, cells: unlabelled(&self.rest) }),
            total: Some(unlabelled(&total)),
            bar: None,
        }
    }

    /// The answer of `top`.
    #[must_use]
    pub fn report(&self, dump: &str, filter: &Filter, sort: Order, context: &Context) -> Report {
        let names: Vec<&str> = self.by.iter().map(|key| key.name()).collect();
        let title = titled(&format!("Objects by {}", names.join(", ")), filter);
        let mut sections = vec![context.facts(), Section::Table(self.table("groups", title, Shows::of(sort)))];
        sections.extend(context.notes());
        Report { verb: "top", dump: dump.to_owned(), sections }
    }
}
