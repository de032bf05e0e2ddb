//! Objects by the GC count at their allocation: in a leak, old generations stay full.

use super::groups::{self, Estimate, Groups};
use super::{Context, column, fact, note, share, titled, untraced};
use crate::control::Control;
use crate::heap::Heap;
use crate::human;
use crate::keys::{Absent, Key, KeyValue};
use crate::report::{Cell, Fact, Level, Report, Rest, Section, Table};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sum;
use crate::{Result, sort};

/// The objects of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Generation {
    /// The GC count at the allocation; none for untraced objects.
    pub number: Option<u64>,
    /// What the objects come to.
    pub sum: Sum,
    /// What they stand for, where allocations were sampled.
    pub estimate: Option<Estimate>,
}

impl Generation {
    /// What they come to, as far as is known.
    fn whole(&self) -> Sum {
        self.estimate.map_or(self.sum, |estimate| estimate.sum)
    }
}

/// The generations of a dump, untraced objects first, then the oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Generations {
    /// The generations, in order.
    pub generations: Vec<Generation>,
    /// How many the limit cut off; those of the fewest bytes.
    pub rest_generations: u64,
    /// What those come to.
    pub rest: Sum,
    /// What all come to.
    pub total: Sum,
    /// What those that the limit cut off stand for, and all, where allocations were sampled.
    pub estimates: Option<[Estimate; 2]>,
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
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn generations(heap: &Heap, filter: Filter, limit: Option<usize>, control: &Control<'_>) -> Result<Generations> {
    groups::groups(heap, &options(filter, limit), control).map(in_order)
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
            Generation { number, sum: group.sum, estimate: group.estimate }
        })
        .collect();
    sort::by_key(&mut generations, |generation| generation.number);
    Generations {
        generations,
        rest_generations: groups.rest_groups,
        rest: groups.rest,
        total: groups.total,
        estimates: groups.sampling.map(|_| groups.estimates),
    }
}

impl Generations {
    /// The traced generation with the most bytes, the earliest of equal ones.
    #[must_use]
    pub fn largest(&self) -> Option<&Generation> {
        self.generations
            .iter()
            .filter(|generation| generation.number.is_some())
            .rev()
            .max_by_key(|generation| generation.whole().memsize)
    }

    /// How many times the bytes of the median traced generation those of `generation` are; none where it cannot be told.
    #[must_use]
    pub fn times_median(&self, generation: &Generation) -> Option<f64> {
        let traced = self.generations.iter().filter(|generation| generation.number.is_some());
        let mut bytes: Vec<u64> = traced.map(|generation| generation.whole().memsize).collect();
        bytes.sort_unstable();
        let median = *bytes.get(bytes.len() / 2)?;
        (self.rest_generations == 0 && bytes.len() > 2 && median > 0)
            .then(|| generation.whole().memsize as f64 / median as f64)
    }

    /// The largest generation for the facts.
    fn outstanding(&self) -> Option<Fact> {
        let largest = self.largest()?;
        let number = largest.number?;
        let (whole, about) = (largest.whole(), if self.estimates.is_some() { "~" } else { "" });
        let bytes = format!("{about}{}", human::bytes(whole.memsize));
        let part = human::percent(share(whole.memsize, self.all().memsize));
        let times = self.times_median(largest).filter(|times| *times >= 1.5);
        let times = times.map_or_else(String::new, |times| format!(", {times:.1} times the median generation"));
        let remark = format!("{bytes}, {part} of all memory{times}");
        Some(fact("largest_generation", "Largest generation", Cell::Number(number), remark))
    }

    /// What all come to, as far as is known.
    fn all(&self) -> Sum {
        self.estimates.map_or(self.total, |[_, all]| all.sum)
    }

    /// The answer of `read`.
    #[must_use]
    pub fn report(&self, dump: &str, filter: &Filter, context: &Context) -> Report {
        let cells = |generation: Cell, sum: &Sum, estimate: Option<Estimate>| {
            let part = |sum: &Sum| Cell::Share(share(sum.memsize, self.all().memsize));
            let Some(estimate) = estimate else {
                return vec![generation, Cell::Count(sum.count), Cell::Bytes(sum.memsize), part(sum)];
            };
            let about = |amount: u64, of_bytes: bool| Cell::About { amount, of_bytes, is_rough: estimate.is_rough() };
            let Estimate { samples, sum } = estimate;
            let samples = if samples == 0 { Cell::Missing } else { Cell::Count(samples) };
            vec![generation, about(sum.count, false), about(sum.memsize, true), part(&sum), samples]
        };
        let [rest, all] = [0, 1].map(|at| self.estimates.map(|estimates| estimates[at]));
        let columns = match all {
            None => vec![
                column("generation", "Generation"),
                column("count", "Objects"),
                column("memsize", "Memory"),
                column("memsize_share", ""),
            ],
            Some(_) => vec![
                column("generation", "Generation"),
                column("estimated_count", "Objects"),
                column("estimated_memsize", "Memory"),
                column("estimated_memsize_share", ""),
                column("samples", "Samples"),
            ],
        };
        let table = Table {
            name: "generations",
            title: titled("Generations", filter),
            columns,
            rows: self
                .generations
                .iter()
                .map(|generation| {
                    let number = generation.number.map_or(Cell::Null(Absent::Untraced.words()), Cell::Number);
                    cells(number, &generation.sum, generation.estimate)
                })
                .collect(),
            rest: (self.rest_generations > 0)
                .then(|| Rest { rows: self.rest_generations, cells: cells(Cell::Missing, &self.rest, rest) }),
            total: Some(cells(Cell::Missing, &self.total, all)),
            bar: Some(2),
        };
        let mut totals = context.facts();
        if let Section::Facts(facts) = &mut totals {
            facts.facts.extend(self.outstanding());
        }
        let mut sections: Vec<Section> = context.sampled().into_iter().chain([totals, Section::Table(table)]).collect();
        sections.extend(explain(context));
        sections.extend(context.notes());
        Report { verb: "read", dump: dump.to_owned(), sections }
    }
}

/// What to know of generations in this dump.
fn explain(context: &Context) -> Option<Section> {
    let totals = &context.totals;
    if totals.traced.count == 0 {
        return Some(note(Level::Info, super::UNTRACED));
    }
    let text =
        "objects without a generation were allocated before tracing began, or by Ruby itself where it does not trace";
    (untraced(totals).count > 0 && context.sampled().is_none()).then(|| note(Level::Info, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generations(bytes: &[(Option<u64>, u64)]) -> Generations {
        let generation = |&(number, memsize)| Generation {
            number,
            sum: Sum { count: 1, memsize, ..Sum::default() },
            estimate: None,
        };
        Generations { generations: bytes.iter().map(generation).collect(), ..Generations::default() }
    }

    #[test]
    fn the_largest_generation_is_a_traced_one_and_the_first_of_equals() {
        let some = generations(&[(None, 900), (Some(3), 10), (Some(4), 40), (Some(5), 40), (Some(6), 5)]);
        let largest = some.largest().expect("there is one");
        assert_eq!(largest.number, Some(4));
        assert_eq!(some.times_median(largest), Some(1.0));
        assert_eq!(generations(&[(None, 900)]).largest(), None);
    }

    #[test]
    fn a_median_needs_all_generations_and_several() {
        let mut some = generations(&[(Some(3), 10), (Some(4), 45), (Some(5), 9)]);
        let largest = *some.largest().expect("there is one");
        assert_eq!(some.times_median(&largest), Some(4.5));
        some.rest_generations = 1;
        assert_eq!(some.times_median(&largest), None);
        let two = generations(&[(Some(3), 10), (Some(4), 45)]);
        assert_eq!(two.times_median(&largest), None);
        let empty = generations(&[(Some(3), 0), (Some(4), 0), (Some(5), 7)]);
        assert_eq!(empty.times_median(&largest), None);
    }

    #[test]
    fn says_how_much_larger_the_largest_generation_is() {
        let some = generations(&[(Some(3), 10), (Some(4), 45), (Some(5), 9)]);
        let fact = some.outstanding().expect("there is one");
        assert_eq!(
            (fact.cell, &fact.remark[..]),
            (Cell::Number(4), "45 B, 0.0 % of all memory, 4.5 times the median generation")
        );
    }
}
