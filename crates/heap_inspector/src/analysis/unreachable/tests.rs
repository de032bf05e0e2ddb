//! A heap worked out by hand, and on random graphs the plain version: components by who reaches whom.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::control::Control;
use crate::select::Filter;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::io::Cursor;

fn load(dump: String) -> (Heap, Tree, Source) {
    let source = Source::reader(Cursor::new(dump), "memory").spooled();
    let heap = Heap::load(&source, &Control { threads: 1, ..Control::default() }.into()).unwrap();
    let tree = Tree::new(&heap, &Control::default()).unwrap();
    (heap, tree, source)
}

fn by(keys: &[Key], filter: &str, limit: usize) -> groups::Options {
    let filter = if filter.is_empty() { Filter::default() } else { filter.parse().unwrap() };
    groups::Options { by: keys.to_vec(), filter, limit: Some(limit), ..groups::Options::default() }
}

fn line(at: u64, rest: &str, references: &[u64], bytes: u64) -> String {
    let references: Vec<String> = references.iter().map(|at| format!("\"0x{at:x}\"")).collect();
    format!(
        "{{\"address\":\"0x{at:x}\", {rest}, \"references\":[{}], \"file\":\"/app/x.rb\", \"line\":{at}, \"generation\":1, \
         \"memsize\":{bytes}}}\n",
        references.join(", ")
    )
}

/// Alive: 1 -> 2. Dead: 3 -> 4, 5; 6 -> 5; the cycle 7 -> 8 -> 7 with 8 -> 9; 10 -> 10; and what Ruby may hold weakly.
fn dump() -> String {
    let object = "\"type\":\"OBJECT\"";
    [
        "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x1000\"]}\n".to_owned(),
        line(0x1000, object, &[0x2000], 1),
        line(0x2000, "\"type\":\"DATA\", \"struct\":\"weakmap\"", &[], 2),
        line(0x3000, "\"type\":\"ARRAY\", \"length\":2", &[0x4000, 0x5000, 0x1000], 10),
        line(0x4000, object, &[], 20),
        line(0x5000, object, &[], 30),
        line(0x6000, object, &[0x5000], 40),
        // What the cycle leads to stands before it in the dump.
        line(0x6800, "\"type\":\"STRING\", \"value\":\"held by a cycle\", \"encoding\":\"UTF-8\"", &[], 300),
        line(0x7000, "\"type\":\"HASH\", \"size\":1", &[0x8000, 0x8000], 100),
        line(0x8000, object, &[0x7000, 0x6800], 200),
        line(0xa000, object, &[0xa000], 5),
        line(0xb000, "\"type\":\"STRING\", \"fstring\":true, \"value\":\"x\", \"encoding\":\"UTF-8\"", &[], 7),
        line(0xc000, "\"type\":\"SYMBOL\"", &[], 8),
        line(0xd000, "\"type\":\"IMEMO\", \"imemo_type\":\"callcache\"", &[], 9),
        line(0xe000, "\"type\":\"IMEMO\", \"imemo_type\":\"iseq\"", &[], 11),
    ]
    .concat()
}

#[test]
fn counts_each_object_to_one_structure() {
    let (heap, tree, source) = load(dump());
    let asked = by(&[Key::Type], "", 4);
    let found = unreachable(&heap, &tree, &source, &asked, &Control::default()).unwrap();
    assert_eq!((found.total.count, found.total.memsize), (12, 740));
    // 3; 6; the cycle; 10; four of Ruby's own.
    assert_eq!(found.components, 8);
    let biggest: Vec<(u64, u64, u64, bool)> = found
        .biggest
        .iter()
        .map(|root| (heap.address(root.id), root.sum.memsize, root.sum.count, root.is_cycle))
        .collect();
    // 5 hangs on 6, which is later in the dump than 3.
    assert_eq!(
        biggest,
        [(0x7000, 600, 3, true), (0x6000, 70, 2, false), (0x3000, 30, 2, false), (0xe000, 11, 1, false)]
    );
    assert_eq!(found.rest_biggest.0, 4);
    assert_eq!(found.rest_biggest.1.memsize, 5 + 7 + 8 + 9);
    assert_eq!(found.biggest[0].label, "(HASH), 1 entry");
    assert_eq!(found.biggest[0].location, KeyValue::Text("/app/x.rb:28672".into()));
    let component_roots: Vec<(&KeyValue, u64, u64)> = found
        .component_roots
        .iter()
        .map(|component_roots| (&component_roots.key[0], component_roots.components, component_roots.sum.memsize))
        .collect();
    let text = |text: &str| KeyValue::Text(text.into());
    assert_eq!(
        component_roots,
        [(&text("HASH"), 1, 600), (&text("OBJECT"), 2, 75), (&text("ARRAY"), 1, 30), (&text("IMEMO"), 2, 20)]
    );
    assert_eq!(found.rest_roots.0, 2);
    assert_eq!(found.rest_roots.2.memsize, 15);
    let groups: Vec<(&KeyValue, u64, u64)> =
        found.groups.groups.iter().map(|group| (&group.key[0], group.sum.count, group.sum.memsize)).collect();
    assert_eq!(
        groups,
        [(&text("STRING"), 2, 307), (&text("OBJECT"), 5, 295), (&text("HASH"), 1, 100), (&text("IMEMO"), 2, 20)]
    );
    assert_eq!(found.groups.total.memsize, 740);
}

#[test]
fn tells_apart_what_may_be_held_weakly() {
    let (heap, tree, source) = load(dump());
    let found = unreachable(&heap, &tree, &source, &by(&[], "", 1), &Control::default()).unwrap();
    let Weak { strings, symbols, calls, maps } = found.weak;
    assert_eq!([strings, symbols, calls].map(|sum| (sum.count, sum.memsize)), [(1, 7), (1, 8), (1, 9)]);
    assert_eq!(maps, 1, "a reachable one");
}

#[test]
fn filters_objects_and_heads() {
    let (heap, tree, source) = load(dump());
    let asked = by(&[Key::Type], "type=OBJECT,memsize=5..40", 9);
    let found = unreachable(&heap, &tree, &source, &asked, &Control::default()).unwrap();
    assert_eq!(found.total.memsize, 740, "the whole stays the whole");
    assert_eq!((found.groups.total.count, found.groups.total.memsize), (4, 95));
    let component_roots: Vec<u64> = found.biggest.iter().map(|root| heap.address(root.id)).collect();
    assert_eq!(component_roots, [0x6000, 0xa000]);
}

#[test]
fn without_roots_says_that_this_says_nothing() {
    let (heap, tree, source) = load(line(0x1000, "\"type\":\"OBJECT\"", &[], 40));
    let asked = by(&[Key::Class], "", 9);
    let found = unreachable(&heap, &tree, &source, &asked, &Control::default()).unwrap();
    assert_eq!(found.total.count, 1);
    let report = found.report(&asked, "memory", &Context::of(&heap));
    let warned = report.sections.iter().any(|section| {
        matches!(section, Section::Note(note) if note.level == Level::Warning && note.text.contains("no ROOT lines"))
    });
    assert!(warned);
}

#[test]
fn a_dead_list_of_a_million_is_one_structure() {
    const COUNT: u64 = 1_000_000;
    let mut dump = "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[]}\n".to_owned();
    // The root stands last, so that a walk in the order of the dump meets the tail first.
    for at in 0..COUNT {
        let next = if at == 0 { String::new() } else { format!("\"0x{:x}\"", 0x10000 + (at - 1) * 40) };
        let address = 0x10000 + at * 40;
        writeln!(
            dump,
            "{{\"address\":\"0x{address:x}\", \"type\":\"OBJECT\", \"references\":[{next}], \"memsize\":40}}"
        )
        .unwrap();
    }
    let (heap, tree, source) = load(dump);
    let found = unreachable(&heap, &tree, &source, &by(&[], "", 9), &Control::default()).unwrap();
    assert_eq!(found.components, 1);
    assert_eq!((found.biggest[0].id, found.biggest[0].sum.count), (NodeId(COUNT as u32 - 1), COUNT));
}

/// By node, which nodes it leads to, itself where a cycle does.
fn reach(edges: &[Vec<u32>]) -> Vec<Vec<bool>> {
    let from = |start: usize| {
        let mut seen = vec![false; edges.len()];
        let mut queue = edges[start].clone();
        while let Some(node) = queue.pop() {
            if !std::mem::replace(&mut seen[node as usize], true) {
                queue.extend(&edges[node as usize]);
            }
        }
        seen
    };
    (0..edges.len()).map(from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn heads_are_what_no_other_component_leads_to(
        edges in (1usize..30).prop_flat_map(|count| {
            prop::collection::vec(prop::collection::vec(0..count as u32, 0..3), count)
        }),
        root in prop::option::of(0u32..30),
    ) {
        let root = root.filter(|root| (*root as usize) < edges.len());
        let address = |node: u32| 0x10000 + u64::from(node) * 40;
        let list = |nodes: &[u32]| -> Vec<u64> { nodes.iter().map(|node| address(*node)).collect() };
        let mut dump = String::new();
        let named = root.map_or(String::new(), |root| format!("\"0x{:x}\"", address(root)));
        writeln!(dump, "{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{named}]}}").unwrap();
        for (node, edges) in edges.iter().enumerate() {
            dump += &line(address(node as u32), "\"type\":\"OBJECT\"", &list(edges), node as u64 + 1);
        }
        let (heap, tree, source) = load(dump);
        let found = unreachable(&heap, &tree, &source, &by(&[], "", usize::MAX), &Control::default()).unwrap();
        let reach = reach(&edges);
        let dead: Vec<usize> = (0..edges.len())
            .filter(|node| root.is_none_or(|root| root as usize != *node && !reach[root as usize][*node]))
            .collect();
        // A node can root a component if whatever dead node leads to it can be reached from it too.
        let can_head = |node: &&usize| dead.iter().all(|other| !reach[*other][**node] || reach[**node][*other]);
        let component_roots: Vec<usize> = dead.iter().filter(can_head).copied().collect();
        // Of each cycle one.
        let cycles = component_roots.iter().filter(|node| !component_roots.iter().any(|other| other < *node && reach[*other][**node]));
        prop_assert_eq!(found.components as usize, cycles.count());
        for root in &found.biggest {
            let node = root.id.0 as usize;
            prop_assert!(component_roots.contains(&node));
            prop_assert_eq!(root.is_cycle, reach[node][node]);
        }
        let whole: u64 = found.biggest.iter().map(|root| root.sum.memsize).sum();
        prop_assert_eq!(whole, dead.iter().map(|node| *node as u64 + 1).sum::<u64>());
        prop_assert_eq!(whole, found.total.memsize);
    }
}
