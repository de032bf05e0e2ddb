//! What each dump is: when and how it was taken, what it holds, what was lost of it.

use super::cells::name;
use crate::analysis::summary::resident;
use crate::heap::Heap;
use crate::ruby::pages::Layout;
use serde_json::{Value, json};

/// A dump; what it says of how it was taken is a claim, and may have any form.
pub(super) fn value(dump: &str, heap: &Heap) -> Value {
    let (totals, diagnostics) = (heap.totals(), heap.diagnostics());
    let meta: Value = totals.taken().unwrap_or_default();
    let number = |key: &str| meta.get(key).and_then(Value::as_u64);
    let text = |key: &str| meta.get(key).and_then(Value::as_str).map(name);
    let pages: u64 = heap.pages().unwrap_or_default().iter().map(|size| size.pages.count).sum();
    let resident = resident::parts(&meta);
    let resident: Option<Vec<Value>> =
        resident.map(|parts| parts.iter().map(|part| json!([name(&part.name), part.bytes, part.is_named])).collect());
    let sampling = totals.sampling().filter(|sampling| sampling.is_of_lines());
    json!({
        "name": name(dump),
        "time": text("time"),
        "pid": number("pid"),
        "host": text("host"),
        "command": text("command"),
        "revision": text("revision"),
        "taken_by": text("taken_by"),
        "ruby": text("ruby"),
        "series": totals.ruby_version.series(),
        "rss": number("rss"),
        "resident": resident,
        "objects": totals.objects.count,
        "bytes": totals.objects.memsize,
        "pages": pages,
        "page_bytes": pages.saturating_mul(Layout::of(totals.ruby_version).page_bytes()),
        "traced": totals.traced.count,
        "sampled_every": sampling.map(|sampling| sampling.every),
        "tracer_bytes": totals.tracer.memsize,
        "lost": diagnostics.lost,
        "repaired": diagnostics.repaired,
        "truncated": diagnostics.truncated,
        "roots": totals.roots.iter().map(|(_, count)| count).sum::<u64>(),
    })
}
