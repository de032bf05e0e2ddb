//! One generation, or all, in detail: where its memory, objects and references were allocated, of which classes, and which of its
//! strings are duplicates.

use super::groups::{Groups, Shows, Unordered};
use super::strings::{self, Strings};
use super::{Context, Sort, note};
use crate::Result;
use crate::keys::{Key, Values};
use crate::report::{Level, Report, Section};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::survey::{Survey, Wants};

/// A generation in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// By location, the most bytes first.
    pub memory: Groups,
    /// By location, the most objects first.
    pub objects: Groups,
    /// By class, the most objects first.
    pub classes: Groups,
    /// By location, the most references first.
    pub references: Groups,
    /// The duplicate strings, the most copies first.
    pub strings: Strings,
}

/// Runs once through `source`; the filter says which generation.
///
/// # Errors
/// Those of [`scan::scan`], and where the temporary file for strings cannot be written.
pub fn read(source: &Source, filter: &Filter, limit: usize, scanning: &scan::Options<'_>) -> Result<(Detail, Context)> {
    let parts = Key::Location.parts().union(Key::Class.parts()).union(filter.parts());
    let wants =
        Wants { parts, summing: true, memsize: filter.memsize(), texts: Some(strings::parts(filter)), pages: false };
    let mut survey = Survey::take(source, &wants, scanning)?;
    let texts = survey.texts.take().unwrap_or_default();
    let by_groups = || {
        let mut values = Values::new(&survey.names);
        let mut by = |key: Key| Unordered::new(&mut values, &survey.sums, &[key], filter);
        let (locations, classes) = (by(Key::Location), by(Key::Class));
        let first = |of: &Unordered, sort: Sort| of.ordered(&values, sort, Some(limit));
        Detail {
            memory: first(&locations, Sort::Bytes),
            objects: first(&locations, Sort::Count),
            classes: first(&classes, Sort::Count),
            references: first(&locations, Sort::References),
            strings: Strings::default(),
        }
    };
    let by_texts = || strings::fold(&survey.names, texts, filter, Sort::Count, limit);
    let (detail, strings) = if scanning.thread_count() > 1 {
        std::thread::scope(|scope| {
            let groups = scope.spawn(by_groups);
            let strings = by_texts();
            (groups.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), strings)
        })
    } else {
        (by_groups(), by_texts())
    };
    let detail = Detail { strings: strings?, ..detail };
    Ok((detail, Context { totals: survey.totals, intake: survey.intake }))
}

impl Detail {
    /// The answer of `read DUMP GENERATION`; `which` is the generation for people.
    #[must_use]
    pub fn report(&self, dump: &str, which: &str, context: &Context) -> Report {
        let title = |what: &str| format!("{what}, {which}");
        let mut sections = vec![
            context.facts(),
            Section::Table(self.memory.table("memory", title("Memory by location"), Shows::BytesAndCount)),
            Section::Table(self.objects.table("objects", title("Objects by location"), Shows::CountAndBytes)),
            Section::Table(self.classes.table("classes", title("Objects by class"), Shows::CountAndBytes)),
            Section::Table(self.references.table("references", title("References by location"), Shows::References)),
        ];
        sections.extend(self.strings.sections(title("Duplicate strings")));
        if self.memory.total.count == 0 {
            sections.push(note(
                Level::Info,
                format!("the dump has no objects of {which}; read without it lists the generations"),
            ));
        }
        sections.extend(context.notes());
        Report { verb: "read", dump: dump.to_owned(), sections }
    }
}
