//! The reference graph over a heap: what each node holds, what holds it, and where the roots lead.
//!
//! Nodes are numbered as in the heap; `ROOT` stands for all ROOT lines as one. A node holds the targets of its references and its
//! class, which the dump lists apart: without the edges to classes a tenth of a live Rails heap looks dead. References to what the
//! dump lacks hold nothing. Forward edges cost nothing beside the heap; [`Referrers`] 4 bytes for each edge and node.

use crate::heap::{DANGLING, Heap, NodeId};
use crate::scan::Options;
use crate::{Error, Result};
use rows::{Counts, Rows};

pub(crate) mod rows;

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
pub(crate) const PATIENCE: usize = 1 << 20;

/// Which nodes refer to each node.
#[derive(Debug, Default)]
pub struct Referrers(Rows);

impl Referrers {
    /// Turns all edges round, those to classes too; a node that refers twice to another is listed twice.
    ///
    /// # Errors
    /// [`Error::Format`] for more than 4,294,967,295 edges, [`Error::Interrupted`] when cancelled.
    pub fn new(heap: &Heap, options: &Options<'_>) -> Result<Referrers> {
        let count = heap.object_count();
        if u32::try_from(heap.edge_count() + count).is_err() {
            return Err(Error::format(
                "more than 4,294,967,295 references and objects; the referrers cannot be numbered",
            ));
        }
        let mut counts = Counts::new(count);
        for node in 0..count as u32 {
            targets(heap, node).for_each(|target| counts.add(target));
        }
        options.check()?;
        let mut room = counts.room()?;
        for node in (0..count as u32).rev() {
            if (node as usize).is_multiple_of(PATIENCE) {
                options.check()?;
            }
            targets(heap, node).for_each(|target| room.put(target, node));
        }
        Ok(Referrers(room.rows()))
    }

    /// About how many bytes of memory they take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.0.footprint()
    }

    /// The nodes that refer to `id`, in order.
    pub fn of(&self, id: NodeId) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.raw(id.0).iter().map(|node| NodeId(*node))
    }

    pub(crate) fn raw(&self, node: u32) -> &[u32] {
        self.0.of(node)
    }
}

#[cfg(test)]
pub(crate) mod random;
