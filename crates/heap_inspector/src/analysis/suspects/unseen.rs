//! What nothing in the dumps holds, and yet it stays: something that they do not show must hold it.
//!
//! Not all that keeps objects alive is in a dump: Ruby lists no weak tables, and from 3.4 on no finalizers either. Objects that no root
//! leads to, in any dump since they came, should have gone with the next collection. Where as many of a kind came in one step and outlived
//! the next as came in the last, they are held.

use super::naming::is_core;
use super::points::{Content, ObjectKind, kind_of};
use super::{Confidence, FEW_OBJECTS, Suspect};
use crate::Result;
use crate::analysis::chains::Chain;
use crate::analysis::diff::{Before, Diff};
use crate::analysis::normalised::NormalisedPath;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::keys::Key;
use crate::labels::Labels;
use crate::record::Flags;
use hashbrown::HashMap;

/// Who holds them, as far as one can say.
const HOLDER: &str = "something that dumps do not show, as finalizers";

/// The suspect that dumps show no holder of, where there is one; `earlier` are the trees of all dumps but the last.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn unseen(
    diff: &Diff<'_>,
    tree: &Tree,
    earlier: &[&Tree],
    floor: u64,
    control: &Control<'_>,
) -> Result<Option<Suspect>> {
    let (heap, steps) = (diff.heap(), diff.step_count());
    let mut found: HashMap<ObjectKind, (Vec<u64>, Content)> = HashMap::new();
    let has_roots = diff.dumps().iter().all(|dump| !dump.heap.roots().is_empty());
    // Of an object that was not sampled nobody knows whether it is the one that was there before, and garbage has the same addresses often.
    if steps < 2 || !has_roots || diff.has_unmatched() || diff.is_sampled() {
        return Ok(None); // no object was seen to outlive anything
    }
    let outlived = outlived(heap);
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if tree.is_reachable(id) || !outlived(id) {
            continue;
        }
        let Some(step) = diff.step(id) else { continue };
        let properties = heap.properties(id);
        if properties.tracer {
            continue;
        }
        let is_unseen = |dump: usize| match diff.before(dump, id) {
            Before::Same(node) => !earlier[dump].is_reachable(node),
            _ => false,
        };
        if !(step + 1..steps).all(is_unseen) {
            continue; // it was let go since
        }
        let (bytes, content) = found.entry(kind_of(heap, id)).or_insert_with(|| (vec![0; steps], Content::new(id)));
        bytes[step] += heap.bytes(id);
        content.add(Content { count: 1, retained: heap.bytes(id), since: properties.generation, ..Content::new(id) });
    }
    let is_even = |bytes: &[u64]| {
        let (least, most) = (bytes.iter().min().copied().unwrap_or(0), bytes.iter().max().copied().unwrap_or(0));
        least > 0 && least * 2 >= most
    };
    found.retain(|_, (bytes, content)| content.count > FEW_OBJECTS && is_even(bytes));
    let mut all = vec![0; steps];
    found.values().for_each(|(bytes, _)| all.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum += bytes));
    if all.iter().any(|bytes| *bytes < floor) {
        return Ok(None);
    }
    let reason = "nothing in the dumps leads to it, and yet it outlived a step in each dump: something that dumps do not show holds it, as a \
                  finalizer (from Ruby 3.4 on), a weak table or a C extension";
    let main = hidden(heap, found.into_values().map(|(_, content)| content));
    Ok(main.map(|(_, suspect)| Suspect {
        memsize: all.iter().sum(),
        steps: all,
        confidence: Confidence::Medium,
        reasons: vec![reason.to_owned()],
        ..suspect
    }))
}

/// Whether an object was there when the collector marked last: what is not marked came since, and nobody knows whether it would stay. Where
/// a dump marks no object, as one of another writer may, each may have been there.
pub(super) fn outlived(heap: &Heap) -> impl Fn(NodeId) -> bool {
    let is_marked = |id: NodeId| heap.properties(id).flags.has(Flags::MARKED);
    let has_marks = heap.nodes().any(is_marked);
    move |id| !has_marks || is_marked(id)
}

/// The suspect of a holder that dumps do not show: of the app's classes rather than Ruby's that of most. Steps and reasons are the
/// caller's to tell.
pub(super) fn hidden(heap: &Heap, found: impl Iterator<Item = Content>) -> Option<(Content, Suspect)> {
    let labels = Labels::new(heap);
    let rank = |content: &Content| {
        let class = labels.class(content.sample);
        let is_of_app = class.as_deref().is_some_and(|class| !is_core(class));
        (class.is_some(), is_of_app, content.retained, std::cmp::Reverse(content.sample))
    };
    let content = found.max_by_key(rank)?;
    let class = labels.class_name(content.sample);
    let suspect = Suspect {
        holder: HOLDER.to_owned(),
        holder_id: None,
        id: None,
        address: None,
        label: HOLDER.to_owned(),
        normalised_path: NormalisedPath::default().to(&class),
        class,
        count: content.count,
        memsize: content.retained,
        location: labels.value(Key::Location, content.sample),
        app_location: None,
        is_by_stack: false,
        mostly: None,
        since: content.since.checked_sub(1),
        known_leak: None,
        steps: Vec::new(),
        rate: None,
        path: Chain::default(),
        judged: Vec::new(),
        faulty_references: Vec::new(),
        is_known: None,
        accumulation_point_count: 1,
        rank: (0, 0),
        grown: 0,
        freed: None,
        confidence: Confidence::Low,
        reasons: Vec::new(),
    };
    Some((content, suspect))
}
