//! Why objects are alive: chains of references from the roots to them.
//!
//! The *way* to an object is the cheapest chain: short ones are, but a step through Ruby's own machinery (inline caches, method
//! entries), over an object's own class or from a stack that is scanned conservatively costs as much as several others, because it
//! says little to a programmer. All ways together are a tree, found in one run from the roots by Dial's algorithm (Communications of
//! the ACM 12, 1969: Dijkstra's with a bucket for each of the few costs). It costs 12 bytes for each object and time for each edge.
//!
//! *Other* chains to one object follow the way to some object, take one edge that is on no way, and go on by the cheapest tail, which a
//! second run, backwards from the object, finds for all. These are the chains with one detour as in Eppstein's "Finding the k Shortest
//! Paths" (SIAM Journal on Computing 28, 1998); those with several are not looked for. *Merged* chains of many objects are the part of the
//! tree above them, where objects of one class that one class of objects holds are one row, as in Eclipse MAT's merged shortest paths.

use super::dominators::{Children, Dominator, Tree, UNREACHABLE};
use super::{Context, address_cell, column, edge_cell, fact, note, share};
use crate::Result;
use crate::graph::{PATIENCE, ROOT, Referrers, targets};
use crate::heap::{Heap, NodeId, Target};
use crate::labels::{Edge, Labels};
use crate::record::Type;
use crate::report::{Cell, Column, Facts, Level, Path, Report, Section, TreeNode};
use crate::scan::Options;
use crate::source::Source;
use hashbrown::{HashMap, HashSet};

/// What a step costs.
const STEP: u32 = 1;
/// What it costs beside that to an object's own class, ...
const TO_CLASS: u32 = 3;
/// ... out of Ruby's machinery or the allocation tracer, ...
const MACHINERY: u32 = 4;
/// ... off a thread or fiber, whose stack is another in the next dump, ...
const STACK: u32 = 8;
/// ... to an object that is to be gone round, ...
const AVOIDED: u32 = 2;
/// ... and from a root that is scanned conservatively.
const CONSERVATIVE: u32 = 12;
/// One more than the greatest cost of a step.
const BUCKETS: usize = 16;

/// Sorts of IMEMO that hold what a program holds, and no machinery.
const PLAIN_IMEMO: [&[u8]; 5] = [b"env", b"fields", b"ifunc", b"memo", b"svar"];

/// The cheapest chain from the roots to each object.
#[derive(Debug)]
pub struct Ways {
    /// By node: the one before it; [`ROOT`] at the beginning.
    parents: Vec<u32>,
    costs: Vec<u32>,
    /// The reachable nodes, cheapest first.
    order: Vec<u32>,
}

impl Ways {
    /// Finds the ways to all objects.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn new(heap: &Heap, options: &Options<'_>) -> Result<Ways> {
        Ways::around(heap, |_| false, options)
    }

    /// The ways that rather go round what `avoids` says: a step to such an object costs as much as three.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn around(heap: &Heap, avoids: impl Fn(NodeId) -> bool, options: &Options<'_>) -> Result<Ways> {
        let count = heap.object_count();
        let mut search = Search::new(count);
        for (node, cost) in beginnings(heap) {
            search.reach(ROOT, node, cost);
        }
        let mut order = Vec::new();
        while let Some((node, cost)) = search.next() {
            if order.len().is_multiple_of(PATIENCE) {
                options.check()?;
            }
            order.push(node);
            let from = cost_off(heap, node);
            for target in targets(heap, node) {
                let cost = cost + from + to_class(heap, node, target);
                // Most edges lead to what is reached more cheaply already.
                if cost < search.costs[target as usize] {
                    let avoided = if avoids(NodeId(target)) { AVOIDED } else { 0 };
                    search.reach(node, target, cost + avoided);
                }
            }
        }
        Ok(Ways { parents: search.from, costs: search.costs, order })
    }

    /// The object before one on its way, or [`ROOT`]; that, too, where there is no way.
    pub(super) fn parent(&self, id: NodeId) -> u32 {
        match self.parents[id.0 as usize] {
            UNREACHABLE => ROOT,
            parent => parent,
        }
    }

    /// About how many bytes of memory they take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        4 * (self.parents.capacity() + self.costs.capacity() + self.order.capacity())
    }

    /// Whether there is a way to the object.
    #[must_use]
    pub fn is_reachable(&self, id: NodeId) -> bool {
        self.parents[id.0 as usize] != UNREACHABLE
    }

    /// The way to the object, from what a root refers to down to itself; none where there is no way.
    #[must_use]
    pub fn way(&self, id: NodeId) -> Option<Vec<NodeId>> {
        if !self.is_reachable(id) {
            return None;
        }
        let mut way = vec![id];
        let mut at = self.parents[id.0 as usize];
        while at != ROOT {
            way.push(NodeId(at));
            at = self.parents[at as usize];
        }
        way.reverse();
        Some(way)
    }

    /// The way to the object and up to `limit - 1` other chains, of those that are cheap and end unlike the way; cheapest first. Costs about as much as [`Ways::new`].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn chains(
        &self,
        heap: &Heap,
        referrers: &Referrers,
        id: NodeId,
        limit: usize,
        options: &Options<'_>,
    ) -> Result<Vec<Vec<NodeId>>> {
        let Some(way) = self.way(id) else { return Ok(Vec::new()) };
        let tails = Tails::new(heap, referrers, &way, options)?;
        let mut branches: Vec<Branch> = Vec::new();
        let count = self.parents.len();
        let (mut above, mut below) = (Meeting::new(count, &way), Meeting::new(count, &way));
        let mut take = |branch: Branch| {
            branches.push(branch);
            if branches.len() >= 2 * EXAMINED {
                branches.sort_unstable();
                branches.dedup();
                branches.truncate(EXAMINED);
            }
        };
        let end = way.len() as u32;
        for (node, cost) in beginnings(heap) {
            if self.parents[node as usize] != ROOT && tails.costs[node as usize] != u32::MAX {
                let cost = cost + tails.costs[node as usize];
                take(Branch { rank: cost + ALIKE * (end - below.of(&tails.next, node)), cost, from: ROOT, to: node });
            }
        }
        for from in &self.order {
            // The way to `from` begins with so many objects of the one way; what the object itself holds leads to it no other way.
            let common = above.of(&self.parents, *from);
            if common as usize == way.len() {
                continue;
            }
            for to in targets(heap, *from) {
                let tail = tails.costs[to as usize];
                // A tail that comes back to one of those passes it twice.
                if tail == u32::MAX || self.parents[to as usize] == *from {
                    continue;
                }
                let met = below.of(&tails.next, to);
                if met > common {
                    let cost = self.costs[*from as usize] + step_cost(heap, *from, to) + tail;
                    take(Branch { rank: cost + ALIKE * (end - met), cost, from: *from, to });
                }
            }
        }
        branches.sort_unstable();
        branches.dedup();
        let mut found: Vec<(u32, Vec<NodeId>)> = Vec::new();
        let mut patience = count.max(1 << 16).saturating_mul(4);
        for Branch { cost, from, to, .. } in branches.into_iter().take(EXAMINED) {
            if found.len() + 1 >= limit || patience == 0 {
                break;
            }
            let mut chain = if from == ROOT { Vec::new() } else { self.way(NodeId(from)).unwrap_or_default() };
            let mut at = to;
            while at != ROOT {
                chain.push(NodeId(at));
                at = tails.next[at as usize];
            }
            patience = patience.saturating_sub(chain.len());
            let mut seen = HashSet::with_capacity(chain.len());
            if chain.iter().all(|id| seen.insert(*id)) {
                found.push((cost, chain));
            }
        }
        found.sort_by_key(|(cost, _)| *cost);
        let mut chains = vec![way];
        chains.extend(found.into_iter().map(|(_, chain)| chain));
        chains.truncate(limit);
        Ok(chains)
    }
}

/// What it costs to end like the way: another holder of the object tells more than another way to the same one.
const ALIKE: u32 = 2;
/// So many of the cheapest branches are looked at for chains that pass no object twice.
const EXAMINED: usize = 4096;

/// Where a chain leaves all ways: it follows the way to `from`, goes on to `to` and from there by the cheapest tail. As it is the first
/// edge that is on no way, no two branches are the same chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Branch {
    /// The cost, and [`ALIKE`] for each object that the chain ends with as the way does.
    rank: u32,
    cost: u32,
    from: u32,
    to: u32,
}

/// What the roots refer to, and what a chain costs that begins there.
fn beginnings(heap: &Heap) -> impl Iterator<Item = (u32, u32)> + '_ {
    heap.roots().iter().flat_map(|root| {
        let cost = if is_conservative(&root.category) { CONSERVATIVE } else { 0 };
        root.targets.iter().filter_map(move |target| match target {
            Target::Node(node) => Some((node.0, cost)),
            Target::Dangling(_) => None,
        })
    })
}

/// What the step from one node to another costs.
fn step_cost(heap: &Heap, from: u32, to: u32) -> u32 {
    cost_off(heap, from) + to_class(heap, from, to)
}

/// What each step from a node costs.
fn cost_off(heap: &Heap, from: u32) -> u32 {
    let slot = heap.slot(NodeId(from));
    let label = || heap.names().tables.symbols.bytes(slot.names.label);
    let more = match slot.ty {
        _ if slot.tracer => MACHINERY,
        Type::Imemo if !PLAIN_IMEMO.contains(&label()) => MACHINERY,
        Type::Data if matches!(label(), b"VM/thread" | b"fiber") => STACK,
        _ => 0,
    };
    STEP + more
}

/// What it costs beside that to an object's own class.
fn to_class(heap: &Heap, from: u32, to: u32) -> u32 {
    if to == heap.class_target(from) { TO_CLASS } else { 0 }
}

/// A search for the cheapest chains: nodes wait in a bucket for each of the few costs.
struct Search {
    /// By node: the one it was reached from.
    from: Vec<u32>,
    costs: Vec<u32>,
    buckets: Vec<Vec<u32>>,
    waiting: usize,
    cost: u32,
}

impl Search {
    fn new(count: usize) -> Search {
        Search {
            from: vec![UNREACHABLE; count],
            costs: vec![u32::MAX; count],
            buckets: vec![Vec::new(); BUCKETS],
            waiting: 0,
            cost: 0,
        }
    }

    fn reach(&mut self, from: u32, to: u32, cost: u32) {
        if cost < self.costs[to as usize] {
            self.costs[to as usize] = cost;
            self.from[to as usize] = from;
            self.buckets[cost as usize % BUCKETS].push(to);
            self.waiting += 1;
        }
    }

    /// The cheapest node that was not given yet, and its cost.
    fn next(&mut self) -> Option<(u32, u32)> {
        while self.waiting > 0 {
            let Some(node) = self.buckets[self.cost as usize % BUCKETS].pop() else {
                self.cost += 1;
                continue;
            };
            self.waiting -= 1;
            if self.costs[node as usize] == self.cost {
                return Some((node, self.cost));
            } // else a cheaper chain was found since
        }
        None
    }
}

/// The cheapest chain from each node to one object.
struct Tails {
    costs: Vec<u32>,
    /// By node: the one behind it; [`ROOT`] at the end.
    next: Vec<u32>,
}

impl Tails {
    /// Those to the end of `way`, which all that reach it follow.
    fn new(heap: &Heap, referrers: &Referrers, way: &[NodeId], options: &Options<'_>) -> Result<Tails> {
        let mut search = Search::new(heap.object_count());
        let Some(end) = way.last() else { return Ok(Tails { costs: search.costs, next: search.from }) };
        search.reach(ROOT, end.0, 0);
        let mut walked = 0usize;
        while let Some((node, cost)) = search.next() {
            walked += 1;
            if walked.is_multiple_of(PATIENCE) {
                options.check()?;
            }
            for from in referrers.raw(node) {
                search.reach(node, *from, cost + step_cost(heap, *from, node));
            }
        }
        // A part of a cheapest chain is one; of several that are equal this one is taken.
        way.windows(2).for_each(|pair| search.from[pair[0].0 as usize] = pair[1].0);
        Ok(Tails { costs: search.costs, next: search.from })
    }
}

/// Where the chains that a tree of pointers tells meet one way. Each node is walked over once, whatever is asked.
struct Meeting {
    /// By node: the place on the way of the first object of it that its chain meets, plus 1; 0 for none, `u32::MAX` where that is not
    /// known yet.
    known: Vec<u32>,
    walked: Vec<u32>,
}

impl Meeting {
    fn new(count: usize, way: &[NodeId]) -> Meeting {
        let mut known = vec![u32::MAX; count];
        for (place, id) in (1..).zip(way) {
            known[id.0 as usize] = place;
        }
        Meeting { known, walked: Vec::new() }
    }

    fn of(&mut self, pointers: &[u32], node: u32) -> u32 {
        let mut at = node;
        while at != ROOT && self.known[at as usize] == u32::MAX {
            self.walked.push(at);
            at = pointers[at as usize];
        }
        let place = if at == ROOT { 0 } else { self.known[at as usize] };
        self.walked.drain(..).for_each(|at| self.known[at as usize] = place);
        place
    }
}

/// An object on a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The object.
    pub id: NodeId,
    /// By what the one before holds it, the root the first.
    pub edge: Edge,
    /// The object for people.
    pub label: String,
}

/// Names the steps of a chain. Objects in which Ruby from 4.0 on keeps instance variables are left out: their holder holds those.
pub(super) fn steps(labels: &Labels<'_>, roots: &HashMap<NodeId, &str>, chain: &[NodeId]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before: Option<NodeId> = None;
    for (place, id) in chain.iter().enumerate() {
        let edge = match before {
            None => Edge::Root(roots.get(id).copied().unwrap_or_default().to_owned()),
            Some(before) => labels.edge(before, *id),
        };
        before = Some(*id);
        if place > 0 && place + 1 < chain.len() && labels.is_fields(*id) {
            continue;
        }
        steps.push(Step { id: *id, edge, label: labels.node(*id) });
    }
    steps
}

/// A longer chain is shown by its beginning and its end: what lies deep in a list has as many steps as the list has elements.
const SHOWN_STEPS: usize = 100;

/// The steps that a report shows; none where it leaves some out.
pub(super) fn shown(steps: &[Step]) -> Vec<Option<&Step>> {
    if steps.len() <= SHOWN_STEPS {
        return steps.iter().map(Some).collect();
    }
    let (first, last) = (&steps[..SHOWN_STEPS / 2], &steps[steps.len() - SHOWN_STEPS / 2..]);
    first.iter().map(Some).chain([None]).chain(last.iter().map(Some)).collect()
}

/// What stands for the steps that are left out.
pub(super) fn left_out(steps: &[Step]) -> String {
    format!("({} steps more)", crate::view::human::count((steps.len() - SHOWN_STEPS) as u64))
}

/// For what the roots refer to the category of the first root that does, of one that is no conservative guess if there is one.
pub(super) fn root_categories(heap: &Heap) -> HashMap<NodeId, &str> {
    let mut categories: HashMap<NodeId, &str> = HashMap::new();
    for root in heap.roots() {
        for target in &root.targets {
            let Target::Node(id) = target else { continue };
            let known = categories.entry(*id).or_insert(&root.category);
            if is_conservative(known) {
                *known = &root.category;
            }
        }
    }
    categories
}

/// Whether roots of the category may be no references at all.
fn is_conservative(category: &str) -> bool {
    category == "machine_context"
}

/// The chains to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The object.
    pub id: NodeId,
    /// The object for people.
    pub label: String,
    /// The chains, cheapest first; none where nothing holds the object.
    pub chains: Vec<Vec<Step>>,
}

/// Finds up to `limit` chains from the roots to an object. Texts of strings on them are read from `source`.
///
/// # Errors
/// Those of [`Ways::new`], [`Referrers::new`] and [`Heap::records`].
pub fn paths(heap: &Heap, source: &Source, id: NodeId, limit: usize, options: &Options<'_>) -> Result<Paths> {
    let ways = Ways::new(heap, options)?;
    match limit {
        0 | 1 => paths_by(heap, source, id, &ways, None, options),
        _ => paths_by(heap, source, id, &ways, Some((&Referrers::new(heap, options)?, limit)), options),
    }
}

/// [`paths`] for those who keep the ways; without referrers and a limit one chain, the way.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn paths_by(
    heap: &Heap,
    source: &Source,
    id: NodeId,
    ways: &Ways,
    others: Option<(&Referrers, usize)>,
    options: &Options<'_>,
) -> Result<Paths> {
    let chains: Vec<Vec<NodeId>> = match others {
        None => ways.way(id).into_iter().collect(),
        Some((referrers, limit)) => ways.chains(heap, referrers, id, limit, options)?,
    };
    let mut labels = Labels::new(heap);
    for chain in &chains {
        labels.read_texts(source, chain, chain.windows(2).map(|pair| (pair[0], pair[1])))?;
    }
    labels.read_texts(source, &[id], [])?;
    let roots = root_categories(heap);
    let chains = chains.iter().map(|chain| steps(&labels, &roots, chain)).collect();
    Ok(Paths { id, label: labels.node(id), chains })
}

impl Paths {
    /// The answer of `path DUMP ADDRESS`.
    #[must_use]
    pub fn report(&self, heap: &Heap, tree: &Tree, dump: &str, context: &Context) -> Report {
        let mut sections = vec![self.facts(heap, tree)];
        sections.extend(self.sections(heap, tree));
        sections.extend(context.notes());
        Report { verb: "path", dump: dump.to_owned(), sections }
    }

    fn facts(&self, heap: &Heap, tree: &Tree) -> Section {
        let facts = vec![
            fact("address", "Address", address_cell(heap, self.id), String::new()),
            fact("object", "Object", Cell::Text(self.label.clone()), String::new()),
            fact("memsize", "Memory", Cell::Bytes(heap.bytes(self.id)), String::new()),
            fact("retained_memsize", "Retained", Cell::Bytes(tree.retained(self.id)), String::new()),
        ];
        Section::Facts(Facts { name: "object", title: String::new(), facts })
    }

    /// A section for each chain, or why there is none.
    pub(crate) fn sections(&self, heap: &Heap, tree: &Tree) -> Vec<Section> {
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
            .map(|(at, steps)| {
                Section::Path(Path {
                    name: "paths",
                    title: title(at),
                    columns: vec![
                        column("address", "Address"),
                        column("memsize", "Memory"),
                        column("retained_memsize", "Retained"),
                        Column { name: "edge", title: "Held by", shrinks: true },
                        Column { name: "object", title: "Object", shrinks: true },
                    ],
                    steps: shown(steps)
                        .into_iter()
                        .map(|shown| match shown {
                            Some(step) => vec![
                                address_cell(heap, step.id),
                                Cell::Bytes(heap.bytes(step.id)),
                                Cell::Bytes(tree.retained(step.id)),
                                edge_cell(&step.edge),
                                Cell::Text(step.label.clone()),
                            ],
                            None => vec![
                                Cell::Missing,
                                Cell::Missing,
                                Cell::Missing,
                                Cell::Missing,
                                Cell::Text(left_out(steps)),
                            ],
                        })
                        .collect(),
                })
            })
            .collect()
    }
}

/// Objects of one class on the ways to the objects asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How deep it stands: 0 what the roots refer to.
    pub depth: usize,
    /// By what the group above holds them, where one word fits them all.
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

/// The merged ways to many objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// Which of the merged ways are told.
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

/// Merges the ways to `ids`. Takes time for the heap, not for each object's way.
///
/// # Errors
/// Those of [`Ways::new`] and [`Heap::records`].
pub fn merged(heap: &Heap, source: &Source, ids: &[NodeId], shown: Shown, options: &Options<'_>) -> Result<Merged> {
    merged_by(heap, source, ids, shown, &Ways::new(heap, options)?, options)
}

/// [`merged`] for those who keep the ways.
///
/// # Errors
/// Those of [`Heap::records`], and [`crate::Error::Interrupted`] when cancelled.
pub fn merged_by(
    heap: &Heap,
    source: &Source,
    ids: &[NodeId],
    shown: Shown,
    ways: &Ways,
    options: &Options<'_>,
) -> Result<Merged> {
    let mut below = vec![(0u32, 0u64); heap.object_count()];
    let mut merged = Merged::default();
    for id in ids {
        merged.count += 1;
        merged.memsize = merged.memsize.saturating_add(heap.bytes(*id));
        merged.unreachable += u64::from(!ways.is_reachable(*id));
        below[id.0 as usize] = (1, heap.bytes(*id));
    }
    let mut parents = vec![UNREACHABLE; heap.object_count()];
    for node in ways.order.iter().rev() {
        let (count, bytes) = below[*node as usize];
        let parent = ways.parents[*node as usize];
        if count == 0 {
            continue;
        }
        parents[*node as usize] = parent;
        if parent != ROOT {
            let held = &mut below[parent as usize];
            held.0 += count;
            held.1 = held.1.saturating_add(bytes);
        }
    }
    let children = Children::new(&parents);
    options.check()?;
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
        members.nodes = Vec::new();
        rows.push((depth, sample, count, members));
    }
    let single: Vec<NodeId> = rows.iter().filter(|row| row.2 == 1).map(|row| row.1).collect();
    let edges = single.iter().filter_map(|id| match parents[id.0 as usize] {
        ROOT => None,
        holder => Some((NodeId(holder), *id)),
    });
    labels.read_texts(source, &single, edges)?;
    let roots = root_categories(heap);
    merged.groups = rows
        .into_iter()
        .map(|(depth, sample, count, members)| Group {
            depth,
            edge: match parents[sample.0 as usize] {
                ROOT => Edge::Root(roots.get(&sample).copied().unwrap_or_default().to_owned()),
                holder => match labels.edge(NodeId(holder), sample) {
                    Edge::Element(_) if count > 1 => Edge::Other("element"),
                    Edge::Value(_) if count > 1 => Edge::Value(None),
                    edge => edge,
                },
            },
            count,
            label: if count == 1 { labels.node(sample) } else { members.class },
            address: (count == 1).then(|| heap.address(sample)),
            targets: members.targets,
            memsize: members.memsize,
        })
        .collect();
    Ok(merged)
}

/// Nodes of one class.
struct Members {
    class: String,
    nodes: Vec<NodeId>,
    targets: u64,
    memsize: u64,
}

/// Groups nodes by class, classes and modules one by one; the `width` groups that lead to the most objects, and to `least` of them.
fn group(
    heap: &Heap,
    labels: &Labels<'_>,
    below: &[(u32, u64)],
    nodes: impl Iterator<Item = NodeId>,
    least: u64,
    width: usize,
) -> Vec<Members> {
    let mut groups: HashMap<String, Members> = HashMap::new();
    for id in nodes {
        let is_class = matches!(heap.slot(id).ty, Type::Class | Type::Module);
        let class = if is_class { labels.node(id) } else { labels.class_name(id) };
        let (count, bytes) = below[id.0 as usize];
        let members = groups.entry(class).or_insert_with_key(|class| Members {
            class: class.clone(),
            nodes: Vec::new(),
            targets: 0,
            memsize: 0,
        });
        members.nodes.push(id);
        members.targets += u64::from(count);
        members.memsize = members.memsize.saturating_add(bytes);
    }
    let mut groups: Vec<Members> = groups.into_values().filter(|group| group.targets >= least.max(1)).collect();
    groups.sort_unstable_by(|a, b| b.targets.cmp(&a.targets).then_with(|| a.class.cmp(&b.class)));
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
