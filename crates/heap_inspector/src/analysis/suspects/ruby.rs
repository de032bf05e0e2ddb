//! What Ruby itself holds objects in, by its name instead of `root vm`.

use crate::heap::{Heap, NodeId};
use crate::labels::Labels;
use crate::record::Type;

/// So many elements of a table of Ruby's own tell what it is.
const TOLD_BY: usize = 16;

/// The elements whose texts tell what a table of Ruby's own is; none where a path leads through something else.
pub(in crate::analysis) fn telling(heap: &Heap, path: &[NodeId]) -> Vec<NodeId> {
    let [table, ..] = path else { return Vec::new() };
    if !is_hidden(heap, *table) {
        return Vec::new();
    }
    heap.targets(*table).rev().filter(|id| heap.properties(*id).ty == Type::String).take(TOLD_BY).collect()
}

/// The store of Ruby's own on a path from a root of this category, objects of such a class piling up at its end.
pub(super) fn store(
    heap: &Heap,
    labels: &Labels<'_>,
    category: &str,
    path: &[NodeId],
    class: &str,
) -> Option<&'static str> {
    if class == "TracePoint" {
        return Some("the trace points");
    }
    // From Ruby 4.0 on they are a root of their own; before, lists of names and their symbols in a list.
    if category == "global_symbols" {
        return Some("the symbol table");
    }
    if let Some(at) = path.iter().position(|id| is_ractor(heap, *id)) {
        let is_thread = match path.get(at + 1) {
            Some(id) => label(heap, *id) == (Type::Data, b"VM/thread"),
            None => class == "Thread",
        };
        return if is_thread { None } else { Some("the messages to a Ractor") };
    }
    let [table, ..] = path else { return None };
    if !is_hidden(heap, *table) {
        return None;
    }
    let is_of_symbols = |id: NodeId| {
        is_hidden(heap, id)
            && heap.properties(id).ty == Type::Array
            && heap.targets(id).all(|target| matches!(heap.properties(target).ty, Type::String | Type::Symbol))
            && heap.references(id).len() > 0
    };
    let mut elements = heap.targets(*table).peekable();
    if heap.properties(*table).ty == Type::Array && elements.peek().is_some() && elements.all(is_of_symbols) {
        return Some("the symbol table");
    }
    let texts: Vec<&str> = telling(heap, path).iter().filter_map(|id| labels.start(*id)).collect();
    let is_file = |text: &&&str| text.starts_with('/') || text.ends_with(".rb") || text.ends_with(".so");
    (!texts.is_empty() && texts.iter().filter(is_file).count() * 4 >= texts.len() * 3).then_some("the loaded features")
}

/// A Ractor, which holds its threads and what is sent to it.
pub(super) fn is_ractor(heap: &Heap, id: NodeId) -> bool {
    label(heap, id) == (Type::Data, b"ractor")
}

/// An array or hash that has no class: Ruby's own.
fn is_hidden(heap: &Heap, id: NodeId) -> bool {
    matches!(heap.properties(id).ty, Type::Array | Type::Hash) && heap.class(id).is_none()
}

fn label(heap: &Heap, id: NodeId) -> (Type, &[u8]) {
    let properties = heap.properties(id);
    (properties.ty, heap.names().tables.symbols.bytes(properties.names.label))
}
