//! One generation, or all, in detail: where its memory, objects and references were allocated, of which classes, and which of its
//! strings are duplicates.

use super::groups::{Groups, Shows, Unordered};
use super::strings::{self, Strings};
use super::{Context, Order, note};
use crate::aggregate::{self, Aggregate};
use crate::control::Control;
use crate::keys::{Key, KeyValue, Values};
use crate::report::{Level, Report, Section};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sums;
use crate::{Error, Result, sort, threads};

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
    /// The duplicate strings, those that waste the most bytes first.
    pub strings: Strings,
    /// The generations that the dump has, where none of their objects passes the filter.
    pub others: Vec<u64>,
}

/// Runs once through `source`; the filter says which generation.
///
/// # Errors
/// Those of [`scan::scan`], and where the temporary file for strings cannot be written.
pub fn read(source: &Source, filter: &Filter, limit: usize, scanning: &scan::Options<'_>) -> Result<(Detail, Context)> {
    let parts = Key::Location.parts().union(Key::Class.parts()).union(filter.parts());
    let aggregated = aggregate::Options {
        parts,
        summing: true,
        memsize: filter.memsize(),
        texts: Some(strings::parts(filter)),
        pages: false,
    };
    let mut aggregate = Aggregate::take(source, &aggregated, scanning)?;
    let texts = aggregate.texts.take().unwrap_or_default();
    let by_groups = || {
        let mut values = Values::new(&aggregate.names);
        let mut by = |key: Key| Unordered::new(&mut values, &aggregate.sums, &[key], filter, &scanning.control);
        let (locations, classes) = (by(Key::Location)?, by(Key::Class)?);
        let first = |of: &Unordered, sort: Order| of.ordered(&values, sort, Some(limit), &scanning.control);
        Ok::<_, Error>(Detail {
            memory: first(&locations, Order::Bytes)?,
            objects: first(&locations, Order::Count)?,
            classes: first(&classes, Order::Count)?,
            references: first(&locations, Order::References)?,
            strings: Strings::default(),
            others: if locations.total().count == 0 {
                numbers(&mut values, &aggregate.sums, &scanning.control)?
            } else {
                Vec::new()
            },
        })
    };
    let by_texts = || strings::fold(&aggregate.names, texts, filter, Order::Bytes, limit);
    let (detail, strings) = threads::both(scanning.control.thread_count() > 1, by_groups, by_texts);
    let detail = Detail { strings: strings?.shown_of(source), ..detail? };
    Ok((detail, Context { totals: aggregate.totals, diagnostics: aggregate.diagnostics }))
}

/// All generations of the dump, the oldest first.
fn numbers(values: &mut Values<'_>, sums: &Sums, control: &Control<'_>) -> Result<Vec<u64>> {
    let all = Unordered::new(values, sums, &[Key::Generation], &Filter::default(), control)?;
    let groups = all.ordered(values, Order::Bytes, None, control)?.groups;
    let mut numbers: Vec<u64> = groups
        .iter()
        .filter_map(|group| match group.key[..] {
            [KeyValue::Number(number)] => Some(number),
            _ => None,
        })
        .collect();
    sort::by(&mut numbers, Ord::cmp);
    Ok(numbers)
}

/// Numbers for people: those that follow each other as a range, and not more than a few.
fn ranges(numbers: &[u64]) -> String {
    const SHOWN: usize = 8;
    let parts: Vec<String> = numbers
        .chunk_by(|one, next| one + 1 == *next)
        .map(|run| match run {
            [first, .., last] => format!("{first} to {last}"),
            run => run.iter().map(u64::to_string).collect(),
        })
        .collect();
    match parts.len() {
        count if count <= SHOWN + 1 => parts.join(", "),
        _ => format!("{}, ... {}", parts[..SHOWN].join(", "), parts[parts.len() - 1]),
    }
}

impl Detail {
    /// Why there is nothing to show.
    fn nothing(&self, which: &str, filter: &Filter) -> Section {
        // The generation itself is among the terms.
        let asked = match filter.words() {
            [] => "the dump has no objects".to_owned(),
            [_] => format!("there is no object of {which}"),
            words => format!("there is no object where {}", words.join(", ")),
        };
        let text = match self.others.as_slice() {
            [] => format!("{asked}; {}", super::UNTRACED),
            others => format!("{asked}; the dump has generations {}", ranges(others)),
        };
        note(Level::Info, text)
    }

    /// The answer of `read DUMP GENERATION`; `which` is the generation for people, and the filter the one it was read with.
    #[must_use]
    pub fn report(&self, dump: &str, which: &str, filter: &Filter, context: &Context) -> Report {
        if self.memory.total.count == 0 {
            let mut sections = context.head();
            sections.push(self.nothing(which, filter));
            sections.extend(context.notes());
            return Report { verb: "read", dump: dump.to_owned(), sections };
        }
        let title = |what: &str| format!("{what}, {which}");
        let mut sections = context.head();
        sections.extend([
            Section::Table(self.memory.table("memory", title("Memory by location"), Shows::BytesAndCount)),
            Section::Table(self.objects.table("objects", title("Objects by location"), Shows::CountAndBytes)),
            Section::Table(self.classes.table("classes", title("Objects by class"), Shows::CountAndBytes)),
            Section::Table(self.references.table("references", title("References by location"), Shows::References)),
        ]);
        sections.extend(self.strings.sections(title("Duplicate strings")));
        sections.extend(context.notes());
        Report { verb: "read", dump: dump.to_owned(), sections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_as_ranges() {
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12]), "3 to 5, 9, 11 to 12");
        let odd: Vec<u64> = (0..20).map(|number| 2 * number + 1).collect();
        assert_eq!(ranges(&odd), "1, 3, 5, 7, 9, 11, 13, 15, ... 39");
    }

    #[test]
    fn an_empty_answer_says_what_there_is() {
        let lines = "{\"address\":\"0x28\", \"type\":\"OBJECT\", \"memsize\":40, \"file\":\"a.rb\", \"line\":1, \"generation\":4}\n\
                     {\"address\":\"0x50\", \"type\":\"STRING\", \"memsize\":40, \"file\":\"a.rb\", \"line\":1, \"generation\":5}\n";
        let told = |terms: &[&str]| {
            let source = Source::reader(lines.as_bytes(), "-");
            let filter = Filter::parse(terms).expect("it is one");
            let (detail, context) = read(&source, &filter, 9, &scan::Options::default()).expect("it is a dump");
            let sections = detail.report("-", "generation 9", &filter, &context).sections;
            assert!(!sections.iter().any(|section| matches!(section, Section::Table(_))));
            match &sections[1] {
                Section::Note(note) => note.text.clone(),
                section => panic!("{section:?}"),
            }
        };
        assert_eq!(told(&["generation=9"]), "there is no object of generation 9; the dump has generations 4 to 5");
        assert_eq!(
            told(&["type=OBJECT", "generation=5"]),
            "there is no object where type=OBJECT, generation=5; the dump has generations 4 to 5"
        );
    }
}
