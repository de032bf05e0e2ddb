//! It leaks here: what grows, where it was allocated and who holds it, the most suspect first.
//!
//! From several dumps of one process. New objects are summed up by the *accumulation point* that holds them: the nearest object above
//! them, in the dominator tree, that was there in the first dump. What only several objects together hold stands under the nearest old
//! object on its path from the roots. An accumulation point is suspect if it took in new objects between each two dumps and still has
//! them in the last, and it ranks by the smallest of these steps: a cache that has warmed up has a last step of nothing, a bounded one
//! gives back what it took in before, start-up data has no step at all. A string or buffer that grows itself counts by its own bytes.
//!
//! From one dump less can be said. There the generations tell: what an accumulation point took in over many garbage collections, up to
//! the last ones, is more suspect than what it took in at once, as start-up data, or lately, as a cache does.
//!
//! Costs the graph (paths, dominators) and 8 bytes for each object.

use super::chains::Chain;
use super::diff::Diff;
use super::normalised::NormalisedPath;
use super::path_growth::Pathed;
use super::verdicts::{Growth, Judge, Judged};
use super::work::{Rate, Work};
use crate::control::Control;
use crate::graph::dominators::{Children, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::KeyValue;
use crate::memory::map;
use crate::record::Type;
use crate::sampling::Sampling;
use crate::source::Source;
use crate::threads;
use crate::{Result, sort};
use anchors::{Anchors, older, older_on_path};
use growth::Course;
use hashbrown::HashMap;
use naming::name;
use points::{Accumulation, Content, join, kind_of};
use served::unserved;
use similar::{SIMILAR, alike, as_one};
use unheld::unheld;
use unseen::unseen;
use untraced::untraced;

pub(super) use anchors::AccumulationPoint;
pub use answer::{Suspects, failure};
pub(super) use by_path::{floor, verdict as path_verdict};
pub use exceptions::Exceptions;
pub use freed::{Freed, free};
use growth::MANY_STEPS;
pub(super) use growth::warm_up;
pub use known::Known;
pub(super) use naming::{holder, root_label};
pub(super) use origins::Origins;
pub(super) use others::{Graph, others};
pub use others::{OtherHolder, OtherHolders};
pub(super) use points::accumulations;
pub(super) use ruby::telling;

mod anchors;
mod answer;
mod by_path;
mod evidence;
mod exceptions;
mod freed;
mod growth;
mod joining;
mod known;
mod known_leaks;
mod naming;
mod origins;
mod others;
mod points;
mod ruby;
mod served;
mod similar;
mod uncollected;
mod unheld;
mod unseen;
mod untraced;

/// How far a suspicion is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It may be a cache or start-up data as well.
    Low,
    /// It grew, but the dumps do not tell whether it goes on.
    Medium,
    /// It grew evenly in each step and gave nothing back.
    High,
}

impl Confidence {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}

/// An accumulation point that takes in objects and keeps them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Suspect {
    /// Whom a programmer would ask: the class, module or thread that holds the accumulation point, or the root where none does.
    pub holder: String,
    /// That class, module or thread; none where it is a root.
    pub holder_id: Option<NodeId>,
    /// The accumulation point; none where it is a root itself.
    pub id: Option<NodeId>,
    /// Its address.
    pub address: Option<u64>,
    /// The accumulation point for people.
    pub label: String,
    /// The class of the objects that pile up.
    pub class: String,
    /// How many of them there are; of a single object that grows 1.
    pub count: u64,
    /// The bytes that came and stayed since the first dump, of all that the objects hold; of one dump what they hold in all.
    pub memsize: u64,
    /// The bytes that came in each step and are in the last dump; empty for one dump.
    pub steps: Vec<u64>,
    /// Growth for each request, job or whatever it goes with, where the dumps tell of any.
    pub rate: Option<Rate>,
    /// Where the objects were allocated; where that is lost, most of what came with them.
    #[serde(serialize_with = "crate::keys::if_present")]
    pub location: KeyValue,
    /// Where that is in no file of the app: where in the app most of them were allocated, as their stacks tell; without stacks most of
    /// what came with them, or else what takes them in.
    pub app_location: Option<String>,
    /// Whether stacks of the objects tell that line.
    pub is_by_stack: bool,
    /// Where the point holds objects of another class directly than what most of the bytes are: what these are.
    pub mostly: Option<String>,
    /// The generation of the first of them.
    pub since: Option<u32>,
    /// The leak of a gem that it is, in words, where it is a known one.
    pub known_leak: Option<String>,
    /// The chain from a root to the accumulation point, and on to one of the objects that pile up there.
    pub path: Chain,
    /// What is thought of each of its steps, where that was asked for ([`judge`]).
    pub judged: Vec<Judged>,
    /// The references on its path of which one should have been cut, by classes, without indexes and keys; where it is known which one,
    /// that alone. With `judged`.
    pub faulty_references: Vec<String>,
    /// How many accumulation points are one by their normalised path; the others' bytes are in this one's.
    pub accumulation_point_count: u64,
    /// What it ranks by: its tier, and what it grew in its smallest step, or its weight in one dump.
    #[serde(skip)]
    rank: (u8, u64),
    /// Of how many of the objects it is growth that they came; the others came for some that left.
    #[serde(skip)]
    grown: u64,
    /// What would be freed if what piles up were let go, where that was asked for ([`free`]).
    pub freed: Option<Freed>,
    /// Whether it was seen before; none where that was not asked.
    pub is_known: Option<bool>,
    /// The same in words that are those of every dump of the leak, from the holder to what piles up; its hash is the leak's short name.
    pub normalised_path: NormalisedPath,
    /// How far to believe it.
    pub confidence: Confidence,
    /// Why, in words: how it grew, then what else the dump shows of it.
    pub reasons: Vec<String>,
}

/// Judges the steps of the suspects' paths; several dumps tell which of them were there before.
pub fn judge(found: &mut [Suspect], judge: &Judge<'_>, diff: Option<&Diff<'_>>) {
    for suspect in found {
        let growth = suspect.growth(diff);
        suspect.judged = judge.steps(&suspect.path.steps, growth);
        suspect.faulty_references = judge.faulty_references(&suspect.path.steps, &suspect.judged);
    }
}

impl Suspect {
    /// Tells growth by what the process did. What takes in the same number of objects each time is no cache that fills by chance.
    fn set_rate(&mut self, work: &Work, heap: &Heap) {
        self.rate = work.rate(&self.steps, self.grown);
        let Some((rate, whole)) = self.rate.as_ref().and_then(|rate| Some((rate, rate.whole()?))) else { return };
        // Each request may as well leave something in a cache that warms up.
        let is_hash =
            self.id.is_some_and(|id| heap.ty(id) == Type::Hash) && work.worked(&self.steps).len() < MANY_STEPS;
        let is_told = work.worked(&self.steps).len() > 1 && self.count > 1 && !is_hash;
        if is_told && self.confidence == Confidence::Medium && work.is_even(&self.steps, &rate.unit) {
            self.confidence = Confidence::High;
            let each = rate.each();
            self.reasons.insert(1, format!("each {each} leaves {}, in every step", human::count(whole)));
        }
    }

    /// Which of the steps of its path took in objects, and which piled up there: the first that is new, as where many lists are one point.
    fn growth(&self, diff: Option<&Diff<'_>>) -> Option<Growth> {
        let steps = &self.path.steps;
        let last = steps.len().checked_sub(1)?;
        let point = self.id.and_then(|id| steps.iter().rposition(|step| step.id == id));
        let next = point.map_or(last, |point| (point + 1).min(last));
        let old = diff.and_then(|diff| steps[..last].iter().rposition(|step| !diff.is_new(step.id)));
        let pile = old.map_or(next, |old| next.max(old + 1));
        Some(Growth { point, pile, is_known: diff.is_some() })
    }
}

/// Growth below this is noise: buffers, inline caches, Ruby's own tables.
const LEAST: u64 = 4 << 10;
/// And below this part of the heap.
const LEAST_PART: u64 = 20_000;
/// The generations of a point's objects are told apart in so many steps.
const BINS: u32 = 16;
/// The last of these are the present.
const LATEST: u32 = 4;

/// The suspects of several dumps: by identity, or by path where that cannot be had or finds nothing and may be wrong; then also why. The
/// tree and the source are the last dump's; `dumps` has all of them with their graphs. At most `limit`.
///
/// # Errors
/// Those of [`of_diff`] and of `dumps`.
pub fn of_dumps<'a>(
    diff: &Diff<'a>,
    tree: &Tree,
    source: &Source,
    limit: usize,
    dumps: &dyn Fn() -> Result<Vec<Pathed<'a>>>,
    control: &Control<'_>,
) -> Result<(Vec<Suspect>, Option<&'static str>)> {
    let found = of_diff(diff, tree, source, limit, control)?;
    let Some(reason) = by_path::reason(diff, &found) else { return Ok((found, None)) };
    let dumps = dumps()?;
    let found = by_path::by_path(&dumps, source, diff.is_one_process(), limit, control)?;
    let Some(last) = dumps.last() else { return Ok((found, None)) };
    let kept = (tree.children()?, last.shortest_paths);
    Ok((finished(found, last.heap, tree, kept, source, limit, control)?, Some(reason)))
}

/// What is done to suspects however they were found: what should be gone comes first, and known leaks are marked.
fn finished(
    found: Vec<Suspect>,
    heap: &Heap,
    tree: &Tree,
    (children, shortest_paths): (&Children, &ShortestPaths),
    source: &Source,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let mut found = uncollected::before(found, heap, tree, children, shortest_paths, source, control)?;
    found.truncate(limit);
    known_leaks::mark(&mut found, heap, tree, shortest_paths)?;
    Ok(found)
}

/// The suspects of several dumps; the heap, its tree and its source are the last one's. At most `limit`.
///
/// # Errors
/// Those of [`ShortestPaths::new`] and [`Heap::records`].
pub fn of_diff(
    diff: &Diff<'_>,
    tree: &Tree,
    source: &Source,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    if !diff.is_one_process() {
        return Ok(Vec::new()); // what is new cannot be told
    }
    let heap = diff.heap();
    let came_to = || {
        // A path that the first dump had too says more than one over a request in flight.
        let shortest_paths = ShortestPaths::around(heap, |id| diff.step(id).is_some(), control)?;
        let accumulations = accumulations(diff, tree, &shortest_paths, control, |_| true)?;
        Ok((shortest_paths, accumulations))
    };
    let is_parallel = control.thread_count() > 1;
    let (trees, came_to) = threads::both(is_parallel, || growth::trees(diff, control), came_to);
    let (trees, (shortest_paths, accumulations)) = (trees?, came_to?);
    let floor = LEAST.max(tree.reachable().memsize / LEAST_PART);
    let course = Course::new(diff, tree, &trees, floor);
    let mut ranked = course.rank(accumulations, &shortest_paths, control)?;
    ranked.truncate(limit.saturating_add(SIMILAR));
    if course.work().is_some() {
        course.weigh(&mut ranked, control)?;
    }
    let (children, came) = (tree.children()?, |id: NodeId| diff.step(id).is_some());
    let found = name(heap, tree, children, &shortest_paths, source, &ranked, &came, &Accumulation::judged, control)?;
    let mut found = as_one(heap, course.work(), found);
    if let Some(work) = course.work() {
        found.iter_mut().for_each(|suspect| suspect.set_rate(work, heap));
    }
    if let Some(mut unseen) = unseen(diff, tree, course.earlier(), floor, control)? {
        unseen.confidence = course.at_most(unseen.confidence);
        let least = |suspect: &Suspect| suspect.steps.iter().copied().min();
        let is_behind = |suspect: &Suspect| {
            (suspect.confidence > Confidence::Low, least(suspect))
                >= (unseen.confidence > Confidence::Low, least(&unseen))
        };
        let position = found.iter().take_while(|suspect| is_behind(suspect)).count();
        found.insert(position, unseen);
    }
    finished(found, heap, tree, (children, &shortest_paths), source, limit, control)
}

/// The suspects of one dump. At most `limit`.
///
/// # Errors
/// Those of [`ShortestPaths::new`] and [`Heap::records`].
pub fn of_heap(heap: &Heap, tree: &Tree, source: &Source, limit: usize, control: &Control<'_>) -> Result<Vec<Suspect>> {
    let (shortest_paths, children) = (ShortestPaths::new(heap, control)?, tree.children()?);
    of_heap_by(heap, tree, (children, &shortest_paths), source, limit, control)
}

/// [`of_heap`] for those who keep the tree from above and the shortest paths.
///
/// # Errors
/// Those of [`Heap::records`].
pub fn of_heap_by(
    heap: &Heap,
    tree: &Tree,
    (children, shortest_paths): (&Children, &ShortestPaths),
    source: &Source,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let found = by_age(heap, tree, (children, shortest_paths), source, limit, control)?;
    finished(found, heap, tree, (children, shortest_paths), source, limit, control)
}

/// What has piled up over many collections, or, where nothing was traced, what is the most.
fn by_age(
    heap: &Heap,
    tree: &Tree,
    (children, shortest_paths): (&Children, &ShortestPaths),
    source: &Source,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let (oldest, last) = heap.generations().unwrap_or((0, 0));
    let unserved = unserved(heap, tree, children, shortest_paths, source, control)?;
    let first = |mut found: Vec<Suspect>| {
        found.retain(|suspect| unserved.iter().all(|other| other.id != suspect.id));
        found.splice(0..0, unserved.iter().cloned());
        let mut found = as_one(heap, None, found);
        found.truncate(limit);
        found
    };
    // Of samples too few are known to tell the times of a point.
    if last == 0 || heap.names().sampling.is_some_and(Sampling::is_of_lines) {
        let more = limit.saturating_add(SIMILAR);
        return Ok(first(untraced(heap, tree, children, shortest_paths, source, more, control)?));
    }
    let span = (last - oldest + 1).max(1);
    let bin = |generation: u32| (u64::from(generation - oldest) * u64::from(BINS) / u64::from(span)) as u32;
    let mut accumulations: HashMap<AccumulationPoint, Accumulation> = HashMap::new();
    let mut anchors = Anchors::new(heap, tree, shortest_paths, |_| false)?;
    let older = older(heap, children, control)?;
    let large = LARGE.max(tree.reachable().memsize / 1000);
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let (since, ty) = (heap.generation(id), heap.ty(id));
        if since == 0 || !tree.is_reachable(id) || heap.is_tracer(id) {
            continue;
        }
        map(&mut accumulations, 2)?;
        let is_plain = matches!(ty, Type::Hash | Type::Array) && heap.references(id).len() == 0;
        if (ty == Type::String || is_plain) && heap.bytes(id) >= large {
            let own = Accumulation { bytes: heap.bytes(id), bins: FEW_BINS, ..Accumulation::default() };
            accumulations.insert(AccumulationPoint::Node(id), own);
        }
        let above = tree.above(id);
        // What came with its holder is part of it, and what a list's first element retains is not counted again for the second. Most
        // objects go here.
        if above.is_some_and(|by| heap.generation(by) == since) {
            continue;
        }
        let alone = older.get(id);
        if alone.is_some_and(|older| heap.is_tracer(older)) {
            continue;
        }
        let older = alone.or_else(|| older_on_path(heap, shortest_paths, id));
        let anchor = older.map(AccumulationPoint::Node).or_else(|| Some(anchors.of(id)?.0));
        let Some(anchor) = anchor else { continue };
        let kind = kind_of(heap, id);
        let is_inside = above.is_some_and(|by| Some(by) != anchor.node() && kind_of(heap, by) == kind);
        let retained = if is_inside { 0 } else { tree.retained(id) };
        let bins = 1 << bin(since);
        let content = Content { sample: id, count: 1, retained, since, bins };
        let accumulation = accumulations.entry(anchor).or_default();
        accumulation.take(kind, content);
        accumulation.add_stack(kind, heap.stack(id))?;
    }
    let mut accumulations = join(heap, tree, accumulations, control)?;
    for accumulation in accumulations.values_mut() {
        // A few objects of a kind do not pile up, however big they are.
        accumulation.content.retain(|_, content| content.count > FEW_OBJECTS);
        for content in accumulation.content.values() {
            accumulation.bytes = accumulation.bytes.saturating_add(content.retained);
            accumulation.bins |= content.bins;
        }
    }
    for group in alike(heap, tree, shortest_paths, &accumulations, control)? {
        let mut others = group.iter().filter_map(|anchor| Some((anchor.node()?, accumulations.remove(anchor)?)));
        let Some((first, mut all)) = others.next() else { continue };
        for (id, mut accumulation) in others {
            accumulation.others.push(id);
            all.add(accumulation);
        }
        accumulations.insert(AccumulationPoint::Node(first), all);
    }
    let floor = LEAST.max(tree.reachable().memsize / 2000);
    // Start-up code spreads over many collections too, but ends before the latest ones.
    let score = |accumulation: &Accumulation| {
        let [all, latest] = [(accumulation.bins, BINS), (accumulation.bins >> (BINS - LATEST), LATEST)]
            .map(|(bins, parts)| f64::from(bins.count_ones()) / f64::from(parts));
        accumulation.bytes as f64 * all * all * (0.1 + latest)
    };
    let mut ranked: Vec<(AccumulationPoint, Accumulation)> =
        accumulations.into_iter().filter(|(_, accumulation)| accumulation.bytes >= floor).collect();
    sort::by(&mut ranked, |(a, one), (b, other)| score(other).total_cmp(&score(one)).then(a.cmp(b)));
    ranked.truncate(limit.saturating_add(SIMILAR));
    ranked.iter_mut().for_each(|(_, accumulation)| accumulation.rank = (1, score(accumulation) as u64));
    let mut found = name(
        heap,
        tree,
        children,
        shortest_paths,
        source,
        &ranked,
        &|_| true,
        &|accumulation| {
            let parts = accumulation.bins.count_ones();
            let recent = accumulation.bins >> (BINS - LATEST) != 0;
            let text = format!(
                "allocated in {parts} of {BINS} slices of the traced period{}; two more dumps, taken as the app works, would tell a \
             leak from a cache",
                if recent { ", the latest among them" } else { "" }
            );
            let confidence = if recent && parts * 2 >= BINS { Confidence::Medium } else { Confidence::Low };
            (confidence, text)
        },
        control,
    )?;
    if let Some((accumulation, unheld)) = unheld(heap, tree, bin, floor, control)? {
        let before = ranked.iter().take_while(|(_, other)| score(other) >= score(&accumulation)).count();
        found.insert(before.min(found.len()), unheld);
    }
    Ok(first(found))
}

/// So many objects of one kind do not pile up yet.
const FEW_OBJECTS: u64 = 9;
/// A string of so many bytes, or a collection of numbers, is worth a word.
const LARGE: u64 = 32 << 10;
/// What stands for the generations of a string that may have grown over them.
const FEW_BINS: u32 = 0b1111 << (BINS - LATEST);

#[cfg(test)]
mod tests;
