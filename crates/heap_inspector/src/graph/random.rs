//! Heaps of given and of random graphs, for tests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::control::Control;
use crate::heap::Heap;
use crate::source::Source;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::io::Cursor;

/// Roots, references and for some nodes a class.
pub(crate) type Drawn = (Vec<u32>, Vec<Vec<u32>>, Vec<Option<u32>>);

const FIRST: u64 = 0x7f00_0000_0000;

pub(crate) fn address(node: u32) -> u64 {
    FIRST + u64::from(node) * 40
}

/// The lines of a dump of these edges; node `n` takes `n + 1` bytes and is of the class of its number, where one is given.
fn lines(count: u32, roots: &[u32], edges: impl Fn(u32) -> Vec<u32>, class: impl Fn(u32) -> Option<u32>) -> String {
    let list =
        |nodes: &[u32]| nodes.iter().map(|node| format!("\"0x{:x}\"", address(*node))).collect::<Vec<_>>().join(", ");
    let mut dump = String::new();
    if !roots.is_empty() {
        writeln!(dump, "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{}]}}", list(roots)).unwrap();
    }
    for node in 0..count {
        let class = class(node).map_or(String::new(), |class| format!(", \"class\":\"0x{:x}\"", address(class)));
        writeln!(
            dump,
            "{{\"address\":\"0x{:x}\", \"type\":\"OBJECT\"{class}, \"references\":[{}], \"memsize\":{}}}",
            address(node),
            list(&edges(node)),
            node + 1
        )
        .unwrap();
    }
    dump
}

/// The heap of these lines.
pub(crate) fn heap(
    count: u32,
    roots: &[u32],
    edges: impl Fn(u32) -> Vec<u32>,
    class: impl Fn(u32) -> Option<u32>,
) -> Heap {
    let dump = lines(count, roots, edges, class);
    Heap::load(&Source::reader(Cursor::new(dump), "memory"), &Control { threads: 1, ..Control::default() }.into())
        .unwrap()
}

/// Draws a graph.
pub(crate) fn graph() -> impl Strategy<Value = Drawn> {
    (1u32..40).prop_flat_map(|count| {
        let nodes = 0..count;
        (
            prop::collection::vec(nodes.clone(), 0..4),
            prop::collection::vec(prop::collection::vec(nodes.clone(), 0..4), count as usize),
            prop::collection::vec(prop::option::weighted(0.3, nodes), count as usize),
        )
    })
}

/// The dump of a graph.
pub(crate) fn lines_of((roots, references, classes): &Drawn) -> String {
    lines(references.len() as u32, roots, |node| references[node as usize].clone(), |node| classes[node as usize])
}

/// The heap of a graph.
pub(crate) fn heap_of((roots, references, classes): &Drawn) -> Heap {
    let count = references.len() as u32;
    heap(count, roots, |node| references[node as usize].clone(), |node| classes[node as usize])
}

/// A heap of the lines of a dump.
pub(crate) fn heap_of_lines(lines: &str) -> (Heap, Source) {
    let source = Source::reader(Cursor::new(lines.to_owned()), "memory").spooled();
    (Heap::load(&source, &Control { threads: 1, ..Control::default() }.into()).unwrap(), source)
}
