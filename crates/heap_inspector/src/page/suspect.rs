//! A suspect for the page: what `suspects` says, and its path with what each step holds.

use super::cells::{cut, name};
use crate::analysis::suspects::Suspect;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use serde_json::{Value, json};

/// Steps of a path at most; of longer ones the beginning and the end.
const STEPS: usize = 60;

pub(super) fn value(heap: &Heap, tree: &Tree, suspect: &Suspect, dump: &str) -> Value {
    let address = |id: NodeId| format!("0x{:x}", heap.address(id));
    let step = |step: &crate::analysis::paths::Step| {
        json!([
            cut(&step.edge.to_string(), super::cells::LONGEST),
            address(step.id),
            name(&step.label),
            heap.bytes(step.id),
            tree.retained(step.id),
            Some(step.id) == suspect.id,
        ])
    };
    let path = &suspect.path;
    let left_out = path.len().saturating_sub(STEPS);
    let steps: Vec<Value> = match left_out {
        0 => path.iter().map(step).collect(),
        _ => path[..STEPS / 2].iter().chain(&path[path.len() - STEPS / 2..]).map(step).collect(),
    };
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
        "is_by_stack": suspect.is_by_stack,
        "since": suspect.since,
        "confidence": suspect.confidence.name(),
        "reasons": texts(&suspect.reasons),
        "path": steps,
        "left_out": left_out,
        "left_out_at": STEPS / 2,
        "next": suspect.next(heap, dump).as_deref().map(name),
        "sample": suspect.path.last().map(|step| address(step.id)),
    })
}

/// The objects that it names.
pub(super) fn objects(suspect: &Suspect) -> Vec<NodeId> {
    let path = &suspect.path;
    let ends = path.iter().take(STEPS / 2).chain(path.iter().rev().take(STEPS / 2)).map(|step| step.id);
    suspect.id.into_iter().chain(suspect.holder_id).chain(ends).collect()
}
