//! Objects that no root leads to: garbage that no GC has taken yet, and what is held only weakly.
//!
//! They hang together in *structures*: an object that no unreachable object refers to (of a ring one of its objects), and all that it
//! leads to. What several structures lead to counts to one of them, so their sums make up the whole.
//!
//! The plain version finds the rings (strongly connected components) and takes those that nothing outside leads to. This one is
//! Kosaraju's: of the objects not yet taken, the one that a depth-first search leaves last is in such a ring, or heads a structure
//! alone. Costs time for each unreachable object and edge, and about 6 bytes for each object while it runs. Nothing recurses.

use super::grouping::Grouping;
use super::groups::{self, Groups, Shows};
use super::retained;
use super::{Context, address_cell, column, fact, key_cell, note, share, titled};
use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::{CHECK_INTERVAL, targets};
use crate::heap::{DANGLING, Heap, NodeId};
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::record::{Flags, Type};
use crate::report::{Cell, Column, Facts, Level, Report, Rest, Section, Table};
use crate::source::Source;
use crate::sums::{Sum, Sums};

/// An unreachable object and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// The object at its head; of a ring one of its objects.
    pub id: NodeId,
    /// That object for people.
    pub label: String,
    /// Its own bytes.
    pub memsize: u64,
    /// The whole structure, the head included.
    pub sum: Sum,
    /// Whether the head is in a ring: references lead from it back to itself.
    pub is_ring: bool,
    /// Where the head was allocated.
    pub location: KeyValue,
}

/// Structures whose heads have the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// How many structures.
    pub structures: u64,
    /// The structures, heads included.
    pub sum: Sum,
}

/// Unreachable objects that are perhaps alive: Ruby's own tables hold such objects weakly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weak {
    /// Interned strings (the table of fstrings).
    pub strings: Sum,
    /// Dynamic symbols.
    pub symbols: Sum,
    /// Call infos and call caches.
    pub calls: Sum,
    /// How many `ObjectSpace::WeakMap` and `WeakKeyMap` the dump holds, reachable ones too. It does not say what is in them.
    pub maps: u64,
}

/// What no root leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreachable {
    /// All unreachable objects.
    pub total: Sum,
    /// How many structures they make.
    pub structures: u64,
    /// The unreachable objects that pass the filter, in groups.
    pub groups: Groups,
    /// Structures whose heads pass the filter, by the same keys, the biggest first.
    pub heads: Vec<Heads>,
    /// How many groups of structures the limit cut off, how many structures these are, and what they come to.
    pub rest_heads: (u64, u64, Sum),
    /// The biggest structures whose heads pass the filter.
    pub biggest: Vec<Structure>,
    /// How many structures the limit cut off, and what they come to.
    pub rest_biggest: (u64, Sum),
    /// What may be held weakly.
    pub weak: Weak,
}

/// The unreachable objects of a heap, in groups and structures. `asked.sort` orders the groups; the limit holds for each list. Texts of
/// strings are read from `source`.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn unreachable(
    heap: &Heap,
    tree: &Tree,
    source: &Source,
    asked: &groups::Options,
    control: &Control<'_>,
) -> Result<Unreachable> {
    let mut found = Unreachable::default();
    let mut sums = Sums::new();
    for id in heap.nodes() {
        if (id.0 as usize).is_multiple_of(CHECK_INTERVAL) {
            control.check()?;
        }
        let properties = heap.properties(id);
        let label = || heap.names().tables.symbols.bytes(properties.names.label);
        if properties.ty == Type::Data && matches!(label(), b"weakmap" | b"weakkeymap") {
            found.weak.maps += 1;
        }
        if tree.is_reachable(id) {
            continue;
        }
        let sum = sum(heap, id.0);
        found.total.add(sum);
        match properties.ty {
            Type::String if properties.flags.has(Flags::FSTRING) => found.weak.strings.add(sum),
            Type::Symbol => found.weak.symbols.add(sum),
            Type::Imemo if matches!(label(), b"callinfo" | b"callcache") => found.weak.calls.add(sum),
            _ => {}
        }
        if asked.filter.memsize().is_none_or(|ranges| ranges.hold(sum.memsize)) {
            sums.entry(properties.keep(asked.parts())).or_default().add(sum);
        }
    }
    found.groups = groups::fold(heap.names(), &sums, asked, control)?;
    let heads = heads(heap, tree, control)?;
    found.structures = heads.len() as u64;
    found.by_heads(heap, heads, source, asked)?;
    Ok(found)
}

fn sum(heap: &Heap, node: u32) -> Sum {
    Sum { count: 1, memsize: heap.bytes(NodeId(node)), references: heap.targets(node).len() as u64 }
}

/// The head of a structure, what the structure comes to, and whether the head is in a ring.
type Head = (NodeId, Sum, bool);

fn heads(heap: &Heap, tree: &Tree, control: &Control<'_>) -> Result<Vec<Head>> {
    let mut taken: Vec<bool> = heap.nodes().map(|id| tree.is_reachable(id)).collect();
    let mut heads = Vec::new();
    let mut stack = Vec::new();
    let mut walked = 0usize;
    for head in left(heap, taken.clone(), control)?.into_iter().rev() {
        if std::mem::replace(&mut taken[head as usize], true) {
            continue;
        }
        let (mut whole, mut is_ring) = (Sum::default(), false);
        stack.push(head);
        while let Some(node) = stack.pop() {
            whole.add(sum(heap, node));
            walked += 1;
            if walked.is_multiple_of(CHECK_INTERVAL) {
                control.check()?;
            }
            for target in targets(heap, node) {
                is_ring |= target == head;
                if !std::mem::replace(&mut taken[target as usize], true) {
                    stack.push(target);
                }
            }
        }
        heads.push((NodeId(head), whole, is_ring));
    }
    Ok(heads)
}

/// The nodes that are not `seen`, in the order in which a depth-first search leaves them.
fn left(heap: &Heap, mut seen: Vec<bool>, control: &Control<'_>) -> Result<Vec<u32>> {
    let mut order = Vec::new();
    // A frame is a node and the place of its next edge; behind its references comes its class.
    let mut stack: Vec<(u32, u32)> = Vec::new();
    for id in heap.nodes() {
        if !std::mem::replace(&mut seen[id.0 as usize], true) {
            stack.push((id.0, 0));
        }
        while let Some((node, next)) = stack.last_mut() {
            let edges = heap.targets(*node);
            let at = *next as usize;
            if at > edges.len() {
                order.push(*node);
                if order.len().is_multiple_of(CHECK_INTERVAL) {
                    control.check()?;
                }
                stack.pop();
                continue;
            }
            *next += 1;
            let target = edges.get(at).copied().unwrap_or_else(|| heap.class_target(*node));
            if target != DANGLING && !std::mem::replace(&mut seen[target as usize], true) {
                stack.push((target, 0));
            }
        }
    }
    Ok(order)
}

impl Unreachable {
    fn by_heads(&mut self, heap: &Heap, heads: Vec<Head>, source: &Source, asked: &groups::Options) -> Result<()> {
        let mut grouping = Grouping::new(heap, &asked.by, &asked.filter);
        let mut by_group: Vec<(u64, Sum)> = Vec::new();
        let mut passed: Vec<Head> = Vec::new();
        for head in heads {
            let Some(group) = grouping.group(head.0) else { continue };
            if group >= by_group.len() {
                by_group.resize(group + 1, Default::default());
            }
            by_group[group].0 += 1;
            by_group[group].1.add(head.1);
            passed.push(head);
        }
        let mut groups: Vec<Heads> = by_group
            .into_iter()
            .zip(grouping.keys())
            .map(|((structures, sum), key)| Heads { key, structures, sum })
            .collect();
        groups.sort_unstable_by(|a, b| b.sum.memsize.cmp(&a.sum.memsize).then_with(|| a.key.cmp(&b.key)));
        passed.sort_unstable_by(|a, b| b.1.memsize.cmp(&a.1.memsize).then_with(|| a.0.cmp(&b.0)));
        let limit = asked.limit.unwrap_or(usize::MAX);
        for rest in &groups[limit.min(groups.len())..] {
            self.rest_heads.0 += 1;
            self.rest_heads.1 += rest.structures;
            self.rest_heads.2.add(rest.sum);
        }
        groups.truncate(limit);
        self.heads = groups;
        for (_, sum, _) in &passed[limit.min(passed.len())..] {
            self.rest_biggest.0 += 1;
            self.rest_biggest.1.add(*sum);
        }
        passed.truncate(limit);
        let mut labels = Labels::new(heap);
        let ids: Vec<NodeId> = passed.iter().map(|(id, ..)| *id).collect();
        labels.read_texts(source, &ids, [])?;
        self.biggest = passed
            .into_iter()
            .map(|(id, sum, is_ring)| Structure {
                id,
                label: labels.node(id),
                memsize: heap.bytes(id),
                sum,
                is_ring,
                location: labels.value(Key::Location, id),
            })
            .collect();
        Ok(())
    }

    /// The answer of `unreachable`.
    #[must_use]
    pub fn report(&self, heap: &Heap, tree: &Tree, asked: &groups::Options, dump: &str, context: &Context) -> Report {
        let names: Vec<&str> = self.groups.by.iter().map(|key| key.name()).collect();
        let names = names.join(", ");
        let mut sections = vec![retained::facts(tree, context), self.facts()];
        if self.total.count > 0 {
            let title = titled(&format!("Unreachable objects by {names}"), &asked.filter);
            let shows = Shows::of(asked.sort);
            sections.push(Section::Table(self.groups.table("groups", title, shows)));
            let title = titled(&format!("Structures by {names} of their heads"), &asked.filter);
            sections.push(Section::Table(self.heads_table(title)));
            sections.push(Section::Table(self.biggest_table(heap, titled("Biggest structures", &asked.filter))));
        }
        sections.push(self.explain(context));
        sections.extend(context.notes());
        Report { verb: "unreachable", dump: dump.to_owned(), sections }
    }

    fn facts(&self) -> Section {
        let Weak { strings, symbols, calls, maps } = self.weak;
        let weakly = |name, title, sum: Sum| {
            fact(name, title, Cell::Count(sum.count), format!("{}, perhaps held weakly", human::bytes(sum.memsize)))
        };
        let facts = vec![
            fact("structures", "Structures", Cell::Count(self.structures), "that hang together".into()),
            weakly("interned_strings", "Interned strings", strings),
            weakly("symbols", "Dynamic symbols", symbols),
            weakly("call_caches", "Call caches", calls),
            fact(
                "weak_maps",
                "Weak maps",
                Cell::Count(maps),
                "in the whole dump, which does not list what they hold".into(),
            ),
        ];
        Section::Facts(Facts { name: "unreachable", title: "Unreachable".into(), facts })
    }

    fn heads_table(&self, title: String) -> Table {
        let mut columns = vec![
            column("memsize", "Memory"),
            column("memsize_share", ""),
            column("count", "Objects"),
            column("structures", "Structures"),
        ];
        columns.extend(self.groups.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
        let numbers = |structures: u64, sum: Sum| {
            [
                Cell::Bytes(sum.memsize),
                Cell::Share(share(sum.memsize, self.total.memsize)),
                Cell::Count(sum.count),
                Cell::Count(structures),
            ]
        };
        let unlabelled =
            |structures, sum| numbers(structures, sum).into_iter().chain(self.groups.by.iter().map(|_| Cell::Missing));
        let (rows, rest_structures, rest) = self.rest_heads;
        let (mut structures, mut sum) = (rest_structures, rest);
        for heads in &self.heads {
            structures += heads.structures;
            sum.add(heads.sum);
        }
        Table {
            name: "heads",
            title,
            columns,
            rows: self
                .heads
                .iter()
                .map(|heads| {
                    let keys = self.groups.by.iter().zip(&heads.key).map(|(key, value)| key_cell(*key, value));
                    numbers(heads.structures, heads.sum).into_iter().chain(keys).collect()
                })
                .collect(),
            rest: (rows > 0).then(|| Rest { rows, cells: unlabelled(rest_structures, rest).collect() }),
            total: Some(unlabelled(structures, sum).collect()),
            bar: None,
        }
    }

    fn biggest_table(&self, heap: &Heap, title: String) -> Table {
        let (rows, rest) = self.rest_biggest;
        let cells = |sum: Sum, own, ring, address, object, location| {
            let share = Cell::Share(share(sum.memsize, self.total.memsize));
            vec![Cell::Bytes(sum.memsize), share, Cell::Count(sum.count), own, ring, address, object, location]
        };
        let missing = || Cell::Missing;
        Table {
            name: "structures",
            title,
            columns: vec![
                column("memsize", "Memory"),
                column("memsize_share", ""),
                column("count", "Objects"),
                column("head_memsize", "Head"),
                column("is_ring", "Ring"),
                column("address", "Address"),
                Column { name: "object", title: "Object", shrinks: true },
                Column { name: "location", title: "Allocated at", shrinks: true },
            ],
            rows: self
                .biggest
                .iter()
                .map(|head| {
                    cells(
                        head.sum,
                        Cell::Bytes(head.memsize),
                        Cell::Flag(head.is_ring),
                        address_cell(heap, head.id),
                        Cell::Text(head.label.clone()),
                        key_cell(Key::Location, &head.location),
                    )
                })
                .collect(),
            rest: (rows > 0)
                .then(|| Rest { rows, cells: cells(rest, missing(), missing(), missing(), missing(), missing()) }),
            total: None,
            bar: None,
        }
    }

    fn explain(&self, context: &Context) -> Section {
        if context.totals.roots.is_empty() {
            let text = "the dump has no ROOT lines (a partial one, taken with since:, or a filtered one), so every object counts as \
                        unreachable; that does not say that any is garbage";
            return note(Level::Warning, text);
        }
        if self.total.count == 0 {
            return note(
                Level::Info,
                "references lead from the roots to every object: there is no garbage in the dump",
            );
        }
        let text = "no root leads to these objects: most are garbage that no GC has taken yet (ObjectSpace.dump_all runs none; call \
                    GC.start before it for a dump without); some may be alive, held weakly by a WeakMap, a WeakRef, a WeakKeyMap or \
                    Ruby's own tables of strings, symbols and call caches, for a dump does not list weak references";
        note(Level::Info, text)
    }
}

#[cfg(test)]
mod tests;
