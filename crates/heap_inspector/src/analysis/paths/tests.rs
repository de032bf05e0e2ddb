//! Merged paths on random heaps, and on heaps that are hard on recursion and on quadratic time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::graph::random::{graph, heap, heap_of, heap_of_lines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merged_rows_add_up_to_the_objects(graph in graph(), every in 1u32..4) {
        let heap = heap_of(&graph);
        let (_, source) = heap_of_lines(EMPTY);
        let ids: Vec<NodeId> = heap.nodes().filter(|id| id.0 % every == 0).collect();
        let shown = Shown { share: 0.0, width: usize::MAX, depth: usize::MAX };
        let merged = merged(&heap, &source, &ids, shown, &Control::default()).unwrap();
        let shortest_paths = ShortestPaths::new(&heap, &Control::default()).unwrap();
        let reachable: Vec<&NodeId> = ids.iter().filter(|id| shortest_paths.is_reachable(**id)).collect();
        prop_assert_eq!(merged.unreachable, (ids.len() - reachable.len()) as u64);
        let top = merged.groups.iter().filter(|group| group.depth == 0);
        let (targets, bytes) = top.fold((0, 0), |sum, group| (sum.0 + group.targets, sum.1 + group.memsize));
        prop_assert_eq!(targets, reachable.len() as u64);
        prop_assert_eq!(bytes, reachable.iter().map(|id| heap.bytes(**id)).sum::<u64>());
        // A row leads to what the rows below it lead to and to those of its own objects that are asked for.
        for (at, group) in merged.groups.iter().enumerate() {
            let below = merged.groups[at + 1..].iter().take_while(|row| row.depth > group.depth);
            let below: u64 = below.filter(|row| row.depth == group.depth + 1).map(|row| row.targets).sum();
            prop_assert!(below <= group.targets && group.targets <= below + group.count);
        }
    }
}

/// A dump to read texts from where there are none.
const EMPTY: &str = r#"{"type":"ROOT", "root":"vm", "references":[]}
{"address":"0x28", "type":"OBJECT", "references":[], "memsize":40}
"#;

#[test]
fn the_paths_to_a_million_in_a_two_way_list_are_merged_in_linear_time() {
    const COUNT: u32 = 1_000_000;
    let heap = heap(COUNT, &[0, 500_000], |node| vec![(node + 1) % COUNT, (node + COUNT - 1) % COUNT], |_| None);
    let ids: Vec<NodeId> = heap.nodes().collect();
    let (_, source) = heap_of_lines(EMPTY);
    let shown = Shown { share: 0.0, width: usize::MAX, depth: 50 };
    let merged = merged(&heap, &source, &ids, shown, &Control::default()).unwrap();
    assert_eq!(
        merged.groups.iter().filter(|group| group.depth == 0).map(|group| group.targets).sum::<u64>(),
        1_000_000
    );
}

#[test]
fn closures_are_merged_by_their_code() {
    let mut lines = String::from(
        r#"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1028", "0x1050"]}
{"address":"0x80", "type":"CLASS", "name":"Proc", "memsize":40}
{"address":"0x200", "type":"STRING", "value":"block in add", "memsize":40}
{"address":"0x228", "type":"STRING", "value":"add", "memsize":40}
{"address":"0x250", "type":"STRING", "value":"block in drop", "memsize":40}
{"address":"0x278", "type":"STRING", "value":"drop", "memsize":40}
{"address":"0x2a0", "type":"STRING", "value":"app/shop.rb", "memsize":40}
{"address":"0x100", "type":"IMEMO", "imemo_type":"iseq", "references":["0x200", "0x228", "0x2a0"], "memsize":40}
{"address":"0x128", "type":"IMEMO", "imemo_type":"iseq", "references":["0x250", "0x278", "0x2a0"], "memsize":40}
"#,
    );
    for (number, iseq) in [0x100, 0x128, 0x100].into_iter().enumerate() {
        let address = 0x1000 + 40 * number;
        lines += &format!(
            "{{\"address\":\"0x{address:x}\", \"type\":\"DATA\", \"class\":\"0x80\", \"struct\":\"proc\", \
             \"references\":[\"0x{iseq:x}\"], \"memsize\":40}}\n"
        );
    }
    let (heap, source) = heap_of_lines(&lines);
    let ids: Vec<NodeId> = (0..3).filter_map(|number| heap.node(0x1000 + 40 * number)).collect();
    let merged = merged(&heap, &source, &ids, Shown::default(), &Control::default()).unwrap();
    let found: Vec<(u64, &str)> = merged.groups.iter().map(|group| (group.count, &group.label[..])).collect();
    assert_eq!(found, [(2, "Proc, block in add, app/shop.rb"), (1, "Proc, block in drop, app/shop.rb")]);
}

#[test]
fn a_wide_holder_names_each_of_its_edges_in_linear_time() {
    const COUNT: u32 = 300_000;
    let list = |nodes: std::ops::Range<u32>| {
        nodes.map(|node| format!("\"0x{:x}\"", crate::graph::random::address(node))).collect::<Vec<_>>().join(", ")
    };
    let mut lines = format!(
        "{{\"address\":\"0x{:x}\", \"type\":\"ARRAY\", \"length\":{}, \"references\":[{}], \"memsize\":40}}\n",
        crate::graph::random::address(0),
        COUNT - 1,
        list(1..COUNT)
    );
    for node in 1..COUNT {
        let address = crate::graph::random::address(node);
        lines +=
            &format!("{{\"address\":\"0x{address:x}\", \"type\":\"OBJECT\", \"references\":[], \"memsize\":40}}\n");
    }
    let (heap, _) = heap_of_lines(&lines);
    let labels = Labels::new(&heap);
    for node in 1..COUNT {
        assert_eq!(labels.edge(NodeId(0), NodeId(node)), Edge::Element(node - 1));
        assert_eq!(labels.reference(NodeId(0), node as usize - 1), Edge::Element(node - 1));
    }
}

/// Ten requests, each held by a local variable and itself holding a session; in two the dump calls that something else.
#[test]
fn merged_edges_are_called_what_all_or_most_of_them_are() {
    let address = |kind: u64, number: u64| format!("0x{:x}", kind * 0x10000 + number * 40);
    let list =
        |kind: u64| (0..10).map(|number| format!("\"{}\"", address(kind, number))).collect::<Vec<_>>().join(", ");
    let root =
        r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}"#;
    let mut lines = vec![
        root.to_owned(),
        r#"{"type":"ROOT", "root":"vm", "references":["0x1000"]}"#.to_owned(),
        r#"{"address":"0x80", "type":"CLASS", "name":"Request", "memsize":40}"#.to_owned(),
        r#"{"address":"0xa8", "type":"CLASS", "name":"Session", "memsize":40}"#.to_owned(),
        r#"{"address":"0xd0", "type":"CLASS", "name":"Hash", "memsize":40}"#.to_owned(),
        format!(
            "{{\"address\":\"0x1000\", \"type\":\"ARRAY\", \"length\":10, \"references\":[{}], \"memsize\":40}}",
            list(2)
        ),
    ];
    for number in 0..10 {
        let variable = if number < 8 { "@session" } else { "@old" };
        for (kind, keys, names) in [
            (2, r#""type":"IMEMO", "imemo_type":"env""#, "\"request\"".to_owned()),
            (3, r#""type":"OBJECT", "class":"0x80""#, format!("\"{variable}\"")),
            (4, r#""type":"HASH", "length":1, "class":"0xd0""#, format!("\"[:key{number}]\"")),
            (5, r#""type":"OBJECT", "class":"0xa8""#, String::new()),
        ] {
            let to = if kind < 5 { format!("\"{}\"", address(kind + 1, number)) } else { String::new() };
            // A key that is a symbol is no reference.
            lines.push(format!(
                "{{\"address\":\"{}\", {keys}, \"references\":[{to}], \"names\":[{names}], \"memsize\":40}}",
                address(kind, number)
            ));
        }
    }
    let (heap, source) = heap_of_lines(&lines.join("\n"));
    let ids: Vec<NodeId> = (0..10).filter_map(|number| heap.node(0x50000 + number * 40)).collect();
    let merged = merged(&heap, &source, &ids, Shown::default(), &Control::default()).unwrap();
    let found: Vec<(u64, String)> = merged.groups.iter().map(|group| (group.count, group.edge.to_string())).collect();
    let edge = |count: u64, words: &str| (count, words.to_owned());
    let expected = [
        edge(1, "root vm"),
        edge(10, "element"),
        edge(10, "local variable request"),
        edge(10, "@session (80% of them)"),
        edge(10, "value"),
    ];
    assert_eq!(found, expected);
    assert!(!merged.groups[3].edge.is_certain() && merged.groups[2].edge.is_certain());
}
