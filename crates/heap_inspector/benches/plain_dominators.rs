//! What one would write in an hour: serde_json for the lines, petgraph's `simple_fast` for the dominators, retained sizes summed up
//! the tree. The measure of [`heap_inspector::graph::dominators`], see `rake bench`:
//! `cargo run --release --example plain_dominators -- heap.json`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measure, not a library")]

use petgraph::algo::dominators::simple_fast;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Instant;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    ty: &'a str,
    #[serde(default, borrow)]
    address: Option<&'a str>,
    #[serde(default, borrow)]
    class: Option<&'a str>,
    #[serde(default, borrow)]
    references: Vec<&'a str>,
    #[serde(default)]
    memsize: u64,
}

fn parse(address: &str) -> u64 {
    u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap_or(0)
}

fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| "heap.json".into());
    let start = Instant::now();
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let mut graph: DiGraph<u64, ()> = DiGraph::new();
    let root = graph.add_node(0);
    let mut nodes: HashMap<u64, NodeIndex> = HashMap::new();
    let mut held: Vec<(NodeIndex, Vec<u64>)> = Vec::new();
    let mut text = String::new();
    while reader.read_line(&mut text).unwrap() > 0 {
        let line: Line<'_> = serde_json::from_str(&text).unwrap();
        let mut references: Vec<u64> = line.references.iter().map(|address| parse(address)).collect();
        if line.ty == "ROOT" {
            held.push((root, references));
        } else if line.ty != "SHAPE" {
            let node = graph.add_node(line.memsize);
            nodes.insert(parse(line.address.unwrap_or_default()), node);
            references.extend(line.class.map(parse));
            held.push((node, references));
        }
        text.clear();
    }
    for (node, references) in held {
        for reference in references {
            if let Some(target) = nodes.get(&reference) {
                graph.add_edge(node, *target, ());
            }
        }
    }
    let dominators = simple_fast(&graph, root);
    // Deepest first, so that all below an object is summed up before the object is.
    let mut depths: HashMap<NodeIndex, usize> = HashMap::from([(root, 0)]);
    for node in graph.node_indices() {
        let mut way = vec![node];
        while let Some(above) = way.last().and_then(|last| dominators.immediate_dominator(*last)) {
            if depths.contains_key(way.last().unwrap()) {
                break;
            }
            way.push(above);
        }
        for at in (0..way.len()).rev() {
            if let Some(depth) = way.get(at + 1).and_then(|above| depths.get(above)).copied() {
                depths.entry(way[at]).or_insert(depth + 1);
            }
        }
    }
    let mut order: Vec<(usize, NodeIndex)> = depths.into_iter().map(|(node, depth)| (depth, node)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let mut retained: Vec<u64> = graph.node_indices().map(|node| graph[node]).collect();
    for (_, node) in order {
        if let Some(above) = dominators.immediate_dominator(node) {
            retained[above.index()] += retained[node.index()];
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{} objects, {} bytes reachable", graph.node_count() - 1, retained[root.index()]);
    println!("{seconds:.3} s");
}
