//! What should be gone, of one dump: more controllers, requests, views or jobs than there are threads to serve them.
//!
//! Each serves one piece of work and no thread is at work on more than one, so where more of them are alive than threads run something
//! keeps them. That needs neither tracing nor a second dump. They are summed up by the nearest object above that holds more than a few.

use super::anchors::AccumulationPoint;
use super::naming::name;
use super::points::{Accumulation, Content, kind_of};
use super::{Confidence, Suspect};
use crate::analysis::verdicts::{AtWork, Judge, Rules, Work, ancestors, work};
use crate::control::Control;
use crate::graph::dominators::{Children, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::memory::{filled, room, zeroed};
use crate::record::Type;
use crate::source::Source;
use crate::{Result, sort};
use hashbrown::HashMap;

/// So far up is looked for what holds several.
const HIGH: usize = 32;

/// The points that hold more objects of one kind of work than threads run, the one with the most bytes first.
pub(super) fn unserved(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    shortest_paths: &ShortestPaths,
    source: &Source,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let rules = Rules::default();
    let at_work = AtWork::of(heap);
    let judge = Judge::new(heap, tree, &at_work, &rules);
    let threads = judge.thread_count();
    if threads == 0 {
        return Ok(Vec::new()); // the dump does not tell
    }
    let mut by_class: Vec<Option<Option<Work>>> = filled(None, heap.names().tables.class_count())?;
    let mut left: HashMap<Work, Vec<NodeId>> = HashMap::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if !matches!(heap.ty(id), Type::Object | Type::Struct) {
            continue;
        }
        let of_class = by_class[heap.class_id(id).0 as usize].get_or_insert_with(|| work(&ancestors(heap, id)));
        let Some(of_class) = of_class.filter(|_| tree.is_reachable(id)) else { continue };
        if let Some(work) = judge.left_over(id, of_class) {
            let nodes = left.entry(work).or_default();
            room(nodes, 1)?;
            nodes.push(id);
        }
    }
    let mut accumulations: Vec<(AccumulationPoint, Accumulation)> = Vec::new();
    let retained = |nodes: &[NodeId]| nodes.iter().fold(0u64, |sum, id| sum.saturating_add(tree.retained(*id)));
    let mut left: Vec<(u64, Work, Vec<NodeId>)> =
        left.into_iter().map(|(work, nodes)| (retained(&nodes), work, nodes)).collect();
    sort::by(&mut left, |(one, a, _), (other, b, _)| other.cmp(one).then(a.many.cmp(b.many)));
    let mut is_told: Vec<bool> = zeroed(heap.object_count())?;
    for (_, work, mut nodes) in left {
        // A request that a controller holds stays with it.
        let is_held = |id: &NodeId| {
            let mut holders = std::iter::successors(tree.above(*id), |id| tree.above(*id)).take(HIGH);
            holders.any(|holder| is_told[holder.0 as usize])
        };
        nodes.retain(|id| !is_held(id));
        if nodes.len() <= threads {
            continue;
        }
        nodes.iter().for_each(|id| is_told[id.0 as usize] = true);
        let all = nodes.len();
        for (anchor, held) in by_holder(tree, shortest_paths, nodes, threads, control)? {
            let mut accumulation = Accumulation::default();
            for id in &held {
                let one = Content { count: 1, retained: tree.retained(*id), ..Content::new(*id) };
                let kind = kind_of(heap, *id);
                accumulation.take(kind, one);
                accumulation.add_stack(kind, heap.stack(*id))?;
                accumulation.bytes = accumulation.bytes.saturating_add(one.retained);
            }
            let why = format!(
                "{} {} are alive, no thread is at work on them, and {} to serve them",
                human::count(all as u64),
                work.many,
                if threads == 1 {
                    "one thread runs".to_owned()
                } else {
                    format!("{} threads run", human::count(threads as u64))
                },
            );
            accumulation.verdict = Some((Confidence::Medium, why));
            accumulation.rank = (2, accumulation.bytes); // before all that one dump tells otherwise
            accumulations.push((AccumulationPoint::Node(anchor), accumulation));
        }
    }
    sort::by(&mut accumulations, |(a, one), (b, other)| other.bytes.cmp(&one.bytes).then(a.cmp(b)));
    name(heap, tree, children, shortest_paths, source, &accumulations, &|_| true, &Accumulation::judged, control)
}

/// The objects by the nearest one above that holds more than `threads` of them.
fn by_holder(
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    nodes: Vec<NodeId>,
    threads: usize,
    control: &Control<'_>,
) -> Result<Vec<(NodeId, Vec<NodeId>)>> {
    let above = |id: NodeId| tree.above(id).or_else(|| shortest_paths.parent(id));
    let mut found = Vec::new();
    let mut rest: Vec<(NodeId, NodeId)> = nodes.into_iter().filter_map(|id| Some((above(id)?, id))).collect();
    for _ in 0..HIGH {
        control.check()?;
        let mut held: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        rest.drain(..).for_each(|(holder, id)| held.entry(holder).or_default().push(id));
        for (holder, nodes) in held {
            match nodes.len() > threads {
                true => found.push((holder, nodes)),
                false => rest.extend(nodes.into_iter().filter_map(|id| Some((above(holder)?, id)))),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    Ok(found)
}
