//! What groups retain against a slow twin, and the trees that are told of it, on random heaps.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::analysis::{dominator_tree, dominators_by_key};
use crate::graph::random::{graph, heap_of, heap_of_lines};
use proptest::prelude::*;

/// Whether one of the objects above is in the group.
fn is_below(tree: &Tree, id: NodeId, is_member: impl Fn(NodeId) -> bool) -> bool {
    let mut at = id;
    while let Dominator::Node(above) = tree.dominator(at) {
        if is_member(above) {
            return true;
        }
        at = above;
    }
    false
}

/// What stands directly below each row, by place.
fn below(depths: &[usize], at: usize) -> impl Iterator<Item = usize> + '_ {
    let depth = depths[at];
    let rows = (at + 1..depths.len()).take_while(move |row| depths[*row] > depth);
    rows.filter(move |row| depths[*row] == depth + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn groups_retain_what_their_topmost_objects_do(graph in graph()) {
        let heap = heap_of(&graph);
        let tree = Tree::new(&heap, &Control::default()).unwrap();
        let by = [Key::Class];
        let found = groups(&heap, &tree, &by, &Filter::default(), None, &Control::default()).unwrap();
        let labels = Labels::new(&heap);
        let value = |id: NodeId| vec![labels.value(Key::Class, id)];
        for group in &found.groups {
            let members: Vec<NodeId> =
                heap.nodes().filter(|id| tree.is_reachable(*id) && value(*id) == group.key).collect();
            let top = members.iter().filter(|id| !is_below(&tree, **id, |above| value(above) == group.key));
            prop_assert_eq!(group.retained_memsize, top.map(|id| tree.retained(*id)).sum::<u64>());
            prop_assert_eq!(group.sum.count, members.len() as u64);
            prop_assert!(group.retained_memsize <= tree.reachable().memsize);
            prop_assert!(group.retained_memsize >= group.sum.memsize);
        }
        prop_assert_eq!(found.groups.iter().map(|group| group.sum.count).sum::<u64>(), tree.reachable().count);
    }

    #[test]
    fn rows_add_up_to_what_stands_above_them(graph in graph(), min in 0u64..40, width in 1usize..6) {
        let heap = heap_of(&graph);
        let (_, source) = heap_of_lines("{\"address\":\"0x28\", \"type\":\"OBJECT\", \"references\":[], \"memsize\":40}\n");
        let tree = Tree::new(&heap, &Control::default()).unwrap();
        let shown = dominator_tree::Shown { depth: usize::MAX, min, width };
        let tree_rows = dominator_tree::dominator_tree(&heap, &tree, &source, Dominator::Root, shown, &Control::default()).unwrap();
        let rows: Vec<dominator_tree::Row> = tree_rows.rows().collect();
        let depths: Vec<usize> = rows.iter().map(|row| row.depth).collect();
        let top = rows.iter().filter(|row| row.depth == 0);
        prop_assert_eq!(top.map(|row| row.retained_memsize).sum::<u64>(), tree.reachable().memsize);
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.id.is_some()) {
            let held: u64 = below(&depths, at).map(|row| rows[row].retained_memsize).sum();
            prop_assert_eq!(row.retained_memsize, held + row.memsize);
        }
        let shown = dominator_tree::Shown { depth: usize::MAX, min, width };
        let found = dominators_by_key::dominators_by_key(&heap, &tree, Key::Class, Dominator::Root, shown, &Control::default()).unwrap();
        let rows = found.rows;
        let depths: Vec<usize> = rows.iter().map(|row| row.depth).collect();
        let top = rows.iter().filter(|row| row.depth == 0);
        prop_assert_eq!(top.map(|row| row.retained_memsize).sum::<u64>(), tree.reachable().memsize);
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.key.is_some()) {
            let held: u64 = below(&depths, at).map(|row| rows[row].retained_memsize).sum();
            prop_assert_eq!(row.retained_memsize, held + row.memsize);
        }
    }
}
