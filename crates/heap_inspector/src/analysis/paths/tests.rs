//! Chains against slow twins on random heaps, and on heaps that are hard on recursion and on quadratic time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::graph::random::{Drawn, graph, heap, heap_of, heap_of_lines};
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
        let ways = Ways::new(&heap, &Options::default()).unwrap();
        let referrers = Referrers::new(&heap, &Options::default()).unwrap();
        let (edges, costs) = (edges(&graph), cheapest(&graph));
        for id in heap.nodes() {
            let chains = ways.chains(&heap, &referrers, id, 4, &Options::default()).unwrap();
            prop_assert_eq!(ways.is_reachable(id), costs[id.0 as usize].is_some());
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
                    prop_assert_eq!(Some(chain.clone()), ways.way(id));
                }
                prop_assert!(sum >= last, "cheapest first");
                last = sum;
            }
        }
    }

    /// Whatever else refers to an object of the way, and is reached without it, begins another chain.
    #[test]
    fn another_chain_is_found_where_there_is_one(graph in graph()) {
        let heap = heap_of(&graph);
        let ways = Ways::new(&heap, &Options::default()).unwrap();
        let referrers = Referrers::new(&heap, &Options::default()).unwrap();
        for id in heap.nodes().filter(|id| ways.is_reachable(*id)) {
            let way = ways.way(id).unwrap();
            let is_other = way.iter().enumerate().any(|(place, held)| {
                referrers.of(*held).any(|from| {
                    let is_usual = place > 0 && way[place - 1] == from;
                    !is_usual && ways.way(from).is_some_and(|chain| !chain.contains(held))
                })
            });
            let is_rooted = way[1..].iter().any(|held| graph.0.contains(&held.0));
            let chains = ways.chains(&heap, &referrers, id, 2, &Options::default()).unwrap();
            if is_other || is_rooted {
                prop_assert_eq!(chains.len(), 2, "{:?} has another", id);
            }
        }
    }

    #[test]
    fn merged_rows_add_up_to_the_objects(graph in graph(), every in 1u32..4) {
        let heap = heap_of(&graph);
        let (_, source) = heap_of_lines(EMPTY);
        let ids: Vec<NodeId> = heap.nodes().filter(|id| id.0 % every == 0).collect();
        let shown = Shown { share: 0.0, width: usize::MAX, depth: usize::MAX };
        let merged = merged(&heap, &source, &ids, shown, &Options::default()).unwrap();
        let costs = cheapest(&graph);
        let reachable: Vec<&NodeId> = ids.iter().filter(|id| costs[id.0 as usize].is_some()).collect();
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
fn a_two_way_list_of_a_million_has_its_chains_in_linear_time() {
    const COUNT: u32 = 1_000_000;
    let heap = heap(COUNT, &[0, 500_000], |node| vec![(node + 1) % COUNT, (node + COUNT - 1) % COUNT], |_| None);
    let ways = Ways::new(&heap, &Options::default()).unwrap();
    let referrers = Referrers::new(&heap, &Options::default()).unwrap();
    let chains = ways.chains(&heap, &referrers, NodeId(200_000), 3, &Options::default()).unwrap();
    assert_eq!(chains[0].len(), 200_001);
    assert_eq!(chains[1].len(), 300_001);
    let ids: Vec<NodeId> = heap.nodes().collect();
    let (_, source) = heap_of_lines(EMPTY);
    let shown = Shown { share: 0.0, width: usize::MAX, depth: 50 };
    let merged = merged(&heap, &source, &ids, shown, &Options::default()).unwrap();
    assert_eq!(
        merged.groups.iter().filter(|group| group.depth == 0).map(|group| group.targets).sum::<u64>(),
        1_000_000
    );
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

#[test]
fn of_a_long_chain_the_beginning_and_the_end_are_shown() {
    let steps = |count: u32| -> Vec<Step> {
        (0..count).map(|node| Step { id: NodeId(node), edge: Edge::Other(""), label: node.to_string() }).collect()
    };
    assert!(shown(&steps(100)).iter().all(Option::is_some));
    let long = steps(179_380);
    let found: Vec<Option<u32>> = shown(&long).iter().map(|step| step.map(|step| step.id.0)).collect();
    assert_eq!(
        (found.len(), found[49], found[50], found[51], found[100]),
        (101, Some(49), None, Some(179_330), Some(179_379))
    );
    assert_eq!(left_out(&long), "(179,280 steps more)");
}
