//! What would be freed if what piles up at an accumulation point were let go: if the point did not refer to it any more.
//!
//! Nothing but what the point dominates can become unreachable by that, so what is reached from the point without these references, inside
//! of what it dominates, is set against all it dominates: reachability anew, in time for what the point retains. Where something else holds
//! what piles up, too, a search through the heap tells what ([`others`]).

use super::Suspect;
use super::others::{Graph, OtherHolders, others};
use crate::Result;
use crate::analysis::diff::Diff;
use crate::analysis::verdicts::Growth;
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::graph::targets;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::memory::{room, zeroed};
use crate::source::Source;
use crate::sums::Sum;

/// What cutting references would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Freed {
    /// How many objects would go.
    pub count: u64,
    /// Their bytes.
    pub memsize: u64,
    /// How many of the objects that are referred to would stay, since something else holds them, too.
    pub kept: u64,
    /// What that is.
    pub others: OtherHolders,
}

impl Freed {
    /// What would stay, and who holds it, for people; empty where all would go.
    #[must_use]
    pub fn kept_words(&self) -> String {
        let them = match self.kept {
            0 => return String::new(),
            1 => "one of them is".to_owned(),
            kept => format!("{} of them are", human::count(kept)),
        };
        format!("{them} also held by {}, and would stay", self.others.words())
    }
}

/// Tells of each suspect what cutting would free: the references of its accumulation point to objects of the class that piles up in it. What
/// piles up in many objects below it is not told. The shortest paths are asked for where something else holds what piles up.
///
/// # Errors
/// Those of [`Heap::records`] and of `shortest_paths`; [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub fn free<'a>(
    found: &mut [Suspect],
    heap: &'a Heap,
    tree: &'a Tree,
    source: &'a Source,
    diff: Option<&Diff<'_>>,
    shortest_paths: impl Fn() -> Result<&'a ShortestPaths>,
    control: &Control<'_>,
) -> Result<()> {
    let children = tree.children()?;
    for suspect in found {
        let Some(Growth { point: Some(point), pile, .. }) = suspect.growth(diff) else { continue };
        if pile != point + 1 {
            continue;
        }
        let kind = |id: NodeId| (heap.ty(id), heap.names().instance_class(heap.properties(id).names.class));
        let [point, cut] = [point, pile].map(|at| suspect.path.steps[at].id);
        let cut = kind(cut);
        let is_cut = |to: NodeId| kind(to) == cut;
        let (mut freed, kept) = freed(heap, children, point, is_cut, control)?;
        if !kept.is_empty() {
            let mut is_kept: Vec<bool> = zeroed(heap.object_count())?;
            kept.iter().for_each(|id| is_kept[id.0 as usize] = true);
            let is_kept = |id: NodeId| is_kept[id.0 as usize];
            let graph = Graph { heap, tree, shortest_paths: shortest_paths()?, source };
            freed.others = others(graph, is_kept, |from, to| from == point && is_cut(to), |_| false, control)?;
        }
        suspect.freed = Some(freed);
    }
    Ok(())
}

/// What would go if `point` did not refer to what `is_cut` says, and what of that would stay.
fn freed(
    heap: &Heap,
    children: &Children,
    point: NodeId,
    is_cut: impl Fn(NodeId) -> bool,
    control: &Control<'_>,
) -> Result<(Freed, Vec<NodeId>)> {
    let mut is_below: Vec<bool> = zeroed(heap.object_count())?;
    let mut all = Sum::default();
    let mut waiting = vec![point];
    while let Some(id) = waiting.pop() {
        control.check_at(all.count as usize)?;
        is_below[id.0 as usize] = true;
        all.add(Sum { count: 1, memsize: heap.bytes(id), references: 0 });
        let below = children.of(Dominator::Node(id));
        room(&mut waiting, below.len())?;
        waiting.extend(below);
    }
    let mut held = Sum::default();
    let mut referred: Vec<NodeId> = Vec::new();
    is_below[point.0 as usize] = false;
    waiting.push(point);
    while let Some(id) = waiting.pop() {
        control.check_at(held.count as usize)?;
        held.add(Sum { count: 1, memsize: heap.bytes(id), references: 0 });
        for target in targets(heap, id) {
            if id == point && is_cut(target) {
                room(&mut referred, 1)?;
                referred.push(target);
                continue;
            }
            if is_below[target.0 as usize] {
                is_below[target.0 as usize] = false;
                room(&mut waiting, 1)?;
                waiting.push(target);
            }
        }
    }
    referred.sort_unstable();
    referred.dedup();
    // What is still below was not met again, so nothing else leads to it.
    referred.retain(|id| !is_below[id.0 as usize]);
    let (count, memsize, kept) = (all.count - held.count, all.memsize - held.memsize, referred.len() as u64);
    Ok((Freed { count, memsize, kept, others: OtherHolders::default() }, referred))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::freed;
    use crate::control::Control;
    use crate::graph::dominators::Tree;
    use crate::graph::random::{graph, heap_of};
    use crate::graph::targets;
    use crate::heap::{Heap, NodeId, Target};
    use proptest::prelude::*;

    /// The bytes that roots lead to without the references.
    fn reached(heap: &Heap, is_cut: impl Fn(NodeId, NodeId) -> bool) -> u64 {
        let mut waiting: Vec<NodeId> =
            heap.roots().iter().flat_map(|root| root.targets.iter().filter_map(Target::node)).collect();
        let (mut seen, mut bytes) = (vec![false; heap.object_count()], 0);
        while let Some(id) = waiting.pop() {
            if !std::mem::replace(&mut seen[id.0 as usize], true) {
                bytes += heap.bytes(id);
                waiting.extend(targets(heap, id).filter(|target| !is_cut(id, *target)));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn what_is_freed_is_what_no_root_leads_to_then(drawn in graph(), odd in any::<bool>()) {
            let heap = heap_of(&drawn);
            let control = Control::default();
            let tree = Tree::new(&heap, &control).unwrap();
            let children = tree.children().unwrap();
            for point in heap.nodes().filter(|id| tree.is_reachable(*id)) {
                let is_cut = |to: NodeId| to != point && (to.0 % 2 == 1) == odd;
                let (found, _) = freed(&heap, children, point, is_cut, &control).unwrap();
                let before = reached(&heap, |_, _| false);
                prop_assert_eq!(found.memsize, before - reached(&heap, |from, to| from == point && is_cut(to)));
            }
        }
    }
}
