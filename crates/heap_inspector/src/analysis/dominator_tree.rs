//! The upper part of a dominator tree for people: the objects that retain much one by one, the many small ones by class.

use super::{Context, address_cell, column, edge_cell, key_cell, retained, share};
use crate::Result;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue};
use crate::labels::{Edge, Labels};
use crate::report::{Cell, Column, Report, Section, TreeNode};
use crate::source::Source;
use hashbrown::HashMap;

/// How much of the tree is told.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// So many levels below the top row.
    pub depth: usize,
    /// What retains fewer bytes is summed up: objects by class, merged ones as one row under each row.
    pub min: u64,
    /// So many rows under one; of objects so many one by one, and so many classes.
    pub width: usize,
}

/// One object, or the small ones of a class that the same object dominates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// 0 for the top rows.
    pub depth: usize,
    /// The object, if the row is one.
    pub id: Option<NodeId>,
    /// How many objects the row is.
    pub count: u64,
    /// By what the object above holds it, where it does so itself.
    pub edge: Edge,
    /// The object, or the class of several; empty for those of further classes.
    pub label: String,
    /// Their own bytes.
    pub memsize: u64,
    /// What they retain.
    pub retained_memsize: u64,
    /// How many objects they retain, themselves included.
    pub retained_count: u64,
    /// Where the object was allocated.
    pub location: KeyValue,
}

/// The rows below `top`, which is the first row where it is an object; each row behind the one that dominates it.
///
/// # Errors
/// Those of [`Heap::records`].
pub fn dominator_tree(heap: &Heap, tree: &Tree, source: &Source, top: Dominator, shown: Shown) -> Result<Vec<Row>> {
    let children = tree.children();
    let mut labels = Labels::new(heap);
    let mut rows = Vec::new();
    let mut stack: Vec<(Dominator, Found)> = match top {
        Dominator::Node(id) => vec![(Dominator::Root, Found::one(heap, tree, id, 0))],
        _ => below(heap, tree, &labels, &children, top, 0, shown),
    };
    stack.reverse();
    while let Some((above, found)) = stack.pop() {
        let depth = found.depth;
        if let Some(id) = found.id.filter(|_| depth < shown.depth) {
            let more = below(heap, tree, &labels, &children, Dominator::Node(id), depth + 1, shown);
            stack.extend(more.into_iter().rev());
        }
        rows.push((above, found));
    }
    let ids: Vec<NodeId> = rows.iter().filter_map(|(_, found)| found.id).collect();
    let edges = rows.iter().filter_map(|(above, found)| match (above, found.id) {
        (Dominator::Node(above), Some(id)) => Some((*above, id)),
        _ => None,
    });
    labels.read_texts(source, &ids, edges)?;
    let row = |(above, found): (Dominator, Found)| Row {
        depth: found.depth,
        id: found.id,
        count: found.count,
        edge: match (above, found.id) {
            (Dominator::Node(above), Some(id)) => labels.edge(above, id),
            _ => Edge::Other(""),
        },
        label: found.id.map_or(found.class, |id| labels.node(id)),
        memsize: found.memsize,
        retained_memsize: found.retained,
        retained_count: found.retained_count,
        location: found.id.map_or(KeyValue::None, |id| labels.value(Key::Location, id)),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// A row before it is named.
#[derive(Clone, Debug, Default)]
struct Found {
    depth: usize,
    id: Option<NodeId>,
    class: String,
    count: u64,
    memsize: u64,
    retained: u64,
    retained_count: u64,
}

impl Found {
    fn one(heap: &Heap, tree: &Tree, id: NodeId, depth: usize) -> Found {
        let mut found = Found { depth, ..Found::default() };
        found.add(heap, tree, id);
        Found { id: Some(id), ..found }
    }

    fn add(&mut self, heap: &Heap, tree: &Tree, id: NodeId) {
        self.count += 1;
        self.memsize = self.memsize.saturating_add(heap.bytes(id));
        self.retained = self.retained.saturating_add(tree.retained(id));
        self.retained_count = self.retained_count.saturating_add(tree.retained_count(id));
    }

    fn join(&mut self, other: &Found) {
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.retained = self.retained.saturating_add(other.retained);
        self.retained_count = self.retained_count.saturating_add(other.retained_count);
    }
}

fn below(
    heap: &Heap,
    tree: &Tree,
    labels: &Labels<'_>,
    children: &Children,
    top: Dominator,
    depth: usize,
    shown: Shown,
) -> Vec<(Dominator, Found)> {
    let mut single: Vec<(u64, NodeId)> =
        children.of(top).map(|id| (tree.retained(id), id)).filter(|(bytes, _)| *bytes >= shown.min).collect();
    single.sort_unstable_by(|(one, a), (other, b)| other.cmp(one).then(a.cmp(b)));
    single.truncate(shown.width);
    let mut classes: HashMap<String, Found> = HashMap::new();
    let last = single.last().copied();
    let is_single = |id: NodeId| {
        last.is_some_and(|(bytes, last)| {
            let own = tree.retained(id);
            own >= shown.min && (own > bytes || own == bytes && id <= last)
        })
    };
    for id in children.of(top).filter(|id| !is_single(*id)) {
        let class = labels.class_name(id);
        let found =
            classes.entry(class).or_insert_with_key(|class| Found { depth, class: class.clone(), ..Found::default() });
        found.add(heap, tree, id);
    }
    let mut classes: Vec<Found> = classes.into_values().collect();
    classes.sort_unstable_by(|a, b| b.retained.cmp(&a.retained).then_with(|| a.class.cmp(&b.class)));
    let kept = classes.iter().take(shown.width).take_while(|found| found.retained >= shown.min).count();
    let mut rest = Found { depth, ..Found::default() };
    classes[kept..].iter().for_each(|found| rest.join(found));
    classes.truncate(kept);
    let rest = (rest.count > 0).then_some(rest);
    let single = single.into_iter().map(|(_, id)| Found::one(heap, tree, id, depth));
    single.chain(classes).chain(rest).map(|found| (top, found)).collect()
}

/// The answer of `dominators`.
#[must_use]
pub fn report(heap: &Heap, tree: &Tree, rows: &[Row], dump: &str, context: &Context) -> Report {
    let all = tree.reachable().memsize;
    let several = |row: &Row| match (row.label.as_str(), row.count) {
        ("", count) => format!("({} smaller)", crate::human::count(count)),
        (label, 1) => label.to_owned(),
        (label, count) => format!("{} × {label}", crate::human::count(count)),
    };
    let nodes = rows
        .iter()
        .map(|row| TreeNode {
            depth: row.depth,
            cells: vec![
                Cell::Bytes(row.retained_memsize),
                Cell::Share(share(row.retained_memsize, all)),
                Cell::Count(row.retained_count),
                Cell::Bytes(row.memsize),
                row.id.map_or(Cell::Missing, |id| address_cell(heap, id)),
                key_cell(Key::Location, &row.location),
                edge_cell(&row.edge),
                Cell::Text(several(row)),
            ],
            is_tracer: row.id.is_some_and(|id| heap.properties(id).tracer),
        })
        .collect();
    let tree_section = crate::report::Tree {
        name: "dominators",
        title: "Dominators".into(),
        columns: vec![
            column("retained_memsize", "Retained"),
            column("retained_share", ""),
            column("retained_count", "Objects"),
            column("memsize", "Own"),
            column("address", "Address"),
            Column { name: "location", title: "Allocated at", shrinks: true },
            Column { name: "edge", title: "Held by", shrinks: true },
            Column { name: "object", title: "Object", shrinks: true },
        ],
        nodes,
    };
    let mut sections = vec![retained::facts(tree, context), Section::Tree(tree_section)];
    sections.extend(retained::explain(tree, context));
    sections.extend(context.notes());
    Report { verb: "dominators", dump: dump.to_owned(), sections }
}
