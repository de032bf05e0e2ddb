//! Which accumulation points are one to a programmer: a list that is appended to accumulates at what was its last element, so a point of the class of
//! what piles up is taken for what holds it; and the many small points of one class and site that one object holds are taken for that
//! object.
//!
//! There may be as many points as objects, so what is kept of each is a few numbers in lists, and what it holds is asked for once.

use super::anchors::{AccumulationPoint, Known};
use super::points::{ObjectKind, is_element, kind_of};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::memory::{copied, list, room};
use crate::record::Type;
use crate::symbols::Symbol;
use crate::{Result, sort};
use hashbrown::HashMap;

/// What of a kind of objects a list's elements have in common.
pub(super) type ElementKind = (Type, Symbol);

/// For each of the points, which ascend, the one that it is taken for. `held` tells what kinds the point holds, and is asked at most once
/// of each, in order.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub(super) fn joined(
    heap: &Heap,
    tree: &Tree,
    points: &[NodeId],
    held: impl FnMut(usize, &mut Vec<ElementKind>),
    control: &Control<'_>,
) -> Result<Vec<NodeId>> {
    let mut joined = climbed(heap, tree, points, held, control)?;
    // Brothers are points of one kind under one object, or under several of one kind that one object holds.
    for levels in 1..=2 {
        let brothers = Brothers { heap, tree, levels };
        let moved = brothers.moved(&joined, control)?;
        if moved.is_empty() {
            continue;
        }
        for (step, point) in joined.iter_mut().enumerate() {
            control.check_at(step)?;
            if let Ok(at) = moved.binary_search_by_key(point, |(from, _)| *from) {
                *point = moved[at].1;
            }
        }
    }
    Ok(joined)
}

/// So many steps up are made for each object of the heap, in all.
const CLIMBS: usize = 32;

/// For each of the points the one above the lists that it lies in.
fn climbed(
    heap: &Heap,
    tree: &Tree,
    points: &[NodeId],
    mut held: impl FnMut(usize, &mut Vec<ElementKind>),
    control: &Control<'_>,
) -> Result<Vec<NodeId>> {
    let kind = |id: NodeId| {
        let (ty, class, ..) = kind_of(heap, id);
        (ty, class)
    };
    let mut climbed = copied(points)?;
    if !points.iter().any(|point| is_element(heap, *point)) {
        return Ok(climbed);
    }
    // By node, the nearest object above one that is of another class; a list is walked over once.
    let mut tops = Known::new(heap.object_count())?;
    let mut top = |from: NodeId| -> Result<Option<NodeId>> {
        let (mut at, own, mut walked) = (Some(from), kind(from), 0usize);
        let top = loop {
            let Some(id) = at.filter(|id| kind(*id) == own) else { break at };
            if let Some(top) = tops.get(id) {
                break top.and_then(AccumulationPoint::node);
            }
            walked += 1;
            control.check_at(walked)?;
            at = tree.above(id);
        };
        for id in std::iter::successors(Some(from), |id| tree.above(*id)).take(walked) {
            tops.set(id, top.map(AccumulationPoint::Node));
        }
        Ok(top)
    };
    // A list whose elements are of two classes in turn is climbed step by step, from each point in it anew: a hostile one of a million
    // elements for years. In an order, so that the same points are left when the steps are used up.
    let mut steps_left = CLIMBS.saturating_mul(heap.object_count());
    let mut kinds: Vec<ElementKind> = Vec::new();
    for (step, point) in climbed.iter_mut().enumerate() {
        control.check_at(step)?;
        if steps_left == 0 || !is_element(heap, *point) {
            continue;
        }
        kinds.clear();
        held(step, &mut kinds);
        sort::by(&mut kinds, Ord::cmp);
        let is_climbed = |id: &NodeId| is_element(heap, *id) && kinds.binary_search(&kind(*id)).is_ok();
        let mut at = Some(*point);
        while let Some(id) = at.filter(|id| steps_left > 0 && is_climbed(id)) {
            at = top(id)?;
            control.check_at(steps_left)?;
            steps_left -= 1;
        }
        *point = at.unwrap_or(*point);
    }
    Ok(climbed)
}

/// More points of one class and site than this, under one object, are one point.
const FEW: usize = 4;

/// Finds points that are brothers, so many steps below the object that holds them.
struct Brothers<'a> {
    heap: &'a Heap,
    tree: &'a Tree,
    levels: u32,
}

impl Brothers<'_> {
    /// The object that holds a point, if there is one.
    fn holder(&self, point: NodeId) -> Option<NodeId> {
        (0..self.levels).try_fold(point, |at, _| self.tree.above(at))
    }

    /// What brothers have in common, beside their holder.
    fn kinds(&self, point: NodeId) -> (ObjectKind, Option<ObjectKind>) {
        let between = self.tree.above(point).filter(|_| self.levels > 1);
        (kind_of(self.heap, point), between.map(|id| kind_of(self.heap, id)))
    }

    /// The points that are taken for their holder, and that, in order.
    fn moved(&self, points: &[NodeId], control: &Control<'_>) -> Result<Vec<(NodeId, NodeId)>> {
        let mut by_holder: Vec<NodeId> = list(points.len())?;
        by_holder.extend(points.iter().filter(|point| self.holder(**point).is_some()));
        control.check()?;
        by_holder.sort_unstable_by_key(|point| (self.holder(*point), *point));
        control.check()?;
        by_holder.dedup();
        let mut moved = Vec::new();
        for (step, brothers) in by_holder.chunk_by(|one, other| self.holder(*one) == self.holder(*other)).enumerate() {
            control.check_at(step)?;
            if brothers.len() <= FEW {
                continue;
            }
            let mut kinds: HashMap<_, usize> = HashMap::new();
            for (step, point) in brothers.iter().enumerate() {
                control.check_at(step)?;
                *kinds.entry(self.kinds(*point)).or_default() += 1;
            }
            room(&mut moved, brothers.len())?;
            let many = brothers.iter().filter(|point| kinds[&self.kinds(**point)] > FEW);
            moved.extend(many.filter_map(|point| Some((*point, self.holder(*point)?))));
        }
        moved.sort_unstable();
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::graph::random::heap_of_lines;
    use hashbrown::HashSet;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    /// A tree of objects, each under an earlier one, of these types and classes; the first is the root's.
    fn heap(nodes: &[(usize, usize)]) -> Heap {
        let address = |node: usize| format!("\"0x{:x}\"", 0x1000 + 40 * node);
        let mut held = vec![Vec::new(); nodes.len()];
        for (node, (above, _)) in nodes.iter().enumerate().skip(1) {
            held[above % node].push(address(node));
        }
        let mut lines = format!("{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{}]}}\n", address(0));
        for (node, ((_, kind), held)) in nodes.iter().zip(held).enumerate() {
            let (ty, class) = [("OBJECT", 8), ("OBJECT", 16), ("STRUCT", 8), ("ARRAY", 8)][kind % 4];
            let (address, held) = (address(node), held.join(", "));
            writeln!(lines, "{{\"address\":{address}, \"type\":\"{ty}\", \"class\":\"0x{class:x}\", \"references\":[{held}], \"memsize\":40}}").unwrap();
        }
        heap_of_lines(&lines).0
    }

    /// The same step by step, with a map for each question.
    fn plain(heap: &Heap, tree: &Tree, points: &[NodeId], held: &[Vec<ElementKind>]) -> Vec<NodeId> {
        let kind = |id: NodeId| (kind_of(heap, id).0, kind_of(heap, id).1);
        let climb = |(point, held): (&NodeId, &Vec<ElementKind>)| {
            let mut at = Some(*point);
            while let Some(id) = at.filter(|id| is_element(heap, *id) && held.contains(&kind(*id))) {
                while at.is_some_and(|at| kind(at) == kind(id)) {
                    at = at.and_then(|at| tree.above(at));
                }
            }
            at.unwrap_or(*point)
        };
        let mut joined: Vec<NodeId> = points.iter().zip(held).map(climb).collect();
        for levels in 1..=2 {
            let told = |point: NodeId| {
                let path = std::iter::successors(Some(point), |at| tree.above(*at));
                let path: Vec<NodeId> = path.take(levels + 1).collect();
                let kinds: Vec<ObjectKind> = path[..path.len() - 1].iter().map(|at| kind_of(heap, *at)).collect();
                (path.len() == levels + 1).then(|| (path[levels], kinds))
            };
            let all: HashSet<NodeId> = joined.iter().copied().collect();
            let mut counts: HashMap<_, usize> = HashMap::new();
            all.iter().filter_map(|point| told(*point)).for_each(|told| *counts.entry(told).or_default() += 1);
            for point in &mut joined {
                if let Some(told) = told(*point).filter(|told| counts[told] > FEW) {
                    *point = told.0;
                }
            }
        }
        joined
    }

    proptest! {
        #[test]
        fn joins_what_asking_step_by_step_joins(
            nodes in prop::collection::vec((0usize..40, 0usize..4), 1..60),
            wide in 1usize..8,
            every in 1usize..4,
        ) {
            // Of few parents, so that some have many children.
            let nodes: Vec<_> = nodes.into_iter().map(|(above, kind)| (above / wide, kind)).collect();
            let heap = heap(&nodes);
            let tree = Tree::new(&heap, &Control::default()).unwrap();
            let points: Vec<NodeId> = heap.nodes().step_by(every).collect();
            let kinds = |point: &NodeId| -> Vec<ElementKind> {
                let children = tree.children().unwrap();
                let below = children.of(crate::graph::dominators::Dominator::Node(*point));
                below.map(|id| (kind_of(&heap, id).0, kind_of(&heap, id).1)).collect()
            };
            let held: Vec<Vec<ElementKind>> = points.iter().map(kinds).collect();
            let found = joined(&heap, &tree, &points, |at, kinds| kinds.extend(&held[at]), &Control::default()).unwrap();
            prop_assert_eq!(found, plain(&heap, &tree, &points, &held));
        }
    }
}
