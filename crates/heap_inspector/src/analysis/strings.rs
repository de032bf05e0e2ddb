//! Duplicate strings: texts that several strings hold, what the copies waste and where they were allocated.
//!
//! Ruby dumps the text of 7-bit strings that own it; of others (shared, not ASCII) it does not, and these are counted apart.

use super::{Context, Order, column, titled};
use crate::aggregate::texts::SHOWN;
use crate::aggregate::{self, Aggregate, Texts};
use crate::keys::{Key, KeyValue, Values};
use crate::names::Names;
use crate::properties::PropertyMask;
use crate::report::{Cell, Column, Level, Report, Rest, Section, Table};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sum;
use crate::{Result, sort};
use hashbrown::HashMap;

/// How many sites of a text are named; the others are summed up.
const SITES: usize = 5;

/// A text that several strings hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DuplicateString {
    /// The text; of a long one its start, and then `is_cut` is set.
    pub value: String,
    /// Whether `value` is not the whole text.
    pub is_cut: bool,
    /// Bytes of the whole text.
    pub bytesize: u64,
    /// The strings that hold it.
    pub count: u64,
    /// Their bytes, slots included.
    pub memsize: u64,
    /// Their bytes beside the biggest of them: what one copy for all would free.
    pub wasted: u64,
    /// Where most of them were allocated (`file:line`), with their counts.
    pub sites: Vec<(KeyValue, u64)>,
    /// How many further sites there are.
    pub rest_sites: u64,
}

/// The duplicate strings of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Strings {
    /// The texts in order, as many as the limit allows.
    pub duplicates: Vec<DuplicateString>,
    /// How many texts several strings hold, in all.
    pub duplicate_texts: u64,
    /// The strings that hold those.
    pub duplicate_strings: Sum,
    /// What they take beside one of each.
    pub wasted: u64,
    /// All strings whose text is in the dump.
    pub with_text: Sum,
    /// Strings whose text is not in the dump.
    pub without_text: Sum,
}

/// Runs once through `source`, in bounded memory.
///
/// # Errors
/// Those of [`scan::scan`], and where the temporary file cannot be written.
pub fn read(
    source: &Source,
    filter: &Filter,
    sort: Order,
    limit: usize,
    scanning: &scan::Options<'_>,
) -> Result<(Strings, Context)> {
    let aggregated =
        aggregate::Options { memsize: filter.memsize(), texts: Some(parts(filter)), ..aggregate::Options::default() };
    let mut aggregate = Aggregate::take(source, &aggregated, scanning)?;
    let texts = aggregate.texts.take().unwrap_or_default();
    let strings = fold(&aggregate.names, texts, filter, sort, limit)?.shown_of(source);
    Ok((strings, Context { totals: aggregate.totals, diagnostics: aggregate.diagnostics }))
}

/// The parts of slots that tell strings apart here.
pub(crate) fn parts(filter: &Filter) -> PropertyMask {
    filter.parts().union(Key::Location.parts())
}

pub(crate) fn fold(names: &Names, texts: Texts, filter: &Filter, sort: Order, limit: usize) -> Result<Strings> {
    let mut values = Values::new(names);
    let found = texts.duplicates(
        limit,
        |properties| filter.holds(&mut values, properties),
        |text| if sort == Order::Count { text.sum.count } else { text.wasted },
    )?;
    let duplicates = found
        .duplicates
        .into_iter()
        .map(|text| {
            let mut by_site: HashMap<KeyValue, u64> = HashMap::new();
            for (properties, sum) in &text.slots {
                let site = values.value(Key::Location, properties);
                *by_site.entry(values.outside(site)).or_default() += sum.count;
            }
            let mut sites: Vec<(KeyValue, u64)> = by_site.into_iter().collect();
            sort::by(&mut sites, |a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let rest_sites = sites.len().saturating_sub(SITES) as u64;
            sites.truncate(SITES);
            DuplicateString {
                is_cut: text.text.len() >= SHOWN && text.bytesize > SHOWN as u64,
                value: String::from_utf8_lossy(&text.text).into_owned(),
                bytesize: text.bytesize,
                count: text.sum.count,
                memsize: text.sum.memsize,
                wasted: text.wasted,
                sites,
                rest_sites,
            }
        })
        .collect();
    Ok(Strings {
        duplicates,
        duplicate_texts: found.texts,
        duplicate_strings: found.strings,
        wasted: found.wasted,
        with_text: found.with_text,
        without_text: found.without_text,
    })
}

impl Strings {
    /// Without the texts, where the source hides them.
    pub(crate) fn shown_of(mut self, source: &Source) -> Strings {
        if source.hides_values() {
            for duplicate in &mut self.duplicates {
                duplicate.value.clear();
                duplicate.is_cut = true;
            }
        }
        self
    }

    /// The duplicates as a table, and what else to know.
    pub(crate) fn sections(&self, title: String) -> Vec<Section> {
        let shown = self.duplicates.iter().fold((0, 0, 0), |(count, memsize, wasted), text| {
            // As all sums of bytes: a dump may claim more than there are numbers for.
            let add = |sum: u64, bytes: u64| sum.saturating_add(bytes);
            (count + text.count, add(memsize, text.memsize), add(wasted, text.wasted))
        });
        let all = (self.duplicate_strings.count, self.duplicate_strings.memsize, self.wasted);
        let cells = |(count, memsize, wasted): (u64, u64, u64)| {
            let sums = [Cell::Bytes(wasted), Cell::Count(count), Cell::Bytes(memsize)];
            sums.into_iter().chain([Cell::Missing, Cell::Missing, Cell::Missing]).collect::<Vec<Cell>>()
        };
        let rows = self.duplicate_texts - self.duplicates.len() as u64;
        let table = Table {
            name: "strings",
            title,
            columns: vec![
                column("wasted", "Wasted"),
                column("count", "Strings"),
                column("memsize", "Memory"),
                column("bytesize", "Bytes"),
                Column { name: "value", title: "Text", shrinks: true },
                Column { name: "sites", title: "Allocated at", shrinks: true },
            ],
            rows: self
                .duplicates
                .iter()
                .map(|text| {
                    let site = |(site, count): &(KeyValue, u64)| Cell::Tally {
                        name: "location",
                        value: site.words().unwrap_or_default().to_owned(),
                        count: *count,
                    };
                    let more = (text.rest_sites > 0).then_some(Cell::More { count: text.rest_sites, what: "sites" });
                    let sites = text.sites.iter().map(site).chain(more).collect();
                    let value = if text.is_cut { Cell::Cut } else { Cell::Text };
                    vec![
                        Cell::Bytes(text.wasted),
                        Cell::Count(text.count),
                        Cell::Bytes(text.memsize),
                        Cell::Bytes(text.bytesize),
                        value(text.value.clone()),
                        Cell::List(sites),
                    ]
                })
                .collect(),
            rest: (rows > 0).then(|| Rest { rows, cells: cells((all.0 - shown.0, all.1 - shown.1, all.2 - shown.2)) }),
            total: Some(cells(all)),
            bar: None,
        };
        let mut sections = vec![Section::Table(table)];
        if self.without_text.count > 0 {
            let text = format!(
                "Ruby writes the text of {} strings; of {} more, which share it or are not ASCII, it writes none, so copies among \
                 these are not seen",
                crate::human::count(self.with_text.count),
                crate::human::count(self.without_text.count),
            );
            sections.push(super::note(Level::Info, text));
        }
        sections
    }

    /// The answer of `strings`.
    #[must_use]
    pub fn report(&self, dump: &str, filter: &Filter, context: &Context) -> Report {
        let mut sections = vec![context.facts()];
        sections.extend(self.sections(titled("Duplicate strings", filter)));
        sections.extend(context.notes());
        Report { verb: "strings", dump: dump.to_owned(), sections }
    }
}
