//! The edges of the reference graph turned round.

use super::rows::{Counts, Rows};
use super::targets;
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::{Error, Result};

/// Which nodes refer to each node.
#[derive(Debug, Default)]
pub struct Referrers(Rows);

impl Referrers {
    /// Turns all edges round, those to classes too; a node that refers twice to another is listed twice.
    ///
    /// # Errors
    /// [`Error::Format`] for more than 4,294,967,295 edges, [`Error::Interrupted`] when cancelled.
    pub fn new(heap: &Heap, control: &Control<'_>) -> Result<Referrers> {
        let count = heap.object_count();
        if u32::try_from(heap.edge_count() + count).is_err() {
            return Err(Error::format(
                "more than 4,294,967,295 references and objects; the referrers cannot be numbered",
            ));
        }
        let mut counts = Counts::new(count)?;
        for id in heap.nodes() {
            control.check_at(id.0 as usize)?;
            targets(heap, id).for_each(|target| counts.add(target.0));
        }
        let mut room = counts.room()?;
        for id in heap.nodes().rev() {
            control.check_at(id.0 as usize)?;
            targets(heap, id).for_each(|target| room.put(target.0, id.0));
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
        self.0.of(id.0).iter().map(|node| NodeId(*node))
    }
}
