//! The reference graph over a heap: what each node holds, what holds it, and where the roots lead.
//!
//! Nodes are numbered as in the heap. What is kept for each node is packed into 4 bytes, with numbers beyond all nodes for none and for
//! all ROOT lines as one; outside of here nodes are [`NodeId`]s. A node holds the targets of its references and its
//! class, which the dump lists apart: without the edges to classes a tenth of a live Rails heap looks dead. References to what the
//! dump lacks hold nothing. Forward edges cost nothing beside the heap; [`Referrers`] 4 bytes for each edge and node.

use crate::heap::{DANGLING, Heap, NodeId, Target};
use crate::memory::filled;

pub mod dominators;
mod referrers;
pub(crate) mod rows;
pub mod shortest_paths;

pub use referrers::Referrers;

/// In place of a node: all ROOT lines as one.
const ROOT: u32 = u32::MAX;

/// The targets of a node: its references, then its class.
pub(crate) fn targets(heap: &Heap, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    let targets = heap.packed_targets(id).iter().copied().chain([heap.packed_class(id)]);
    targets.filter(|target| *target != DANGLING).map(NodeId)
}

/// By node, another one or none: 4 bytes each.
#[derive(Debug)]
pub(crate) struct Links(Vec<u32>);

impl Links {
    /// None of so many nodes.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub(crate) fn new(count: usize) -> crate::Result<Links> {
        Ok(Links(filled(u32::MAX, count)?))
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<NodeId> {
        Some(self.0[id.0 as usize]).filter(|node| *node != u32::MAX).map(NodeId)
    }

    pub(crate) fn set(&mut self, id: NodeId, to: Option<NodeId>) {
        self.0[id.0 as usize] = to.map_or(u32::MAX, |node| node.0);
    }
}

/// The nodes that the ROOT lines refer to, in order, repeated ones too.
pub(crate) fn roots(heap: &Heap) -> Vec<NodeId> {
    heap.roots().iter().flat_map(|root| &root.targets).filter_map(Target::node).collect()
}

#[cfg(test)]
pub(crate) mod random;
