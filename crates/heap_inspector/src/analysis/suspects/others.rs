//! What else holds objects of which a reference is cut: the other paths to them, by whom a programmer would ask.
//!
//! A search from the roots, without what is cut, that ends at these objects: whoever refers to one of them there holds it by itself, and
//! not through another of them. Holders with one normalised path are one. Costs a search through the heap, and 8 bytes for each object of
//! it and each such reference.

use super::naming::holder;
use super::origins::Origins;
use crate::analysis::chains::{Chain, Told, root_categories, root_edge};
use crate::analysis::normalised::{NormalisedPaths, PathId};
use crate::analysis::verdicts::reference;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::{ShortestPaths, is_conservative};
use crate::graph::targets;
use crate::heap::{Heap, NodeId, Target};
use crate::human;
use crate::labels::{Edge, Labels};
use crate::memory::{filled, map, room};
use crate::record::Type;
use crate::source::Source;
use crate::{Result, sort};
use hashbrown::{HashMap, HashSet};

/// One of the others that hold an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OtherHolder {
    /// Whom a programmer would ask: the nearest class, module, thread or object of the app on the path, or the root.
    pub holder: String,
    /// That class, module, thread or object; none where it is a root.
    pub holder_id: Option<NodeId>,
    /// The reference by which the objects are held, by classes, without indexes and keys; none where a root refers to them.
    pub reference: Option<String>,
    /// How many of the objects it holds.
    pub count: u64,
    /// How many objects, or roots, refer to them so.
    pub referrer_count: u64,
    /// One of these; none where it is a root.
    pub by: Option<NodeId>,
}

/// The others, those that hold the most first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OtherHolders {
    /// Some of them.
    pub named: Vec<OtherHolder>,
    /// How many more there are.
    pub more: u64,
}

/// So many are named.
const NAMED: usize = 3;
/// Of so many is looked whether they read the same.
const LOOKED_AT: usize = 32;

impl OtherHolder {
    /// It for people: `Cache (Hash […] → Order)`, `Session (Session @order → Order, 12 referrers)`.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.reference, self.referrer_count) {
            (None, _) => self.holder.clone(),
            (Some(reference), 0 | 1) => format!("{} ({reference})", self.holder),
            (Some(reference), count) => {
                format!("{} ({reference}, {} referrers)", self.holder, human::count(count))
            }
        }
    }
}

impl OtherHolders {
    /// They for people: `Cache (Hash […] → Order), Session (Session @order → Order) and 2 more`; empty where there are none.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words: Vec<String> = self.named.iter().map(OtherHolder::words).collect();
        words.extend((self.more > 0).then(|| format!("{} more", human::count(self.more))));
        match &words[..] {
            [] => String::new(),
            [one] => one.clone(),
            [before @ .., last] => format!("{} and {last}", before.join(", ")),
        }
    }
}

/// A heap with what is worked out of it.
#[derive(Clone, Copy)]
pub(in crate::analysis) struct Graph<'a> {
    pub(in crate::analysis) heap: &'a Heap,
    pub(in crate::analysis) tree: &'a Tree,
    pub(in crate::analysis) shortest_paths: &'a ShortestPaths,
    pub(in crate::analysis) source: &'a Source,
}

/// Whoever refers to objects: a root, by its name, or what has a normalised path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Route {
    Root(String),
    Path(PathId),
}

/// The holders of one route, and one of the references by which they hold objects.
struct Holders {
    from: Option<NodeId>,
    to: NodeId,
    referrer_count: u64,
    /// The last of them.
    last: Option<NodeId>,
}

/// What else holds the objects that `is_held` says, if the references were not there that `is_cut` says, nor the objects that `is_gone` says.
///
/// # Errors
/// Those of [`Heap::records`]; [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub(in crate::analysis) fn others(
    graph: Graph<'_>,
    is_held: impl Fn(NodeId) -> bool,
    is_cut: impl Fn(NodeId, NodeId) -> bool,
    is_gone: impl Fn(NodeId) -> bool,
    control: &Control<'_>,
) -> Result<OtherHolders> {
    const UNSEEN: u32 = u32::MAX;
    const ROOT: u32 = u32::MAX - 1;
    let Graph { heap, tree, shortest_paths, .. } = graph;
    let roots = root_categories(heap);
    let mut paths = NormalisedPaths::new(heap, tree, shortest_paths)?;
    let mut before = filled(UNSEEN, heap.object_count())?;
    let mut waiting: Vec<NodeId> = Vec::new();
    let mut numbers: HashMap<Route, u32> = HashMap::new();
    let mut routes: Vec<Holders> = Vec::new();
    // Each route with each object that it holds.
    let mut pairs: Vec<(u32, NodeId)> = Vec::new();
    let mut take = |route: Route, from: Option<NodeId>, to: NodeId| -> Result<()> {
        map(&mut numbers, 1)?;
        let number = *numbers.entry(route).or_insert_with(|| {
            routes.push(Holders { from, to, referrer_count: 0, last: None });
            routes.len() as u32 - 1
        });
        let known = &mut routes[number as usize];
        if known.referrer_count == 0 || known.last != from {
            (known.referrer_count, known.last) = (known.referrer_count + 1, from);
        }
        room(&mut pairs, 1)?;
        pairs.push((number, to));
        Ok(())
    };
    // What is scanned conservatively says little to a programmer, so it comes last.
    for is_last in [false, true] {
        let roots_now = heap.roots().iter().filter(|root| is_conservative(&root.category) == is_last);
        for id in roots_now.flat_map(|root| root.targets.iter().filter_map(Target::node)) {
            if is_gone(id) || before[id.0 as usize] != UNSEEN {
                continue;
            }
            before[id.0 as usize] = ROOT;
            if is_held(id) {
                take(Route::Root(root_edge(heap, &roots, id).to_string()), None, id)?;
            } else {
                waiting.push(id);
            }
        }
        // In the order of the search by breadth, so that the paths are short.
        let mut next = Vec::new();
        let mut looked_at = 0usize;
        while !waiting.is_empty() {
            for from in waiting.drain(..) {
                looked_at += 1;
                control.check_at(looked_at)?;
                for to in targets(heap, from) {
                    if is_cut(from, to) || is_gone(to) {
                        continue;
                    }
                    if is_held(to) {
                        take(Route::Path(paths.of(from)?), Some(from), to)?;
                    } else if before[to.0 as usize] == UNSEEN {
                        before[to.0 as usize] = from.0;
                        room(&mut next, 1)?;
                        next.push(to);
                    }
                }
            }
            std::mem::swap(&mut waiting, &mut next);
        }
    }
    control.check()?;
    pairs.sort_unstable();
    pairs.dedup();
    let mut counts = vec![0u64; routes.len()];
    pairs.iter().for_each(|(route, _)| counts[*route as usize] += 1);
    let mut order: Vec<usize> = (0..routes.len()).collect();
    sort::by_key(&mut order, |route| (std::cmp::Reverse(counts[*route]), *route));
    let more = order.len().saturating_sub(LOOKED_AT);
    order.truncate(LOOKED_AT);
    // The path to a holder is the shortest one, unless that leads over what is cut.
    let path_to = |from: NodeId| {
        let is_whole = |path: &Vec<NodeId>| {
            !path.iter().any(|id| is_gone(*id) || is_held(*id)) && !path.windows(2).any(|pair| is_cut(pair[0], pair[1]))
        };
        shortest_paths.path(from).filter(is_whole).unwrap_or_else(|| {
            let on = std::iter::successors(Some(from.0), |at| Some(before[*at as usize]).filter(|at| *at < ROOT));
            let mut nodes: Vec<NodeId> = on.map(NodeId).collect();
            nodes.reverse();
            nodes
        })
    };
    let found: Vec<(Vec<NodeId>, NodeId)> =
        order.iter().map(|route| (routes[*route].from.map(path_to).unwrap_or_default(), routes[*route].to)).collect();
    let named = Named { graph, found: &found }.holders(control)?;
    // What reads the same is one, and holds what each of them does.
    let mut counted: Vec<(OtherHolder, HashSet<u32>)> = Vec::new();
    for (route, mut one) in order.iter().zip(named) {
        one.referrer_count = routes[*route].referrer_count;
        let reads_the_same = |other: &OtherHolder| (&other.holder, &other.reference) == (&one.holder, &one.reference);
        match counted.iter_mut().find(|(other, _)| reads_the_same(other)) {
            Some((other, routes)) => {
                other.referrer_count += one.referrer_count;
                routes.insert(*route as u32);
            }
            None => counted.push((one, HashSet::from([*route as u32]))),
        }
    }
    let mut named: Vec<OtherHolder> = counted
        .into_iter()
        .map(|(mut one, routes)| {
            let mut objects: Vec<NodeId> =
                pairs.iter().filter(|(route, _)| routes.contains(route)).map(|(_, id)| *id).collect();
            objects.sort_unstable();
            objects.dedup();
            one.count = objects.len() as u64;
            one
        })
        .collect();
    sort::by_key(&mut named, |one| std::cmp::Reverse(one.count));
    let more = (more + named.len().saturating_sub(NAMED)) as u64;
    named.truncate(NAMED);
    Ok(OtherHolders { named, more })
}

/// Puts paths to objects in words.
struct Named<'a> {
    graph: Graph<'a>,
    /// The path to each holder, empty for a root, and what it holds.
    found: &'a [(Vec<NodeId>, NodeId)],
}

impl Named<'_> {
    fn holders(&self, control: &Control<'_>) -> Result<Vec<OtherHolder>> {
        let Graph { heap, source, .. } = self.graph;
        let mut labels = Labels::new(heap);
        let roots = root_categories(heap);
        let nodes = || self.found.iter().flat_map(|(path, to)| path.iter().chain([to])).copied();
        let origins = Origins::new(heap, &labels, nodes());
        let read: Vec<NodeId> = nodes().chain(origins.code()).collect();
        let pairs = self.found.iter().flat_map(|(path, to)| {
            let all: Vec<NodeId> = path.iter().chain([to]).copied().collect();
            all.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
        });
        labels.read_texts(source, &read, pairs.collect::<Vec<_>>())?;
        let mut named = Vec::new();
        for (path, to) in self.found {
            control.check()?;
            let Some(from) = path.last() else {
                let holder = root_edge(heap, &roots, *to).to_string();
                named.push(OtherHolder {
                    holder,
                    holder_id: None,
                    reference: None,
                    count: 0,
                    referrer_count: 0,
                    by: None,
                });
                continue;
            };
            let (mut name, holder_id) = holder(heap, &labels, &origins, &roots, path, &labels.class_name(*to));
            name += &self.variable(&labels, path, *to, holder_id);
            let last = Chain::new(&labels, &roots, &[*from, *to], Told { every_step: true, tree: None }, control)?;
            let reference = match &last.steps[..] {
                [from, to] => Some(reference(heap, Some(from), to)),
                _ => None,
            };
            named.push(OtherHolder {
                holder: name,
                holder_id,
                reference,
                count: 0,
                referrer_count: 0,
                by: Some(*from),
            });
        }
        Ok(named)
    }

    /// By which instance variable an object holds what is next on the path; that of a class stands in its name, and what is next to the
    /// objects themselves in the reference.
    fn variable(&self, labels: &Labels<'_>, path: &[NodeId], to: NodeId, holder: Option<NodeId>) -> String {
        let heap = self.graph.heap;
        let Some(at) = holder.and_then(|holder| path.iter().rposition(|id| *id == holder)) else {
            return String::new();
        };
        if matches!(heap.ty(path[at]), Type::Class | Type::Module | Type::Iclass) || at + 1 == path.len() {
            return String::new();
        }
        match labels.edge(path[at], path.get(at + 1).copied().unwrap_or(to)) {
            Edge::Variable(name) | Edge::Likely(name) => format!(" {name}"),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
