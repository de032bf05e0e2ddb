//! Paths of hand-made heaps: what of them is the same wherever the objects lie, and what is not told.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{NormalisedPath, NormalisedPaths};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::{graph, heap_of, heap_of_lines};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use proptest::prelude::*;

/// The paths of the objects at these addresses.
fn paths(lines: &str, addresses: &[u64]) -> Vec<String> {
    let (heap, _) = heap_of_lines(lines);
    let (tree, shortest_paths) = of(&heap);
    let mut paths = NormalisedPaths::new(&heap, &tree, &shortest_paths).unwrap();
    let path = |address: &u64| {
        let id = paths.of(heap.node(*address).unwrap()).unwrap();
        paths.path(id).to_string()
    };
    addresses.iter().map(path).collect()
}

fn of(heap: &Heap) -> (Tree, ShortestPaths) {
    let control = Control::default();
    (Tree::new(heap, &control).unwrap(), ShortestPaths::new(heap, &control).unwrap())
}

/// Classes and what they hold, all of it moved by `shift`.
fn shop(shift: u64) -> String {
    let at = |address: u64| format!("0x{:x}", address + shift);
    let list = |addresses: &[u64]| addresses.iter().map(|one| format!("{:?}", at(*one))).collect::<Vec<_>>().join(", ");
    let class = |address, name: &str, held: &[u64]| {
        format!(
            r#"{{"address":"{}", "type":"CLASS", "name":"{name}", "references":[{}], "memsize":40}}"#,
            at(address),
            list(held)
        )
    };
    let object = |address, ty: &str, class: u64, held: &[u64]| {
        let (address, class, held) = (at(address), at(class), list(held));
        format!(r#"{{"address":"{address}", "type":"{ty}", "class":"{class}", "references":[{held}], "memsize":40}}"#)
    };
    let imemo = |address, held: &[u64]| {
        format!(
            r#"{{"address":"{}", "type":"IMEMO", "imemo_type":"env", "references":[{}], "memsize":40}}"#,
            at(address),
            list(held)
        )
    };
    [
        format!(
            r#"{{"type":"ROOT", "root":"vm", "references":[{}]}}"#,
            list(&[0x1000, 0x1028, 0x1050, 0x1078, 0x10a0])
        ),
        format!(r#"{{"type":"ROOT", "root":"global_tbl", "references":[{}]}}"#, list(&[0x5000])),
        class(0x1000, "Audit", &[0x2000, 0x4000]),
        class(0x1028, "Array", &[]),
        class(0x1050, "Order", &[]),
        class(0x1078, "Node", &[0x3000]),
        class(0x10a0, "Proc", &[]),
        object(0x2000, "ARRAY", 0x1028, &[0x2100, 0x2200]),
        object(0x2100, "OBJECT", 0x1050, &[]),
        object(0x2200, "OBJECT", 0x1050, &[]),
        // A list: each node holds the next.
        object(0x3000, "OBJECT", 0x1078, &[0x3100]),
        object(0x3100, "OBJECT", 0x1078, &[0x3200]),
        object(0x3200, "OBJECT", 0x1078, &[0x3300]),
        object(0x3300, "OBJECT", 0x1050, &[]),
        // A closure's environment is none of the program's objects.
        object(0x4000, "DATA", 0x10a0, &[0x4100]),
        imemo(0x4100, &[0x4200]),
        object(0x4200, "OBJECT", 0x1050, &[]),
        object(0x5000, "ARRAY", 0x1028, &[0x5100]),
        object(0x5100, "OBJECT", 0x1050, &[]),
        object(0x6000, "OBJECT", 0x1050, &[]),
    ]
    .join("\n")
}

#[test]
fn a_path_leads_from_the_nearest_class_by_classes() {
    assert_eq!(paths(&shop(0), &[0x2100, 0x2000, 0x1000]), ["Audit → Array → Order", "Audit → Array", "Audit"]);
    assert_eq!(paths(&shop(0), &[0x4200]), ["Audit → Proc → Order"], "over an environment");
    assert_eq!(paths(&shop(0), &[0x5100]), ["(global variables) → Array → Order"]);
    assert_eq!(paths(&shop(0), &[0x6000]), ["(nothing)"]);
}

#[test]
fn steps_that_repeat_themselves_are_one() {
    assert_eq!(paths(&shop(0), &[0x3000, 0x3200, 0x3300]), ["Node", "Node", "Node → Order"]);
    let class = r#"{"address":"0x1000", "type":"CLASS", "name":"Tree", "references":["0x2000"], "memsize":40}
{"address":"0x1028", "type":"CLASS", "name":"Array", "references":[], "memsize":40}
{"address":"0x1050", "type":"CLASS", "name":"Branch", "references":[], "memsize":40}
{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1028", "0x1050"]}
"#;
    let mut lines = class.to_owned();
    for level in 0..50u64 {
        let at = 0x2000 + level * 0x100;
        lines += &format!(
            r#"{{"address":"0x{at:x}", "type":"OBJECT", "class":"0x1050", "references":["0x{:x}"], "memsize":40}}
{{"address":"0x{:x}", "type":"ARRAY", "class":"0x1028", "references":["0x{:x}"], "memsize":40}}
"#,
            at + 40,
            at + 40,
            at + 0x100
        );
    }
    assert_eq!(paths(&lines, &[0x2000 + 49 * 0x100 + 40]), ["Tree → Branch → Array"]);
}

#[test]
fn a_path_is_the_same_wherever_its_objects_lie() {
    assert_eq!(paths(&shop(0x70_0000), &[0x70_2100, 0x70_4200]), paths(&shop(0), &[0x2100, 0x4200]));
}

#[test]
fn what_has_no_name_is_told_as_such() {
    let lines = r##"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1028"]}
{"address":"0x1000", "type":"CLASS", "name":"Registry", "references":["0x1050"], "memsize":40}
{"address":"0x1028", "type":"CLASS", "name":"Class", "references":[], "memsize":40}
{"address":"0x1050", "type":"CLASS", "class":"0x1028", "references":["0x2000"], "memsize":40}
{"address":"0x2000", "type":"OBJECT", "class":"0x1050", "references":[], "memsize":40}
"##;
    let expected = "Registry → (anonymous class)";
    assert_eq!(paths(lines, &[0x1050, 0x2000]), [expected, expected]);
    assert_eq!(NormalisedPath(vec!["Queue".into()]).to("#<Class:0x7f12>").0, ["Queue", "(anonymous class)"]);
    assert_eq!(NormalisedPath::default().to("Thread::Queue").to("Queue").0, ["Queue"], "its name up to Ruby 3.0");
}

/// `printf 'Audit\nArray\nOrder' | sha256sum` begins so.
#[test]
fn a_fingerprint_is_the_beginning_of_the_hash() {
    let path = NormalisedPath(["Audit", "Array", "Order"].map(str::to_owned).to_vec());
    assert_eq!(path.fingerprint(), "leak-7f1def");
}

proptest! {
    /// Whatever was asked for before, and however the references run in circles.
    #[test]
    fn a_path_does_not_depend_on_what_was_asked_before(drawn in graph()) {
        let heap = heap_of(&drawn);
        let (tree, shortest_paths) = of(&heap);
        let mut all = NormalisedPaths::new(&heap, &tree, &shortest_paths).unwrap();
        for id in heap.nodes().rev() {
            let known = all.of(id).unwrap();
            let mut alone = NormalisedPaths::new(&heap, &tree, &shortest_paths).unwrap();
            let path = alone.of(id).unwrap();
            prop_assert_eq!(alone.path(path), all.path(known));
            prop_assert_eq!(all.path(known).0 == ["(nothing)"], !tree.is_reachable(NodeId(id.0)));
        }
    }
}
