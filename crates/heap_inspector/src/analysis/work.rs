//! What the process did between dumps, as their first lines tell, and growth by it: so much for each request, job or import.
//!
//! The counts are claims of the dumps. Where one of them tells none, or counts go back, as in another process, there is no work to tell.

use crate::heap::Heap;
use crate::human;
use crate::report::Cell;
use crate::sort;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Sorts of work that are looked at.
const SORTS: usize = 64;
/// A number of objects for each unit is a whole number if it is within such a part of it.
const WHOLE: f64 = 0.02;
/// And in fewer units than this it says little.
const UNITS: u64 = 10;
/// Steps grow evenly by the work in them if the smallest is at least such a part of the biggest.
const EVEN: f64 = 0.8;

/// What a dump tells of the work until then.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    work: BTreeMap<String, u64>,
    uptime: Option<f64>,
}

/// A sort of work, and how much of it there was in each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, a plural as `requests`.
    pub name: String,
    /// How much, by step.
    pub steps: Vec<u64>,
}

/// What the process did between dumps.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// The sorts of work that there were, the one there was the most of first.
    pub units: Vec<Unit>,
    /// How many seconds each step took, where that is known.
    pub seconds: Option<Vec<f64>>,
}

/// Growth for each unit of work.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Rate {
    /// The sort of work, a plural as `requests`.
    pub unit: String,
    /// How much of it there was.
    pub work: u64,
    /// Objects for each.
    pub count: f64,
    /// Bytes for each.
    pub memsize: f64,
}

impl Eq for Rate {}

impl Rate {
    /// The growth by so much in so many units; none in none.
    #[must_use]
    pub fn of(unit: &str, work: u64, count: i64, memsize: i64) -> Option<Rate> {
        let each = |sum: i64| sum as f64 / work as f64;
        (work > 0).then(|| Rate { unit: unit.to_owned(), work, count: each(count), memsize: each(memsize) })
    }

    /// How many objects each unit leaves behind, where that is a whole number.
    #[must_use]
    pub fn whole(&self) -> Option<u64> {
        let whole = self.count.round();
        (self.work >= UNITS && whole >= 1.0 && (self.count - whole).abs() <= WHOLE * whole).then_some(whole as u64)
    }

    /// The name of one unit: `request`.
    #[must_use]
    pub fn each(&self) -> String {
        singular(&self.unit)
    }

    /// Objects for each unit, for a report.
    #[must_use]
    pub fn count_cell(&self) -> Cell {
        Cell::Rate { each: self.count, of_bytes: false }
    }

    /// Bytes for each unit, for a report.
    #[must_use]
    pub fn memsize_cell(&self) -> Cell {
        Cell::Rate { each: self.memsize, of_bytes: true }
    }

    /// It in words, of objects of a class: `+1.00 Order and 913 B per request`.
    #[must_use]
    pub fn words(&self, class: &str) -> String {
        let (count, bytes) = (human::rate(self.count), human::bytes_each(self.memsize));
        format!("{count} {class} and {bytes} per {}", self.each())
    }
}

/// How many seconds passed between the first dump and the last, as they tell.
#[must_use]
pub fn seconds(heaps: &[&Heap]) -> Option<f64> {
    let [first, .., last] = heaps else { return None };
    let uptime = |heap: &Heap| heap.totals().taken::<Told>()?.uptime;
    Some(uptime(last)? - uptime(first)?).filter(|seconds| *seconds >= 1.0 && seconds.is_finite())
}

impl Work {
    /// What was done between the dumps, oldest first; none where that is not known of all, or nothing was done.
    #[must_use]
    pub fn between(heaps: &[&Heap]) -> Option<Work> {
        let told: Vec<Told> = heaps.iter().map(|heap| heap.totals().taken()).collect::<Option<_>>()?;
        let names: BTreeSet<&String> = told.iter().flat_map(|one| one.work.keys()).take(SORTS).collect();
        let unit = |name: &String| -> Option<Unit> {
            // What was not counted yet is not in the list.
            let counts: Vec<u64> = told.iter().map(|one| one.work.get(name).copied().unwrap_or(0)).collect();
            let steps = counts.windows(2).map(|pair| pair[1].checked_sub(pair[0])).collect::<Option<Vec<u64>>>()?;
            Some(Unit { name: name.clone(), steps })
        };
        let mut units: Vec<Unit> = names.into_iter().map(unit).collect::<Option<_>>()?;
        units.retain(|unit| unit.sum() > 0);
        sort::by_key(&mut units, |unit| std::cmp::Reverse(unit.sum()));
        let times: Option<Vec<f64>> = told.iter().map(|one| one.uptime.filter(|uptime| uptime.is_finite())).collect();
        let seconds = times.and_then(|times| {
            times
                .windows(2)
                .map(|pair| Some(pair[1] - pair[0]).filter(|step| *step > 0.0))
                .collect::<Option<Vec<f64>>>()
        });
        (!units.is_empty()).then_some(Work { units, seconds })
    }

    /// Whether nothing was done in a step, though something was in another.
    #[must_use]
    pub fn is_idle(&self, step: usize) -> bool {
        self.units.iter().all(|unit| unit.steps.get(step).is_none_or(|work| *work == 0))
    }

    /// The growth by the sort of work that it goes with: the one by which the steps are even and each leaves a whole number of objects,
    /// else by which they are even, else the one there was the most of.
    #[must_use]
    pub fn rate(&self, steps: &[u64], count: u64) -> Option<Rate> {
        let bytes: u64 = steps.iter().fold(0, |sum, step| sum.saturating_add(*step));
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let rate = |unit: &Unit| Rate::of(&unit.name, unit.sum(), signed(count), signed(bytes));
        let is_even = |unit: &&Unit| unit.is_even(steps);
        let whole = self.units.iter().filter(is_even).filter_map(rate).find(|rate| rate.whole().is_some());
        whole.or_else(|| self.units.iter().find(is_even).or(self.units.first()).and_then(rate))
    }

    /// What grew by so much in each step, as if there had been as much work in each: by the sort of work that makes it the most even, the
    /// idle steps left out.
    #[must_use]
    pub fn evened(&self, steps: &[u64]) -> Vec<u64> {
        let plain: Vec<u64> = self.worked(steps);
        let evened = self.units.iter().filter_map(|unit| unit.evened(steps));
        let evenness = |steps: &Vec<u64>| {
            let (least, most) = (steps.iter().min().copied().unwrap_or(0), steps.iter().max().copied().unwrap_or(0));
            least as f64 / most.max(1) as f64
        };
        let best = evened.max_by(|one, other| evenness(one).total_cmp(&evenness(other)));
        best.filter(|best| evenness(best) > evenness(&plain)).unwrap_or(plain)
    }

    /// Whether what grew by so much in each step did so evenly by a sort of work.
    #[must_use]
    pub fn is_even(&self, steps: &[u64], unit: &str) -> bool {
        self.units.iter().any(|known| known.name == unit && known.is_even(steps))
    }

    /// The sizes in those dumps that stand at the ends of steps in which something was done.
    #[must_use]
    pub fn worked_sizes(&self, sizes: &[u64]) -> Vec<u64> {
        let is_kept = |at: usize| at + 1 == sizes.len() || !self.is_idle(at);
        sizes.iter().enumerate().filter(|(at, _)| is_kept(*at)).map(|(_, size)| *size).collect()
    }

    /// The steps in which something was done.
    #[must_use]
    pub fn worked<T: Copy>(&self, steps: &[T]) -> Vec<T> {
        steps.iter().enumerate().filter(|(step, _)| !self.is_idle(*step)).map(|(_, bytes)| *bytes).collect()
    }
}

impl Unit {
    /// How much of it there was.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.steps.iter().fold(0, |sum: u64, step| sum.saturating_add(*step))
    }

    /// What grew in each step, scaled to the most work of one; none where a step had no such work.
    fn evened(&self, steps: &[u64]) -> Option<Vec<u64>> {
        let most = self.steps.iter().max().copied()?;
        let is_whole = self.steps.len() == steps.len();
        let pairs = steps.iter().zip(&self.steps).filter(|(bytes, work)| **work > 0 || **bytes > 0);
        let scaled = pairs.map(|(bytes, work)| {
            (*work > 0).then(|| (*bytes as f64 * (most as f64 / *work as f64)).min(u64::MAX as f64) as u64)
        });
        scaled.collect::<Option<Vec<u64>>>().filter(|_| is_whole)
    }

    fn is_even(&self, steps: &[u64]) -> bool {
        self.evened(steps).is_some_and(|evened| {
            let (least, most) = (evened.iter().min().copied().unwrap_or(0), evened.iter().max().copied().unwrap_or(0));
            least as f64 >= EVEN * most as f64
        })
    }
}

/// One of a plural: `request`, `query`, `batch`.
fn singular(plural: &str) -> String {
    let cut = |ending: &str, put: &str| {
        plural.strip_suffix(ending).filter(|stem| stem.len() > 1).map(|stem| format!("{stem}{put}"))
    };
    let sibilant = ["ches", "shes", "sses", "xes"].iter().find_map(|ending| cut(ending, &ending[..ending.len() - 2]));
    let is_plural = plural.ends_with('s') && !plural.ends_with("ss");
    cut("ies", "y").or(sibilant).or_else(|| cut("s", "").filter(|_| is_plural)).unwrap_or_else(|| plural.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::graph::random::heap_of_lines;

    fn dump(meta: &str) -> Heap {
        let value = serde_json::to_string(meta).unwrap();
        heap_of_lines(&format!(
            "{{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":{value}, \"references\":[]}}\n"
        ))
        .0
    }

    fn between(metas: &[&str]) -> Option<Work> {
        let heaps: Vec<Heap> = metas.iter().map(|meta| dump(meta)).collect();
        Work::between(&heaps.iter().collect::<Vec<_>>())
    }

    #[test]
    fn is_told_by_step_the_most_first() {
        let work = between(&[
            r#"{"uptime":10.5,"work":{"jobs":1}}"#,
            r#"{"uptime":20.5,"work":{"jobs":4,"requests":300}}"#,
            r#"{"uptime":50.5,"work":{"jobs":4,"requests":900,"idle":0}}"#,
        ])
        .unwrap();
        let told: Vec<(&str, &[u64])> = work.units.iter().map(|unit| (&*unit.name, &*unit.steps)).collect();
        assert_eq!(told, [("requests", &[300, 600][..]), ("jobs", &[3, 0][..])]);
        assert_eq!(work.seconds, Some(vec![10.0, 30.0]));
        assert!(!work.is_idle(0) && !work.is_idle(1));
    }

    #[test]
    fn is_none_where_a_dump_does_not_tell_or_counts_go_back() {
        let one = r#"{"work":{"jobs":5}}"#;
        for other in ["", "{}", "7", r#"{"work":[]}"#, r#"{"work":{"jobs":-6}}"#, r#"{"work":{"jobs":4}}"#, one] {
            assert_eq!(between(&[one, other]), None, "{other}");
        }
        let lying = [r#"{"work":{"jobs":0},"uptime":5}"#, r#"{"work":{"jobs":18446744073709551615},"uptime":1e400}"#];
        assert!(between(&lying).is_none_or(|work| work.seconds.is_none()));
        let huge = between(&[r#"{"work":{"jobs":0}}"#, r#"{"work":{"jobs":18446744073709551615}}"#]).unwrap();
        assert_eq!(huge.rate(&[u64::MAX], u64::MAX).unwrap().work, u64::MAX);
        assert_eq!(huge.evened(&[u64::MAX]), [u64::MAX]);
    }

    fn work(units: &[(&str, &[u64])]) -> Work {
        let unit = |(name, steps): &(&str, &[u64])| Unit { name: (*name).to_owned(), steps: steps.to_vec() };
        Work { units: units.iter().map(unit).collect(), seconds: None }
    }

    #[test]
    fn growth_is_told_by_what_it_goes_with() {
        let work = work(&[("requests", &[300, 600]), ("jobs", &[20, 10])]);
        let by_request = work.rate(&[30_000, 60_000], 900).unwrap();
        assert_eq!(by_request.words("Order"), "+1.00 Order and 100 B per request");
        assert_eq!(by_request.whole(), Some(1));
        let by_job = work.rate(&[20_000, 10_000], 60).unwrap();
        assert_eq!((by_job.words("Batch"), by_job.whole()), ("+2.00 Batch and 1000 B per job".into(), Some(2)));
        // With neither: the most of what was done.
        let neither = work.rate(&[10, 90_000], 7).unwrap();
        assert_eq!((&*neither.unit, neither.whole()), ("requests", None));
    }

    #[test]
    fn steps_are_set_against_the_work_in_them() {
        let requests = work(&[("requests", &[100, 1000, 0])]);
        assert_eq!(requests.evened(&[10, 100, 0]), [100, 100]);
        // Time, not requests, makes it grow.
        assert_eq!(requests.evened(&[10, 10, 0]), [10, 10]);
        assert!(requests.is_idle(2));
        assert_eq!(requests.worked(&[1, 2, 3]), [1, 2]);
    }

    #[test]
    fn one_of_a_plural() {
        let pairs = [
            ("requests", "request"),
            ("queries", "query"),
            ("batches", "batch"),
            ("boxes", "box"),
            ("process", "process"),
            ("sync", "sync"),
            ("s", "s"),
            ("", ""),
        ];
        for (plural, one) in pairs {
            assert_eq!(singular(plural), one);
        }
    }
}
