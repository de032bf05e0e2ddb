//! Loads a dump with all its references and says what it took: `cargo run --release --example load -- heap.json [THREADS]`.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use heap_inspector::control::Control;

use heap_inspector::heap::Heap;
use heap_inspector::source::Source;
use std::time::Instant;

fn main() -> heap_inspector::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "heap.json".into());
    let threads = arguments.next().and_then(|threads| threads.parse().ok()).unwrap_or(0);
    let start = Instant::now();
    let heap = Heap::load(&Source::path(path), &Control { threads, ..Control::default() }.into())?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} objects, {} bytes, {} references ({} dangling), {} roots, {} shapes",
        heap.object_count(),
        heap.memsize(),
        heap.edge_count(),
        heap.dangling_count(),
        heap.roots().len(),
        heap.shapes().len(),
    );
    println!("{seconds:.3} s, {:.2} GB/s", heap.diagnostics().bytes as f64 / 1e9 / seconds);
    Ok(())
}
