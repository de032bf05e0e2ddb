//! What a dump is, at a glance: the kinds of objects, what was traced, how full the pages are, which Ruby wrote it, what was lost.

pub(crate) mod resident;
mod taking;

use super::groups::{self, Groups, Shows};
use super::{Context, Order, column, fact, note, share, titled, untraced};
use crate::Result;
use crate::aggregate::{self, Aggregate};
use crate::control::Control;
use crate::heap::Heap;
use crate::human;
use crate::keys::Key;
use crate::names::Names;
use crate::properties::PropertyMask;
use crate::report::{Cell, Column, Facts, Level, Report, Rest, Section, Table};
use crate::ruby::pages::{Layout, Pages, SHOWN_SIZES, SizePages};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sums;

/// A dump at a glance.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Summary {
    /// Objects by internal type.
    pub types: Groups,
    /// Objects by class.
    pub classes: Groups,
    /// Heap pages by slot size; none where the addresses are no heap's.
    pub pages: Option<Vec<SizePages>>,
    /// Which objects the tables are of; the other facts are of all.
    #[serde(skip)]
    pub filter: Filter,
    /// Totals, roots, shapes, the Ruby series, and what was lost.
    pub context: Context,
}

/// Runs once through `source`; `limit` holds for the classes, the filter for types and classes.
///
/// # Errors
/// Those of [`scan::scan`].
pub fn read(source: &Source, filter: &Filter, limit: usize, scanning: &scan::Options<'_>) -> Result<Summary> {
    let aggregated =
        aggregate::Options { parts: parts(filter), summing: true, memsize: filter.memsize(), pages: true, texts: None };
    let aggregate = Aggregate::take(source, &aggregated, scanning)?;
    let pages = aggregate.pages.by_slot_size(&Layout::of(aggregate.totals.ruby_version));
    let context = Context { totals: aggregate.totals, diagnostics: aggregate.diagnostics };
    fold(&aggregate.names, &aggregate.sums, filter, limit, pages, context, &scanning.control)
}

/// A loaded heap at a glance; the same as [`read`] says of its dump.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn summary(heap: &Heap, filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Summary> {
    let sums = heap.sums(parts(filter), filter.memsize(), control)?;
    fold(heap.names(), &sums, filter, limit, heap.pages(), Context::of(heap), control)
}

fn parts(filter: &Filter) -> PropertyMask {
    Key::Class.parts().union(Key::Type.parts()).union(filter.parts())
}

fn fold(
    names: &Names,
    sums: &Sums,
    filter: &Filter,
    limit: usize,
    pages: Option<Vec<SizePages>>,
    context: Context,
    control: &Control<'_>,
) -> Result<Summary> {
    let fold = |key: Key, limit: Option<usize>| {
        let options = groups::Options { by: vec![key], filter: filter.clone(), sort: Order::Bytes, limit };
        groups::fold(names, sums, &options, control)
    };
    let (types, classes) = (fold(Key::Type, None)?, fold(Key::Class, Some(limit))?);
    Ok(Summary { types, classes, pages, filter: filter.clone(), context })
}

impl Summary {
    /// The answer of `summary`.
    #[must_use]
    pub fn report(&self, dump: &str) -> Report {
        let mut sections = self.context.head();
        sections.push(Section::Facts(self.heap()));
        let taking = self.context.totals.meta.as_deref().and_then(taking::Taking::parse);
        sections.extend(taking.as_ref().and_then(taking::Taking::facts).map(Section::Facts));
        let told = self.context.totals.taken::<serde_json::Value>().as_ref().and_then(resident::parts);
        sections.extend(told.map(|parts| Section::Table(resident::table(&parts, self.context.totals.objects.memsize))));
        sections.push(Section::Table(self.types.table("types", titled("Types", &self.filter), Shows::BytesAndCount)));
        sections.push(Section::Table(self.classes.table(
            "classes",
            titled("Classes", &self.filter),
            Shows::BytesAndCount,
        )));
        if let Some(pages) = self.pages.as_ref().filter(|pages| !pages.is_empty()) {
            sections.push(Section::Table(page_table(pages)));
        }
        if !self.context.totals.roots.is_empty() {
            sections.push(Section::Table(self.roots()));
        }
        sections.extend(self.explain());
        sections.extend(taking.iter().flat_map(taking::Taking::notes));
        sections.extend(self.context.notes());
        Report { verb: "summary", dump: dump.to_owned(), sections }
    }

    fn heap(&self) -> Facts {
        let (totals, diagnostics) = (&self.context.totals, &self.context.diagnostics);
        let roots = totals.roots.iter().map(|(_, count)| count).sum();
        let mut facts = vec![
            fact("references", "References", Cell::Count(totals.objects.references), String::new()),
            fact("roots", "Roots", Cell::Count(roots), format!("in {} categories", totals.roots.len())),
            fact("shapes", "Shapes", Cell::Count(totals.shapes), String::new()),
        ];
        if totals.free_slots > 0 {
            let bytes = if totals.free_bytes > 0 { human::bytes(totals.free_bytes) } else { String::new() };
            facts.push(fact("free_slots", "Free slots", Cell::Count(totals.free_slots), bytes));
        }
        if totals.zombies > 0 {
            let remark = "waiting for their finalizers".to_owned();
            facts.push(fact("zombies", "Zombies", Cell::Count(totals.zombies), remark));
        }
        if let Some(pages) = &self.pages {
            let all = sum(pages);
            let remark = format!("{} of their slots in use", human::percent(share(all.live, all.slots)));
            facts.push(fact("pages", "Heap pages", Cell::Count(all.count), remark));
        }
        let series = totals.ruby_version.series();
        facts.push(fact("ruby_series", "Ruby series", Cell::Text(series.into()), "by the dump's format".into()));
        facts.push(fact("lines", "Lines", Cell::Count(diagnostics.lines), human::bytes(diagnostics.bytes)));
        facts.push(fact("lost_lines", "Lost lines", Cell::Count(diagnostics.lost), String::new()));
        facts.push(fact("repaired_lines", "Repaired lines", Cell::Count(diagnostics.repaired), String::new()));
        facts.push(fact("truncated", "Truncated", Cell::Flag(diagnostics.truncated), String::new()));
        Facts { name: "heap", title: "Heap".into(), facts }
    }

    fn roots(&self) -> Table {
        let roots = &self.context.totals.roots;
        let total = roots.iter().map(|(_, count)| count).sum();
        Table {
            name: "root_categories",
            title: "Roots".into(),
            columns: vec![
                column("references", "References"),
                Column { name: "category", title: "Category", shrinks: true },
            ],
            rows: roots.iter().map(|(name, count)| vec![Cell::Count(*count), Cell::Text(name.clone())]).collect(),
            rest: None,
            total: Some(vec![Cell::Count(total), Cell::Missing]),
            bar: None,
        }
    }

    fn explain(&self) -> Vec<Section> {
        let totals = &self.context.totals;
        let mut notes = Vec::new();
        let untraced = untraced(totals);
        if totals.traced.count == 0 {
            notes.push(note(Level::Info, super::UNTRACED));
        } else if untraced.count > 0 && self.context.sampled().is_none() {
            let text = "untraced objects were allocated before tracing began, or by Ruby itself where it does not trace; they \
                        have neither generation nor location";
            notes.push(note(Level::Info, text));
        }
        if totals.tracer.count > 0 {
            let text =
                "the allocation tracer's own store is in the dump; it goes when tracing ends and is not the app's";
            notes.push(note(Level::Info, text));
        }
        if totals.roots.is_empty() {
            let text = "the dump has no ROOT lines: a partial one (since:), a filtered one, or one of single objects; what holds \
                        the objects cannot be told";
            notes.push(note(Level::Info, text));
        }
        notes
    }
}

fn sum(sizes: &[SizePages]) -> Pages {
    let mut all = Pages::default();
    sizes.iter().for_each(|size| all.add(size.pages));
    all
}

fn page_table(sizes: &[SizePages]) -> Table {
    let cells = |slot_size: Cell, Pages { count, live, slots, .. }: Pages| {
        vec![slot_size, Cell::Count(count), Cell::Count(live), Cell::Count(slots), Cell::Share(share(live, slots))]
    };
    let (shown, rest) = sizes.split_at(sizes.len().min(SHOWN_SIZES));
    Table {
        name: "pages",
        title: "Heap pages by slot size".into(),
        columns: vec![
            column("slot_size", "Slot size"),
            column("pages", "Pages"),
            column("live_slots", "Live slots"),
            column("slots", "Slots"),
            column("live_share", "Full"),
        ],
        rows: shown.iter().map(|size| cells(Cell::Bytes(size.slot_size.into()), size.pages)).collect(),
        rest: (!rest.is_empty()).then(|| Rest { rows: rest.len() as u64, cells: cells(Cell::Missing, sum(rest)) }),
        total: Some(cells(Cell::Missing, sum(sizes))),
        bar: None,
    }
}
