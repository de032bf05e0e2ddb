//! A suspect for the page: what `suspects` says, and its path with what each step holds.

use super::cells::{cut, name};
use crate::analysis::suspects::Suspect;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use serde_json::{Value, json};

pub(super) fn value(heap: &Heap, tree: &Tree, suspect: &Suspect, dump: &str) -> Value {
    let address = |id: NodeId| format!("0x{:x}", heap.address(id));
    let step = |(at, step): (usize, &crate::analysis::chains::Step)| {
        let judged = suspect.judged.get(at);
        json!([
            cut(&step.edge.to_string(), super::cells::LONGEST),
            address(step.id),
            name(&step.label),
            heap.bytes(step.id),
            tree.retained(step.id),
            Some(step.id) == suspect.id,
            judged.map(|judged| judged.verdict.name()),
            judged.map(|judged| name(&judged.reason)),
            judged.and_then(|judged| judged.fault.words()),
        ])
    };
    // A step, or words for those that are left out.
    let path: Vec<Value> = suspect.path.rows().map(|row| row.map_or_else(Value::from, step)).collect();
    let texts = |texts: &[String]| texts.iter().map(|text| name(text)).collect::<Value>();
    json!({
        "class": name(&suspect.class),
        "count": suspect.count,
        "bytes": suspect.memsize,
        "steps": suspect.steps,
        "mostly": suspect.mostly.as_deref().map(name),
        "holder": name(&suspect.holder),
        "holder_address": suspect.holder_id.map(address),
        "accumulates_in": name(&suspect.label),
        "address": suspect.id.map(address),
        "location": suspect.location.words().map(name),
        "app_location": suspect.app_location.as_deref().map(name),
        "has_line": suspect.has_line(),
        "is_by_stack": suspect.is_by_stack,
        "since": suspect.since,
        "rate": suspect.rate.as_ref().map(|rate| name(&rate.words(&suspect.class))),
        "known_leak": suspect.known_leak.as_deref().map(name),
        "accumulation_point_count": suspect.accumulation_point_count,
        "freed": suspect.freed.as_ref().map(|freed| freed.memsize),
        "kept": suspect.freed.as_ref().map(|freed| name(&freed.kept_words())),
        "fingerprint": suspect.fingerprint(),
        "normalised_path": suspect.normalised_path.0.iter().map(|step| name(step)).collect::<Vec<_>>(),
        "confidence": suspect.confidence.name(),
        "reasons": texts(&suspect.reasons),
        "path": path,
        "next": suspect.next(dump).as_deref().map(name),
        "sample": suspect.path.steps.last().map(|step| address(step.id)),
    })
}

/// The objects that it names.
pub(super) fn objects(suspect: &Suspect) -> Vec<NodeId> {
    let steps = suspect.path.steps.iter().map(|step| step.id);
    suspect.id.into_iter().chain(suspect.holder_id).chain(steps).collect()
}
