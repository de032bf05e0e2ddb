//! Why objects are alive: chains of references from the roots to them.
//!
//! *Merged* paths of many objects are the part of the tree of shortest paths ([`crate::graph::shortest_paths`]) above them, where
//! objects of one class that one class of objects holds are one row, as in Eclipse MAT's merged shortest paths.

use super::chains::{Chain, Step, Told, root_categories, root_edge};
use super::verdicts::{AtWork, Fault, Judge, Judged, Rules};
use super::{Context, address_cell, bytes_cell, column, edge_cell, fact, note, share};
use crate::control::Control;
use crate::graph::Referrers;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::labels::{Edge, Labels, code};
use crate::record::Type;
use crate::report::{Cell, Column, Facts, Level, Path, Report, Section, TreeNode};
use crate::source::Source;
use crate::{Result, sort};
use hashbrown::HashMap;

/// The chains to one object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Paths {
    /// The object.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// Its bytes.
    pub memsize: u64,
    /// Bytes that it retains, where they were asked for.
    pub retained_memsize: Option<u64>,
    /// The object for people.
    pub label: String,
    /// The chains, cheapest first; none where nothing holds the object.
    pub chains: Vec<Chain>,
    /// What is thought of the steps of each chain, where that was asked for ([`Paths::judge`]).
    pub judged: Vec<Vec<Judged>>,
}

/// Finds up to `limit` chains from the roots to an object, and of each what is shown and what that retains. Texts of strings on them are read from `source`.
///
/// # Errors
/// Those of [`ShortestPaths::new`], [`Referrers::new`] and [`Heap::records`].
pub fn paths(
    heap: &Heap,
    tree: &Tree,
    source: &Source,
    id: NodeId,
    limit: usize,
    control: &Control<'_>,
) -> Result<Paths> {
    let told = Told { tree: Some(tree), ..Told::default() };
    let shortest_paths = ShortestPaths::new(heap, control)?;
    match limit {
        0 | 1 => paths_by(heap, source, id, &shortest_paths, None, told, control),
        _ => {
            let referrers = Referrers::new(heap, control)?;
            paths_by(heap, source, id, &shortest_paths, Some((&referrers, limit)), told, control)
        }
    }
}

/// [`paths`] for those who keep the shortest paths; without referrers and a limit one chain, the shortest.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn paths_by(
    heap: &Heap,
    source: &Source,
    id: NodeId,
    shortest_paths: &ShortestPaths,
    others: Option<(&Referrers, usize)>,
    told: Told<'_>,
    control: &Control<'_>,
) -> Result<Paths> {
    let chains: Vec<Vec<NodeId>> = match others {
        None => shortest_paths.path(id).into_iter().collect(),
        Some((referrers, limit)) => shortest_paths.chains(heap, referrers, id, limit, control)?,
    };
    let mut labels = Labels::new(heap);
    for chain in &chains {
        labels.read_texts(source, chain, chain.windows(2).map(|pair| (pair[0], pair[1])))?;
    }
    labels.read_texts(source, &[id], [])?;
    let roots = root_categories(heap);
    let named = |chain: &Vec<NodeId>| Chain::new(&labels, &roots, chain, told, control);
    let chains = chains.iter().map(named).collect::<Result<_>>()?;
    let retained_memsize = told.tree.map(|tree| tree.retained(id));
    let (address, memsize) = (heap.address(id), heap.bytes(id));
    Ok(Paths { id, address, memsize, retained_memsize, label: labels.node(id), chains, judged: Vec::new() })
}

impl Paths {
    /// Judges the steps of the chains, by the user's rules too.
    pub fn judge(&mut self, heap: &Heap, tree: &Tree, at_work: &AtWork, rules: &Rules) {
        let judge = Judge::new(heap, tree, at_work, rules);
        self.judged = self.chains.iter().map(|chain| judge.steps(&chain.steps, None)).collect();
    }

    /// The answer of `path DUMP ADDRESS`.
    #[must_use]
    pub fn report(&self, dump: &str, context: &Context) -> Report {
        let mut sections = vec![self.facts()];
        sections.extend(self.sections());
        sections.extend(context.notes());
        let next = if self.chains.is_empty() {
            format!("`heap_inspector show {} 0x{:x}` tells all of the object", shell_words::quote(dump), self.address)
        } else {
            "the reference to cut is one of those marked; `--rules FILE` says what of the app is meant to live, and `--paths 5` what else \
             holds the object"
                .to_owned()
        };
        sections.push(note(Level::Next, next));
        Report { verb: "path", dump: dump.to_owned(), sections }
    }

    pub(super) fn facts(&self) -> Section {
        let facts = vec![
            fact("address", "Address", address_cell(self.address), String::new()),
            fact("object", "Object", Cell::Text(self.label.clone()), String::new()),
            fact("memsize", "Memory", Cell::Bytes(self.memsize), String::new()),
            fact("retained_memsize", "Retained", bytes_cell(self.retained_memsize), String::new()),
        ];
        Section::Facts(Facts { name: "object", title: String::new(), facts })
    }

    /// A section for each chain, or why there is none.
    pub(crate) fn sections(&self) -> Vec<Section> {
        if self.chains.is_empty() {
            let text = "no chain of references leads from a root to this object: it is garbage that no GC has taken yet, or only held \
                        weakly";
            return vec![note(Level::Info, text)];
        }
        let title = |at: usize| match self.chains.len() {
            1 => "Path from a root".to_owned(),
            count => format!("Path {} of {count} from a root", at + 1),
        };
        let chains = self.chains.iter().enumerate();
        chains
            .map(|(number, chain)| {
                let text = |text: &str| if text.is_empty() { Cell::Missing } else { Cell::Text(text.to_owned()) };
                let judged = |at: usize| match self.judged.get(number).and_then(|judged| judged.get(at)) {
                    Some(judged) => {
                        let fault = match judged.fault {
                            Fault::None => Cell::Missing,
                            Fault::Candidate => Cell::Brief { text: "candidate".into(), brief: "here?".into() },
                            Fault::Faulty => Cell::Brief { text: "faulty".into(), brief: "here".into() },
                        };
                        [text(judged.verdict.name()), fault, text(&judged.reason)]
                    }
                    None => [Cell::Missing, Cell::Missing, Cell::Missing],
                };
                let row = |row: std::result::Result<(usize, &Step), String>| match row {
                    Ok((at, step)) => {
                        let [verdict, fault, reason] = judged(at);
                        vec![
                            address_cell(step.address),
                            Cell::Bytes(step.memsize),
                            bytes_cell(step.retained_memsize),
                            verdict,
                            fault,
                            reason,
                            edge_cell(&step.edge),
                            Cell::Text(step.label.clone()),
                        ]
                    }
                    Err(words) => {
                        let mut cells = vec![Cell::Missing; 8];
                        cells[7] = Cell::Text(words);
                        cells
                    }
                };
                Section::Path(Path {
                    name: "paths",
                    title: title(number),
                    columns: vec![
                        column("address", "Address"),
                        column("memsize", "Memory"),
                        column("retained_memsize", "Retained"),
                        column("verdict", "Verdict"),
                        column("fault", "Cut"),
                        Column { name: "reason", title: "Why", shrinks: true },
                        Column { name: "edge", title: "Held by", shrinks: true },
                        Column { name: "object", title: "Object", shrinks: true },
                    ],
                    steps: chain.rows().map(row).collect(),
                })
            })
            .collect()
    }
}

/// Objects of one class on the shortest paths to the objects asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// How deep it stands: 0 what the roots refer to.
    pub depth: usize,
    /// By what the group above holds them: where all or most are held by one name that name, else one word that fits them all.
    pub edge: Edge,
    /// How many objects the group has.
    pub count: u64,
    /// The class, or the object itself if there is only one.
    pub label: String,
    /// The address, if there is only one.
    pub address: Option<u64>,
    /// How many of the objects asked for it leads to, itself included.
    pub targets: u64,
    /// Their bytes.
    pub memsize: u64,
}

/// The merged paths to many objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    /// The groups, each behind the one that holds it, the one with the most objects first.
    pub groups: Vec<Group>,
    /// How many objects were asked for.
    pub count: u64,
    /// Their bytes.
    pub memsize: u64,
    /// How many of them nothing holds.
    pub unreachable: u64,
}

/// Which of the merged paths are told.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Groups that lead to a smaller part of the objects are left out.
    pub share: f64,
    /// So many groups at most under one.
    pub width: usize,
    /// Groups deeper than this are left out.
    pub depth: usize,
}

impl Default for Shown {
    fn default() -> Shown {
        Shown { share: 0.01, width: 5, depth: 40 }
    }
}

/// Merges the shortest paths to `ids`. Takes time for the heap, not for each object's path.
///
/// # Errors
/// Those of [`ShortestPaths::new`] and [`Heap::records`].
pub fn merged(heap: &Heap, source: &Source, ids: &[NodeId], shown: Shown, control: &Control<'_>) -> Result<Merged> {
    merged_by(heap, source, ids, shown, &ShortestPaths::new(heap, control)?, control)
}

/// [`merged`] for those who keep the shortest paths.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn merged_by(
    heap: &Heap,
    source: &Source,
    ids: &[NodeId],
    shown: Shown,
    shortest_paths: &ShortestPaths,
    control: &Control<'_>,
) -> Result<Merged> {
    let mut below = vec![(0u32, 0u64); heap.object_count()];
    let mut merged = Merged::default();
    for id in ids {
        merged.count += 1;
        merged.memsize = merged.memsize.saturating_add(heap.bytes(*id));
        merged.unreachable += u64::from(!shortest_paths.is_reachable(*id));
        below[id.0 as usize] = (1, heap.bytes(*id));
    }
    for id in shortest_paths.order().rev() {
        let (count, bytes) = below[id.0 as usize];
        if let Some(parent) = shortest_paths.parent(id).filter(|_| count > 0) {
            let held = &mut below[parent.0 as usize];
            held.0 += count;
            held.1 = held.1.saturating_add(bytes);
        }
    }
    let above = |id: NodeId| match shortest_paths.parent(id) {
        _ if below[id.0 as usize].0 == 0 || !shortest_paths.is_reachable(id) => Dominator::Unreachable,
        None => Dominator::Root,
        Some(parent) => Dominator::Node(parent),
    };
    let children = Children::new(heap.object_count(), above)?;
    control.check()?;
    let mut labels = Labels::new(heap);
    let least = ((merged.count - merged.unreachable) as f64 * shown.share).ceil() as u64;
    let top = group(heap, &labels, &below, children.of(Dominator::Root), least, shown.width);
    let mut stack: Vec<(usize, Members)> = top.into_iter().rev().map(|group| (0, group)).collect();
    let mut rows = Vec::new();
    while let Some((depth, mut members)) = stack.pop() {
        if depth < shown.depth {
            let nodes = members.nodes.iter().flat_map(|id| children.of(Dominator::Node(*id)));
            let held = group(heap, &labels, &below, nodes, least, shown.width);
            stack.extend(held.into_iter().rev().map(|group| (depth + 1, group)));
        }
        let sample = members.nodes[0];
        let count = members.nodes.len() as u64;
        members.nodes = evenly(std::mem::take(&mut members.nodes));
        rows.push((depth, sample, count, members));
    }
    let is_told = |count: u64, members: &Members| count == 1 || members.code.is_some();
    let single: Vec<NodeId> = rows.iter().filter(|row| is_told(row.2, &row.3)).map(|row| row.1).collect();
    let edges = rows.iter().flat_map(|row| &row.3.nodes).filter_map(|id| Some((shortest_paths.parent(*id)?, *id)));
    labels.read_texts(source, &single, edges)?;
    let roots = root_categories(heap);
    let (guessed, root_of) = (Labels::new(heap), |id: NodeId| root_edge(heap, &roots, id));
    let edge = |labels: &Labels<'_>, id: NodeId| {
        shortest_paths.parent(id).map_or_else(|| root_of(id), |holder| labels.edge(holder, id))
    };
    merged.groups = rows
        .into_iter()
        .map(|(depth, sample, count, members)| Group {
            depth,
            edge: common(members.nodes.iter().map(|id| edge(&labels, *id)).collect())
                .unwrap_or_else(|| general(edge(&guessed, sample))),
            count,
            label: if is_told(count, &members) { labels.node(sample) } else { members.class },
            address: (count == 1).then(|| heap.address(sample)),
            targets: members.targets,
            memsize: members.memsize,
        })
        .collect();
    Ok(merged)
}

/// Of so many objects of a group it is looked how they are held.
const LOOKED_AT: usize = 2000;

/// So many at most, from all parts of the list.
fn evenly(nodes: Vec<NodeId>) -> Vec<NodeId> {
    let count = nodes.len();
    if count <= LOOKED_AT {
        return nodes;
    }
    (0..LOOKED_AT).map(|at| nodes[at * count / LOOKED_AT]).collect()
}

/// What edges are called in common: the name of all or of more than half of them, else the word for all of them.
fn common(edges: Vec<Edge>) -> Option<Edge> {
    let count = edges.len();
    let (edge, most) = commonest(&edges)?;
    if most == count {
        return Some(edge);
    }
    if most * 2 > count && !matches!(edge, Edge::Other(_) | Edge::Key | Edge::Value(None) | Edge::Class) {
        return Some(Edge::Mostly(Box::new(edge), (most * 100 / count) as u8));
    }
    let general: Vec<Edge> = edges.into_iter().map(general).collect();
    commonest(&general).filter(|(_, most)| *most == count).map(|(edge, _)| edge)
}

/// The edge that is there most often, of equal ones the first in their order.
fn commonest(edges: &[Edge]) -> Option<(Edge, usize)> {
    let mut counts: HashMap<&Edge, usize> = HashMap::new();
    edges.iter().for_each(|edge| *counts.entry(edge).or_default() += 1);
    let most = counts.into_iter().max_by(|(a, one), (b, other)| one.cmp(other).then_with(|| b.cmp(a)))?;
    Some((most.0.clone(), most.1))
}

/// The word for an edge of its kind.
fn general(edge: Edge) -> Edge {
    match edge {
        Edge::Element(_) => Edge::Other("element"),
        Edge::Value(_) | Edge::Entry(_) => Edge::Value(None),
        edge => edge,
    }
}

/// Nodes of one class, and of one code where they are closures.
struct Members {
    class: String,
    code: Option<NodeId>,
    nodes: Vec<NodeId>,
    targets: u64,
    memsize: u64,
}

/// Groups nodes by class, closures by their code, classes and modules one by one; the `width` groups that lead to the most objects, and to `least` of them.
fn group(
    heap: &Heap,
    labels: &Labels<'_>,
    below: &[(u32, u64)],
    nodes: impl Iterator<Item = NodeId>,
    least: u64,
    width: usize,
) -> Vec<Members> {
    let mut groups: HashMap<(String, Option<NodeId>), Members> = HashMap::new();
    for id in nodes {
        let is_class = matches!(heap.properties(id).ty, Type::Class | Type::Module);
        let class = if is_class { labels.node(id) } else { labels.class_name(id) };
        let (count, bytes) = below[id.0 as usize];
        let code = code::iseq_of(heap, id);
        let members = groups.entry((class, code)).or_insert_with_key(|(class, code)| Members {
            class: class.clone(),
            code: *code,
            nodes: Vec::new(),
            targets: 0,
            memsize: 0,
        });
        members.nodes.push(id);
        members.targets += u64::from(count);
        members.memsize = members.memsize.saturating_add(bytes);
    }
    let mut groups: Vec<Members> = groups.into_values().filter(|group| group.targets >= least.max(1)).collect();
    sort::by(&mut groups, |a, b| b.targets.cmp(&a.targets).then_with(|| (&a.class, a.code).cmp(&(&b.class, b.code))));
    groups.truncate(width);
    groups
}

impl Merged {
    /// The answer of `path DUMP --class NAME`; `what` are the objects for people.
    #[must_use]
    pub fn report(&self, what: &str, dump: &str, context: &Context) -> Report {
        let facts = vec![
            fact("count", "Objects", Cell::Count(self.count), what.to_owned()),
            fact("memsize", "Memory", Cell::Bytes(self.memsize), String::new()),
            fact("unreachable_count", "Held by nothing", Cell::Count(self.unreachable), String::new()),
        ];
        let tree = crate::report::Tree {
            name: "merged_paths",
            title: format!("What holds {what}"),
            columns: vec![
                column("targets", "Leads to"),
                column("targets_share", ""),
                column("memsize", "Memory"),
                Column { name: "edge", title: "Held by", shrinks: true },
                column("count", "Objects"),
                column("address", "Address"),
                Column { name: "object", title: "Of class", shrinks: true },
            ],
            nodes: self
                .groups
                .iter()
                .map(|group| TreeNode {
                    depth: group.depth,
                    cells: vec![
                        Cell::Count(group.targets),
                        Cell::Share(share(group.targets, self.count)),
                        Cell::Bytes(group.memsize),
                        edge_cell(&group.edge),
                        Cell::Count(group.count),
                        group.address.map_or(Cell::Missing, |address| Cell::Text(format!("0x{address:x}"))),
                        Cell::Text(group.label.clone()),
                    ],
                    is_tracer: false,
                })
                .collect(),
        };
        let mut sections =
            vec![Section::Facts(Facts { name: "objects", title: String::new(), facts }), Section::Tree(tree)];
        if self.count == 0 {
            sections.push(note(Level::Info, format!("the dump has no {what}")));
        } else if self.unreachable > 0 {
            let text = "objects held by nothing are garbage that no GC has taken yet, or only held weakly";
            sections.push(note(Level::Info, text));
        }
        sections.extend(context.notes());
        Report { verb: "path", dump: dump.to_owned(), sections }
    }
}

#[cfg(test)]
mod tests;
