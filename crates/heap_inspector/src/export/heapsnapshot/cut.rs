//! Which objects of a heap are in a heap snapshot, and what stands in place of the others.
//!
//! What is left out is summed up below the nearest object above it, in the dominator tree, that is not: so all that is in the file
//! retains what it does in the dump. Where left-out objects lead to one that is in the file, an edge leads there from what dominates it.
//! No dominator changes by that: each such edge stands for a chain of references that there is, and any chain of references keeps,
//! of the objects in the file that it goes through, those that all chains to a place go through.

use crate::analysis::grouping;
use crate::control::Control;
use crate::graph::dominators::{Dominator, Tree};
use crate::graph::targets;
use crate::heap::{Heap, NodeId};
use crate::memory::{filled, room};
use crate::select::Filter;
use crate::sums::Sum;
use crate::{Result, sort};
use hashbrown::HashMap;

/// In place of an object: the roots.
pub(super) const ROOTS: u32 = u32::MAX;

/// In place of a number: not in the file.
const LEFT_OUT: u32 = u32::MAX;
/// In place of a holder: not known yet.
const UNKNOWN: u32 = u32::MAX - 1;

#[derive(Default)]
pub(super) struct Cut {
    /// By node: its place among those in the file.
    places: Vec<u32>,
    /// How many are in the file.
    pub(super) count: usize,
    /// What objects or the roots hold that is left out, by the object.
    pub(super) left_out: Vec<(u32, Sum)>,
    /// Edges in place of chains of left-out objects, by where they begin.
    pub(super) chains: Vec<(u32, NodeId)>,
    /// What is left out and no root leads to.
    pub(super) unreachable: Sum,
}

impl Cut {
    /// All objects that pass and retain at least `min` bytes; those that no root leads to by their own bytes.
    pub(super) fn new(heap: &Heap, tree: &Tree, filter: &Filter, min: u64, control: &Control<'_>) -> Result<Cut> {
        let mut cut = Cut { places: filled(LEFT_OUT, heap.object_count())?, ..Cut::default() };
        let mut keep = |id: NodeId| {
            let bytes = if tree.is_reachable(id) { tree.retained(id) } else { heap.bytes(id) };
            if bytes >= min {
                cut.places[id.0 as usize] = cut.count as u32;
                cut.count += 1;
            }
        };
        if filter.is_empty() {
            heap.nodes().for_each(&mut keep);
        } else {
            grouping::nodes(heap, filter, control)?.into_iter().for_each(&mut keep);
        }
        if cut.count < heap.object_count() {
            cut.sum_up(heap, tree, control)?;
        }
        Ok(cut)
    }

    /// The place of a node among those in the file.
    pub(super) fn place(&self, id: NodeId) -> Option<u32> {
        Some(self.places[id.0 as usize]).filter(|place| *place != LEFT_OUT)
    }

    /// The nodes in the file, in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.places.len() as u32).map(NodeId).filter(|id| self.place(*id).is_some())
    }

    /// The edges in place of chains of left-out objects from an object, or from the roots.
    pub(super) fn chains(&self, from: u32) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        let begin = self.chains.partition_point(|(node, _)| *node < from);
        let end = begin + self.chains[begin..].partition_point(|(node, _)| *node == from);
        self.chains[begin..end].iter().map(|(_, to)| *to)
    }

    /// The place among what is left out of what an object, or the roots, hold of it.
    pub(super) fn held(&self, by: u32) -> Option<usize> {
        self.left_out.binary_search_by_key(&by, |(node, _)| *node).ok()
    }

    fn sum_up(&mut self, heap: &Heap, tree: &Tree, control: &Control<'_>) -> Result<()> {
        let mut holders = Holders { known: filled(UNKNOWN, heap.object_count())?, way: Vec::new() };
        let mut sums: HashMap<u32, Sum> = HashMap::new();
        let mut is_led_to = filled(false, heap.object_count())?;
        let mut unreachable = Sum::default();
        for id in heap.nodes().filter(|id| self.place(*id).is_none()) {
            control.check_at(id.0 as usize)?;
            let sum = Sum { count: 1, memsize: heap.bytes(id), references: 0 };
            if !tree.is_reachable(id) {
                unreachable.add(sum);
                continue;
            }
            sums.entry(holders.above(self, tree, id)).or_default().add(sum);
            for target in targets(heap, id).filter(|target| self.place(*target).is_some()) {
                is_led_to[target.0 as usize] = true;
            }
        }
        self.unreachable = unreachable;
        self.left_out = sums.into_iter().collect();
        sort::by_key(&mut self.left_out, |(node, _)| *node);
        for (node, _) in is_led_to.iter().enumerate().filter(|(_, is_led_to)| **is_led_to) {
            let to = NodeId(node as u32);
            let from = holders.above(self, tree, to);
            room(&mut self.chains, 1)?;
            self.chains.push((from, to));
        }
        self.chains.sort_unstable();
        Ok(())
    }
}

/// The nearest object in the file above each left-out one: each is walked past once.
struct Holders {
    known: Vec<u32>,
    way: Vec<u32>,
}

impl Holders {
    /// The nearest one above a reachable object, itself not counted.
    fn above(&mut self, cut: &Cut, tree: &Tree, id: NodeId) -> u32 {
        let mut at = id;
        let holder = loop {
            match tree.dominator(at) {
                Dominator::Node(above) if cut.place(above).is_some() => break above.0,
                Dominator::Node(above) if self.known[above.0 as usize] != UNKNOWN => {
                    break self.known[above.0 as usize];
                }
                Dominator::Node(above) => {
                    self.way.push(above.0);
                    at = above;
                }
                Dominator::Root | Dominator::Unreachable => break ROOTS,
            }
        };
        for node in self.way.drain(..) {
            self.known[node as usize] = holder;
        }
        holder
    }
}
