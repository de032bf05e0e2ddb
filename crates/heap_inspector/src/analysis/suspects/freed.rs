//! What would be freed if what piles up at a place were let go: if the place did not refer to it any more.
//!
//! Nothing but what the place dominates can become unreachable by that, so what is reached from the place without these references, inside
//! of what it dominates, is set against all it dominates: reachability anew, in time for what the place retains.

use super::Suspect;
use crate::Result;
use crate::analysis::diff::Diff;
use crate::analysis::verdicts::Growth;
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::targets;
use crate::heap::{Heap, NodeId};
use crate::memory::{filled, room};
use crate::sums::Sum;
use hashbrown::HashSet;

/// What cutting references would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Freed {
    /// How many objects would go.
    pub count: u64,
    /// Their bytes.
    pub memsize: u64,
    /// How many of the objects that are referred to would stay, since something else holds them, too.
    pub kept: u64,
}

/// Tells of each suspect what cutting would free: the references of its accumulation point to objects of the class that piles up in it. What
/// piles up in many objects below it is not told.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub fn free(
    found: &mut [Suspect],
    heap: &Heap,
    tree: &Tree,
    diff: Option<&Diff<'_>>,
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
        suspect.freed = Some(freed(heap, tree, &children, point, |to| kind(to) == cut, control)?);
    }
    Ok(())
}

/// What would go if `point` did not refer to what `is_cut` says.
fn freed(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    point: NodeId,
    is_cut: impl Fn(NodeId) -> bool,
    control: &Control<'_>,
) -> Result<Freed> {
    let mut is_below = filled(false, heap.object_count())?;
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
    let mut kept: HashSet<NodeId> = HashSet::new();
    is_below[point.0 as usize] = false;
    waiting.push(point);
    while let Some(id) = waiting.pop() {
        control.check_at(held.count as usize)?;
        held.add(Sum { count: 1, memsize: heap.bytes(id), references: 0 });
        for target in targets(heap, id) {
            if id == point && is_cut(target) {
                if tree.above(target) != Some(point) {
                    kept.insert(target);
                }
                continue;
            }
            if is_below[target.0 as usize] {
                is_below[target.0 as usize] = false;
                room(&mut waiting, 1)?;
                waiting.push(target);
            }
        }
    }
    Ok(Freed { count: all.count - held.count, memsize: all.memsize - held.memsize, kept: kept.len() as u64 })
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
                let found = freed(&heap, &tree, &children, point, is_cut, &control).unwrap();
                let before = reached(&heap, |_, _| false);
                prop_assert_eq!(found.memsize, before - reached(&heap, |from, to| from == point && is_cut(to)));
            }
        }
    }
}
