//! Which places are one to a programmer: a list that is appended to accumulates at what was its last element, so a place of the class of
//! what piles up is taken for what holds it; and the many small places of one class and site that one object holds are taken for that
//! object.
//!
//! There may be as many places as objects, so what is kept of each is a few numbers in lists, and what it holds is asked for once.

use super::anchors::UNKNOWN;
use super::points::{ObjectKind, is_element, kind_of};
use crate::Result;
use crate::control::Control;
use crate::graph::ROOT;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::memory::{copied, filled, list, room};
use crate::record::Type;
use crate::symbols::Symbol;
use hashbrown::HashMap;

/// What of a sort of objects a list's elements have in common.
pub(super) type ElementKind = (Type, Symbol);

/// For each of the places, which ascend, the one that it is taken for. `held` tells what sorts the place holds, and is asked at most once
/// of each, in order.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub(super) fn joined(
    heap: &Heap,
    tree: &Tree,
    places: &[u32],
    held: impl FnMut(usize, &mut Vec<ElementKind>),
    control: &Control<'_>,
) -> Result<Vec<u32>> {
    let mut joined = climbed(heap, tree, places, held, control)?;
    // Brothers are places of one sort under one object, or under several of one sort that one object holds.
    for levels in 1..=2 {
        let brothers = Brothers { heap, tree, levels };
        let moved = brothers.moved(&joined, control)?;
        if moved.is_empty() {
            continue;
        }
        for (step, place) in joined.iter_mut().enumerate() {
            control.check_at(step)?;
            if let Ok(at) = moved.binary_search_by_key(place, |(from, _)| *from) {
                *place = moved[at].1;
            }
        }
    }
    Ok(joined)
}

/// So many steps up are made for each object of the heap, in all.
const CLIMBS: usize = 32;

/// For each of the places the one above the lists that it lies in.
fn climbed(
    heap: &Heap,
    tree: &Tree,
    places: &[u32],
    mut held: impl FnMut(usize, &mut Vec<ElementKind>),
    control: &Control<'_>,
) -> Result<Vec<u32>> {
    let kind = |node: u32| {
        let (ty, class, ..) = kind_of(heap, NodeId(node));
        (ty, class)
    };
    let mut climbed = copied(places)?;
    if !places.iter().any(|place| is_element(heap, *place)) {
        return Ok(climbed);
    }
    // By node, the nearest object above one that is of another class; a list is walked over once.
    let mut tops = filled(UNKNOWN, heap.object_count())?;
    let mut top = |from: u32| -> Result<u32> {
        let (mut at, own, mut walked) = (from, kind(from), 0usize);
        let top = loop {
            if at == ROOT || kind(at) != own {
                break at;
            }
            if tops[at as usize] != UNKNOWN {
                break tops[at as usize];
            }
            walked += 1;
            control.check_at(walked)?;
            at = tree.above(at);
        };
        let mut at = from;
        for _ in 0..walked {
            tops[at as usize] = top;
            at = tree.above(at);
        }
        Ok(top)
    };
    // A list whose elements are of two classes in turn is climbed step by step, from each place in it anew: a hostile one of a million
    // elements for years. In an order, so that the same places are left when patience ends.
    let mut patience = CLIMBS.saturating_mul(heap.object_count());
    let mut kinds: Vec<ElementKind> = Vec::new();
    for (step, place) in climbed.iter_mut().enumerate() {
        control.check_at(step)?;
        if patience == 0 || !is_element(heap, *place) {
            continue;
        }
        kinds.clear();
        held(step, &mut kinds);
        kinds.sort_unstable();
        let mut at = *place;
        while patience > 0 && at != ROOT && is_element(heap, at) && kinds.binary_search(&kind(at)).is_ok() {
            at = top(at)?;
            control.check_at(patience)?;
            patience -= 1;
        }
        if at != ROOT {
            *place = at;
        }
    }
    Ok(climbed)
}

/// More places of one class and site than this, under one object, are one place.
const FEW: usize = 4;

/// Finds places that are brothers, so many steps below the object that holds them.
struct Brothers<'a> {
    heap: &'a Heap,
    tree: &'a Tree,
    levels: u32,
}

impl Brothers<'_> {
    /// The object that holds a place, if there is one.
    fn holder(&self, place: u32) -> u32 {
        (0..self.levels).fold(place, |at, _| if at == ROOT { ROOT } else { self.tree.above(at) })
    }

    /// What brothers have in common, beside their holder.
    fn sorts(&self, place: u32) -> (ObjectKind, Option<ObjectKind>) {
        let between = (self.levels > 1).then(|| kind_of(self.heap, NodeId(self.tree.above(place))));
        (kind_of(self.heap, NodeId(place)), between)
    }

    /// The places that are taken for their holder, and that, in order.
    fn moved(&self, places: &[u32], control: &Control<'_>) -> Result<Vec<(u32, u32)>> {
        let mut by_holder: Vec<u32> = list(places.len())?;
        by_holder.extend(places.iter().filter(|place| self.holder(**place) != ROOT));
        control.check()?;
        by_holder.sort_unstable_by_key(|place| (self.holder(*place), *place));
        control.check()?;
        by_holder.dedup();
        let mut moved = Vec::new();
        for (step, brothers) in by_holder.chunk_by(|one, other| self.holder(*one) == self.holder(*other)).enumerate() {
            control.check_at(step)?;
            if brothers.len() <= FEW {
                continue;
            }
            let mut sorts: HashMap<_, usize> = HashMap::new();
            for (step, place) in brothers.iter().enumerate() {
                control.check_at(step)?;
                *sorts.entry(self.sorts(*place)).or_default() += 1;
            }
            room(&mut moved, brothers.len())?;
            let many = brothers.iter().filter(|place| sorts[&self.sorts(**place)] > FEW);
            moved.extend(many.map(|place| (*place, self.holder(*place))));
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
        for (node, ((_, sort), held)) in nodes.iter().zip(held).enumerate() {
            let (ty, class) = [("OBJECT", 8), ("OBJECT", 16), ("STRUCT", 8), ("ARRAY", 8)][sort % 4];
            let (address, held) = (address(node), held.join(", "));
            writeln!(lines, "{{\"address\":{address}, \"type\":\"{ty}\", \"class\":\"0x{class:x}\", \"references\":[{held}], \"memsize\":40}}").unwrap();
        }
        heap_of_lines(&lines).0
    }

    /// The same step by step, with a map for each question.
    fn plain(heap: &Heap, tree: &Tree, places: &[u32], held: &[Vec<ElementKind>]) -> Vec<u32> {
        let kind = |node: u32| (kind_of(heap, NodeId(node)).0, kind_of(heap, NodeId(node)).1);
        let climb = |(place, held): (&u32, &Vec<ElementKind>)| {
            let mut at = *place;
            while at != ROOT && is_element(heap, at) && held.contains(&kind(at)) {
                let own = kind(at);
                while at != ROOT && kind(at) == own {
                    at = tree.above(at);
                }
            }
            if at == ROOT { *place } else { at }
        };
        let mut joined: Vec<u32> = places.iter().zip(held).map(climb).collect();
        for levels in 1..=2 {
            let way = |place: u32| -> Vec<u32> {
                std::iter::successors(Some(place), |at| Some(tree.above(*at)).filter(|at| *at != ROOT))
                    .take(levels + 1)
                    .collect()
            };
            let told = |place: u32| {
                let way = way(place);
                let sorts: Vec<ObjectKind> = way[..way.len() - 1].iter().map(|at| kind_of(heap, NodeId(*at))).collect();
                (way.len() == levels + 1).then(|| (way[levels], sorts))
            };
            let all: HashSet<u32> = joined.iter().copied().collect();
            let mut counts: HashMap<_, usize> = HashMap::new();
            all.iter().filter_map(|place| told(*place)).for_each(|told| *counts.entry(told).or_default() += 1);
            for place in &mut joined {
                if let Some(told) = told(*place).filter(|told| counts[told] > FEW) {
                    *place = told.0;
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
            every in 1u32..4,
        ) {
            // Of few parents, so that some have many children.
            let nodes: Vec<_> = nodes.into_iter().map(|(above, sort)| (above / wide, sort)).collect();
            let heap = heap(&nodes);
            let tree = Tree::new(&heap, &Control::default()).unwrap();
            let places: Vec<u32> = (0..nodes.len() as u32).step_by(every as usize).collect();
            let sorts = |place: &u32| -> Vec<ElementKind> {
                let children = tree.children().unwrap();
                let below = children.of(crate::graph::dominators::Dominator::Node(NodeId(*place)));
                below.map(|id| (kind_of(&heap, id).0, kind_of(&heap, id).1)).collect()
            };
            let held: Vec<Vec<ElementKind>> = places.iter().map(sorts).collect();
            let found = joined(&heap, &tree, &places, |at, kinds| kinds.extend(&held[at]), &Control::default()).unwrap();
            prop_assert_eq!(found, plain(&heap, &tree, &places, &held));
        }
    }
}
