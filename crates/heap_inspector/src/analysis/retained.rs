//! Who keeps memory alive: what single objects and groups of objects retain.
//!
//! A group retains the sum over those of its objects that no other of them dominates, as in Eclipse MAT, so nothing is counted twice
//! and no group exceeds the heap. What only several of its objects together hold is not in it.
//! One walk down the dominator tree sums up all groups: a group counts where it is entered and not again below. Costs time for each
//! object, 12 bytes for each while it runs.

use super::grouping::Grouping;
use super::{Context, address_cell, column, fact, key_cell, note, of_all, share, titled};
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::memory::{gathered, reach};
use crate::report::{Cell, Column, Facts, Level, Report, Rest, Section, Table};
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sum;
use crate::threads;
use crate::{Result, sort};
pub(crate) use known::Known;

mod known;

/// A single object and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// The object.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// The object for people.
    pub label: String,
    /// Its own bytes.
    pub memsize: u64,
    /// The bytes it retains, its own included.
    pub retained_memsize: u64,
    /// How many objects it retains, itself included.
    pub retained_count: u64,
    /// Where it was allocated.
    #[serde(serialize_with = "crate::keys::if_present")]
    pub location: KeyValue,
    /// What dominates it immediately, for people; none where only the roots together do.
    pub held_by: Option<String>,
}

/// The `limit` objects among those that pass the filter that retain the most. Texts of strings are read from `source`.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn holders(
    heap: &Heap,
    tree: &Tree,
    source: &Source,
    filter: &Filter,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Holder>> {
    named(heap, tree, source, &biggest(heap, tree, filter, limit, control)?, control)
}

/// The `limit` objects among those that pass the filter that retain the most, the most first.
fn biggest(heap: &Heap, tree: &Tree, filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Vec<NodeId>> {
    let mut grouping = Grouping::new(heap, &[], filter);
    let mut found: Vec<(u64, NodeId)> = Vec::new();
    let by_bytes = |(one, a): &(u64, NodeId), (other, b): &(u64, NodeId)| other.cmp(one).then(a.cmp(b));
    // What retains less is not among them; an equal one comes later, and is not either.
    let mut least = 0;
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let retained = tree.retained(id);
        if retained < least || !tree.is_reachable(id) || grouping.group(id).is_none() {
            continue;
        }
        // Twice as many as asked for are kept, so that sorting them out is rare.
        found.push((retained, id));
        if found.len() >= limit.saturating_mul(2).max(1 << 12) {
            sort::by(&mut found, by_bytes);
            found.truncate(limit);
            least = found.last().map_or(u64::MAX, |(retained, _)| retained.saturating_add(1));
        }
    }
    sort::by(&mut found, by_bytes);
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// Objects with what they hold and their names.
fn named(heap: &Heap, tree: &Tree, source: &Source, ids: &[NodeId], control: &Control<'_>) -> Result<Vec<Holder>> {
    let mut labels = Labels::new(heap);
    labels.read_texts(source, ids, [])?;
    let holder = |id: &NodeId| Holder {
        id: *id,
        address: heap.address(*id),
        label: labels.node(*id),
        memsize: heap.bytes(*id),
        retained_memsize: tree.retained(*id),
        retained_count: tree.retained_count(*id),
        location: labels.value(Key::Location, *id),
        held_by: match tree.dominator(*id) {
            Dominator::Node(by) => Some(labels.node(by)),
            _ => None,
        },
    };
    gathered(ids.iter().map(holder), control)
}

/// Objects with the same values of the keys, and what they hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// The objects themselves, reachable ones only.
    pub sum: Own,
    /// The bytes they retain.
    pub retained_memsize: u64,
    /// How many objects they retain, themselves included.
    pub retained_count: u64,
}

/// How many objects, and their bytes. What they refer to is left in the index file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Own {
    /// How many objects.
    pub count: u64,
    /// Their bytes, slots included.
    pub memsize: u64,
}

impl Own {
    fn add(&mut self, other: Own) {
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
    }
}

/// What groups of objects retain.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Groups {
    /// The keys.
    pub by: Vec<Key>,
    /// The groups that retain the most, as many as the limit allows. Groups hold each other, so these are no parts of a whole.
    pub groups: Vec<Group>,
    /// How many groups the limit cut off.
    pub rest_groups: u64,
    /// The objects of those themselves.
    pub rest: Own,
    /// All reachable objects that pass the filter.
    pub total: Own,
    /// The bytes of all reachable objects.
    pub reachable: Sum,
}

/// Groups reachable objects by `by` and tells what each group retains, the most first.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn groups(
    heap: &Heap,
    tree: &Tree,
    by: &[Key],
    filter: &Filter,
    limit: Option<usize>,
    control: &Control<'_>,
) -> Result<Groups> {
    let mut grouping = Grouping::new(heap, by, filter);
    let sums = walk(heap, tree, tree.children()?, |id| grouping.group(id), control)?;
    let mut total = Own::default();
    sums.iter().for_each(|(own, ..)| total.add(*own));
    let groups = sums
        .into_iter()
        .zip(grouping.keys(control)?)
        .map(|((sum, retained_memsize, retained_count), key)| Group { key, sum, retained_memsize, retained_count });
    let mut groups = gathered(groups, control)?;
    sort::by(&mut groups, |a, b| b.retained_memsize.cmp(&a.retained_memsize).then_with(|| a.key.cmp(&b.key)));
    let kept = limit.unwrap_or(groups.len()).min(groups.len());
    let mut rest = Own::default();
    groups[kept..].iter().for_each(|group| rest.add(group.sum));
    let rest_groups = (groups.len() - kept) as u64;
    groups.truncate(kept);
    Ok(Groups { by: by.to_vec(), groups, rest_groups, rest, total, reachable: tree.reachable() })
}

/// The answer of `retained`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Retained {
    /// The objects that retain the most; none where keys were asked for.
    pub holders: Option<Vec<Holder>>,
    /// The groups that do.
    pub groups: Groups,
}

/// The objects and classes that retain the most, `limit` of each at most, or the groups by `by`; from the plain answer, where that is known
/// and has so many.
///
/// # Errors
/// Those of [`holders`] and [`groups`].
#[allow(clippy::too_many_arguments, reason = "a loaded dump is three of them")]
pub(crate) fn retained(
    heap: &Heap,
    tree: &Tree,
    known: Option<&Known>,
    source: &Source,
    by: Option<&[Key]>,
    filter: &Filter,
    limit: Option<usize>,
    control: &Control<'_>,
) -> Result<Retained> {
    let keys = by.unwrap_or(&[Key::Class]);
    let known = known.filter(|_| filter.is_empty());
    let known_groups = known.filter(|_| keys == [Key::Class]).and_then(|known| known.groups(limit));
    let most = limit.unwrap_or(usize::MAX);
    let known_holders =
        known.filter(|_| by.is_none()).and_then(|known| known.holders(heap, tree, source, most, control));
    if known_groups.is_none() || by.is_none() && known_holders.is_none() {
        heap.read_ahead(control.thread_count());
    }
    let groups = || known_groups.map_or_else(|| groups(heap, tree, keys, filter, limit, control), Ok);
    if by.is_some() {
        return Ok(Retained { holders: None, groups: groups()? });
    }
    let holders = || known_holders.unwrap_or_else(|| holders(heap, tree, source, filter, most, control));
    let (holders, groups) = threads::both(control.thread_count() > 1, holders, groups);
    Ok(Retained { holders: Some(holders?), groups: groups? })
}

/// By group: its reachable objects, and the bytes and objects that those retain which no other of the group retains.
pub(crate) fn walk(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    mut group_of: impl FnMut(NodeId) -> Option<usize>,
    control: &Control<'_>,
) -> Result<Vec<(Own, u64, u64)>> {
    let mut sums: Vec<(Own, u64, u64)> = Vec::new();
    // How many objects of each group stand between the walk and the top.
    let mut open: Vec<u32> = Vec::new();
    let mut stack: Vec<(Option<usize>, _)> = vec![(None, children.of(Dominator::Root))];
    let mut walked = 0usize;
    while let Some((entered, below)) = stack.last_mut() {
        let Some(id) = below.next() else {
            if let Some(group) = *entered {
                open[group] -= 1;
            }
            stack.pop();
            continue;
        };
        control.check_at(walked)?;
        walked += 1;
        let group = group_of(id);
        if let Some(group) = group {
            reach(&mut sums, group, Default::default())?;
            reach(&mut open, group, 0)?;
            let (own, retained, count) = &mut sums[group];
            own.add(Own { count: 1, memsize: heap.bytes(id) });
            if open[group] == 0 {
                *retained = retained.saturating_add(tree.retained(id));
                *count = count.saturating_add(tree.retained_count(id));
            }
            open[group] += 1;
        }
        stack.push((group, children.of(Dominator::Node(id))));
    }
    Ok(sums)
}

/// What is reachable and what is not, as the first section of a report on what holds what.
pub(crate) fn facts(reachable: Sum, context: &Context) -> Section {
    let all = context.totals.objects;
    let dead = Sum {
        count: all.count.saturating_sub(reachable.count),
        memsize: all.memsize.saturating_sub(reachable.memsize),
        references: 0,
    };
    let facts = vec![
        fact("object_count", "Objects", Cell::Count(all.count), String::new()),
        fact("memsize", "Memory", Cell::Bytes(all.memsize), String::new()),
        fact("reachable_count", "Reachable objects", Cell::Count(reachable.count), String::new()),
        fact("reachable_memsize", "Reachable memory", Cell::Bytes(reachable.memsize), "what the roots retain".into()),
        fact("unreachable_count", "Unreachable objects", Cell::Count(dead.count), String::new()),
        fact(
            "unreachable_memsize",
            "Unreachable memory",
            Cell::Bytes(dead.memsize),
            of_all(dead.memsize, all.memsize, "of all memory"),
        ),
    ];
    Section::Facts(Facts { name: "reachability", title: String::new(), facts })
}

/// Why nothing may be reachable.
pub(crate) fn explain(reachable: Sum, context: &Context) -> Option<Section> {
    let text = "the dump has no ROOT lines (a partial one, taken with since:, or a filtered one), so nothing in it is known to be held, \
                and nothing retains anything";
    (context.totals.roots.is_empty() && reachable.count == 0).then(|| note(Level::Warning, text))
}

impl Retained {
    /// The answer as a report.
    #[must_use]
    pub fn report(&self, filter: &Filter, dump: &str, context: &Context) -> Report {
        let Retained { holders, groups } = self;
        let holders = holders.as_ref().map(|holders| holder_table(groups.reachable, holders, filter));
        let tables = holders.into_iter().chain([groups.table(filter)]).map(Section::Table);
        Report { verb: "retained", dump: dump.to_owned(), sections: with_facts(groups.reachable, context, tables) }
    }
}

/// The sections of an answer about what retains: the facts of all before it, what is to be known behind it.
pub(crate) fn with_facts(reachable: Sum, context: &Context, answer: impl IntoIterator<Item = Section>) -> Vec<Section> {
    let mut sections = vec![facts(reachable, context)];
    sections.extend(answer);
    sections.extend(explain(reachable, context));
    sections.extend(context.notes());
    sections
}

/// The columns that rows of what retains begin with.
pub(crate) fn columns() -> [Column; 4] {
    [
        column("retained_memsize", "Retained"),
        column("retained_share", ""),
        column("retained_count", "Objects"),
        column("memsize", "Own"),
    ]
}

/// Their cells; `all` are the bytes of all reachable objects.
pub(crate) fn cells(retained_memsize: u64, all: u64, retained_count: u64, memsize: u64) -> [Cell; 4] {
    [
        Cell::Bytes(retained_memsize),
        Cell::Share(share(retained_memsize, all)),
        Cell::Count(retained_count),
        Cell::Bytes(memsize),
    ]
}

fn holder_table(reachable: Sum, holders: &[Holder], filter: &Filter) -> Table {
    let all = reachable.memsize;
    Table {
        name: "holders",
        title: titled("Biggest holders", filter),
        columns: columns()
            .into_iter()
            .chain([
                column("address", "Address"),
                Column { name: "object", title: "Object", shrinks: true },
                Column { name: "location", title: "Allocated at", shrinks: true },
                Column { name: "held_by", title: "Held by", shrinks: true },
            ])
            .collect(),
        rows: holders
            .iter()
            .map(|holder| {
                let numbers = cells(holder.retained_memsize, all, holder.retained_count, holder.memsize);
                let others = [
                    address_cell(holder.address),
                    Cell::Text(holder.label.clone()),
                    key_cell(Key::Location, &holder.location),
                    holder.held_by.clone().map_or(Cell::Missing, Cell::Text),
                ];
                numbers.into_iter().chain(others).collect()
            })
            .collect(),
        rest: None,
        total: None,
        bar: None,
    }
}

impl Groups {
    fn table(&self, filter: &Filter) -> Table {
        let names: Vec<&str> = self.by.iter().map(|key| key.name()).collect();
        let mut columns = columns().to_vec();
        columns.push(column("count", "Own objects"));
        columns.extend(self.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
        let none = || self.by.iter().map(|_| Cell::Missing);
        let sums = |sum: &Own| -> Vec<Cell> {
            let numbers =
                [Cell::Missing, Cell::Missing, Cell::Missing, Cell::Bytes(sum.memsize), Cell::Count(sum.count)];
            numbers.into_iter().chain(none()).collect()
        };
        let row = |group: &Group| -> Vec<Cell> {
            let all = self.reachable.memsize;
            cells(group.retained_memsize, all, group.retained_count, group.sum.memsize)
                .into_iter()
                .chain([Cell::Count(group.sum.count)])
                .chain(self.by.iter().zip(&group.key).map(|(key, value)| key_cell(*key, value)))
                .collect()
        };
        Table {
            name: "groups",
            title: titled(&format!("Retained by {}", names.join(", ")), filter),
            columns,
            rows: self.groups.iter().map(row).collect(),
            rest: (self.rest_groups > 0).then(|| Rest { rows: self.rest_groups, cells: sums(&self.rest) }),
            total: Some(sums(&self.total)),
            bar: None,
        }
    }
}

#[cfg(test)]
mod tests;
