//! Whether a leak is fixed: a series of dumps from before the fix, and one from after it.
//!
//! In each series growth is told by path, for each request, job or second, so the two may be of different processes, deploys and machines.
//! A leak is a path that grows in the series before; it is fixed if it grows in the other by no more than a twentieth of what it did.
//! Where the dumps do not tell, that is the answer, with what to measure.

use super::path_growth::{ByPath, Pathed, Rising};
use super::suspects::{Confidence, floor, path_verdict, warm_up};
use super::work::{self, Rate, Work};
use super::{column, fact, note};
use crate::Result;
use crate::control::Control;
use crate::heap::Heap;
use crate::human;
use crate::report::{Cell, Column, Facts, Level, Report, Section, Table};
use crate::select::Filter;

/// Growth below this part of what it was is none.
const FIXED: f64 = 0.05;
/// Below this part it is better, above its inverse worse.
const BETTER: f64 = 0.8;
/// A series has at least so many dumps: two tell no leak from a cache that fills.
pub const DUMPS: usize = 3;
/// And so much work in it.
const WORK: u64 = 10;

/// What became of a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It does not grow any more, or hardly.
    Fixed,
    /// It grows less.
    Better,
    /// It grows as it did.
    Unchanged,
    /// It grows more.
    Worse,
    /// It was not there before.
    New,
}

impl Fate {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fate::Fixed => "fixed",
            Fate::Better => "better",
            Fate::Unchanged => "unchanged",
            Fate::Worse => "worse",
            Fate::New => "new",
        }
    }
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every leak of the series before is fixed, and there is no new one.
    Fixed,
    /// Some leak is not.
    NotFixed,
    /// The dumps do not tell.
    CannotTell,
}

impl Outcome {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Fixed => "fixed",
            Outcome::NotFixed => "not fixed",
            Outcome::CannotTell => "cannot tell",
        }
    }

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Outcome::Fixed => 0,
            Outcome::NotFixed => 1,
            Outcome::CannotTell => 2,
        }
    }
}

/// A leak of either series.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Leak {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its normalised path, to what piles up.
    pub path: String,
    /// What piles up.
    pub class: String,
    /// Growth for each unit of work before.
    pub before: Rate,
    /// And after.
    pub after: Rate,
    /// What became of it.
    pub fate: Fate,
}

impl Leak {
    /// The part of its growth that is gone, 0.0 to 1.0; none where it grows more.
    #[must_use]
    pub fn gone(&self) -> Option<f64> {
        let part = 1.0 - self.after.memsize / self.before.memsize;
        (self.before.memsize > 0.0 && part >= 0.0).then_some(part.min(1.0))
    }
}

/// Whether a leak is fixed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Verification {
    /// The answer.
    pub outcome: Outcome,
    /// The leaks, those of the most growth before first, new ones last.
    pub leaks: Vec<Leak>,
    /// Why the dumps do not tell, and what to measure; empty where they do.
    pub reasons: Vec<String>,
}

/// One series.
struct Series<'a, 'd> {
    name: &'static str,
    dumps: &'a [Pathed<'d>],
    by_path: ByPath,
}

/// What growth is measured by in both series.
struct Unit {
    name: String,
    works: [f64; 2],
}

/// Compares the series, each oldest first; of the leaks only the one of a fingerprint, where one is given.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
pub fn verify(
    before: &[Pathed<'_>],
    after: &[Pathed<'_>],
    only: Option<&str>,
    control: &Control<'_>,
) -> Result<Verification> {
    let few = [("before", before), ("after", after)].into_iter().find(|(_, dumps)| dumps.len() < DUMPS);
    if let Some((name, dumps)) = few {
        let reason = format!(
            "the series {name} has {} dumps, and fewer than {DUMPS} do not tell a leak from a cache that fills: take {DUMPS} with the \
             same work in between",
            dumps.len()
        );
        return Ok(Verification::untold(vec![reason]));
    }
    let series = |name, dumps| -> Result<Series<'_, '_>> {
        Ok(Series { name, dumps, by_path: ByPath::new(dumps, &Filter::default(), control)? })
    };
    let (before, after) = (series("before", before)?, series("after", after)?);
    let mut reasons: Vec<String> = [&before, &after].into_iter().filter_map(Series::warming_up).collect();
    let unit = match Unit::of(&before, &after) {
        Ok(unit) => unit,
        Err(reason) => {
            reasons.push(reason);
            return Ok(Verification::untold(reasons));
        }
    };
    let leaks = leaks(&before, &after, &unit, only);
    if !leaks.iter().any(|leak| leak.fate != Fate::New) {
        reasons.push(match only {
            Some(fingerprint) => format!("no leak {fingerprint} grows in the series before: look at `heap_inspector suspects` of it"),
            None => "nothing grows in each step of the series before, so there is nothing that could be fixed: dump it while it leaks, with \
                     more work in between"
                .to_owned(),
        });
    }
    let is_fixed = leaks.iter().all(|leak| leak.fate == Fate::Fixed);
    let outcome = match () {
        () if !reasons.is_empty() => Outcome::CannotTell,
        () if is_fixed => Outcome::Fixed,
        () => Outcome::NotFixed,
    };
    Ok(Verification { outcome, leaks, reasons })
}

fn leaks(before: &Series<'_, '_>, after: &Series<'_, '_>, unit: &Unit, only: Option<&str>) -> Vec<Leak> {
    let rate = |side: usize, rising: Option<&Rising>| {
        let sum = |steps: &[u64]| steps.iter().fold(0u64, |sum, step| sum.saturating_add(*step)) as f64;
        let (count, bytes) = rising.map_or((0.0, 0.0), |rising| (sum(&rising.counts), sum(&rising.steps)));
        let work = unit.works[side];
        Rate { unit: unit.name.clone(), work: work.round() as u64, count: count / work, memsize: bytes / work }
    };
    let leak = |rising: &Rising, before: Option<&Rising>, after: Option<&Rising>| Leak {
        fingerprint: rising.path.fingerprint(),
        path: rising.path.to_string(),
        class: rising.path.0.last().cloned().unwrap_or_default(),
        before: rate(0, before),
        after: rate(1, after),
        fate: Fate::New,
    };
    let mut leaks = Vec::new();
    let known = before.leaks();
    for rising in &known {
        let now = after.by_path.of(&rising.path);
        let mut leak = leak(rising, Some(rising), now.as_ref());
        let part = leak.after.memsize / leak.before.memsize;
        leak.fate = match part {
            part if part <= FIXED => Fate::Fixed,
            part if part <= BETTER => Fate::Better,
            part if part <= 1.0 / BETTER => Fate::Unchanged,
            _ => Fate::Worse,
        };
        leaks.push(leak);
    }
    for rising in after.leaks().iter().filter(|one| !known.iter().any(|known| known.path == one.path)) {
        let then = before.by_path.of(&rising.path);
        let leak = leak(rising, then.as_ref(), Some(rising));
        // It may have grown before, only not in each step.
        if leak.before.memsize <= BETTER * leak.after.memsize {
            leaks.push(leak);
        }
    }
    leaks.retain(|leak| only.is_none_or(|only| leak.fingerprint == only));
    leaks
}

impl Series<'_, '_> {
    /// The paths that grow for sure.
    fn leaks(&self) -> Vec<Rising> {
        let work = self.by_path.work();
        let mut rising = self.by_path.rising(floor(self.dumps));
        rising.retain(|one| path_verdict(one, work).0 > Confidence::Low);
        rising
    }

    fn warming_up(&self) -> Option<String> {
        let [first, .., last] = self.dumps else { return None };
        let pieces = warm_up(first.heap, last.heap)?;
        Some(format!(
            "{} pieces of code were loaded between the dumps of the series {}, so the app was still warming up: serve more before the \
             first dump",
            human::count(pieces),
            self.name
        ))
    }
}

impl Unit {
    /// The sort of work that both series tell and there was the most of; else time.
    fn of(before: &Series<'_, '_>, after: &Series<'_, '_>) -> std::result::Result<Unit, String> {
        let works = [before, after].map(|series| series.by_path.work());
        let [Some(one), Some(other)] = works else {
            let silent = if works[0].is_none() { before.name } else { after.name };
            return Unit::of_time(before, after).ok_or_else(|| {
                format!(
                    "the dumps of the series {silent} tell neither work nor time: take them by `heap_inspector dump`, with \
                     HeapInspector.count, the Puma plugin or Sidekiq's hook to count what the process does"
                )
            });
        };
        let both = one.units.iter().filter_map(|unit| {
            let like = other.units.iter().find(|like| like.name == unit.name)?;
            Some((unit, like))
        });
        let Some((one_unit, other_unit)) = both.max_by_key(|(unit, like)| unit.sum().min(like.sum())) else {
            let names = |work: &Work| work.units.iter().map(|unit| unit.name.clone()).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "the work is another: {} before, {} after; dump both under the same load",
                names(one),
                names(other)
            ));
        };
        let sums = [one_unit.sum(), other_unit.sum()];
        if let Some((least, name)) = sums.into_iter().zip(["before", "after"]).min().filter(|(least, _)| *least < WORK)
        {
            return Err(format!(
                "there were {least} {} in the series {name}, which is too few: dump again after {WORK} or more",
                one_unit.name
            ));
        }
        Ok(Unit { name: one_unit.name.clone(), works: sums.map(|sum| sum as f64) })
    }

    fn of_time(before: &Series<'_, '_>, after: &Series<'_, '_>) -> Option<Unit> {
        let seconds = |series: &Series<'_, '_>| {
            let heaps: Vec<&Heap> = series.dumps.iter().map(|dump| dump.heap).collect();
            work::seconds(&heaps)
        };
        Some(Unit { name: "seconds".to_owned(), works: [seconds(before)?, seconds(after)?] })
    }
}

impl Verification {
    fn untold(reasons: Vec<String>) -> Verification {
        Verification { outcome: Outcome::CannotTell, leaks: Vec::new(), reasons }
    }

    /// What became of the leaks that are not fixed, in words; empty where all are or the dumps do not tell.
    #[must_use]
    pub fn details(&self) -> String {
        let is = |fate: Fate| self.leaks.iter().any(|leak| leak.fate == fate);
        let gone = self.leaks.iter().filter(|leak| leak.fate == Fate::Better).find_map(Leak::gone);
        let words = [
            is(Fate::Worse).then(|| "worse".to_owned()),
            is(Fate::Unchanged).then(|| "unchanged".to_owned()),
            gone.map(|gone| format!("better by {:.0} %", gone * 100.0)),
            is(Fate::New).then(|| "new leak".to_owned()),
        ];
        match self.outcome {
            Outcome::NotFixed => words.into_iter().flatten().collect::<Vec<_>>().join(", "),
            _ => String::new(),
        }
    }

    /// It in a line.
    #[must_use]
    pub fn headline(&self) -> String {
        let outcome = self.outcome.name();
        match self.details() {
            details if details.is_empty() => outcome.to_owned(),
            details => format!("{outcome}: {details}"),
        }
    }

    /// The answer of `verify`; `dumps` are the names of all dumps.
    #[must_use]
    pub fn report(&self, dumps: &[&str], notes: Vec<Section>) -> Report {
        let facts = vec![
            fact("outcome", "Outcome", Cell::Text(self.outcome.name().to_owned()), self.details()),
            fact("exit_code", "Exit code", Cell::Number(self.outcome.code()), String::new()),
        ];
        let mut sections = vec![Section::Facts(Facts { name: "verification", title: String::new(), facts })];
        sections.extend(self.reasons.iter().map(|reason| note(Level::Warning, reason.clone())));
        sections.extend((!self.leaks.is_empty()).then(|| Section::Table(self.table())));
        sections.extend(notes);
        Report { verb: "verify", dump: dumps.join(", "), sections }
    }

    fn table(&self) -> Table {
        let row = |leak: &Leak| {
            vec![
                Cell::Text(leak.fate.name().to_owned()),
                leak.gone().map_or(Cell::Missing, Cell::Share),
                leak.before.count_cell(),
                leak.before.memsize_cell(),
                leak.after.count_cell(),
                leak.after.memsize_cell(),
                Cell::Text(leak.before.unit.clone()),
                Cell::Text(leak.fingerprint.clone()),
                Cell::Text(leak.path.clone()),
            ]
        };
        Table {
            name: "leaks",
            title: "Leaks".into(),
            columns: vec![
                column("fate", "Fate"),
                column("gone", "Gone"),
                column("before_count", "Objects before"),
                column("before_memsize", "Memory before"),
                column("after_count", "Objects after"),
                column("after_memsize", "Memory after"),
                column("unit", "For each of the"),
                column("fingerprint", "Fingerprint"),
                Column { name: "path", title: "Path", shrinks: true },
            ],
            rows: self.leaks.iter().map(row).collect(),
            rest: None,
            total: None,
            bar: None,
        }
    }
}

#[cfg(test)]
mod tests;
