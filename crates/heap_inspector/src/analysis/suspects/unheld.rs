//! What nothing in a single dump leads to, though it is of many collections: as [`super::unseen`], with less to go by.
//!
//! Young garbage goes with the next collection, so it is of the last generations. What is of many, the latest among them, is held by
//! something that the dump does not show, or it grew old and waits for a full collection: one dump does not tell.

use super::points::{Accumulation, Content, ObjectKind, kind_of};
use super::unseen::{hidden, outlived};
use super::{BINS, FEW_OBJECTS, LATEST, Suspect};
use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::Heap;
use hashbrown::HashMap;

/// The suspect that the dump shows no holder of, where there is one, and what it ranks by. `bin` says in which slice of the traced period a
/// generation lies.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn unheld(
    heap: &Heap,
    tree: &Tree,
    bin: impl Fn(u32) -> u32,
    floor: u64,
    control: &Control<'_>,
) -> Result<Option<(Accumulation, Suspect)>> {
    let diagnostics = heap.diagnostics();
    if heap.roots().is_empty() || diagnostics.lost > 0 {
        return Ok(None); // what was lost may have held it
    }
    let mut found: HashMap<ObjectKind, Content> = HashMap::new();
    let outlived = outlived(heap);
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if tree.is_reachable(id) || !outlived(id) {
            continue;
        }
        let properties = heap.properties(id);
        if properties.tracer || properties.generation == 0 {
            continue;
        }
        let content = Content {
            count: 1,
            retained: heap.bytes(id),
            since: properties.generation,
            bins: 1 << bin(properties.generation),
            ..Content::new(id)
        };
        found.entry(kind_of(heap, id)).or_insert_with(|| Content::new(id)).add(content);
    }
    found.retain(|_, content| {
        let is_recent = content.bins >> (BINS - LATEST) != 0;
        content.count > FEW_OBJECTS && is_recent && content.bins.count_ones() * 2 >= BINS
    });
    let accumulation = found.values().fold(Accumulation::default(), |mut accumulation, content| {
        accumulation.bytes = accumulation.bytes.saturating_add(content.retained);
        accumulation.bins |= content.bins;
        accumulation
    });
    if accumulation.bytes < floor {
        return Ok(None);
    }
    let main = hidden(heap, found.into_values());
    Ok(main.map(|(content, suspect)| {
        let reason = format!(
            "nothing in the dump leads to it, and yet it was allocated in {} of {BINS} slices of the traced period: something that \
             dumps do not show holds it, as a finalizer (from Ruby 3.4 on), a weak table or a C extension, or it waits for a full \
             collection; two more dumps would tell",
            content.bins.count_ones()
        );
        let suspect = Suspect { memsize: accumulation.bytes, reasons: vec![reason], ..suspect };
        (accumulation, suspect)
    }))
}
