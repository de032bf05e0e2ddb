//! Objects that no root leads to: garbage that no GC has taken yet, and what is held only weakly.
//!
//! They hang together in *components*: an object that no unreachable object refers to (of a cycle one of its objects), and all that it
//! leads to. What several components lead to counts to one of them, so their sums make up the whole.
//!
//! The plain version finds the rings (strongly connected components) and takes those that nothing outside leads to. This one is
//! Kosaraju's: of the objects not yet taken, the one that a depth-first search leaves last is in such a cycle, or roots a component
//! alone. Costs time for each unreachable object and edge, and about 6 bytes for each object while it runs. Nothing recurses.

use super::grouping::Grouping;
use super::groups::{self, Groups, Shows};
use super::retained;
use super::{Context, address_cell, column, fact, key_cell, note, share, titled};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::targets;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::memory::{gathered, reach};
use crate::record::{Flags, Type};
use crate::report::{Cell, Column, Facts, Level, Report, Rest, Section, Table};
use crate::source::Source;
use crate::sums::{Sum, Sums};
use crate::{Result, sort};

/// An unreachable object and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Component {
    /// The object at its root; of a cycle one of its objects.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// That object for people.
    pub label: String,
    /// Its own bytes.
    pub memsize: u64,
    /// The whole component, the root included.
    pub sum: Sum,
    /// Whether the root is in a cycle: references lead from it back to itself.
    pub is_cycle: bool,
    /// Where the root was allocated.
    #[serde(serialize_with = "crate::keys::if_present")]
    pub location: KeyValue,
}

/// Components whose roots have the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ComponentGroup {
    /// A value for each key, in the order asked for.
    pub key: Vec<KeyValue>,
    /// How many components.
    pub components: u64,
    /// The components, roots included.
    pub sum: Sum,
}

/// Unreachable objects that are perhaps alive: Ruby's own tables hold such objects weakly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Unreachable {
    /// All unreachable objects.
    pub total: Sum,
    /// How many components they make.
    pub components: u64,
    /// The unreachable objects that pass the filter, in groups.
    pub groups: Groups,
    /// Components whose roots pass the filter, by the same keys, the biggest first.
    pub component_roots: Vec<ComponentGroup>,
    /// How many groups of components the limit cut off, how many components these are, and what they come to.
    pub rest_roots: (u64, u64, Sum),
    /// The biggest components whose roots pass the filter.
    pub biggest: Vec<Component>,
    /// How many components the limit cut off, and what they come to.
    pub rest_biggest: (u64, Sum),
    /// What may be held weakly.
    pub weak: Weak,
    /// All reachable objects of the heap.
    pub reachable: Sum,
}

/// The unreachable objects of a heap, in groups and components. `asked.sort` orders the groups; the limit holds for each list. Texts of
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
    let mut found = Unreachable { reachable: tree.reachable(), ..Unreachable::default() };
    let mut sums = Sums::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let properties = heap.properties(id);
        let label = || heap.names().tables.symbols.bytes(properties.names.label);
        if properties.ty == Type::Data && matches!(label(), b"weakmap" | b"weakkeymap") {
            found.weak.maps += 1;
        }
        if tree.is_reachable(id) {
            continue;
        }
        let sum = sum(heap, id);
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
    let component_roots = component_roots(heap, tree, control)?;
    found.components = component_roots.len() as u64;
    found.by_roots(heap, component_roots, source, asked, control)?;
    Ok(found)
}

fn sum(heap: &Heap, id: NodeId) -> Sum {
    Sum { count: 1, memsize: heap.bytes(id), references: heap.references(id).len() as u64 }
}

/// The root of a component, what the component comes to, and whether the root is in a cycle.
type ComponentRoot = (NodeId, Sum, bool);

fn component_roots(heap: &Heap, tree: &Tree, control: &Control<'_>) -> Result<Vec<ComponentRoot>> {
    let mut taken: Vec<bool> = heap.nodes().map(|id| tree.is_reachable(id)).collect();
    let mut component_roots = Vec::new();
    let mut stack = Vec::new();
    let mut walked = 0usize;
    for root in left(heap, taken.clone(), control)?.into_iter().rev() {
        if std::mem::replace(&mut taken[root.0 as usize], true) {
            continue;
        }
        let (mut whole, mut is_cycle) = (Sum::default(), false);
        stack.push(root);
        while let Some(node) = stack.pop() {
            whole.add(sum(heap, node));
            walked += 1;
            control.check_at(walked)?;
            for target in targets(heap, node) {
                is_cycle |= target == root;
                if !std::mem::replace(&mut taken[target.0 as usize], true) {
                    stack.push(target);
                }
            }
        }
        component_roots.push((root, whole, is_cycle));
    }
    Ok(component_roots)
}

/// The nodes that are not `seen`, in the order in which a depth-first search leaves them.
fn left(heap: &Heap, mut seen: Vec<bool>, control: &Control<'_>) -> Result<Vec<NodeId>> {
    let mut order = Vec::new();
    // A frame is a node and the place of its next edge; behind its references comes its class.
    let mut stack: Vec<(NodeId, u32)> = Vec::new();
    for id in heap.nodes() {
        if !std::mem::replace(&mut seen[id.0 as usize], true) {
            stack.push((id, 0));
        }
        while let Some((node, next)) = stack.last_mut() {
            let edges = heap.references(*node).len();
            let at = *next as usize;
            if at > edges {
                order.push(*node);
                control.check_at(order.len())?;
                stack.pop();
                continue;
            }
            *next += 1;
            let target = if at < edges { heap.target(*node, at) } else { heap.class(*node) };
            let is_left = |target: &NodeId| !std::mem::replace(&mut seen[target.0 as usize], true);
            stack.extend(target.filter(is_left).map(|target| (target, 0)));
        }
    }
    Ok(order)
}

impl Unreachable {
    fn by_roots(
        &mut self,
        heap: &Heap,
        component_roots: Vec<ComponentRoot>,
        source: &Source,
        asked: &groups::Options,
        control: &Control<'_>,
    ) -> Result<()> {
        let mut grouping = Grouping::new(heap, &asked.by, &asked.filter);
        let mut by_group: Vec<(u64, Sum)> = Vec::new();
        let mut passed: Vec<ComponentRoot> = Vec::new();
        for root in component_roots {
            let Some(group) = grouping.group(root.0) else { continue };
            reach(&mut by_group, group, Default::default())?;
            by_group[group].0 += 1;
            by_group[group].1.add(root.1);
            passed.push(root);
        }
        let groups = by_group.into_iter().zip(grouping.keys(control)?).map(|((components, sum), key)| ComponentGroup {
            key,
            components,
            sum,
        });
        let mut groups = gathered(groups, control)?;
        sort::by(&mut groups, |a, b| b.sum.memsize.cmp(&a.sum.memsize).then_with(|| a.key.cmp(&b.key)));
        sort::by(&mut passed, |a, b| b.1.memsize.cmp(&a.1.memsize).then_with(|| a.0.cmp(&b.0)));
        let limit = asked.limit.unwrap_or(usize::MAX);
        for rest in &groups[limit.min(groups.len())..] {
            self.rest_roots.0 += 1;
            self.rest_roots.1 += rest.components;
            self.rest_roots.2.add(rest.sum);
        }
        groups.truncate(limit);
        self.component_roots = groups;
        for (_, sum, _) in &passed[limit.min(passed.len())..] {
            self.rest_biggest.0 += 1;
            self.rest_biggest.1.add(*sum);
        }
        passed.truncate(limit);
        let mut labels = Labels::new(heap);
        let ids: Vec<NodeId> = passed.iter().map(|(id, ..)| *id).collect();
        labels.read_texts(source, &ids, [])?;
        let biggest = passed.into_iter().map(|(id, sum, is_cycle)| Component {
            id,
            address: heap.address(id),
            label: labels.node(id),
            memsize: heap.bytes(id),
            sum,
            is_cycle,
            location: labels.value(Key::Location, id),
        });
        self.biggest = gathered(biggest, control)?;
        Ok(())
    }

    /// The answer of `unreachable`.
    #[must_use]
    pub fn report(&self, asked: &groups::Options, dump: &str, context: &Context) -> Report {
        let names: Vec<&str> = self.groups.by.iter().map(|key| key.name()).collect();
        let names = names.join(", ");
        let mut sections = vec![retained::facts(self.reachable, context), self.facts()];
        if self.total.count > 0 {
            let title = titled(&format!("Unreachable objects by {names}"), &asked.filter);
            let shows = Shows::of(asked.sort);
            sections.push(Section::Table(self.groups.table("groups", title, shows)));
            let title = titled(&format!("Components by {names} of their roots"), &asked.filter);
            sections.push(Section::Table(self.roots_table(title)));
            sections.push(Section::Table(self.biggest_table(titled("Biggest components", &asked.filter))));
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
            fact("components", "Components", Cell::Count(self.components), "that hang together".into()),
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

    fn roots_table(&self, title: String) -> Table {
        let mut columns = vec![
            column("memsize", "Memory"),
            column("memsize_share", ""),
            column("count", "Objects"),
            column("components", "Components"),
        ];
        columns.extend(self.groups.by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
        let numbers = |components: u64, sum: Sum| {
            [
                Cell::Bytes(sum.memsize),
                Cell::Share(share(sum.memsize, self.total.memsize)),
                Cell::Count(sum.count),
                Cell::Count(components),
            ]
        };
        let unlabelled =
            |components, sum| numbers(components, sum).into_iter().chain(self.groups.by.iter().map(|_| Cell::Missing));
        let (rows, rest_components, rest) = self.rest_roots;
        let (mut components, mut sum) = (rest_components, rest);
        for component_roots in &self.component_roots {
            components += component_roots.components;
            sum.add(component_roots.sum);
        }
        Table {
            name: "component_roots",
            title,
            columns,
            rows: self
                .component_roots
                .iter()
                .map(|component_roots| {
                    let keys =
                        self.groups.by.iter().zip(&component_roots.key).map(|(key, value)| key_cell(*key, value));
                    numbers(component_roots.components, component_roots.sum).into_iter().chain(keys).collect()
                })
                .collect(),
            rest: (rows > 0).then(|| Rest { rows, cells: unlabelled(rest_components, rest).collect() }),
            total: Some(unlabelled(components, sum).collect()),
            bar: None,
        }
    }

    fn biggest_table(&self, title: String) -> Table {
        let (rows, rest) = self.rest_biggest;
        let cells = |sum: Sum, own, cycle, address, object, location| {
            let share = Cell::Share(share(sum.memsize, self.total.memsize));
            vec![Cell::Bytes(sum.memsize), share, Cell::Count(sum.count), own, cycle, address, object, location]
        };
        let missing = || Cell::Missing;
        Table {
            name: "components",
            title,
            columns: vec![
                column("memsize", "Memory"),
                column("memsize_share", ""),
                column("count", "Objects"),
                column("root_memsize", "Root"),
                column("is_cycle", "Cycle"),
                column("address", "Address"),
                Column { name: "object", title: "Object", shrinks: true },
                Column { name: "location", title: "Allocated at", shrinks: true },
            ],
            rows: self
                .biggest
                .iter()
                .map(|root| {
                    cells(
                        root.sum,
                        Cell::Bytes(root.memsize),
                        Cell::Flag(root.is_cycle),
                        address_cell(root.address),
                        Cell::Text(root.label.clone()),
                        key_cell(Key::Location, &root.location),
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
