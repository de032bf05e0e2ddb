//! Dominators of real dumps: sampled objects against taking the object away and looking what is reached no more.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::control::Control;

use heap_inspector::graph::dominators::{Dominator, Tree};
use heap_inspector::heap::{Heap, NodeId, Target};
use heap_inspector::scan::Options;
use heap_inspector::source::Source;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

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

fn path(name: &str) -> String {
    format!("{}/tests/dumps/{name}.json.zst", env!("CARGO_MANIFEST_DIR"))
}

fn load(name: &str) -> Heap {
    Heap::load(&Source::path(path(name)), &Options::default()).unwrap()
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

/// Why no root leads to an object of a zoo, which was dumped right after full collections and without one since.
fn reason(
    line: &Value,
    dead: &HashMap<&str, &Value>,
    live_caches: &[HashSet<&str>],
    newest: Option<u64>,
) -> &'static str {
    let references = |line: &'_ Value| -> Vec<String> {
        line["references"].as_array().into_iter().flatten().map(|target| target.as_str().unwrap().to_owned()).collect()
    };
    let is_entry = |line: &Value| {
        line["type"] == "ARRAY"
            && line.get("class").is_none()
            && line["method"] == "define_finalizer"
            && line["flags"]["marked"] == true
    };
    if is_entry(line) {
        return "entry of the finalizers, which no dump from 3.4 on shows";
    }
    let address = line["address"].as_str().unwrap().to_owned();
    let holders: Vec<&&Value> = dead.values().filter(|other| references(other).contains(&address)).collect();
    if line["struct"] == "proc" && !holders.is_empty() && holders.iter().all(|holder| is_entry(holder)) {
        return "finalizer";
    }
    // A constant was read for the first time, and whether Ractors may share what it is was found out by walking over it with a hash that
    // tells objects by identity (obj_traverse_rec in ractor.c). Nothing keeps it; its class is hidden since 4.0.
    let is_young = line["flags"]["marked"].is_null() && line["generation"].as_u64() == newest;
    if line["type"] == "HASH" && line["size"] == 1 && references(line).len() == 1 && is_young && holders.is_empty() {
        return "garbage: what a constant led to";
    }
    // Since 4.1 a class's table of call caches is copied when one is added. The copy has all that this one has.
    let all = references(line);
    let is_replaced = live_caches
        .iter()
        .any(|live| live.len() > all.len() && all.iter().all(|target| live.contains(target.as_str())));
    if line["struct"] == "VM/cc_table" && holders.is_empty() && is_replaced {
        return "garbage: a table of call caches that was replaced";
    }
    panic!("nothing explains {line}");
}

#[test]
fn what_no_root_of_a_zoo_leads_to_is_explained() {
    let finalizers = [("entry of the finalizers, which no dump from 3.4 on shows", 1), ("finalizer", 1)];
    let of_3_4 = [("garbage: what a constant led to", 1)];
    let of_4_1 = [("garbage: what a constant led to", 1), ("garbage: a table of call caches that was replaced", 23)];
    for (name, garbage) in [("ruby-3.4-native-zoo", &of_3_4[..]), ("ruby-4.1-native-zoo", &of_4_1[..])] {
        let heap = load(name);
        let tree = Tree::new(&heap, &Control::default()).unwrap();
        let text = zstd::decode_all(std::fs::File::open(path(name)).unwrap()).unwrap();
        let lines: Vec<Value> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let node = |line: &Value| {
            let address = line["address"].as_str()?.strip_prefix("0x")?;
            heap.node(u64::from_str_radix(address, 16).ok()?)
        };
        let (live, dead): (Vec<&Value>, Vec<&Value>) =
            lines.iter().filter(|line| node(line).is_some()).partition(|line| tree.is_reachable(node(line).unwrap()));
        let dead: HashMap<&str, &Value> =
            dead.into_iter().map(|line| (line["address"].as_str().unwrap(), line)).collect();
        let live_caches: Vec<HashSet<&str>> = live
            .iter()
            .filter(|line| line["struct"] == "VM/cc_table")
            .map(|line| line["references"].as_array().into_iter().flatten().filter_map(Value::as_str).collect())
            .collect();
        let newest = lines.iter().filter_map(|line| line["generation"].as_u64()).max();
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for line in dead.values() {
            *found.entry(reason(line, &dead, &live_caches, newest)).or_default() += 1;
        }
        let expected: BTreeMap<&str, usize> = finalizers.iter().chain(garbage).copied().collect();
        assert_eq!(found, expected, "{name}");
    }
}
