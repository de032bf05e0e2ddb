//! Loads a dump, works out what each object retains and prints the greatest holders:
//! `cargo run --release --example dominators -- heap.json [THREADS]`.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use heap_inspector::control::Control;

use heap_inspector::graph::dominators::Tree;
use heap_inspector::heap::Heap;
use heap_inspector::source::Source;
use std::time::Instant;

fn main() -> heap_inspector::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "heap.json".into());
    let threads = arguments.next().and_then(|threads| threads.parse().ok()).unwrap_or(0);
    let options = Control { threads, ..Control::default() };
    let start = Instant::now();
    let heap = Heap::load(&Source::path(path), &options.into())?;
    let loaded = start.elapsed().as_secs_f64();
    let tree = Tree::new(&heap, &options)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut nodes: Vec<_> = heap.nodes().collect();
    let top = nodes.len().min(10);
    if top > 0 {
        nodes.select_nth_unstable_by_key(top - 1, |id| std::cmp::Reverse(tree.retained(*id)));
    }
    nodes[..top].sort_by_key(|id| std::cmp::Reverse(tree.retained(*id)));
    for id in nodes.into_iter().take(top) {
        println!("{:>12} bytes, {:>8} objects: 0x{:x}", tree.retained(id), tree.retained_count(id), heap.address(id));
    }
    println!("{} of {} objects are reachable", tree.reachable().count, heap.object_count());
    println!("load {loaded:.3} s, dominators {:.3} s", seconds - loaded);
    println!("{seconds:.3} s, {:.2} GB/s", heap.diagnostics().bytes as f64 / 1e9 / seconds);
    Ok(())
}
