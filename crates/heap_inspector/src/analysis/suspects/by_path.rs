//! Suspects where it cannot be told which objects are new: by the paths by which there are more objects in each dump.
//!
//! So it is of dumps of several processes or deploys, after a compaction, and without tracing. What is told is less sure than by identity:
//! a path that grows may have let go of all that it held before. And of several processes the first dump may be of one that has just begun,
//! the last of one that has run for long: then all that fills up grows from dump to dump as a leak does.

use super::anchors::Anchors;
use super::growth::{MANY_STEPS, course};
use super::naming::{SEARCHED, name};
use super::points::{Accumulation, Content, join, kind_of};
use super::{AccumulationPoint, Confidence, LEAST, LEAST_PART, Suspect};
use crate::analysis::diff::{Diff, Dump};
use crate::analysis::normalised::{NormalisedPaths, PathId};
use crate::analysis::path_growth::{ByPath, Pathed, Rising, is_code, is_counted, words};
use crate::analysis::work::Work;
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::memory::map;
use crate::record::Type;
use crate::select::Filter;
use crate::source::Source;
use crate::{Result, sort};
use hashbrown::HashMap;

/// Why growth is told by path, where it is: of several processes always, else where nothing was found by identity, which is not sure.
pub(super) fn reason(diff: &Diff<'_>, found: &[Suspect]) -> Option<&'static str> {
    let series = |dump: &Dump<'_>| dump.heap.totals().ruby_version.series();
    let is_one_ruby = diff.dumps().windows(2).all(|pair| series(&pair[0]) == series(&pair[1]));
    if diff.dumps().iter().any(|dump| dump.heap.roots().is_empty()) || !is_one_ruby {
        None // nor are paths known, or they are others by Ruby's own doing
    } else if !diff.is_one_process() {
        // Of two the difference is that of the processes.
        (diff.dumps().len() > 2).then_some("the dumps are of several processes")
    } else if !found.is_empty() || diff.doubtful().is_some() {
        None
    } else if diff.has_unmatched() {
        Some("objects were moved between the dumps")
    } else {
        let is_untraced = diff.dumps().iter().any(|dump| dump.heap.newest_generation() == 0);
        is_untraced.then_some("the dumps were not traced")
    }
}

/// What is taken for noise in the last of the dumps.
pub(in crate::analysis) fn floor(dumps: &[Pathed<'_>]) -> u64 {
    dumps.iter().map(|dump| dump.tree.reachable().memsize / LEAST_PART).max().unwrap_or(0).max(LEAST)
}

/// How far to believe that a path goes on growing, and why.
pub(in crate::analysis) fn verdict(rising: &Rising, work: Option<&Work>) -> (Confidence, String) {
    let (confidence, why) = course(&rising.steps, work);
    if rising.is_filling {
        return (Confidence::Low, format!("{why}; the array keeps its length while it is filled"));
    }
    let whole = rising.rate.as_ref().and_then(|rate| Some((rate, rate.whole()?)));
    let whole = whole.filter(|(rate, _)| work.is_some_and(|work| work.is_even(&rising.steps, &rate.unit)));
    match whole.filter(|_| confidence >= Confidence::Medium) {
        Some((rate, whole)) => {
            let each = rate.each();
            (Confidence::High, format!("{why}; each {each} leaves {}, in every step", human::count(whole)))
        }
        None => (confidence.min(Confidence::Medium), why),
    }
}

/// The suspects by path, the oldest dump first; `source` is the last one's. At most `limit`.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled; those of [`name`].
pub(super) fn by_path(
    dumps: &[Pathed<'_>],
    source: &Source,
    is_one_process: bool,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let Some(last) = dumps.last() else { return Ok(Vec::new()) };
    let by_path = ByPath::new(dumps, &Filter::default(), control)?;
    let mut rising = by_path.rising(floor(dumps));
    rising.truncate(limit);
    let (mut accumulations, mut found) = (Vec::new(), Vec::new());
    for (at, rising, accumulation) in points_of(last, &rising, by_path.work(), is_one_process, control)? {
        accumulations.push((at, accumulation));
        found.push(rising);
    }
    let children = last.tree.children()?;
    let (heap, tree, shortest_paths) = (last.heap, last.tree, last.shortest_paths);
    let judge = Accumulation::judged;
    let mut suspects = name(heap, tree, children, shortest_paths, source, &accumulations, &|_| true, &judge, control)?;
    for (suspect, rising) in suspects.iter_mut().zip(found) {
        let came: u64 = rising.counts.iter().sum();
        if came > 0 {
            suspect.count = came;
        }
        suspect.rate.clone_from(&rising.rate);
        if !rising.is_of_code() {
            suspect.normalised_path.clone_from(&rising.path);
        }
    }
    sort::by_key(&mut suspects, |suspect| std::cmp::Reverse(suspect.rank.0));
    Ok(suspects)
}

/// What is to be said against a path that grows, and how far it is to be believed then.
fn doubts(
    heap: &Heap,
    at: AccumulationPoint,
    one: &Rising,
    is_one_process: bool,
) -> impl Iterator<Item = (Confidence, &'static str)> {
    let at = at.node();
    let is_short = one.steps.len() < MANY_STEPS;
    let is_hash = is_short && at.is_some_and(|id| heap.ty(id) == Type::Hash);
    // How old each process is, and how much of this it has done, is not known.
    let is_of_any_age = !is_one_process && is_short && one.rate.is_none();
    let largest = one.steps.iter().max().copied().unwrap_or(0);
    // Lists of lists are a point of what holds the outer one.
    let is_ring = |id: NodeId| {
        let length = heap.length(id).map(u64::from).filter(|_| heap.ty(id) == Type::Array);
        length.is_some() && length == one.length && length > Some(heap.references(id).len() as u64)
    };
    let is_ring = at.is_some_and(|id| is_ring(id) || heap.targets(id).take(SEARCHED).any(is_ring));
    [
        (one.is_alone(), Confidence::Low, "it may as well be filled anew each time; dumps of one process would tell"),
        (is_ring, Confidence::Low, "the array keeps its length while it is filled"),
        (
            is_of_any_age && one.before < largest.saturating_mul(BEGUN),
            Confidence::Low,
            "it held little in the first dump, and where that is of a process that has just begun what has a bound fills up just so; a \
             fourth dump, or dumps that count what the process does, would tell",
        ),
        (
            is_of_any_age && is_hash,
            Confidence::Low,
            "a cache that warms up, or begins anew now and then, fills a hash just so; a fourth dump, or dumps that count what the process \
             does, would tell",
        ),
        (
            is_hash,
            Confidence::Medium,
            "a cache that warms up fills a hash just so; a fourth dump would tell whether it ends",
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, most, why)| is_so.then_some((most, why)))
}

/// What in the first dump was less than so many times what came in a step has just begun.
const BEGUN: u64 = 4;

type Point<'a> = (AccumulationPoint, &'a Rising, Accumulation);

/// Where in a dump the objects of paths pile up: of each path the point that holds the most of them.
fn points_of<'a>(
    dump: &Pathed<'_>,
    rising: &'a [Rising],
    work: Option<&Work>,
    is_one_process: bool,
    control: &Control<'_>,
) -> Result<Vec<Point<'a>>> {
    let Pathed { heap, tree, shortest_paths, .. } = *dump;
    let mut paths = NormalisedPaths::new(heap, tree, shortest_paths)?;
    let mut known: HashMap<(PathId, bool), Option<usize>> = HashMap::new();
    let mut of: HashMap<NodeId, usize> = HashMap::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if !is_counted(heap, tree, id) {
            continue;
        }
        let path = (paths.of(id)?, is_code(heap, id));
        let number = match known.get(&path) {
            Some(number) => *number,
            None => {
                let words = words(&paths, path.0, path.1);
                let number = rising.iter().position(|one| one.path == words);
                known.insert(path, number);
                number
            }
        };
        if let Some(number) = number {
            map(&mut of, 1)?;
            of.insert(id, number);
        }
    }
    let is_above = |id: NodeId| !of.contains_key(&id) && !is_code(heap, id);
    let mut anchors = Anchors::new(heap, tree, shortest_paths, is_above)?;
    let mut accumulations: Vec<HashMap<AccumulationPoint, Accumulation>> = vec![HashMap::new(); rising.len()];
    let mut ids: Vec<(NodeId, usize)> = of.iter().map(|(id, number)| (*id, *number)).collect();
    ids.sort_unstable();
    for (id, number) in ids {
        control.check_at(id.0 as usize)?;
        // A text, list or table that grows is a point itself.
        let alone = rising[number].is_alone();
        let anchor = if alone {
            AccumulationPoint::Node(id)
        } else {
            anchors.of(id).map_or(AccumulationPoint::Node(id), |found| found.0)
        };
        map(&mut accumulations[number], 1)?;
        let at = accumulations[number].entry(anchor).or_default();
        at.bytes = at.bytes.saturating_add(heap.bytes(id));
        if alone {
            continue;
        }
        let kind = kind_of(heap, id);
        let is_inside = tree.above(id).is_some_and(|above| of.get(&above) == Some(&number));
        let retained = if is_inside { 0 } else { tree.retained(id) };
        let content = Content { count: 1, retained, since: heap.properties(id).generation, ..Content::new(id) };
        at.take(kind, content);
    }
    let mut found = Vec::new();
    for (one, accumulations) in rising.iter().zip(accumulations) {
        let accumulations = join(heap, tree, accumulations, control)?;
        let count = accumulations.len();
        let most = accumulations
            .into_iter()
            .max_by_key(|(at, accumulation)| (accumulation.count(), accumulation.bytes, std::cmp::Reverse(*at)));
        let Some((at, mut accumulation)) = most else { continue };
        accumulation.fold_untraced();
        let (mut confidence, mut why) = verdict(one, work);
        // What is doubted for want of knowledge alone stands before what looks like no leak.
        accumulation.rank.0 = u8::from(confidence > Confidence::Low && !one.is_alone());
        for (most, but) in doubts(heap, at, one, is_one_process) {
            if most < confidence {
                confidence = most;
                why += &format!("; {but}");
            }
        }
        if count > 1 {
            why += &format!(
                "; there are {} such accumulation points, of which this one holds the most",
                human::count(count as u64)
            );
        }
        accumulation.steps.clone_from(&one.steps);
        accumulation.verdict = Some((confidence, why));
        found.push((at, one, accumulation));
    }
    Ok(found)
}
