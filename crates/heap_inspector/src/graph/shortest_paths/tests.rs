//! Chains against slow twins on random heaps, and on heaps that are hard on recursion and on quadratic time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::graph::random::{Drawn, graph, heap, heap_of};
use hashbrown::HashSet;
use proptest::prelude::*;

/// What an edge costs. All nodes are objects, so none is machinery.
fn cost(classes: &[Option<u32>], from: usize, to: u32) -> u32 {
    STEP + if classes[from] == Some(to) { TO_CLASS } else { 0 }
}

fn edges((_, references, classes): &Drawn) -> Vec<Vec<u32>> {
    references.iter().zip(classes).map(|(nodes, class)| nodes.iter().copied().chain(*class).collect()).collect()
}

/// Bellman and Ford's costs of the cheapest chains: every edge is tried again until nothing gets cheaper.
fn cheapest(graph: &Drawn) -> Vec<Option<u32>> {
    let edges = edges(graph);
    let mut costs: Vec<Option<u32>> = vec![None; edges.len()];
    graph.0.iter().for_each(|root| costs[*root as usize] = Some(0));
    loop {
        let mut is_done = true;
        for from in 0..edges.len() {
            for to in &edges[from] {
                let Some(new) = costs[from].map(|known| known + cost(&graph.2, from, *to)) else { continue };
                if costs[*to as usize].is_none_or(|known| new < known) {
                    costs[*to as usize] = Some(new);
                    is_done = false;
                }
            }
        }
        if is_done {
            return costs;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_are_real_cheapest_first_and_differ(graph in graph()) {
        let heap = heap_of(&graph);
        let shortest_paths = ShortestPaths::new(&heap, &Control::default()).unwrap();
        let referrers = Referrers::new(&heap, &Control::default()).unwrap();
        let (edges, costs) = (edges(&graph), cheapest(&graph));
        for id in heap.nodes() {
            let chains = shortest_paths.chains(&heap, &referrers, id, 4, &Control::default()).unwrap();
            prop_assert_eq!(shortest_paths.is_reachable(id), costs[id.0 as usize].is_some());
            prop_assert_eq!(chains.is_empty(), costs[id.0 as usize].is_none());
            let mut seen = HashSet::new();
            let mut last = 0;
            for (at, chain) in chains.iter().enumerate() {
                prop_assert!(graph.0.contains(&chain[0].0));
                prop_assert_eq!(chain.last(), Some(&id));
                let mut sum = 0;
                for pair in chain.windows(2) {
                    prop_assert!(edges[pair[0].0 as usize].contains(&pair[1].0));
                    sum += cost(&graph.2, pair[0].0 as usize, pair[1].0);
                }
                prop_assert_eq!(chain.iter().collect::<HashSet<_>>().len(), chain.len(), "no object twice");
                prop_assert!(seen.insert(chain.clone()), "{:?} twice", chain);
                if at == 0 {
                    prop_assert_eq!(Some(sum), costs[id.0 as usize]);
                    prop_assert_eq!(Some(chain.clone()), shortest_paths.path(id));
                }
                prop_assert!(sum >= last, "cheapest first");
                last = sum;
            }
        }
    }

    /// Costs that a byte does not hold stand apart.
    #[test]
    fn chains_are_cheapest_around_the_greatest_cost_of_a_byte(graph in graph(), length in 235u32..265) {
        let behind = |nodes: &[u32]| nodes.iter().map(|node| node + length).collect::<Vec<_>>();
        let mut references: Vec<Vec<u32>> = (1..length).map(|node| vec![node]).collect();
        references.push(behind(&graph.0));
        references.extend(graph.1.iter().map(|nodes| behind(nodes)));
        let mut classes = vec![None; length as usize];
        classes.extend(graph.2.iter().map(|class| class.map(|node| node + length)));
        let graph = (vec![0], references, classes);
        let heap = heap_of(&graph);
        let shortest_paths = ShortestPaths::new(&heap, &Control::default()).unwrap();
        for (id, known) in heap.nodes().zip(cheapest(&graph)) {
            prop_assert_eq!(known.unwrap_or(u32::MAX), shortest_paths.costs.get(id.0));
            let sum = shortest_paths.path(id).map(|path| {
                path.windows(2).map(|pair| cost(&graph.2, pair[0].0 as usize, pair[1].0)).sum::<u32>()
            });
            prop_assert_eq!(sum, known);
        }
    }

    /// Whatever else refers to an object of the path, and is reached without it, begins another chain.
    #[test]
    fn another_chain_is_found_where_there_is_one(graph in graph()) {
        let heap = heap_of(&graph);
        let shortest_paths = ShortestPaths::new(&heap, &Control::default()).unwrap();
        let referrers = Referrers::new(&heap, &Control::default()).unwrap();
        for id in heap.nodes().filter(|id| shortest_paths.is_reachable(*id)) {
            let path = shortest_paths.path(id).unwrap();
            let is_other = path.iter().enumerate().any(|(place, held)| {
                referrers.of(*held).any(|from| {
                    let is_usual = place > 0 && path[place - 1] == from;
                    !is_usual && shortest_paths.path(from).is_some_and(|chain| !chain.contains(held))
                })
            });
            let is_rooted = path[1..].iter().any(|held| graph.0.contains(&held.0));
            let chains = shortest_paths.chains(&heap, &referrers, id, 2, &Control::default()).unwrap();
            if is_other || is_rooted {
                prop_assert_eq!(chains.len(), 2, "{:?} has another", id);
            }
        }
    }
}

#[test]
fn a_two_way_list_of_a_million_has_its_chains_in_linear_time() {
    const COUNT: u32 = 1_000_000;
    let heap = heap(COUNT, &[0, 500_000], |node| vec![(node + 1) % COUNT, (node + COUNT - 1) % COUNT], |_| None);
    let shortest_paths = ShortestPaths::new(&heap, &Control::default()).unwrap();
    let referrers = Referrers::new(&heap, &Control::default()).unwrap();
    let chains = shortest_paths.chains(&heap, &referrers, NodeId(200_000), 3, &Control::default()).unwrap();
    assert_eq!(chains[0].len(), 200_001);
    assert_eq!(chains[1].len(), 300_001);
}
