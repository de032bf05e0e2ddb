//! The dominator tree with objects of one key (class, location, ...) under the same parent merged: few rows say where all memory is held.
//!
//! A row's objects are all those of its key that the row above's objects dominate immediately, so what they retain is nowhere counted
//! twice, and rows add up to what stands above them but for that one's own bytes. Each object is looked at once; nothing recurses.

use super::dominator_tree::Shown;
use super::grouping::Grouping;
use super::{Context, column, key_cell, retained};
use crate::control::Control;
use crate::graph::dominators::{Dominator, Tree};
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::{Absent, Key, KeyValue};
use crate::labels::Labels;
use crate::memory::gathered;
use crate::report::{Cell, Column, Report, Section, TreeNode};
use crate::select::Filter;
use crate::sums::Sum;
use crate::{Result, sort};

/// Objects of one key that those of the row above dominate immediately.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// 0 for the top rows.
    pub depth: usize,
    /// The value of the key they share; none for those of all smaller rows under the one above.
    pub key: Option<KeyValue>,
    /// How many there are.
    pub count: u64,
    /// How many rows were put together here; 1 but for the smaller ones.
    pub rows: u64,
    /// Their own bytes.
    pub memsize: u64,
    /// What they retain.
    pub retained_memsize: u64,
    /// How many objects they retain, themselves included.
    pub retained_count: u64,
}

/// The dominator tree with objects of one key merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DominatorsByKey {
    /// The key.
    pub by: Key,
    /// The address of the object that all rows are below of, and that object for people; none where they are below the roots.
    pub top: Option<(u64, String)>,
    /// All that the roots lead to.
    pub reachable: Sum,
    /// The rows, each behind the one that it is below of.
    pub rows: Vec<Row>,
}

/// Members of a row before it is named.
#[derive(Default)]
struct Members {
    depth: usize,
    group: Option<usize>,
    nodes: Vec<NodeId>,
    row: Sums,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    count: u64,
    rows: u64,
    memsize: u64,
    retained: u64,
    retained_count: u64,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.count += other.count;
        self.rows += other.rows;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.retained = self.retained.saturating_add(other.retained);
        self.retained_count = self.retained_count.saturating_add(other.retained_count);
    }
}

/// The rows below `top` by one key, each behind the one that dominates it; of an object the first row is its own.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn dominators_by_key(
    heap: &Heap,
    tree: &Tree,
    by: Key,
    top: Dominator,
    shown: Shown,
    control: &Control<'_>,
) -> Result<DominatorsByKey> {
    let (filter, keys) = (Filter::default(), [by]);
    let mut grouping = Grouping::new(heap, &keys, &filter);
    control.check()?;
    let children = tree.children()?;
    // By group: the place of its members among those of the row at hand.
    let mut places: Vec<usize> = Vec::new();
    let mut walked = 0;
    let mut sort = |nodes: &mut dyn Iterator<Item = NodeId>, depth: usize| -> Result<Vec<Members>> {
        let mut found: Vec<Members> = Vec::new();
        for id in nodes {
            control.check_at(walked)?;
            walked += 1;
            let group = grouping.group(id);
            let number = group.unwrap_or(0);
            if number >= places.len() {
                places.resize(number + 1, usize::MAX);
            }
            if places[number] == usize::MAX {
                places[number] = found.len();
                found.push(Members { depth, group, ..Members::default() });
            }
            let members = &mut found[places[number]];
            members.nodes.push(id);
            members.row.add(Sums {
                count: 1,
                rows: 0,
                memsize: heap.bytes(id),
                retained: tree.retained(id),
                retained_count: tree.retained_count(id),
            });
        }
        for members in &mut found {
            places[members.group.unwrap_or(0)] = usize::MAX;
            members.row.rows = 1;
        }
        sort::by_key(&mut found, |members| std::cmp::Reverse(members.row.retained));
        let kept = found.iter().take(shown.width).take_while(|members| members.row.retained >= shown.min).count();
        let mut rest = Members { depth, ..Members::default() };
        found.drain(kept..).for_each(|members| rest.row.add(members.row));
        found.extend((rest.row.count > 0).then_some(rest));
        Ok(found)
    };
    let mut stack = match top {
        Dominator::Node(id) => sort(&mut std::iter::once(id), 0)?,
        top => sort(&mut children.of(top), 0)?,
    };
    stack.reverse();
    let mut rows: Vec<(usize, Option<usize>, Sums)> = Vec::new();
    while let Some(members) = stack.pop() {
        rows.push((members.depth, members.group, members.row));
        if members.depth < shown.depth {
            let mut below = members.nodes.iter().flat_map(|id| children.of(Dominator::Node(*id)));
            stack.extend(sort(&mut below, members.depth + 1)?.into_iter().rev());
        }
    }
    let keys = grouping.keys(control)?;
    let key = |group: usize| keys.get(group).and_then(|key| key.first().cloned()).unwrap_or(KeyValue::None);
    let row = |(depth, group, sums): (usize, Option<usize>, Sums)| Row {
        depth,
        key: group.map(key),
        count: sums.count,
        rows: sums.rows,
        memsize: sums.memsize,
        retained_memsize: sums.retained,
        retained_count: sums.retained_count,
    };
    let top = match top {
        Dominator::Node(id) => Some((heap.address(id), Labels::new(heap).node(id))),
        Dominator::Root | Dominator::Unreachable => None,
    };
    Ok(DominatorsByKey { by, top, reachable: tree.reachable(), rows: gathered(rows.into_iter().map(row), control)? })
}

impl DominatorsByKey {
    /// The answer of `dominators --by KEY`.
    #[must_use]
    pub fn report(&self, dump: &str, context: &Context) -> Report {
        let by = self.by;
        let nodes = self.rows.iter().map(|row| TreeNode {
            depth: row.depth,
            cells: retained::cells(row.retained_memsize, self.reachable.memsize, row.retained_count, row.memsize)
                .into_iter()
                .chain([
                    Cell::Count(row.count),
                    match &row.key {
                        Some(value) => key_cell(by, value),
                        None => Cell::Text(format!("({} smaller)", human::count(row.rows))),
                    },
                ])
                .collect(),
            is_tracer: row.key == Some(KeyValue::Absent(Absent::Tracer)),
        });
        let from = self.top.as_ref().map(|(address, label)| format!(", from 0x{address:x}: {label}"));
        let section = crate::report::Tree {
            name: "dominators",
            title: format!("Dominators by {}{}", by.name(), from.unwrap_or_default()),
            columns: retained::columns()
                .into_iter()
                .chain([column("count", "Own objects"), Column { name: by.name(), title: by.title(), shrinks: true }])
                .collect(),
            nodes: nodes.collect(),
        };
        let sections = retained::with_facts(self.reachable, context, [Section::Tree(section)]);
        Report { verb: "dominators", dump: dump.to_owned(), sections }
    }
}
