//! Opens a dump a second time, from the index file beside it, which it makes if there is none:
//! `cargo run --release --example reopen -- heap.json [THREADS]`.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use heap_inspector::control::Control;

use heap_inspector::source::Source;
use heap_inspector::stored;
use std::path::Path;
use std::time::Instant;

fn main() -> heap_inspector::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "heap.json".into());
    let threads = arguments.next().and_then(|threads| threads.parse().ok()).unwrap_or(0);
    let options = Control { threads, ..Control::default() };
    stored::load(&Source::path(&path), &options.into())?;
    let start = Instant::now();
    let found = stored::read(Path::new(&path), &options.into());
    let seconds = start.elapsed().as_secs_f64();
    match found {
        Some((heap, tree)) => {
            println!("{} of {} objects are reachable", tree.reachable().count, heap.object_count());
            println!("{seconds:.3} s");
        }
        None => println!("there is no index file, and it cannot be written"),
    }
    Ok(())
}
