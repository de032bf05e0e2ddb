//! One HTML file of a dump, or of several of one process: what leaks, what memory there is, who holds it, and the biggest objects to walk
//! through. Snapshots go in, a [`Page`] comes out, which is complete without them.
//!
//! It is a view of answers that are made elsewhere, each once: suspects, growth, groups, dominators, threads, waste. They go into the file
//! as one block of JSON beside our own style and script, which make the page of it; nothing is loaded, and a text of a dump becomes
//! text of the document and nothing else. What a dump can make long is bounded: names are cut, of each list the biggest stand there and
//! the rest is counted, so the file stays below 5 MB whatever the heap.

mod cells;
mod document;
mod groups;
mod objects;
mod suspects;
mod trees;

use crate::Result;
use crate::analysis::diff::{self, By, Diff, Dump};
use crate::analysis::{
    Order, collections, fragmentation, groups as analysis_groups, holders, retained, strings, summary,
    suspects as analysis_suspects, threads, unreachable,
};
use crate::graph::dominators::Dominator;
use crate::heap::NodeId;
use crate::keys::Key;
use crate::report::{Report, Section};
use crate::scan;
use crate::select::Filter;
use crate::snapshot::Snapshot;
use crate::source::Source;
use serde_json::{Map, Value, json};

/// A dump on the page.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// The dump.
    pub snapshot: &'a Snapshot,
}

/// What a page is of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether the values of strings are left out. Where it is not said: where a dump says that it was redacted.
    pub confidential: Option<bool>,
}

/// A page, to be written.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    data: Value,
    /// How many objects can be walked through.
    pub objects: usize,
    /// How many there are.
    pub all_objects: usize,
    /// How many suspects there are.
    pub suspects: usize,
    /// Whether the values of strings are left out.
    pub confidential: bool,
}

/// Suspects at most.
const SUSPECTS: usize = 5;
/// Rows of a table by key.
const GROUPS: usize = 200;
/// Rows of the others.
const ROWS: usize = 50;

impl Page {
    /// The page of dumps, the oldest first; `notes` are put before all else that is to be known.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for no dump; those of the analyses.
    pub fn new(
        dumps: &[Named<'_>],
        notes: Option<Section>,
        options: Options,
        scanning: &scan::Options<'_>,
    ) -> Result<Page> {
        let control = &scanning.control;
        let [.., Named { name, snapshot }] = dumps else { return Err(crate::Error::usage("a page is of a dump")) };
        let confidential = options.confidential.unwrap_or_else(|| dumps.iter().any(|dump| is_redacted(dump.snapshot)));
        let source = match confidential {
            true => snapshot.source().again().without_values(),
            false => snapshot.source().again(),
        };
        let (heap, tree) = (snapshot.heap(), snapshot.tree(control)?);
        let (children, shortest_paths) = (snapshot.children(control)?, snapshot.shortest_paths(control)?);
        let context = snapshot.context();
        let all = Filter::default();

        let mut of_diff: Vec<Dump<'_>> =
            dumps.iter().map(|dump| Dump { name: dump.name, heap: dump.snapshot.heap(), tree: None }).collect();
        of_diff.iter_mut().zip(dumps).for_each(|(dump, named)| dump.tree = named.snapshot.made_tree());
        let diff = if dumps.len() > 1 { Some(Diff::new(&of_diff, control)?) } else { None };
        let found = match &diff {
            None => analysis_suspects::of_heap(heap, tree, &source, SUSPECTS, control),
            Some(diff) => analysis_suspects::of_diff(diff, tree, &source, SUSPECTS, control),
        }?;
        let names: Vec<&str> = dumps.iter().map(|dump| dump.name).collect();
        let contexts: Vec<_> = dumps.iter().map(|dump| dump.snapshot.context()).collect();
        let answer = analysis_suspects::report(heap, &found, &names, &contexts, diff.as_ref());

        let mut data = Map::new();
        data.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        data.insert("confidential".into(), confidential.into());
        data.insert(
            "suspects".into(),
            found.iter().map(|suspect| suspects::value(heap, tree, suspect, name)).collect(),
        );
        data.insert("doubts".into(), cells::notes(notes.iter().chain(&answer.sections)));
        let summaries = dumps.iter().map(|dump| of_dump(dump, scanning)).collect::<Result<Vec<Value>>>()?;
        data.insert("dumps".into(), summaries.into());
        let one = summary::summary(heap, &all, ROWS, control)?.report(name);
        data.insert("memory".into(), cells::sections(&one));
        data.insert("reachable".into(), json!({"count": tree.reachable().count, "bytes": tree.reachable().memsize}));
        if let Some(diff) = &diff {
            data.insert("growth".into(), growth(diff, snapshot, &source, scanning)?);
        }
        data.insert("generations".into(), groups::generations(heap, control)?);
        data.insert("groups".into(), groups::tables(heap, tree, diff.as_ref(), control)?);
        data.insert("trees".into(), trees::trees(heap, tree, &source, control)?);
        let by = [Key::Location];
        let found_collections = collections::collections(heap, Some(tree), &by, &all, ROWS, control)?;
        let pages = fragmentation::fragmentation(heap, &[Key::Class], &all, ROWS, control)?;
        let (texts, texts_context) = strings::read(&source, &all, Order::Bytes, 2 * ROWS, scanning)?;
        let found_threads = threads::threads(heap, tree, children, &source, 2 * ROWS, control)?;
        let asked = analysis_groups::Options {
            by: vec![Key::Class],
            filter: all.clone(),
            sort: Order::Bytes,
            limit: Some(ROWS),
        };
        let garbage = unreachable::unreachable(heap, tree, &source, &asked, control)?;
        let holders = retained::holders(heap, tree, &source, &all, objects::BIGGEST, control)?;
        data.insert("holders".into(), objects::holders(heap, &holders));
        for (key, report) in [
            ("strings", texts.report(name, &all, &texts_context)),
            ("collections", found_collections.report(heap, &all, name, &context)),
            ("fragmentation", pages.report(heap, &all, name, &context)),
            ("threads", found_threads.report(heap, tree, name, &context)),
            ("unreachable", garbage.report(heap, tree, &asked, name, &context)),
        ] {
            data.insert(key.into(), cells::sections(&own(report)));
        }

        let mut wanted: Vec<NodeId> = found.iter().flat_map(suspects::objects).collect();
        wanted.extend(found_threads.holders.iter().map(|thread| thread.id));
        wanted.extend(holders.iter().take(objects::BIGGEST / 4).map(|holder| holder.id));
        wanted.extend(found_collections.biggest.iter().chain(&found_collections.emptiest).map(|found| found.id));
        wanted
            .extend(children.of(Dominator::Root).filter(|id| tree.retained(*id) > 1 << 10).take(objects::BIGGEST / 4));
        wanted.extend(holders.iter().map(|holder| holder.id));
        let (told, count) = objects::told(snapshot, &source, &wanted, shortest_paths, control)?;
        data.insert("objects".into(), told);
        data.insert("embedded".into(), count.into());
        data.insert("object_count".into(), heap.object_count().into());
        Ok(Page {
            title: names.join(", "),
            data: Value::Object(data),
            objects: count,
            all_objects: heap.object_count(),
            suspects: found.len(),
            confidential,
        })
    }

    /// The file's text.
    #[must_use]
    pub fn html(&self) -> String {
        document::html(&self.title, &self.data)
    }
}

/// Whether the dump says that its values were replaced.
fn is_redacted(snapshot: &Snapshot) -> bool {
    let meta = snapshot.heap().totals().meta.as_deref().and_then(|meta| serde_json::from_str::<Value>(meta).ok());
    meta.is_some_and(|meta| meta.get("redacted").and_then(Value::as_bool) == Some(true))
}

/// An answer without the totals and notes that the page tells elsewhere.
fn own(mut report: Report) -> Report {
    report.sections.retain(|section| !matches!(section, Section::Facts(facts) if facts.name == "totals"));
    report
}

/// What each dump is: when and how it was taken, what it holds, what was lost of it.
fn of_dump(dump: &Named<'_>, scanning: &scan::Options<'_>) -> Result<Value> {
    let Named { name, snapshot } = dump;
    let heap = snapshot.heap();
    let totals = heap.totals();
    let meta = totals.meta.as_deref().and_then(|meta| serde_json::from_str::<Value>(meta).ok()).unwrap_or_default();
    let number = |key: &str| meta.get(key).and_then(Value::as_u64);
    let text = |key: &str| meta.get(key).and_then(Value::as_str).map(cells::name);
    let diagnostics = heap.diagnostics();
    let by_size = summary::summary(heap, &Filter::default(), 0, &scanning.control)?.pages.unwrap_or_default();
    let page_bytes = crate::ruby::pages::Layout::of(totals.ruby_version).page_bytes();
    let pages: u64 = by_size.iter().map(|size| size.pages.count).sum();
    Ok(json!({
        "name": cells::name(name),
        "time": text("time"),
        "pid": number("pid"),
        "host": text("host"),
        "command": text("command"),
        "revision": text("revision"),
        "taken_by": text("taken_by"),
        "ruby": text("ruby"),
        "series": totals.ruby_version.series(),
        "rss": number("rss"),
        "objects": totals.objects.count,
        "bytes": totals.objects.memsize,
        "free_slots": totals.free_slots,
        "pages": pages,
        "page_bytes": pages.saturating_mul(page_bytes),
        "traced": totals.traced.count,
        "sampled_every": totals.sampling().filter(|sampling| sampling.is_of_lines()).map(|sampling| sampling.every),
        "tracer_bytes": totals.tracer.memsize,
        "lines": diagnostics.lines,
        "lost": diagnostics.lost,
        "repaired": diagnostics.repaired,
        "truncated": diagnostics.truncated,
        "roots": totals.roots.iter().map(|(_, count)| count).sum::<u64>(),
    }))
}

/// What came and stayed, and who holds it.
fn growth(diff: &Diff<'_>, last: &Snapshot, source: &Source, scanning: &scan::Options<'_>) -> Result<Value> {
    let control = &scanning.control;
    let all = Filter::default();
    let report = diff::report(diff, By::Keys(&[Key::Class, Key::Location]), &all, ROWS, control)?;
    let mut sections: Vec<Value> = Vec::new();
    if diff.is_one_process() {
        let (tree, shortest_paths) = (last.tree(control)?, last.shortest_paths(control)?);
        let found = holders::growth(diff, tree, shortest_paths, source, &all, ROWS, control)?;
        let by_holder = diff::holder_report(diff, &found, &all);
        sections.extend(
            by_holder.sections.iter().filter(|section| matches!(section, Section::Table(_))).map(cells::section),
        );
    }
    let is_told = |section: &&Section| match section {
        Section::Table(table) => table.name != "dumps",
        _ => true,
    };
    sections.extend(report.sections.iter().filter(is_told).map(cells::section));
    Ok(Value::Array(sections))
}
