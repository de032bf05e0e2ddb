//! One HTML file of a dump, or of several of one process: what leaks, what memory there is, who holds it, and the biggest objects to walk
//! through. Snapshots go in, a [`Page`] comes out, which is complete without them.
//!
//! It is a view of answers that are made elsewhere, each once: suspects, growth, groups, dominators, threads, waste. They go into the file
//! as one block of JSON beside our own style and script, which make the page of it; nothing is loaded, and a text of a dump becomes
//! text of the document and nothing else. What a dump can make long is bounded: names are cut, of each list the biggest stand there and
//! the rest is counted, so the file stays below 5 MB whatever the heap.

mod cells;
mod document;
mod dumps;
mod groups;
mod last;
mod objects;
mod suspect;
mod trees;

use crate::analysis::diff::{Diff, Dump};
use crate::analysis::show;
use crate::analysis::verdicts::Rules;
use crate::control::Control;
use crate::report::{Report, Section};
use crate::scan;
use crate::snapshot::{Named, Said, Snapshot};
use crate::threads::both;
use crate::{Error, Result};
use last::Last;
use serde_json::Value;

/// Suspects at most.
const SUSPECTS: usize = 5;

/// What a page is of.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether the values of strings are left out. Where it is not said: where a dump says that it was redacted.
    pub confidential: Option<bool>,
    /// What is meant to live, and what is not.
    pub rules: &'a Rules,
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

impl Page {
    /// The page of dumps, the oldest first; `notes` are put before all else that is to be known.
    ///
    /// # Errors
    /// [`Error::Usage`] for no dump; those of the analyses.
    pub fn new(
        dumps: &[Named<'_>],
        notes: Option<Section>,
        options: Options<'_>,
        scanning: &scan::Options<'_>,
    ) -> Result<Page> {
        let control = &scanning.control;
        let [.., Named { name, snapshot }] = dumps else { return Err(Error::usage("a page is of a dump")) };
        let confidential = options
            .confidential
            .unwrap_or_else(|| dumps.iter().any(|dump| dump.snapshot.heap().totals().is_redacted()));
        let source = snapshot.source_to_tell(confidential);
        let last = Last::new(name, snapshot, &source, scanning)?;
        let compared: Vec<Dump<'_>> = dumps.iter().map(|dump| dump.compared()).collect();
        let diff = if dumps.len() > 1 { Some(Diff::new(&compared, control)?) } else { None };
        let said = Said::plain(SUSPECTS, options.rules);
        let (answer, _) = Named::suspects(dumps, diff.as_ref(), &source, said, control)?;
        let names: Vec<&str> = dumps.iter().map(|dump| dump.name).collect();
        let (found, doubts) = (&answer.suspects, answer.report().sections);

        // The texts take another pass through the file; with what is told of objects it takes as long as the groups.
        let threads = control.thread_count();
        let (others, of_groups) = both(
            threads > 1,
            || both(threads > 2, || last.strings(), || last.waste_and_objects(found)),
            || Ok((last.groups(diff.as_ref())?, diff.as_ref().map(|diff| last.growth(diff)).transpose()?)),
        );
        let (texts, of_objects): (Result<_>, Result<_>) = others;
        let of_groups: Result<_> = of_groups;
        let ((mut data, growth), (more, objects)) = (of_groups?, of_objects?);
        data.extend(more);
        data.extend(growth.map(|growth| ("growth".to_owned(), growth)));
        for (key, value) in [
            ("strings", texts?),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("confidential", confidential.into()),
            ("suspects", found.iter().map(|suspect| last.suspect(suspect)).collect()),
            ("doubts", cells::notes(notes.iter().chain(&doubts))),
            ("dumps", dumps.iter().map(|dump| dumps::value(dump.name, dump.snapshot.heap())).collect()),
            ("embedded", objects.into()),
            ("object_count", snapshot.heap().object_count().into()),
        ] {
            data.insert(key.into(), value);
        }
        Ok(Page {
            title: names.join(", "),
            data: Value::Object(data),
            objects,
            all_objects: snapshot.heap().object_count(),
            suspects: found.len(),
            confidential,
        })
    }

    /// The file's text.
    #[must_use]
    pub fn html(&self) -> String {
        document::html(&self.title, &self.data, document::Reach::Nothing)
    }

    /// The text of a page with all of the heap behind it: it asks where it came from, for `object/ADDRESS`, which [`object`] answers, and for
    /// `ask/QUESTION?OPTION=VALUE&format=page`, which [`answer`] does. `questions` is what may be asked.
    #[must_use]
    pub fn served(mut self, questions: Value) -> String {
        self.data["served"] = questions;
        document::html(&self.title, &self.data, document::Reach::Origin)
    }
}

/// An object as a page has it, and what stands before it on its way from a root: a JSON list, the object the first.
///
/// # Errors
/// [`Error::Usage`] where the text is no address of an object; those of [`crate::heap::Heap::records`].
pub fn object(snapshot: &Snapshot, address: &str, control: &Control<'_>) -> Result<String> {
    let id = show::find(snapshot.heap(), address)?;
    let shortest_paths = snapshot.shortest_paths(control)?;
    let (told, _) = objects::told(snapshot, snapshot.source(), &[id], shortest_paths, objects::WAY, control)?;
    Ok(told.to_string())
}

/// A report as a page draws it: a JSON list of its sections, each cell with its kind.
#[must_use]
pub fn answer(report: &Report) -> String {
    cells::sections(report).to_string()
}
