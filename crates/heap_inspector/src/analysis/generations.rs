//! Objects by the GC count at their allocation: in a leak, old generations stay full.

use super::groups::{self, Groups};
use super::{Context, column, share, titled, untraced};
use crate::Result;
use crate::heap::Heap;
use crate::keys::{Key, KeyValue, UNTRACED};
use crate::report::{Cell, Level, Report, Rest, Section, Table};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::survey::Sum;

/// The objects of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The GC count at the allocation; none for untraced objects.
    pub number: Option<u64>,
    /// What the objects come to.
    pub sum: Sum,
}

/// The generations of a dump, untraced objects first, then the oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// The generations, in order.
    pub generations: Vec<Generation>,
    /// How many the limit cut off; those of the fewest bytes.
    pub rest_generations: u64,
    /// What those come to.
    pub rest: Sum,
    /// What all come to.
    pub total: Sum,
}

fn options(filter: Filter, limit: Option<usize>) -> groups::Options {
    groups::Options { by: vec![Key::Generation], filter, limit, ..groups::Options::default() }
}

/// Runs once through `source`.
///
/// # Errors
/// Those of [`scan::scan`].
pub fn read(
    source: &Source,
    filter: Filter,
    limit: Option<usize>,
    scanning: &scan::Options<'_>,
) -> Result<(Generations, Context)> {
    let (groups, context) = groups::read(source, &options(filter, limit), scanning)?;
    Ok((in_order(groups), context))
}

/// The generations of a loaded heap.
#[must_use]
pub fn generations(heap: &Heap, filter: Filter, limit: Option<usize>) -> Generations {
    in_order(groups::groups(heap, &options(filter, limit)))
}

fn in_order(groups: Groups) -> Generations {
    let mut generations: Vec<Generation> = groups
        .groups
        .iter()
        .map(|group| {
            let number = match group.key[..] {
                [KeyValue::Number(number)] => Some(number),
                _ => None,
            };
            Generation { number, sum: group.sum }
        })
        .collect();
    generations.sort_by_key(|generation| generation.number);
    Generations { generations, rest_generations: groups.rest_groups, rest: groups.rest, total: groups.total }
}

impl Generations {
    /// The answer of `read`.
    #[must_use]
    pub fn report(&self, dump: &str, filter: &Filter, context: &Context) -> Report {
        let cells = |generation: Cell, sum: &Sum| {
            let part = share(sum.memsize, self.total.memsize);
            vec![generation, Cell::Count(sum.count), Cell::Bytes(sum.memsize), Cell::Share(part)]
        };
        let table = Table {
            name: "generations",
            title: titled("Generations", filter),
            columns: vec![
                column("generation", "Generation"),
                column("count", "Objects"),
                column("memsize", "Memory"),
                column("memsize_share", ""),
            ],
            rows: self
                .generations
                .iter()
                .map(|generation| cells(generation.number.map_or(Cell::Null(UNTRACED), Cell::Number), &generation.sum))
                .collect(),
            rest: (self.rest_generations > 0)
                .then(|| Rest { rows: self.rest_generations, cells: cells(Cell::Missing, &self.rest) }),
            total: Some(cells(Cell::Missing, &self.total)),
            bar: Some(2),
        };
        let mut sections = vec![context.facts(), Section::Table(table)];
        sections.extend(explain(context));
        sections.extend(context.notes());
        Report { verb: "read", dump: dump.to_owned(), sections }
    }
}

/// What to know of generations in this dump.
fn explain(context: &Context) -> Option<Section> {
    let totals = &context.totals;
    if totals.traced.count == 0 {
        return Some(super::note(Level::Info, super::UNTRACED));
    }
    let text =
        "objects without a generation were allocated before tracing began, or by Ruby itself where it does not trace";
    (untraced(totals).count > 0).then(|| super::note(Level::Info, text))
}
