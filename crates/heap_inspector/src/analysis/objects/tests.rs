//! Against walking all objects, and against the analyses that take a filter.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::control::Control;
use crate::select::Wanted;
use crate::source::Source;
use hashbrown::HashMap;

fn heap() -> Heap {
    Heap::load(&Source::path("tests/dumps/ruby-3.4-x86_64.json.zst"), &Default::default()).unwrap()
}

fn clause(words: &str) -> Clause {
    Clause { filter: words.parse().unwrap(), ..Clause::default() }
}

#[test]
fn passes_what_passes_any_clause_and_all_of_that_clause() {
    let heap = heap();
    let bound = Bound { number: Number::Memsize, negated: true, ranges: vec![Some((0, 100))] };
    let query =
        Query { any: vec![Clause { bounds: vec![bound], ..clause("type=STRING") }, clause("type=HASH,traced")] };
    let ids = Objects::new(&heap, None, &query).ids(&Control::default()).unwrap();
    let expected: Vec<NodeId> = heap
        .nodes()
        .filter(|id| {
            let properties = heap.properties(*id);
            let is_hash = properties.ty == crate::record::Type::Hash && properties.traced;
            properties.ty == crate::record::Type::String && heap.bytes(*id) > 100 || is_hash
        })
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(ids, expected);
}

#[test]
fn groups_as_the_groups_of_the_filter_do_on_any_number_of_threads() {
    let heap = heap();
    let query = Query { any: vec![clause("type!=IMEMO")] };
    let asked = super::super::groups::Options {
        by: vec![Key::Class, Key::Generation],
        filter: query.any[0].filter.clone(),
        ..Default::default()
    };
    let expected: HashMap<Vec<KeyValue>, (u64, u64)> = super::super::groups::groups(&heap, &asked, &Control::default())
        .unwrap()
        .groups
        .into_iter()
        .map(|group| (group.key, (group.sum.count, group.sum.memsize)))
        .collect();
    for threads in [1, 3] {
        let control = Control { threads, ..Control::default() };
        let groups = Objects::new(&heap, None, &query).groups(&asked.by, Number::Memsize, &control).unwrap();
        let found: HashMap<_, _> = groups.into_iter().map(|(key, sum)| (key, (sum.count, sum.sum))).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn retains_by_group_what_the_groups_of_the_filter_do() {
    let heap = heap();
    let control = Control::default();
    let tree = Tree::new(&heap, &control).unwrap();
    let children = tree.children().unwrap();
    let query = Query { any: vec![clause("traced")] };
    let expected = retained::groups(&heap, &tree, &[Key::Class], &query.any[0].filter, None, &control).unwrap();
    let expected: HashMap<_, _> =
        expected.groups.into_iter().map(|group| (group.key, group.retained_memsize)).collect();
    let objects = Objects::new(&heap, Some((&tree, children)), &query);
    let found: HashMap<_, _> = objects
        .retained(&[Key::Class], children, &control)
        .unwrap()
        .into_iter()
        .map(|group| (group.key, group.memsize))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn members_are_what_an_object_retains() {
    let heap = heap();
    let control = Control::default();
    let tree = Tree::new(&heap, &control).unwrap();
    let children = tree.children().unwrap();
    let holder = heap.nodes().max_by_key(|id| tree.retained(*id)).unwrap();
    let query = Query { any: vec![Clause { retained_by: vec![holder], ..Clause::default() }] };
    assert!(query.needs_tree());
    let objects = Objects::new(&heap, Some((&tree, children)), &query);
    let [(_, found)] = objects.groups(&[], Number::Memsize, &control).unwrap()[..] else { panic!("one group") };
    assert_eq!(found.count, tree.retained_count(holder) - 1);
    assert_eq!(found.sum, tree.retained(holder) - heap.bytes(holder));
}

#[test]
fn orders_as_sorting_all_of_them_does() {
    let heap = heap();
    let ids: Vec<NodeId> = heap.nodes().collect();
    let criteria = [
        (OrderBy::Key(Key::Class), true),
        (OrderBy::Number(Number::Generation), false),
        (OrderBy::Number(Number::Memsize), true),
    ];
    let labels = crate::labels::Labels::new(&heap);
    let mut expected = ids.clone();
    expected.sort_by_cached_key(|id| {
        let generation = heap.properties(*id).generation;
        (std::cmp::Reverse(labels.class_name(*id)), generation, std::cmp::Reverse(heap.bytes(*id)), *id)
    });
    for range in [0..ids.len(), 0..10, 100..200, ids.len() - 1..ids.len() + 5, 7..7] {
        let within = range.start..range.end.min(ids.len());
        assert_eq!(ordered(&heap, None, ids.clone(), &criteria, range, &Control::default()).unwrap(), expected[within]);
    }
}

#[test]
fn holds_one_of_many_texts_like_each_of_them() {
    let heap = heap();
    let texts: Vec<Wanted> = ["String", "Hash", "Nothing"].map(|text| Wanted::Text(text.into())).to_vec();
    let query = |negated| Query {
        any: vec![Clause { filter: Filter::default().with("class", negated, &texts).unwrap(), ..Clause::default() }],
    };
    let count = |query: &Query| Objects::new(&heap, None, query).ids(&Control::default()).unwrap().len();
    let each = Query { any: vec![clause("class=String|Hash")] };
    assert_eq!(count(&query(false)), count(&each));
    assert_eq!(count(&query(false)) + count(&query(true)), heap.object_count());
}

#[test]
fn decides_by_columns_as_by_nodes() {
    for dump in ["ruby-2.7-x86_64", "ruby-3.1-x86_64", "ruby-4.0-wasm32"] {
        let heap = Heap::load(&Source::path(format!("tests/dumps/{dump}.json.zst")), &Default::default()).unwrap();
        for words in [
            "",
            "file=*,type=STRING",
            "gem!=app,generation=3..,!frozen",
            "class=*e*,memsize=41..|1,traced",
            "shape=none",
        ] {
            let query = Query { any: vec![if words.is_empty() { Clause::default() } else { clause(words) }] };
            let filter = &query.any[0].filter;
            let expected = super::super::grouping::nodes(&heap, filter, &Control::default()).unwrap();
            let objects = Objects::new(&heap, None, &query);
            assert_eq!(objects.ids(&Control::default()).unwrap(), expected, "{dump} {words}");
            for by in [&[][..], &[Key::Line], &[Key::File, Key::Type, Key::Location], &[Key::Encoding, Key::Frozen]] {
                let mut grouping = Grouping::new(&heap, by, filter);
                let mut measures = Vec::<Measure>::new();
                for id in heap.nodes() {
                    let Some(group) = grouping.group(id) else { continue };
                    measures.resize(measures.len().max(group + 1), Measure::default());
                    measures[group].take(Number::Length.of(&heap, None, id));
                }
                let expected: HashMap<_, _> =
                    grouping.keys(&Control::default()).unwrap().into_iter().zip(measures).collect();
                let control = Control { threads: 2, ..Control::default() };
                let found = objects.groups(by, Number::Length, &control).unwrap();
                assert_eq!(found.into_iter().collect::<HashMap<_, _>>(), expected, "{dump} {words} {by:?}");
            }
        }
    }
}

#[test]
fn values_are_those_that_objects_have() {
    let heap = heap();
    for (key, name) in Key::NAMED {
        let values = Objects::values(&heap, key, &Control::default()).unwrap();
        let groups = Objects::new(&heap, None, &Query::default()).groups(&[key], Number::Index, &Control::default());
        for (value, _) in groups.unwrap() {
            assert!(values.contains(&value[0]), "{name} {value:?}");
        }
        let known = values.len();
        assert_eq!(values.into_iter().collect::<hashbrown::HashSet<_>>().len(), known, "{name}");
    }
}
