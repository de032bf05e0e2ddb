//! One number for an object in all dumps of a process, by which DevTools and memlab tell what is new.

use crate::Result;
use crate::analysis::diff::{Before, Match};
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::memory::{filled, list};

/// Numbers objects dump by dump, the oldest first. What is the same object is as [`crate::analysis::diff`] has it; what a compaction moved
/// gets a new number, since it is not known which one of its sort it is. Costs 4 bytes for each object of two dumps.
#[derive(Default)]
pub(in crate::export) struct Identities<'a> {
    last: Option<(&'a Heap, Vec<u32>)>,
    next: u32,
}

/// The numbers of one dump's objects.
#[derive(Clone, Copy)]
pub(super) struct Numbered<'a> {
    /// By node.
    pub(super) numbers: &'a [u32],
    /// Greater than all of them.
    pub(super) end: u32,
    /// Objects that were there before at another address: they look new.
    pub(super) moved: u64,
}

impl<'a> Identities<'a> {
    /// Numbers the next dump's objects, from 0.
    pub(super) fn number(&mut self, heap: &'a Heap, control: &Control<'_>) -> Result<Numbered<'_>> {
        let mut numbers: Vec<u32> = list(heap.object_count())?;
        let mut moved = 0;
        let mut next = self.next;
        let mut fresh = || {
            next = next.saturating_add(1); // more than fit are refused by what writes them
            next - 1
        };
        match &self.last {
            None => numbers.extend(heap.nodes().map(|_| fresh())),
            Some((earlier, known)) => {
                let matched = Match::new(earlier, heap, control)?;
                moved = matched.moved();
                // A hostile dump may have two objects at an address.
                let mut is_taken = filled(false, known.len())?;
                for id in heap.nodes() {
                    control.check_at(id.0 as usize)?;
                    numbers.push(match matched.before(id) {
                        Before::Same(NodeId(before)) if !std::mem::replace(&mut is_taken[before as usize], true) => {
                            known[before as usize]
                        }
                        _ => fresh(),
                    });
                }
            }
        }
        self.next = next;
        let (_, numbers) = self.last.insert((heap, numbers));
        Ok(Numbered { numbers, end: next, moved })
    }
}
