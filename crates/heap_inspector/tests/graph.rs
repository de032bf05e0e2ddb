//! Dominators of real dumps: sampled objects against taking the object away and looking what is reached no more.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::control::Control;

use heap_inspector::graph::dominators::{Dominator, Tree};
use heap_inspector::heap::{Heap, NodeId, Target};
use heap_inspector::scan::Options;
use heap_inspector::source::Source;

const DUMPS: [(&str, bool); 8] = [
    ("ruby-2.7-x86_64", false),
    ("ruby-3.1-x86_64", true),
    ("ruby-3.2-wasm32", false),
    ("ruby-3.3-x86_64", true),
    ("ruby-3.4-x86_64", true),
    ("ruby-3.4-native-zoo", false),
    ("ruby-4.0-wasm32", false),
    ("ruby-4.1-native-zoo", false),
];

fn load(name: &str) -> Heap {
    let path = format!("{}/tests/dumps/{name}.json.zst", env!("CARGO_MANIFEST_DIR"));
    Heap::load(&Source::path(path), &Options::default()).unwrap()
}

/// Which objects the roots reach without `gone`.
fn reached(heap: &Heap, gone: Option<NodeId>) -> Vec<bool> {
    let mut seen = vec![false; heap.object_count()];
    let node = |target: Target| match target {
        Target::Node(id) => Some(id),
        Target::Dangling(_) => None,
    };
    let mut queue: Vec<NodeId> =
        heap.roots().iter().flat_map(|root| root.targets.iter().copied().filter_map(node)).collect();
    while let Some(id) = queue.pop() {
        if Some(id) != gone && !std::mem::replace(&mut seen[id.0 as usize], true) {
            queue.extend(heap.references(id).filter_map(node).chain(heap.class(id)));
        }
    }
    seen
}

#[test]
fn sampled_objects_retain_what_goes_with_them() {
    for (name, _) in DUMPS {
        let heap = load(name);
        let tree = Tree::new(&heap, &Control::default()).unwrap();
        let all = reached(&heap, None);
        let bytes = |reached: &[bool]| -> u64 {
            heap.nodes().filter(|id| reached[id.0 as usize]).map(|id| heap.bytes(id)).sum()
        };
        assert_eq!(tree.reachable().memsize, bytes(&all), "{name}: what the roots retain");
        assert!(heap.nodes().all(|id| tree.is_reachable(id) == all[id.0 as usize]), "{name}");
        // The greatest holders, and others from all over the dump.
        let mut sample: Vec<NodeId> = heap.nodes().collect();
        sample.sort_by_key(|id| std::cmp::Reverse(tree.retained(*id)));
        sample.truncate(40);
        sample.extend(heap.nodes().step_by(heap.object_count() / 40));
        for id in sample.into_iter().filter(|id| tree.is_reachable(*id)) {
            let left = reached(&heap, Some(id));
            assert_eq!(tree.retained(id), bytes(&all) - bytes(&left), "{name}: {id:?}");
            let count = left.iter().filter(|is_left| **is_left).count();
            assert_eq!(
                tree.retained_count(id) as usize,
                all.iter().filter(|is| **is).count() - count,
                "{name}: {id:?}"
            );
            if let Dominator::Node(above) = tree.dominator(id) {
                assert!(!reached(&heap, Some(above))[id.0 as usize], "{name}: {id:?} needs {above:?}");
            }
        }
    }
}

#[test]
fn after_a_full_gc_all_is_reachable() {
    for (name, is_whole) in DUMPS {
        let heap = load(name);
        let tree = Tree::new(&heap, &Control::default()).unwrap();
        let dead = heap.object_count() as u64 - tree.reachable().count;
        assert_eq!(dead == 0, is_whole, "{name}: {dead} unreachable");
    }
}
