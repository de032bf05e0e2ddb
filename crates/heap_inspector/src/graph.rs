//! The reference graph over a heap: what each node holds, what holds it, and where the roots lead.
//!
//! Nodes are numbered as in the heap; `ROOT` stands for all ROOT lines as one. A node holds the targets of its references and its
//! class, which the dump lists apart: without the edges to classes a tenth of a live Rails heap looks dead. References to what the
//! dump lacks hold nothing. Forward edges cost nothing beside the heap; [`Referrers`] 4 bytes for each edge and node.

use crate::heap::{DANGLING, Heap};

pub mod dominators;
mod referrers;
pub(crate) mod rows;
pub mod shortest_paths;

pub use referrers::Referrers;

/// In place of a node: all ROOT lines as one.
pub(crate) const ROOT: u32 = u32::MAX;

/// The targets of a node: its references (with `DANGLING` for what is not in the dump), then its class.
pub(crate) fn targets(heap: &Heap, node: u32) -> impl Iterator<Item = u32> + '_ {
    heap.targets(node).iter().copied().chain([heap.class_target(node)]).filter(|target| *target != DANGLING)
}

/// The nodes that the ROOT lines refer to, in order, repeated ones too.
pub(crate) fn roots(heap: &Heap) -> Vec<u32> {
    let targets = heap.roots().iter().flat_map(|root| &root.targets);
    targets
        .filter_map(|target| match target {
            crate::heap::Target::Node(node) => Some(node.0),
            crate::heap::Target::Dangling(_) => None,
        })
        .collect()
}

/// How many edges are walked between two looks at the cancel flag.
pub(crate) const CHECK_INTERVAL: usize = 1 << 20;

#[cfg(test)]
pub(crate) mod random;
