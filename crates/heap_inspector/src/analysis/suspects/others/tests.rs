#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{Graph, OtherHolders, others};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::random::{graph, heap_of_lines, lines_of};
use crate::graph::shortest_paths::ShortestPaths;
use crate::graph::targets;
use crate::heap::{Heap, NodeId, Target};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fmt::Write as _;

fn found(
    lines: &str,
    is_held: impl Fn(&Heap, NodeId) -> bool,
    is_cut: impl Fn(&Heap, NodeId, NodeId) -> bool,
) -> OtherHolders {
    let (heap, source) = heap_of_lines(lines);
    let control = Control::default();
    let tree = Tree::new(&heap, &control).unwrap();
    let shortest_paths = ShortestPaths::new(&heap, &control).unwrap();
    let graph = Graph { heap: &heap, tree: &tree, shortest_paths: &shortest_paths, source: &source };
    others(graph, |id| is_held(&heap, id), |from, to| is_cut(&heap, from, to), |_| false, &control).unwrap()
}

/// Ten orders in the list of App, which is cut. Each of the classes in `named` has a list of as many of them as is said; what an order
/// refers to refers back to it.
fn shop(named: &[(&str, usize)]) -> String {
    let address = |number: usize| format!("\"0x{number:x}\"");
    let list = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(address).collect::<Vec<_>>().join(", ");
    let orders = || (0..10).map(|order| 0x10_0000 + order * 0x100);
    let classes = (0..named.len()).map(|class| 0x4000 + class * 40);
    let mut lines = format!(
        r#"{{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1028", "0x1050", "0x1078", {}]}}
{{"address":"0x1000", "type":"CLASS", "name":"App", "references":["0x2000"], "memsize":40}}
{{"address":"0x1028", "type":"CLASS", "name":"Array", "memsize":40}}
{{"address":"0x1050", "type":"CLASS", "name":"Order", "memsize":40}}
{{"address":"0x1078", "type":"CLASS", "name":"Item", "memsize":40}}
{{"address":"0x2000", "type":"ARRAY", "class":"0x1028", "length":10, "references":[{}], "memsize":120}}
"#,
        list(&mut classes.clone()),
        list(&mut orders()),
    );
    for order in orders() {
        writeln!(
            lines,
            r#"{{"address":"0x{order:x}", "type":"OBJECT", "class":"0x1050", "references":["0x{:x}"], "memsize":80}}"#,
            order + 0x80
        )
        .unwrap();
        writeln!(
            lines,
            r#"{{"address":"0x{:x}", "type":"OBJECT", "class":"0x1078", "references":["0x{order:x}"], "memsize":80}}"#,
            order + 0x80
        )
        .unwrap();
    }
    for ((name, count), class) in named.iter().zip(classes) {
        let held = list(&mut orders().take(*count));
        writeln!(
            lines,
            r#"{{"address":"0x{class:x}", "type":"CLASS", "name":"{name}", "references":["0x{:x}"], "memsize":40}}"#,
            class + 0x10_000
        )
        .unwrap();
        writeln!(lines, r#"{{"address":"0x{:x}", "type":"ARRAY", "class":"0x1028", "length":{count}, "references":[{held}], "memsize":120}}"#, class + 0x10_000).unwrap();
    }
    lines
}

/// What holds the orders but for the list of App, in words.
fn holding(named: &[(&str, usize)]) -> String {
    let of_orders = |heap: &Heap, id: NodeId| heap.bytes(id) == 80 && heap.address(id).is_multiple_of(0x100);
    found(&shop(named), of_orders, |heap, from, _| heap.address(from) == 0x2000).words()
}

#[test]
fn others_are_named_by_holder_and_reference() {
    assert_eq!(holding(&[]), "");
    assert_eq!(holding(&[("Cache", 3)]), "Cache (Array […] → Order)");
    assert_eq!(
        holding(&[("Cache", 3), ("Search", 5)]),
        "Search (Array […] → Order) and Cache (Array […] → Order)",
        "the one that holds the most is the first"
    );
}

#[test]
fn more_than_three_are_counted() {
    assert_eq!(
        holding(&[("A", 1), ("B", 2), ("C", 3), ("D", 4), ("E", 5)]),
        "E (Array […] → Order), D (Array […] → Order), C (Array […] → Order) and 2 more"
    );
    let many: Vec<String> = (0..50).map(|number| format!("Index{number}")).collect();
    let many: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
    assert!(holding(&many).ends_with(" and 47 more"), "{}", holding(&many));
}

#[test]
fn what_holds_by_a_root_goes_by_its_name() {
    let lines = shop(&[]) + "{\"type\":\"ROOT\", \"root\":\"global_tbl\", \"references\":[\"0x100000\"]}\n";
    let first = |heap: &Heap, id: NodeId| heap.address(id) == 0x10_0000;
    assert_eq!(found(&lines, first, |heap, from, _| heap.address(from) == 0x2000).words(), "root global_tbl");
}

proptest! {
    /// The twin: each referrer that roots lead to without what is cut, and without stepping on what is held.
    #[test]
    fn tells_how_many_objects_hold_it_by_themselves(drawn in graph(), held in 0u32..40, odd in any::<bool>()) {
        let lines = lines_of(&drawn);
        let (heap, _) = heap_of_lines(&lines);
        prop_assume!((held as usize) < heap.object_count());
        let (held, is_cut) = (NodeId(held), |from: NodeId, to: NodeId| (from.0 + to.0) % 3 == u32::from(odd));
        let mut waiting: Vec<NodeId> =
            heap.roots().iter().flat_map(|root| root.targets.iter().filter_map(Target::node)).collect();
        let is_root = waiting.contains(&held);
        let (mut seen, mut holding) = (HashSet::new(), HashSet::new());
        while let Some(id) = waiting.pop() {
            if id != held && seen.insert(id) {
                for target in targets(&heap, id).filter(|target| !is_cut(id, *target)) {
                    holding.extend((target == held).then_some(id));
                    waiting.push(target);
                }
            }
        }
        let told = found(&lines, |_, id| id == held, |_, from, to| is_cut(from, to));
        let referrer_count: u64 = told.named.iter().map(|one| one.referrer_count).sum();
        prop_assert_eq!(referrer_count + told.more, holding.len() as u64 + u64::from(is_root), "{:?}", told);
    }
}
