//! Several dumps of one process: how they are loaded and put in order, and the longer answers about them.

use super::options::{DiffKey, Lines};
use super::{Asked, Existing, Named};
use crate::analysis::diff::{self, By, Diff, Dump};
use crate::analysis::holders;
use crate::analysis::path_growth::{ByPath, Pathed};
use crate::analysis::verdicts::Rules;
use crate::analysis::verify::verify as verified;
use crate::analysis::{Context, fact, note};
use crate::control::Control;
use crate::export;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::Key;
use crate::page::{self, Page};
use crate::report::{Cell, Facts, Report, Section};
use crate::scan::Options;
use crate::snapshot::{self, Index, Said, Snapshot};
use crate::{Error, Result, sort};
use std::path::Path;
use std::sync::Arc;

/// A dump of several.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its name for people.
    pub name: String,
    /// The dump.
    pub snapshot: Arc<Snapshot>,
}

impl Loaded {
    /// The same without owning it.
    #[must_use]
    pub fn named(&self) -> snapshot::Named<'_> {
        snapshot::Named { name: &self.name, snapshot: &self.snapshot }
    }
}

/// The dumps in order, and the word that they were given in another.
pub type InOrder = (Vec<Loaded>, Option<Section>);

/// Loads them.
pub type Load<'a> = &'a mut dyn FnMut() -> Result<InOrder>;

/// Loads dumps one after another, and puts them in order.
///
/// # Errors
/// Those of [`Snapshot::load`]; the message begins with the dump's name.
pub fn load(dumps: Vec<Named>, index: Index, options: &Options<'_>) -> Result<InOrder> {
    let load = |Named { name, source }: Named| {
        let snapshot = Snapshot::load(source, index, options).map_err(|error| of(&name, error))?;
        Ok(Loaded { name, snapshot: Arc::new(snapshot) })
    };
    Ok(in_order(dumps.into_iter().map(load).collect::<Result<_>>()?))
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

/// Puts dumps that tell when they were taken in that order; says so where they stood in another.
fn in_order(loaded: Vec<Loaded>) -> InOrder {
    let heaps: Vec<&Heap> = loaded.iter().map(|dump| dump.snapshot.heap()).collect();
    let Some(order) = diff::order(&heaps) else { return (loaded, None) };
    let mut numbered: Vec<(usize, Loaded)> = loaded
        .into_iter()
        .enumerate()
        .map(|(at, dump)| (order.iter().position(|other| *other == at).unwrap_or(at), dump))
        .collect();
    sort::by_key(&mut numbered, |(place, _)| *place);
    let loaded: Vec<Loaded> = numbered.into_iter().map(|(_, dump)| dump).collect();
    let names: Vec<&str> = loaded.iter().map(|dump| &dump.name[..]).collect();
    let word = diff::sorted_note(&names);
    (loaded, Some(word))
}

fn pathed<'a>(loaded: &'a [Loaded], control: &Control<'_>) -> Result<Vec<Pathed<'a>>> {
    loaded.iter().map(|dump| dump.named().pathed(control)).collect()
}

fn dumps(loaded: &[Loaded]) -> Vec<Dump<'_>> {
    loaded.iter().map(|dump| Dump { name: &dump.name, heap: dump.snapshot.heap(), tree: None }).collect()
}

pub(super) fn suspects(said: Said<'_>, (loaded, word): InOrder, control: &Control<'_>) -> Result<Report> {
    let [.., last] = &loaded[..] else { return Err(Error::Interrupted) };
    let named: Vec<_> = loaded.iter().map(Loaded::named).collect();
    let dumps: Vec<Dump<'_>> = named.iter().map(|dump| dump.compared()).collect();
    let diff = if dumps.len() > 1 { Some(Diff::new(&dumps, control)?) } else { None };
    let (found, failure) = snapshot::Named::suspects(&named, diff.as_ref(), last.snapshot.source(), said, control)
        .map_err(|error| of(&last.name, error))?;
    let mut report = found.report();
    report.sections.splice(0..0, word);
    report.sections.extend(failure);
    Ok(report)
}

/// What of a diff is asked for.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) by: &'a [DiffKey],
    pub(super) retained: bool,
    pub(super) lines: Lines,
    pub(super) output: Option<&'a Path>,
}

pub(super) fn diff(shown: Shown<'_>, asked: &Asked<'_>, load: Load<'_>) -> Result<Report> {
    let Lines(limit) = shown.lines;
    let keys: Vec<Key> = shown
        .by
        .iter()
        .filter_map(|by| match by {
            DiffKey::Key(key) => Some(*key),
            DiffKey::Holder | DiffKey::Path => None,
        })
        .collect();
    let [is_by_holder, is_by_path] = [DiffKey::Holder, DiffKey::Path].map(|key| shown.by.contains(&key));
    if (is_by_holder || is_by_path) && shown.by.len() > 1 {
        let message = "growth is told by holder, by path or by keys, not by several of these at once";
        return Err(Error::Usage { message: message.into() });
    }
    if is_by_path && shown.retained {
        return Err(Error::usage("what paths retain is not told: the paths below a path stand beside it"));
    }
    let (loaded, word) = load()?;
    let control = &asked.options.control;
    let mut dumps = dumps(&loaded);
    if shown.retained {
        for (dump, loaded) in dumps.iter_mut().zip(&loaded) {
            dump.tree = Some(loaded.snapshot.tree(control)?);
        }
    }
    let diff = Diff::new(&dumps, control)?;
    let [.., Loaded { name, snapshot }] = &loaded[..] else { return Err(Error::Interrupted) };
    if let Some(path) = shown.output {
        let ids: Vec<NodeId> = diff.retained_objects().collect();
        write_lines(path, snapshot, &ids, asked).map_err(|error| of(name, error))?;
    }
    let by = if is_by_path {
        By::Path(ByPath::new(&pathed(&loaded, control)?, &asked.filter, control)?.growth())
    } else if is_by_holder {
        let (tree, shortest_paths) = (snapshot.tree(control)?, snapshot.shortest_paths(control)?);
        By::Holder(holders::growth(&diff, tree, shortest_paths, snapshot.source(), &asked.filter, limit, control)?)
    } else {
        By::Keys(keys)
    };
    let mut report = diff::answer(&diff, by, &asked.filter, limit, control)?.report(&asked.filter, limit);
    report.sections.splice(0..0, word);
    Ok(report)
}

pub(super) fn verify(after: usize, only: Option<&str>, asked: &Asked<'_>, load: Load<'_>) -> Result<Report> {
    let (loaded, word) = load()?;
    let control = &asked.options.control;
    if after == 0 || after >= loaded.len() {
        return Err(Error::usage("`verify` needs dumps from before the fix, and behind `--` those from after it"));
    }
    let (before, after) = loaded.split_at(loaded.len() - after);
    let [(before, one), (after, other)] = [before, after].map(|series| in_order(series.to_vec()));
    let found = verified(&pathed(&before, control)?, &pathed(&after, control)?, only, control)?;
    let all: Vec<&Loaded> = before.iter().chain(&after).collect();
    let names: Vec<&str> = all.iter().map(|dump| &dump.name[..]).collect();
    let notes = all.iter().flat_map(|dump| {
        dump.snapshot.context().notes().into_iter().map(|section| match section {
            Section::Note(found) => note(found.level, format!("{}: {}", dump.name, found.text)),
            section => section,
        })
    });
    Ok(found.report(&names, [word, one, other].into_iter().flatten().chain(notes).collect()))
}

pub(super) fn export(
    verb: &'static str,
    options: &export::Options,
    path: &Path,
    asked: &Asked<'_>,
    load: Load<'_>,
) -> Result<Report> {
    options.check()?;
    let (loaded, word) = load()?;
    let dumps: Vec<_> = loaded.iter().map(Loaded::named).collect();
    let written = export::export(
        &dumps,
        options,
        path,
        &|path, fill| (asked.save)(path, Existing::Kept, fill),
        &asked.options.control,
    )?;
    let contexts: Vec<Context> = loaded.iter().map(|dump| dump.snapshot.context()).collect();
    let mut report = Report { verb, ..export::report(&written, options.format, &asked.dump, &contexts) };
    report.sections.splice(0..0, word);
    Ok(report)
}

/// Writes the lines of objects where the door lets it.
fn write_lines(path: &Path, snapshot: &Snapshot, ids: &[NodeId], asked: &Asked<'_>) -> Result<()> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    (asked.save)(path, Existing::Kept, &mut |out| {
        snapshot.heap().records(snapshot.source(), ids, |_, _, line| {
            out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(failed)
        })
    })
}

/// Writes the page where the door lets it, and tells of it.
pub(super) fn page(
    path: &Path,
    confidential: bool,
    rules: &Rules,
    asked: &Asked<'_>,
    load: Load<'_>,
) -> Result<Report> {
    let (loaded, word) = load()?;
    let dumps: Vec<_> = loaded.iter().map(Loaded::named).collect();
    let options = page::Options { confidential: confidential.then_some(true), rules };
    let page = Page::new(&dumps, word, options, &asked.options)?;
    let html = page.html();
    let failed = |source| Error::File { path: path.to_owned(), source };
    (asked.save)(path, Existing::Replaced, &mut |out| out.write_all(html.as_bytes()).map_err(failed))?;
    let all = human::count(page.all_objects as u64);
    let values = if page.confidential { "left out" } else { "shown, each at most 60 letters" };
    let facts = vec![
        fact("file", "Page", Cell::Text(path.to_string_lossy().into_owned()), "for a browser".into()),
        fact("suspects", "Suspects", Cell::Count(page.suspects as u64), String::new()),
        fact("objects", "Objects to walk through", Cell::Count(page.objects as u64), format!("of {all}")),
        fact("values", "Values of strings", Cell::Text(values.into()), String::new()),
    ];
    let names: Vec<&str> = loaded.iter().map(|dump| &dump.name[..]).collect();
    let sections = vec![Section::Facts(Facts { name: "page", title: String::new(), facts })];
    Ok(Report { verb: "report", dump: names.join(", "), sections })
}
