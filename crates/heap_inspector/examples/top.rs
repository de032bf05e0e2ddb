//! Prints the classes that take the most memory: `cargo run --release --example top -- heap.json [FILTER]`.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use heap_inspector::analysis::groups;
use heap_inspector::keys::Key;
use heap_inspector::scan;
use heap_inspector::source::Source;
use heap_inspector::view::{Format, TextStyle, render};

fn main() -> heap_inspector::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dumps/ruby-3.4-x86_64.json.zst").to_owned());
    let filter = arguments.next().map(|words| words.parse()).transpose()?.unwrap_or_default();

    let options = groups::Options { by: vec![Key::Class], filter, limit: Some(20), ..Default::default() };
    let (groups, context) = groups::read(&Source::path(&path), &options, &scan::Options::default())?;

    // The typed values are there for programs, the report for people.
    if let Some(group) = groups.groups.first() {
        println!("{:?} takes {} of {} bytes", group.key, group.sum.memsize, groups.total.memsize);
    }
    let report = groups.report(&path, &options.filter, options.sort, &context);
    print!("{}", render(&report, Format::Text, &TextStyle::default()));
    Ok(())
}
