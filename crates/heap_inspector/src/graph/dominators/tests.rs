//! The slow twin, which takes each node away and looks what cannot be reached any more, on random graphs and on graphs that are hard
//! on recursion and on quadratic time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{Dominator, Tree};
use crate::control::Control;
use crate::graph::random::{graph, heap};
use crate::heap::{Heap, NodeId};
use proptest::prelude::*;

fn tree(heap: &Heap) -> Tree {
    Tree::new(heap, &Control::default()).unwrap()
}

/// Which nodes the roots reach without `gone`.
fn reached(roots: &[u32], edges: &[Vec<u32>], gone: Option<u32>) -> Vec<bool> {
    let mut seen = vec![false; edges.len()];
    let mut queue: Vec<u32> = roots.to_vec();
    while let Some(node) = queue.pop() {
        if Some(node) != gone && !seen[node as usize] {
            seen[node as usize] = true;
            queue.extend(&edges[node as usize]);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_taking_nodes_away((roots, references, classes) in graph()) {
        let heap = heap(
            references.len() as u32,
            &roots,
            |node| references[node as usize].clone(),
            |node| classes[node as usize],
        );
        let tree = tree(&heap);
        let edges: Vec<Vec<u32>> =
            references.iter().zip(&classes).map(|(nodes, class)| nodes.iter().copied().chain(*class).collect()).collect();
        let all = reached(&roots, &edges, None);
        // By node: what becomes unreachable without it.
        let lost: Vec<Vec<bool>> = (0..edges.len() as u32)
            .map(|gone| reached(&roots, &edges, Some(gone)).iter().zip(&all).map(|(left, all)| *all && !left).collect())
            .collect();
        for node in 0..edges.len() {
            let id = NodeId(node as u32);
            prop_assert_eq!(tree.is_reachable(id), all[node]);
            let retained: u64 = (0..edges.len()).filter(|at| lost[node][*at]).map(|at| at as u64 + 1).sum();
            prop_assert_eq!(tree.retained(id), retained, "retained of {}", node);
            let count = lost[node].iter().filter(|lost| **lost).count() as u64;
            prop_assert_eq!(tree.retained_count(id), count);
            // The immediate dominator is the dominator that all other dominators dominate: of those the one that loses least.
            let dominators = (0..edges.len()).filter(|other| *other != node && lost[*other][node]);
            let nearest = dominators.min_by_key(|other| lost[*other].iter().filter(|lost| **lost).count());
            let expected = match nearest {
                _ if !all[node] => Dominator::Unreachable,
                None => Dominator::Root,
                Some(node) => Dominator::Node(NodeId(node as u32)),
            };
            prop_assert_eq!(tree.dominator(id), expected, "dominator of {}", node);
        }
        let sum: u64 = (0..edges.len()).filter(|node| all[*node]).map(|node| node as u64 + 1).sum();
        prop_assert_eq!(tree.reachable().memsize, sum);
        let children = tree.children().unwrap();
        let top: u64 = children.of(Dominator::Root).map(|id| tree.retained(id)).sum();
        prop_assert_eq!(top, sum);
        for node in heap.nodes() {
            prop_assert!(children.of(Dominator::Node(node)).all(|child| tree.dominator(child) == Dominator::Node(node)));
        }
    }
}

#[test]
fn a_list_of_a_million_is_a_chain() {
    const COUNT: u32 = 1_000_000;
    let heap = heap(COUNT, &[0], |node| if node + 1 < COUNT { vec![node + 1] } else { Vec::new() }, |_| None);
    let tree = tree(&heap);
    assert_eq!(tree.retained_count(NodeId(0)), u64::from(COUNT));
    assert_eq!(tree.dominator(NodeId(COUNT - 1)), Dominator::Node(NodeId(COUNT - 2)));
    assert_eq!(tree.retained(NodeId(COUNT - 1)), u64::from(COUNT));
}

#[test]
fn a_ring_through_everything_is_a_chain_from_its_root() {
    const COUNT: u32 = 1_000_000;
    let heap = heap(COUNT, &[500_000], |node| vec![(node + 1) % COUNT, (node + COUNT - 1) % COUNT], |_| None);
    let tree = tree(&heap);
    assert_eq!(tree.retained_count(NodeId(500_000)), u64::from(COUNT));
    assert_eq!(tree.retained_count(NodeId(499_999)), 1, "both ways round lead to it");
    assert_eq!(tree.dominator(NodeId(3)), Dominator::Node(NodeId(500_000)));
}

#[test]
fn a_star_of_ten_million_references_is_flat() {
    const COUNT: u32 = 1000;
    let heap = heap(
        COUNT,
        &[0],
        |node| if node == 0 { (0..10_000_000).map(|at| 1 + at % (COUNT - 1)).collect() } else { vec![0, 1] },
        |_| Some(0),
    );
    let tree = tree(&heap);
    assert_eq!(tree.retained_count(NodeId(0)), u64::from(COUNT));
    assert!((1..COUNT).all(|node| tree.dominator(NodeId(node)) == Dominator::Node(NodeId(0))));
}

#[test]
fn a_heap_without_roots_is_all_unreachable() {
    let heap = heap(10, &[], |node| vec![(node + 1) % 10], |_| None);
    let tree = tree(&heap);
    assert_eq!(tree.reachable().count, 0);
    assert!(heap.nodes().all(|id| tree.dominator(id) == Dominator::Unreachable && tree.retained(id) == 0));
}
