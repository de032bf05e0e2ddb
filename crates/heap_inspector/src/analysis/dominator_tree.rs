//! The upper part of a dominator tree for people: the objects that retain much one by one, the many small ones by class.

use super::{Context, address_cell, column, edge_cell, key_cell, retained};
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue};
use crate::labels::{Edge, Labels};
use crate::memory::{STRIDE, room};
use crate::report::{Cell, Column, Report, Rows, Section, TreeNode};
use crate::source::Source;
use crate::sums::Sum;
use crate::{Result, sort};
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

impl Shown {
    /// The least that is told of a tree of so many bytes, where nothing else is asked for.
    #[must_use]
    pub fn least(all: u64) -> u64 {
        all / 100
    }
}

/// One object, or the small ones of a class that the same object dominates.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// 0 for the top rows.
    pub depth: usize,
    /// The object, if the row is one.
    pub id: Option<NodeId>,
    /// Its address.
    #[serde(skip)]
    pub address: Option<u64>,
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
    #[serde(serialize_with = "crate::keys::if_present")]
    pub location: KeyValue,
    /// Whether it is of the allocation tracer.
    #[serde(skip)]
    pub is_tracer: bool,
}

/// The rows below an object or the roots, each to be named when it is asked for: of a million rows the names take many times what the
/// rows do.
#[derive(Debug)]
pub struct DominatorRows<'a> {
    heap: &'a Heap,
    tree: &'a Tree,
    labels: Labels<'a>,
    rows: Vec<Found>,
}

/// The rows below `top`, which is the first row where it is an object; each row behind the one that dominates it.
///
/// # Errors
/// Those of [`Heap::records`]; [`crate::Error::Interrupted`] when cancelled.
pub fn dominator_tree<'a>(
    heap: &'a Heap,
    tree: &'a Tree,
    source: &Source,
    top: Dominator,
    shown: Shown,
    control: &Control<'_>,
) -> Result<DominatorRows<'a>> {
    let children = tree.children()?;
    let mut labels = Labels::new(heap);
    let mut rows: Vec<Found> = Vec::new();
    let mut stack: Vec<Found> = Vec::new();
    match top {
        Dominator::Node(id) => stack.push(Found { above: Dominator::Root, depth: 0, what: What::One(id) }),
        _ => below(tree, &labels, children, (top, 0), shown, control, &mut stack)?,
    }
    while let Some(found) = stack.pop() {
        control.check_at(rows.len())?;
        if let What::One(id) = found.what
            && found.depth < shown.depth
        {
            below(tree, &labels, children, (Dominator::Node(id), found.depth + 1), shown, control, &mut stack)?;
        }
        room(&mut rows, 1)?;
        rows.push(found);
    }
    let ids: Vec<NodeId> = rows.iter().filter_map(Found::id).collect();
    let edges = rows.iter().filter_map(|found| match (found.above, found.id()) {
        (Dominator::Node(above), Some(id)) => Some((above, id)),
        _ => None,
    });
    labels.read_texts(source, &ids, edges)?;
    Ok(DominatorRows { heap, tree, labels, rows })
}

impl DominatorRows<'_> {
    /// The rows, one after another.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + '_ {
        self.rows.iter().map(|found| self.row(found))
    }

    fn row(&self, found: &Found) -> Row {
        let (id, depth) = (found.id(), found.depth);
        let edge = match (found.above, id) {
            (Dominator::Node(above), Some(id)) => self.labels.edge(above, id),
            _ => Edge::Other(""),
        };
        match &found.what {
            What::One(id) => Row {
                depth,
                id: Some(*id),
                address: Some(self.heap.address(*id)),
                count: 1,
                edge,
                label: self.labels.node(*id),
                memsize: self.heap.bytes(*id),
                retained_memsize: self.tree.retained(*id),
                retained_count: self.tree.retained_count(*id),
                location: self.labels.value(Key::Location, *id),
                is_tracer: self.heap.is_tracer(*id),
            },
            What::Several(several) => Row {
                depth,
                id: None,
                address: None,
                count: several.count,
                edge,
                label: several.class.clone(),
                memsize: several.memsize,
                retained_memsize: several.retained,
                retained_count: several.retained_count,
                location: KeyValue::None,
                is_tracer: false,
            },
        }
    }
}

/// A row before it is named.
#[derive(Debug)]
struct Found {
    above: Dominator,
    depth: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    One(NodeId),
    Several(Box<Several>),
}

impl Found {
    fn id(&self) -> Option<NodeId> {
        match self.what {
            What::One(id) => Some(id),
            What::Several(_) => None,
        }
    }
}

/// The small ones of a class, or of several.
#[derive(Debug, Default)]
struct Several {
    class: String,
    count: u64,
    memsize: u64,
    retained: u64,
    retained_count: u64,
}

impl Several {
    fn join(&mut self, other: &Several) {
        self.count += other.count;
        self.memsize = self.memsize.saturating_add(other.memsize);
        self.retained = self.retained.saturating_add(other.retained);
        self.retained_count = self.retained_count.saturating_add(other.retained_count);
    }
}

/// Puts the rows below an object on the stack, the first on top.
fn below(
    tree: &Tree,
    labels: &Labels<'_>,
    children: &Children,
    (top, depth): (Dominator, usize),
    shown: Shown,
    control: &Control<'_>,
    stack: &mut Vec<Found>,
) -> Result<()> {
    let mut single: Vec<(u64, NodeId)> = Vec::new();
    for (step, id) in children.of(top).enumerate() {
        if step.is_multiple_of(STRIDE) {
            control.check()?;
            room(&mut single, STRIDE.min(children.of(top).len() - step))?;
        }
        single.extend(Some((tree.retained(id), id)).filter(|(bytes, _)| *bytes >= shown.min));
    }
    single.sort_unstable_by(|(one, a), (other, b)| other.cmp(one).then(a.cmp(b)));
    single.truncate(shown.width);
    let mut classes: HashMap<String, Several> = HashMap::new();
    let last = single.last().copied();
    let is_single = |id: NodeId| {
        last.is_some_and(|(bytes, last)| {
            let own = tree.retained(id);
            own >= shown.min && (own > bytes || own == bytes && id <= last)
        })
    };
    for (step, id) in children.of(top).filter(|id| !is_single(*id)).enumerate() {
        control.check_at(step)?;
        let class = labels.class_name(id);
        let found =
            classes.entry_ref(&class[..]).or_insert_with(|| Several { class: class.clone(), ..Several::default() });
        found.join(&Several {
            class: String::new(),
            count: 1,
            memsize: labels.heap().bytes(id),
            retained: tree.retained(id),
            retained_count: tree.retained_count(id),
        });
    }
    let mut classes: Vec<Several> = classes.into_values().collect();
    sort::by(&mut classes, |a, b| b.retained.cmp(&a.retained).then_with(|| a.class.cmp(&b.class)));
    let kept = classes.iter().take(shown.width).take_while(|found| found.retained >= shown.min).count();
    let mut rest = Several::default();
    classes[kept..].iter().for_each(|found| rest.join(found));
    classes.truncate(kept);
    room(stack, single.len() + kept + 1)?;
    let several = classes.into_iter().chain((rest.count > 0).then_some(rest)).rev();
    stack.extend(several.map(|found| Found { above: top, depth, what: What::Several(Box::new(found)) }));
    stack.extend(single.into_iter().rev().map(|(_, id)| Found { above: top, depth, what: What::One(id) }));
    Ok(())
}

/// The answer of `dominators`; the rows are named one by one on the way.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn report(
    rows: impl Iterator<Item = Row>,
    reachable: Sum,
    dump: &str,
    context: &Context,
    control: &Control<'_>,
) -> Result<Report> {
    let all = reachable.memsize;
    let several = |row: &Row| match (row.label.as_str(), row.count) {
        ("", count) => format!("({} smaller)", crate::human::count(count)),
        (label, 1) => label.to_owned(),
        (label, count) => format!("{} × {label}", crate::human::count(count)),
    };
    let mut nodes = Rows::default();
    for (step, row) in rows.enumerate() {
        control.check_at(step)?;
        nodes.push(TreeNode {
            depth: row.depth,
            cells: retained::cells(row.retained_memsize, all, row.retained_count, row.memsize)
                .into_iter()
                .chain([
                    row.address.map_or(Cell::Missing, address_cell),
                    key_cell(Key::Location, &row.location),
                    edge_cell(&row.edge),
                    Cell::Text(several(&row)),
                ])
                .collect(),
            is_tracer: row.is_tracer,
        });
    }
    let tree_section = crate::report::Tree {
        name: "dominators",
        title: "Dominators".into(),
        columns: retained::columns()
            .into_iter()
            .chain([
                column("address", "Address"),
                Column { name: "location", title: "Allocated at", shrinks: true },
                Column { name: "edge", title: "Held by", shrinks: true },
                Column { name: "object", title: "Object", shrinks: true },
            ])
            .collect(),
        nodes,
    };
    let sections = retained::with_facts(reachable, context, [Section::Tree(tree_section)]);
    Ok(Report { verb: "dominators", dump: dump.to_owned(), sections })
}
