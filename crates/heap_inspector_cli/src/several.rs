//! The verbs on several dumps of one process.

use super::Task;
use crate::args::{DiffKey, Lines};
use crate::output::Output;
use heap_inspector::analysis::Context;
use heap_inspector::analysis::diff::{self, By, Diff, Dump};
use heap_inspector::analysis::holders;
use heap_inspector::analysis::suspects::{self, Exceptions};
use heap_inspector::heap::{Heap, NodeId};
use heap_inspector::keys::Key;
use heap_inspector::report::{Report, Section};
use heap_inspector::snapshot::{Index, Snapshot};
use heap_inspector::source::Source;
use heap_inspector::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A dump of several.
struct Loaded {
    name: String,
    snapshot: Snapshot,
}

fn load(task: &Task<'_>, name: String, source: Source) -> Result<Loaded> {
    let index = if task.has_index { Index::Read } else { Index::Ignored };
    let snapshot = Snapshot::load(source, index, &task.options).map_err(|error| of(&name, error))?;
    Ok(Loaded { name, snapshot })
}

/// Says of which dump an error is; nobody else does.
fn of(name: &str, error: Error) -> Error {
    let name = if name == "-" { "standard input" } else { name };
    match error {
        Error::Format { position, message } => {
            let place = position.map_or_else(String::new, |place| format!("{place}: "));
            Error::Format { position: None, message: format!("{name}: {place}{message}") }
        }
        Error::Compression { message } => Error::Compression { message: format!("{name}: {message}") },
        error => error,
    }
}

/// Loads the task's dump and the later ones.
fn load_all(task: &mut Task<'_>, later: &[OsString]) -> Result<Vec<Loaded>> {
    let first = std::mem::replace(&mut task.source, Source::path(""));
    let mut loaded = vec![load(task, task.dump.clone(), first)?];
    for path in later {
        loaded.push(load(task, path.to_string_lossy().into_owned(), Source::path(path))?);
    }
    Ok(loaded)
}

/// Puts dumps that tell when they were taken in that order; says so where they stood in another.
fn in_order(loaded: Vec<Loaded>) -> (Vec<Loaded>, Option<Section>) {
    let heaps: Vec<&Heap> = loaded.iter().map(|dump| dump.snapshot.heap()).collect();
    let Some(order) = diff::order(&heaps) else { return (loaded, None) };
    let mut numbered: Vec<(usize, Loaded)> = loaded
        .into_iter()
        .enumerate()
        .map(|(at, dump)| (order.iter().position(|other| *other == at).unwrap_or(at), dump))
        .collect();
    numbered.sort_by_key(|(place, _)| *place);
    let loaded: Vec<Loaded> = numbered.into_iter().map(|(_, dump)| dump).collect();
    let names: Vec<&str> = loaded.iter().map(|dump| &dump.name[..]).collect();
    let word = diff::sorted_note(&names);
    (loaded, Some(word))
}

fn dumps(loaded: &[Loaded]) -> Vec<Dump<'_>> {
    loaded.iter().map(|dump| Dump { name: &dump.name, heap: dump.snapshot.heap(), tree: None }).collect()
}

pub(crate) fn suspects(mut task: Task<'_>, later: &[OsString], lines: Lines, except: Option<&OsStr>) -> Result<Report> {
    let except = except.map(|path| Exceptions::read(Path::new(path))).transpose()?;
    let (loaded, word) = in_order(load_all(&mut task, later)?);
    let control = &task.options.control;
    let [.., last] = &loaded[..] else { return Err(Error::Interrupted) };
    let (heap, source, tree) = (last.snapshot.heap(), last.snapshot.source(), last.snapshot.tree(control)?);
    // Those left out must not take the places of others.
    let limit = if except.is_some() { usize::MAX } else { lines.0 };
    let mut dumps = dumps(&loaded);
    // What came with index files is not made anew.
    dumps.iter_mut().zip(&loaded).for_each(|(dump, loaded)| dump.tree = loaded.snapshot.made_tree());
    let diff = if dumps.len() > 1 { Some(Diff::new(&dumps, control)?) } else { None };
    let mut found = match &diff {
        None => suspects::of_heap(heap, tree, source, limit, control),
        Some(diff) => suspects::of_diff(diff, tree, source, limit, control),
    }
    .map_err(|error| of(&last.name, error))?;
    if let Some(except) = except {
        found.retain(|suspect| !except.name(suspect));
        found.truncate(lines.0);
    }
    let names: Vec<&str> = loaded.iter().map(|dump| &dump.name[..]).collect();
    let contexts: Vec<Context> = loaded.iter().map(|dump| dump.snapshot.context()).collect();
    let mut report = suspects::report(heap, &found, &names, &contexts, diff.as_ref());
    report.sections.splice(0..0, word);
    Ok(report)
}

/// What of a diff is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) by: &'a [DiffKey],
    pub(crate) retained: bool,
    pub(crate) lines: Lines,
}

pub(crate) fn diff(mut task: Task<'_>, later: &[OsString], shown: Shown<'_>, output: Option<&OsStr>) -> Result<Report> {
    let Lines(limit) = shown.lines;
    let keys: Vec<Key> = shown
        .by
        .iter()
        .filter_map(|by| match by {
            DiffKey::Key(key) => Some(*key),
            DiffKey::Holder => None,
        })
        .collect();
    let is_by_holder = keys.len() < shown.by.len();
    if is_by_holder && shown.by.len() > 1 {
        return Err(Error::Usage { message: "growth is told by holder or by keys, not by both at once".into() });
    }
    let (loaded, word) = in_order(load_all(&mut task, later)?);
    let control = &task.options.control;
    let mut dumps = dumps(&loaded);
    if shown.retained {
        for (dump, loaded) in dumps.iter_mut().zip(&loaded) {
            dump.tree = Some(loaded.snapshot.tree(control)?);
        }
    }
    let diff = Diff::new(&dumps, control)?;
    let [.., Loaded { name, snapshot }] = &loaded[..] else { return Err(Error::Interrupted) };
    if let Some(path) = output {
        let ids: Vec<NodeId> = diff.retained_objects().collect();
        write_lines(Path::new(path), snapshot.heap(), snapshot.source(), &ids, control.cancel)
            .map_err(|error| of(name, error))?;
    }
    let mut report = if is_by_holder {
        let (tree, shortest_paths) = (snapshot.tree(control)?, snapshot.shortest_paths(control)?);
        let holders = holders::growth(&diff, tree, shortest_paths, snapshot.source(), &task.filter, limit, control)?;
        diff::report(&diff, By::Holder(&holders), &task.filter, limit, control)
    } else {
        diff::report(&diff, By::Keys(&keys), &task.filter, limit, control)
    }?;
    report.sections.splice(0..0, word);
    Ok(report)
}

/// Writes the lines of objects to a new file that only its owner may read; a file that is there is left as it is.
fn write_lines(path: &Path, heap: &Heap, source: &Source, ids: &[NodeId], cancel: Option<&AtomicBool>) -> Result<()> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let output = Output::open(path, cancel)?;
    if output.unfinished().is_some() && path.symlink_metadata().is_ok() {
        return Err(failed(rustix::io::Errno::EXIST.into()));
    }
    let mut out = BufWriter::new(output);
    heap.records(source, ids, |_, _, line| out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(failed))?;
    let output = out.into_inner().map_err(|error| failed(error.into_error()))?;
    output.finish().map_err(failed)
}
