//! The plain answer, by class and without a filter, as an index file keeps it: the objects and the classes that retain the most, in the
//! order of the answer. What it leaves off is summed up, so it answers for fewer rows too. Takes a few dozen KiB.

use super::{Group, Groups, Holder, Own, biggest, groups, named};
use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::keys::{Absent, Key, KeyValue};
use crate::select::Filter;
use crate::source::Source;
use crate::threads;
use serde::{Deserialize, Serialize};

/// So many rows are kept: ten times as many as are shown when nobody says how many.
const ROWS: usize = 200;

/// The beginning of the plain answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    holders: Vec<NodeId>,
    groups: Groups,
}

/// It as it is kept.
#[derive(Serialize, Deserialize)]
struct Stored {
    holders: Vec<u32>,
    groups: Vec<Row>,
    rest_groups: u64,
    /// Counts and bytes.
    rest: (u64, u64),
    total: (u64, u64),
}

#[derive(Serialize, Deserialize)]
struct Row {
    class: Class,
    own: (u64, u64),
    retained_memsize: u64,
    retained_count: u64,
}

/// The values that a class has.
#[derive(Serialize, Deserialize)]
enum Class {
    Named(String),
    /// What stands for a name.
    Unnamed(String),
    None,
    Tracer,
}

impl Known {
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub(crate) fn new(heap: &Heap, tree: &Tree, control: &Control<'_>) -> Result<Known> {
        let all = &Filter::default();
        let holders = || biggest(heap, tree, all, ROWS, control);
        let groups = || groups(heap, tree, &[Key::Class], all, Some(ROWS), control);
        let (holders, groups) = threads::both(control.thread_count() > 2, holders, groups);
        Ok(Known { holders: holders?, groups: groups? })
    }

    /// The first of the objects, where it has so many.
    pub(crate) fn holders(
        &self,
        heap: &Heap,
        tree: &Tree,
        source: &Source,
        limit: usize,
        control: &Control<'_>,
    ) -> Option<Result<Vec<Holder>>> {
        let is_all = self.holders.len() < ROWS;
        let shown = limit.min(self.holders.len());
        (is_all || limit <= shown).then(|| named(heap, tree, source, &self.holders[..shown], control))
    }

    /// The first of the classes, where it has so many.
    pub(crate) fn groups(&self, limit: Option<usize>) -> Option<Groups> {
        let Groups { by, groups, rest_groups, rest, total, reachable } = &self.groups;
        let shown = limit.unwrap_or(usize::MAX);
        if shown > groups.len() && *rest_groups > 0 {
            return None;
        }
        let (shown, left) = groups.split_at(shown.min(groups.len()));
        let mut rest = *rest;
        left.iter().for_each(|group| rest.add(group.sum));
        let rest_groups = rest_groups + left.len() as u64;
        Some(Groups { by: by.clone(), groups: shown.to_vec(), rest_groups, rest, total: *total, reachable: *reachable })
    }

    /// It for an index file; empty where it does not fit.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let pair = |own: &Own| (own.count, own.memsize);
        let row = |group: &Group| {
            let class = match &group.key[..] {
                [KeyValue::Text(name)] => Class::Named(name.clone()),
                [KeyValue::NoClass(words)] => Class::Unnamed(words.clone()),
                [KeyValue::None] => Class::None,
                [KeyValue::Absent(Absent::Tracer)] => Class::Tracer,
                _ => return None,
            };
            let (retained_memsize, retained_count) = (group.retained_memsize, group.retained_count);
            Some(Row { class, own: pair(&group.sum), retained_memsize, retained_count })
        };
        let groups = self.groups.groups.iter().map(row).collect::<Option<Vec<Row>>>();
        let stored = groups.map(|groups| Stored {
            holders: self.holders.iter().map(|id| id.0).collect(),
            groups,
            rest_groups: self.groups.rest_groups,
            rest: pair(&self.groups.rest),
            total: pair(&self.groups.total),
        });
        stored.and_then(|stored| serde_json::to_vec(&stored).ok()).unwrap_or_default()
    }

    /// What an index file has of a heap with this tree; none where that cannot be.
    pub(crate) fn from_bytes(bytes: &[u8], heap: &Heap, tree: &Tree) -> Option<Known> {
        let Stored { holders, groups, rest_groups, rest, total } = serde_json::from_slice(bytes).ok()?;
        let reachable = tree.reachable();
        let own = |(count, memsize): (u64, u64)| {
            (count <= reachable.count && memsize <= reachable.memsize).then_some(Own { count, memsize })
        };
        let group = |row: Row| {
            let key = match row.class {
                Class::Named(name) => KeyValue::Text(name),
                Class::Unnamed(words) => KeyValue::NoClass(words),
                Class::None => KeyValue::None,
                Class::Tracer => KeyValue::Absent(Absent::Tracer),
            };
            let (retained_memsize, retained_count) = (row.retained_memsize, row.retained_count);
            let fits = retained_memsize <= reachable.memsize && retained_count <= reachable.count;
            fits.then_some(Group { key: vec![key], sum: own(row.own)?, retained_memsize, retained_count })
        };
        let is_node = |id: &u32| (*id as usize) < heap.object_count();
        let fits =
            holders.iter().all(is_node) && holders.len().max(groups.len()) <= ROWS && rest_groups <= reachable.count;
        let groups = Groups {
            by: vec![Key::Class],
            groups: groups.into_iter().map(group).collect::<Option<_>>()?,
            rest_groups,
            rest: own(rest)?,
            total: own(total)?,
            reachable,
        };
        fits.then(|| Known { holders: holders.into_iter().map(NodeId).collect(), groups })
    }
}
