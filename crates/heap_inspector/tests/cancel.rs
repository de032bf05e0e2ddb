//! All that can take long ends when the caller raises the flag.

use heap_inspector::analysis::objects::{Number, Objects, OrderBy, Query, ordered};
use heap_inspector::analysis::paths;
use heap_inspector::analysis::{
    Order, collections, fragmentation, generations, grouping, groups, retained, strings, summary, suspects, unreachable,
};
use heap_inspector::control::Control;
use heap_inspector::graph::Referrers;
use heap_inspector::graph::dominators::Tree;
use heap_inspector::graph::shortest_paths::ShortestPaths;
use heap_inspector::heap::{Heap, NodeId};
use heap_inspector::keys::Key;
use heap_inspector::scan::Options;
use heap_inspector::select::Filter;
use heap_inspector::source::Source;
use heap_inspector::{ErrorKind, Result};
use std::sync::atomic::AtomicBool;

#[test]
fn every_analysis_ends_when_the_flag_is_up() {
    // More objects than are looked at between two looks at the flag, each of which holds the next one.
    let mut dump = String::from("{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x7f0000000028\"]}\n");
    for number in 1..150_000u64 {
        let (address, next) = (0x7f00_0000_0000 + 40 * number, 0x7f00_0000_0000 + 40 * (number + 1));
        let line =
            format!(r#"{{"address":"0x{address:x}", "type":"ARRAY", "references":["0x{next:x}"], "memsize":40}}"#);
        dump.push_str(&line);
        dump.push('\n');
    }
    let source = Source::reader(std::io::Cursor::new(dump.into_bytes()), "a chain").spooled();
    let heap = Heap::load(&source, &Options::default()).expect("all lines are good");
    let tree = Tree::new(&heap, &Control::default()).expect("nobody cancels");
    let children = tree.children().expect("a chain is small");
    let (filter, by, all) = (Filter::default(), [Key::Class], Query::default());
    let ids: Vec<NodeId> = heap.nodes().collect();
    let asked = groups::Options { by: by.to_vec(), ..groups::Options::default() };
    let objects = Objects::new(&heap, Some((&tree, children)), &all);

    let flag = AtomicBool::new(true);
    let options = Control { cancel: Some(&flag), ..Control::default() };
    let order = [(OrderBy::Key(Key::Class), false)];
    let ended: [(&str, Result<()>); 22] = [
        ("load", Heap::load(&source, &options.into()).map(drop)),
        ("dominators", Tree::new(&heap, &options).map(drop)),
        ("referrers", Referrers::new(&heap, &options).map(drop)),
        ("ways", ShortestPaths::new(&heap, &options).map(drop)),
        ("paths", paths::paths(&heap, &tree, &source, ids[0], 3, &options).map(drop)),
        ("merged", paths::merged(&heap, &source, &ids, paths::Shown::default(), &options).map(drop)),
        ("holders", retained::holders(&heap, &tree, &source, &filter, 3, &options).map(drop)),
        ("retained", retained::groups(&heap, &tree, &by, &filter, None, &options).map(drop)),
        ("unreachable", unreachable::unreachable(&heap, &tree, &source, &asked, &options).map(drop)),
        ("collections", collections::collections(&heap, Some(&tree), &by, &filter, 3, &options).map(drop)),
        ("fragmentation", fragmentation::fragmentation(&heap, &by, &filter, 3, &options).map(drop)),
        ("strings", strings::read(&source, &filter, Order::Bytes, 3, &options.into()).map(drop)),
        ("suspects", suspects::of_heap(&heap, &tree, &source, 3, &options).map(drop)),
        ("groups of a dump", groups::read(&source, &asked, &options.into()).map(drop)),
        ("groups of a heap", groups::groups(&heap, &asked, &options).map(drop)),
        ("generations", generations::generations(&heap, filter.clone(), None, &options).map(drop)),
        ("summary", summary::summary(&heap, &filter, 3, &options).map(drop)),
        ("nodes", grouping::nodes(&heap, &filter, &options).map(drop)),
        ("similar classes", grouping::similar_classes(&heap, "Order", 3, &options).map(drop)),
        ("objects", objects.ids(&options).map(drop)),
        ("groups", objects.groups(&by, Number::Memsize, &options).map(drop)),
        ("order", ordered(&heap, None, ids, &order, 0..9, &options).map(drop)),
    ];
    let went_on = ended
        .into_iter()
        .filter(|(_, result)| result.as_ref().err().map(heap_inspector::Error::kind) != Some(ErrorKind::Interrupted));
    assert_eq!(went_on.map(|(name, _)| name).collect::<Vec<_>>(), [""; 0]);
}
