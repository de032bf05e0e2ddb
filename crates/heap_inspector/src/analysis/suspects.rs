//! It leaks here: what grows, where it was allocated and who holds it, the most suspect first.
//!
//! From several dumps of one process. New objects are summed up by the *accumulation point* that holds them: the nearest object above
//! them, in the dominator tree, that was there in the first dump. What only several objects together hold stands under the nearest old
//! object on its way from the roots. A place is suspect if it took in new objects between each two dumps and still has them in the
//! last, and it ranks by the smallest of these steps: a cache that has warmed up has a last step of nothing, a bounded one gives back
//! what it took in before, start-up data has no step at all. A string or buffer that grows itself counts by its own bytes.
//!
//! From one dump less can be said. There the generations tell: what a place took in over many garbage collections, up to the last
//! ones, is more suspect than what it took in at once, as start-up data, or lately, as a cache does.
//!
//! Costs the graph (ways, dominators) and 8 bytes for each object.

use super::diff::{Before, Diff};
use super::dominators::{Children, Dominator, Tree};
use super::paths::{self, Step, Ways};
use super::{Context, fact, key_cell, note};
use crate::graph::{PATIENCE, ROOT};
use crate::heap::{Heap, NodeId, Target};
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::record::Type;
use crate::report::{Cell, Level, List, Report, Section};
use crate::scan::Options;
use crate::source::Source;
use crate::symbols::{SiteId, Symbol};
use crate::view::human;
use crate::{Error, Result};
use globset::{GlobBuilder, GlobMatcher};
use hashbrown::HashMap;
use std::path::Path;

mod signs;
mod swarms;

/// How far a suspicion is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// A place that takes in objects and keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Whom a programmer would ask: the class, module or thread that holds the accumulation point, or the root where none does.
    pub holder: String,
    /// That class, module or thread; none where it is a root.
    pub holder_id: Option<NodeId>,
    /// The accumulation point; none where it is a root itself.
    pub id: Option<NodeId>,
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
    /// Where the objects were allocated.
    pub location: KeyValue,
    /// The generation of the first of them.
    pub since: Option<u32>,
    /// The chain from a root to the accumulation point.
    pub path: Vec<Step>,
    /// How far to believe it.
    pub confidence: Confidence,
    /// Why, in words: how it grew, then what else the dump shows of it.
    pub reasons: Vec<String>,
}

/// Suspects that are meant to be, by holder, class or location.
#[derive(Clone, Debug, Default)]
pub struct Exceptions(Vec<GlobMatcher>);

impl Exceptions {
    /// Reads a pattern a line; `*` stands for anything, what stands behind `#` is not read.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read, [`Error::Usage`] for a line that is no pattern.
    pub fn read(path: &Path) -> Result<Exceptions> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Exceptions::of(lines, &path.display().to_string())
    }

    /// The patterns as such, without comments; errors name `place`.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no pattern.
    pub fn of<'p>(patterns: impl Iterator<Item = &'p str>, place: &str) -> Result<Exceptions> {
        let pattern = |line: &str| {
            let glob = GlobBuilder::new(line).backslash_escape(true).build();
            let glob = glob.map_err(|error| Error::usage(format!("{place}: {line:?} is no pattern: {}", error.kind())));
            glob.map(|glob| glob.compile_matcher())
        };
        patterns.map(pattern).collect::<Result<Vec<_>>>().map(Exceptions)
    }

    /// Whether a pattern fits the suspect.
    #[must_use]
    pub fn name(&self, suspect: &Suspect) -> bool {
        let location = match &suspect.location {
            KeyValue::Text(location) => location.as_str(),
            _ => "",
        };
        self.0.iter().any(|glob| [&suspect.holder, &suspect.class, location].iter().any(|text| glob.is_match(text)))
    }
}

/// Classes of Ruby's own whose objects are seldom what leaks, but what it is made of.
const CORE: [&str; 53] = [
    "Array",
    "BasicObject",
    "Bignum",
    "BigDecimal",
    "Binding",
    "Class",
    "Complex",
    "Data",
    "Date",
    "DateTime",
    "Dir",
    "Encoding",
    "Enumerator",
    "Enumerator::Generator",
    "Enumerator::Lazy",
    "Enumerator::Yielder",
    "Fiber",
    "File",
    "Float",
    "Hash",
    "IO",
    "Integer",
    "MatchData",
    "Method",
    "Module",
    "Monitor",
    "Mutex",
    "NilClass",
    "Object",
    "ObjectSpace::WeakMap",
    "ObjectSpace::WeakKeyMap",
    "Pathname",
    "Proc",
    "Queue",
    "Ractor",
    "Random",
    "Range",
    "Rational",
    "Regexp",
    "Set",
    "SizedQueue",
    "String",
    "StringIO",
    "Struct",
    "Symbol",
    "Thread",
    "Thread::ConditionVariable",
    "Thread::Mutex",
    "Thread::Queue",
    "Thread::SizedQueue",
    "Time",
    "UnboundMethod",
    "UnicodeNormalize",
];

fn is_core(class: &str) -> bool {
    class.starts_with('(') || CORE.contains(&class)
}

/// Growth below this is noise: buffers, inline caches, Ruby's own tables.
const LEAST: u64 = 4 << 10;
/// And below this part of the heap.
const LEAST_PART: u64 = 20_000;
/// An application's class is what leaks if its objects hold at least this part of what came.
const MAIN_PART: f64 = 0.2;
/// The generations of a place's objects are told apart in so many steps.
const BINS: u32 = 16;
/// The last of these are the present.
const LATEST: u32 = 4;

/// What a group of objects is told by: type, class (an object's own singleton class aside), allocation site and label.
type Sort = (Type, Symbol, SiteId, Symbol);

/// Objects of one class and site under one accumulation point.
#[derive(Clone, Copy, Debug)]
struct Content {
    /// One of them.
    sample: NodeId,
    count: u64,
    /// What those hold that no other of them holds.
    retained: u64,
    /// The first generation plus 1; 0 for none.
    since: u32,
    /// By generation, one bit for each part of the time.
    bins: u32,
}

impl Content {
    fn new(sample: NodeId) -> Content {
        Content { sample, count: 0, retained: 0, since: 0, bins: 0 }
    }

    fn add(&mut self, other: Content) {
        self.count += other.count;
        self.retained += other.retained;
        self.bins |= other.bins;
        self.since = if self.since == 0 { other.since } else { self.since.min(other.since.max(1)) };
    }
}

/// What was found of an accumulation point.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The bytes that came in each step.
    pub(super) steps: Vec<u64>,
    content: HashMap<Sort, Content>,
    /// By generation, one bit for each part of the time.
    bins: u32,
    bytes: u64,
}

fn sort_of(heap: &Heap, id: NodeId) -> Sort {
    let slot = heap.slot(id);
    (slot.ty, heap.names().instance_class(slot.names.class), slot.names.site, slot.names.label)
}

/// The suspects of several dumps; the heap, its tree and its source are the last one's. At most `limit`.
///
/// # Errors
/// Those of [`Ways::new`] and [`Heap::records`].
pub fn of_diff(
    diff: &Diff<'_>,
    tree: &Tree,
    source: &Source,
    limit: usize,
    options: &Options<'_>,
) -> Result<Vec<Suspect>> {
    if !diff.is_one_process() {
        return Ok(Vec::new()); // what is new cannot be told
    }
    let heap = diff.heap();
    let ways = Ways::new(heap, options)?;
    let places = places(diff, tree, &ways, options, |_| true)?;
    let floor = LEAST.max(tree.reachable().memsize / LEAST_PART);
    let mut ranked: Vec<(u64, u32, Place)> = places
        .into_iter()
        .map(|(anchor, place)| (place.steps.iter().copied().min().unwrap_or(0), anchor, place))
        .filter(|(least, ..)| *least >= floor)
        .collect();
    ranked.sort_by(|(one, a, _), (other, b, _)| other.cmp(one).then(a.cmp(b)));
    ranked.truncate(limit);
    let ranked: Vec<(u32, Place)> = ranked.into_iter().map(|(_, anchor, place)| (anchor, place)).collect();
    name(heap, tree, &tree.children(), &ways, source, &ranked, |place| {
        let (least, most) =
            (place.steps.iter().min().copied().unwrap_or(0), place.steps.iter().max().copied().unwrap_or(0));
        match place.steps.len() {
            1 => (Confidence::Low, "it grew between two dumps; a third would tell whether it goes on".into()),
            _ if least * 2 >= most => {
                (Confidence::High, "it grew evenly in each step, and what came is still there".into())
            }
            _ if least * 8 >= most => {
                (Confidence::Medium, "it grew in each step, unevenly, and what came is still there".into())
            }
            _ => (Confidence::Low, "it grew much more in one step than in another".into()),
        }
    })
}

/// Where what is new since the first dump piles up: by accumulation point, as [`join`] has it. Only what `counts` is summed up.
///
/// # Errors
/// [`Error::Interrupted`] when cancelled.
pub(super) fn places(
    diff: &Diff<'_>,
    tree: &Tree,
    ways: &Ways,
    options: &Options<'_>,
    mut counts: impl FnMut(NodeId) -> bool,
) -> Result<HashMap<u32, Place>> {
    let heap = diff.heap();
    let steps = diff.step_count();
    let mut anchors = Anchors::new(heap, tree, ways, |id| diff.step(id).is_none());
    let mut places: HashMap<u32, Place> = HashMap::new();
    for id in heap.nodes() {
        if (id.0 as usize).is_multiple_of(PATIENCE) {
            options.check()?;
        }
        let slot = heap.slot(id);
        if slot.tracer || !tree.is_reachable(id) || !counts(id) {
            continue;
        }
        match diff.step(id) {
            Some(step) => {
                let place = places.entry(anchors.of(id)).or_default();
                place.steps.resize(steps, 0);
                place.steps[step] += heap.bytes(id);
                let sort = sort_of(heap, id);
                // A list holds its own kind: what the first element retains is not counted again for the second.
                let is_inside = match tree.dominator(id) {
                    Dominator::Node(by) => diff.step(by).is_some() && sort_of(heap, by) == sort,
                    _ => false,
                };
                let retained = if is_inside { 0 } else { tree.retained(id) };
                let content = Content { sample: id, count: 1, retained, since: slot.generation, bins: 0 };
                place.content.entry(sort).or_insert_with(|| Content::new(id)).add(content);
            }
            // Its own growth: a string that is appended to, the table of a hash.
            None => {
                let sizes: Option<Vec<u64>> = (0..steps).map(|dump| own_bytes(diff, dump, id)).collect();
                let Some(mut sizes) = sizes else { continue };
                sizes.push(heap.bytes(id));
                if sizes.is_sorted() && sizes[0] < sizes[steps] {
                    let place = places.entry(id.0).or_default();
                    place.steps.resize(steps, 0);
                    sizes.windows(2).zip(&mut place.steps).for_each(|(pair, step)| *step += pair[1] - pair[0]);
                }
            }
        }
    }
    Ok(join(heap, tree, places))
}

/// The bytes of an object of the last dump in an earlier one, if it was there under its address.
fn own_bytes(diff: &Diff<'_>, dump: usize, id: NodeId) -> Option<u64> {
    match diff.before(dump, id) {
        Before::Same(before) => Some(diff.dumps()[dump].heap.bytes(before)),
        _ => None,
    }
}

/// The suspects of one dump. At most `limit`.
///
/// # Errors
/// Those of [`Ways::new`] and [`Heap::records`].
pub fn of_heap(heap: &Heap, tree: &Tree, source: &Source, limit: usize, options: &Options<'_>) -> Result<Vec<Suspect>> {
    let (ways, children) = (Ways::new(heap, options)?, tree.children());
    let generation = |id: NodeId| heap.slot(id).generation;
    let first = heap.nodes().map(generation).filter(|generation| *generation > 0).min().unwrap_or(0);
    let last = heap.newest_generation();
    if last == 0 {
        return untraced(heap, tree, &children, &ways, source, limit, options);
    }
    let span = (last - first + 1).max(1);
    let mut places: HashMap<u32, Place> = HashMap::new();
    let mut anchors = Anchors::new(heap, tree, &ways, |_| false);
    let older = older(heap, tree, &children);
    let large = LARGE.max(tree.reachable().memsize / 1000);
    for id in heap.nodes() {
        if (id.0 as usize).is_multiple_of(PATIENCE) {
            options.check()?;
        }
        let slot = heap.slot(id);
        if slot.tracer || slot.generation == 0 || !tree.is_reachable(id) {
            continue;
        }
        let sort = sort_of(heap, id);
        if slot.ty == Type::String && heap.bytes(id) >= large {
            places.insert(id.0, Place { bytes: heap.bytes(id), bins: FEW_BINS, ..Place::default() });
        }
        let anchor = match older[id.0 as usize] {
            ROOT => older_on_way(heap, &ways, id).unwrap_or_else(|| anchors.of(id)),
            anchor if heap.slot(NodeId(anchor)).tracer => continue,
            anchor => anchor,
        };
        let above = Some(tree.above(id.0)).filter(|node| *node != ROOT).map(NodeId);
        // What came with its holder is part of it, and what a list's first element retains is not counted again for the second.
        if above.is_some_and(|by| generation(by) == slot.generation) {
            continue;
        }
        let is_inside = above.is_some_and(|by| by.0 != anchor && sort_of(heap, by) == sort);
        let retained = if is_inside { 0 } else { tree.retained(id) };
        let bins = 1 << (u64::from(slot.generation - first) * u64::from(BINS) / u64::from(span));
        let content = Content { sample: id, count: 1, retained, since: slot.generation, bins };
        places.entry(anchor).or_default().content.entry(sort).or_insert_with(|| Content::new(id)).add(content);
    }
    let mut places = join(heap, tree, places);
    for place in places.values_mut() {
        // A few objects of a sort do not pile up, however big they are.
        place.content.retain(|_, content| content.count > FEW_OBJECTS);
        for content in place.content.values() {
            place.bytes += content.retained;
            place.bins |= content.bins;
        }
    }
    let floor = LEAST.max(tree.reachable().memsize / 2000);
    // Start-up code spreads over many collections too, but ends before the latest ones.
    let score = |place: &Place| {
        let [all, latest] = [(place.bins, BINS), (place.bins >> (BINS - LATEST), LATEST)]
            .map(|(bins, parts)| f64::from(bins.count_ones()) / f64::from(parts));
        place.bytes as f64 * all * all * (0.1 + latest)
    };
    let mut ranked: Vec<(u32, Place)> =
        places.into_iter().filter(|(anchor, place)| *anchor != ROOT && place.bytes >= floor).collect();
    ranked.sort_by(|(a, one), (b, other)| score(other).total_cmp(&score(one)).then(a.cmp(b)));
    ranked.truncate(limit);
    name(heap, tree, &children, &ways, source, &ranked, |place| {
        let parts = place.bins.count_ones();
        let recent = place.bins >> (BINS - LATEST) != 0;
        let text = format!(
            "its objects come from {parts} of {BINS} parts of the traced time{}; two more dumps, taken as the app works, would tell a \
             leak from a cache",
            if recent { ", the latest among them" } else { "" }
        );
        let confidence = if recent && parts * 2 >= BINS { Confidence::Medium } else { Confidence::Low };
        (confidence, text)
    })
}

/// The suspects of one dump that tells no generations.
fn untraced(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    ways: &Ways,
    source: &Source,
    limit: usize,
    options: &Options<'_>,
) -> Result<Vec<Suspect>> {
    let floor = LEAST.max(tree.reachable().memsize / 2000);
    let large = LARGE.max(tree.reachable().memsize / 1000);
    let labels = Labels::new(heap);
    let mut places = join(heap, tree, swarms::places(heap, tree, children, ways, &labels, floor, options)?);
    for (anchor, place) in &mut places {
        place.content.retain(|_, content| content.count > FEW_OBJECTS);
        // What the objects of one sort hold are often those of another; only what the place holds itself adds up.
        let most = place.content.values().map(|content| content.retained).max().unwrap_or(0);
        let own = children.of(Dominator::Node(NodeId(*anchor)));
        let own = own.filter(|id| place.content.contains_key(&sort_of(heap, *id))).map(|id| tree.retained(id)).sum();
        place.bytes = most.max(own);
        let dominates = |id: NodeId| {
            std::iter::successors(Some(id.0), |node| Some(tree.above(*node)).filter(|node| *node != ROOT))
                .any(|node| node == *anchor)
        };
        if place.content.values().all(|content| dominates(content.sample)) {
            place.bytes = place.bytes.min(tree.retained(NodeId(*anchor)));
        }
    }
    let strings = heap
        .nodes()
        .filter(|id| heap.slot(*id).ty == Type::String && heap.bytes(*id) >= large && tree.is_reachable(*id));
    places.extend(strings.map(|id| (id.0, Place { bytes: heap.bytes(id), ..Place::default() })));
    let mut ranked: Vec<(u32, Place)> = places.into_iter().filter(|(_, place)| place.bytes >= floor).collect();
    ranked.sort_by(|(a, one), (b, other)| other.bytes.cmp(&one.bytes).then(a.cmp(b)));
    ranked.truncate(limit);
    name(heap, tree, children, ways, source, &ranked, |place| {
        let what = if place.content.is_empty() { "it is big" } else { "it holds many objects of one kind" };
        let text = "since when the dump does not tell, so start-up data and caches look the same; two more dumps would tell them apart";
        (Confidence::Low, format!("{what}; {text}"))
    })
}

/// So many objects of one sort do not pile up yet.
const FEW_OBJECTS: u64 = 9;
/// A string of so many bytes is worth a word.
const LARGE: u64 = 64 << 10;
/// What stands for the generations of a string that may have grown over them.
const FEW_BINS: u32 = 0b1111 << (BINS - LATEST);

/// By node, the nearest object above in the dominator tree that is older, by generation; [`ROOT`] where there is none. From each older
/// object on, generations fall, so the steps are fewer than the garbage collections.
fn older(heap: &Heap, tree: &Tree, children: &Children) -> Vec<u32> {
    let generation = |node: u32| heap.slot(NodeId(node)).generation;
    let mut older = vec![ROOT; heap.object_count()];
    let mut stack: Vec<NodeId> = children.of(Dominator::Root).collect();
    while let Some(id) = stack.pop() {
        let mut at = tree.above(id.0);
        while at != ROOT && generation(at) >= generation(id.0) {
            at = older[at as usize];
        }
        older[id.0 as usize] = at;
        stack.extend(children.of(Dominator::Node(id)));
    }
    older
}

/// The nearest older object on the way to one, not far up.
fn older_on_way(heap: &Heap, ways: &Ways, id: NodeId) -> Option<u32> {
    let generation = |node: u32| heap.slot(NodeId(node)).generation;
    let up = std::iter::successors(Some(ways.parent(id)), |node| (*node != ROOT).then(|| ways.parent(NodeId(*node))));
    up.take(SEARCHED).take_while(|node| *node != ROOT).find(|node| generation(*node) < generation(id.0))
}

/// Finds the accumulation points of new objects; each object is walked over once.
struct Anchors<'a, F> {
    heap: &'a Heap,
    tree: &'a Tree,
    ways: &'a Ways,
    is_old: F,
    /// What stands for the root that refers to an object.
    roots: HashMap<NodeId, u32>,
    /// By node; [`UNKNOWN`] where it was not asked yet.
    by_dominator: Vec<u32>,
    by_way: Vec<u32>,
    walked: Vec<u32>,
}

/// Not asked yet.
const UNKNOWN: u32 = u32::MAX - 1;

impl<'a, F: Fn(NodeId) -> bool> Anchors<'a, F> {
    fn new(heap: &'a Heap, tree: &'a Tree, ways: &'a Ways, is_old: F) -> Self {
        let unknown = || vec![UNKNOWN; heap.object_count()];
        let mut roots = HashMap::new();
        for (number, root) in heap.roots().iter().enumerate() {
            for target in &root.targets {
                if let Target::Node(id) = target {
                    roots.entry(*id).or_insert(root_anchor(number));
                }
            }
        }
        Anchors { heap, tree, ways, is_old, roots, by_dominator: unknown(), by_way: unknown(), walked: Vec::new() }
    }

    /// The accumulation point of an object: a node, or what stands for a root.
    fn of(&mut self, id: NodeId) -> u32 {
        let Anchors { heap, tree, ways, is_old, roots, by_dominator, by_way, walked } = self;
        let anchor = climb(id, |id| tree.above(id.0), is_old, by_dominator, walked, |_| ROOT);
        if anchor != ROOT && !heap.slot(NodeId(anchor)).tracer {
            return anchor;
        }
        let root = |first: NodeId| roots.get(&first).copied().unwrap_or(ROOT);
        climb(id, |id| ways.parent(id), is_old, by_way, walked, root)
    }
}

/// What stands for a root among the accumulation points.
fn root_anchor(number: usize) -> u32 {
    UNKNOWN - 1 - number.min(1000) as u32
}

/// The root that such a number stands for, for people.
pub(super) fn root_label(heap: &Heap, anchor: u32) -> String {
    let root = heap.roots().get((UNKNOWN - 1 - anchor) as usize);
    format!("root {}", root.map_or("", |root| &root.category))
}

/// The nearest old node above; where there is none what `root` says of the first one.
fn climb(
    id: NodeId,
    above: impl Fn(NodeId) -> u32,
    is_old: &impl Fn(NodeId) -> bool,
    known: &mut [u32],
    walked: &mut Vec<u32>,
    root: impl Fn(NodeId) -> u32,
) -> u32 {
    let mut at = id.0;
    let anchor = loop {
        if known[at as usize] != UNKNOWN {
            break known[at as usize];
        }
        if is_old(NodeId(at)) {
            break at;
        }
        walked.push(at);
        match above(NodeId(at)) {
            ROOT => break root(NodeId(at)),
            next => at = next,
        }
    };
    walked.drain(..).for_each(|node| known[node as usize] = anchor);
    anchor
}

/// Joins places that are one to a programmer: a list that is appended to accumulates at what was its last element, so a place of the
/// class of what piles up is taken for what holds it; and the many small places of one class and site that one object holds are
/// taken for that object.
fn join(heap: &Heap, tree: &Tree, places: HashMap<u32, Place>) -> HashMap<u32, Place> {
    let is_node = |anchor: u32| (anchor as usize) < heap.object_count();
    let kind = |id: u32| {
        let (ty, class, ..) = sort_of(heap, NodeId(id));
        (ty, class)
    };
    let above = |node: u32| tree.above(node);
    // The nearest object above one that is of another class; a list is walked over once.
    let mut tops: HashMap<u32, u32> = HashMap::new();
    let mut walked = Vec::new();
    let mut top = |from: u32| {
        let mut at = from;
        let top = loop {
            if !is_node(at) || kind(at) != kind(from) {
                break at;
            }
            if let Some(top) = tops.get(&at) {
                break *top;
            }
            walked.push(at);
            at = above(at);
        };
        tops.extend(walked.drain(..).map(|node| (node, top)));
        top
    };
    let mut climbed: HashMap<u32, Place> = HashMap::new();
    for (anchor, place) in places {
        let mut at = anchor;
        while is_node(at)
            && is_element(heap, at)
            && place.content.keys().any(|(ty, class, ..)| (*ty, *class) == kind(at))
        {
            at = top(at);
        }
        climbed.entry(if is_node(at) { at } else { anchor }).or_default().add(place);
    }
    // Brothers are places of one sort under one object, or under several of one sort that one object holds.
    for levels in 1..=2 {
        let mut brothers: HashMap<(u32, [Option<Sort>; 2]), Vec<u32>> = HashMap::new();
        for anchor in climbed.keys().copied().filter(|anchor| is_node(*anchor)) {
            let between = above(anchor);
            if levels == 1 {
                brothers.entry((between, [Some(sort_of(heap, NodeId(anchor))), None])).or_default().push(anchor);
            } else if is_node(between) {
                let sorts = [anchor, between].map(|node| Some(sort_of(heap, NodeId(node))));
                brothers.entry((above(between), sorts)).or_default().push(anchor);
            }
        }
        for ((holder, _), anchors) in brothers {
            if anchors.len() > FEW && is_node(holder) {
                for place in anchors.iter().filter_map(|anchor| climbed.remove(anchor)).collect::<Vec<_>>() {
                    climbed.entry(holder).or_default().add(place);
                }
            }
        }
    }
    climbed
}

/// More places of one class and site than this, under one object, are one place.
const FEW: usize = 4;

/// Whether the node may be an element of a list that is made of its own kind.
fn is_element(heap: &Heap, node: u32) -> bool {
    matches!(heap.slot(NodeId(node)).ty, Type::Object | Type::Struct | Type::Data)
}

impl Place {
    /// How many objects came and stayed.
    pub(super) fn count(&self) -> u64 {
        self.content.values().map(|content| content.count).sum()
    }

    /// The bytes that came and stayed; of one dump what the objects hold.
    fn total(&self) -> u64 {
        if self.steps.is_empty() { self.bytes } else { self.steps.iter().sum() }
    }

    fn add(&mut self, other: Place) {
        self.steps.resize(other.steps.len().max(self.steps.len()), 0);
        self.steps.iter_mut().zip(&other.steps).for_each(|(sum, step)| *sum += step);
        self.bins |= other.bins;
        self.bytes += other.bytes;
        for (sort, content) in other.content {
            self.content.entry(sort).or_insert_with(|| Content::new(content.sample)).add(content);
        }
    }
}

/// Puts the places in words.
fn name(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    ways: &Ways,
    source: &Source,
    places: &[(u32, Place)],
    judge: impl Fn(&Place) -> (Confidence, String),
) -> Result<Vec<Suspect>> {
    let mut labels = Labels::new(heap);
    let roots = paths::root_categories(heap);
    let is_node = |anchor: u32| (anchor as usize) < heap.object_count();
    let chains: Vec<Vec<NodeId>> = places
        .iter()
        .map(|(anchor, _)| if is_node(*anchor) { ways.way(NodeId(*anchor)).unwrap_or_default() } else { Vec::new() })
        .collect();
    let nodes: Vec<NodeId> = chains.iter().flatten().copied().collect();
    let edges = chains.iter().flat_map(|way| way.windows(2).map(|pair| (pair[0], pair[1])));
    let mains: Vec<Option<Content>> = places.iter().map(|(_, place)| main_content(&labels, place)).collect();
    let strings: Vec<Vec<NodeId>> = chains
        .iter()
        .zip(&mains)
        .map(|(way, main)| match (way.last(), main.map(|content| sort_of(heap, content.sample))) {
            (Some(anchor), Some(sort)) if sort.0 == Type::String => signs::strings(heap, children, *anchor, sort),
            _ => Vec::new(),
        })
        .collect();
    let read: Vec<NodeId> = nodes.iter().chain(strings.iter().flatten()).copied().collect();
    labels.read_texts(source, &read, edges)?;
    let labels = &labels;
    let lengths = signs::Lengths::new(heap);
    let sight = signs::Sight { heap, tree, children, labels, lengths: &lengths };
    let mut suspects = Vec::new();
    for (((anchor, place), way), (main, strings)) in places.iter().zip(&chains).zip(mains.iter().zip(&strings)) {
        let (confidence, growth) = judge(place);
        let id = is_node(*anchor).then_some(NodeId(*anchor));
        let Some(sample) = main.map(|content| inside(tree, children, labels, content.sample)).or(id) else { continue };
        let since = main.map_or(heap.slot(sample).generation, |content| content.since);
        let (holder, holder_id) = match id {
            Some(_) => holder(heap, labels, &roots, way),
            None => (root_label(heap, *anchor), None),
        };
        suspects.push(Suspect {
            holder,
            holder_id,
            id,
            label: id.map_or_else(|| root_label(heap, *anchor), |id| labels.node(id)),
            class: labels.class_name(sample),
            count: main.map_or(1, |content| content.count),
            memsize: place.total(),
            steps: place.steps.clone(),
            location: labels.value(Key::Location, sample),
            since: since.checked_sub(1),
            path: paths::steps(labels, &roots, way),
            confidence,
            reasons: std::iter::once(growth).chain(sight.signs(way, place.total(), main.as_ref(), strings)).collect(),
        });
    }
    Ok(suspects)
}

/// What piles up in a place: of an application's class if such objects hold a good part of it, else what holds the most; none where the
/// place itself grows.
fn main_content(labels: &Labels<'_>, place: &Place) -> Option<Content> {
    let mut best: Option<(u8, Content)> = None;
    let most = place.content.values().map(|content| content.retained).max().unwrap_or(0);
    if most * 4 < place.total() {
        return None;
    }
    for content in place.content.values() {
        let class = labels.class_name(content.sample);
        let rank = match class.as_str() {
            // What a Ruby programmer does not see.
            class if class.starts_with('(') => 0,
            _ if (content.retained as f64) < MAIN_PART * most as f64 => 0,
            class if is_core(class) => 1,
            _ => 2,
        };
        let key =
            |rank: u8, content: &Content| (rank, content.retained, content.count, std::cmp::Reverse(content.sample));
        if best.as_ref().is_none_or(|(other, known)| key(rank, content) > key(*other, known)) {
            best = Some((rank, *content));
        }
    }
    best.map(|(_, content)| content)
}

/// What a programmer knows an object by: itself, or where it is of a class of Ruby's own the object of an application's class inside of
/// it that holds the most of it, as a block does a request.
fn inside(tree: &Tree, children: &Children, labels: &Labels<'_>, sample: NodeId) -> NodeId {
    let own = labels.class_name(sample);
    if !is_core(&own) {
        return sample;
    }
    let least = (tree.retained(sample) as f64 * MAIN_PART) as u64;
    let mut best: Option<(bool, u64, NodeId)> = None;
    let mut stack = vec![sample];
    for _ in 0..SEARCHED {
        let Some(id) = stack.pop() else { break };
        let class = labels.class_name(id);
        let key = (!is_core(&class), tree.retained(id), id);
        if !class.starts_with('(') && key.1 >= least && best.is_none_or(|best| (key.0, key.1) > (best.0, best.1)) {
            best = Some(key);
        }
        stack.extend(children.of(Dominator::Node(id)).take(SEARCHED));
    }
    best.map_or(sample, |(.., id)| id)
}

/// So many objects inside of one are looked at.
const SEARCHED: usize = 100;

/// The nearest object on the way, from its end, that a programmer has a name for, and that name.
pub(super) fn holder(
    heap: &Heap,
    labels: &Labels<'_>,
    roots: &HashMap<NodeId, &str>,
    way: &[NodeId],
) -> (String, Option<NodeId>) {
    for id in way.iter().rev() {
        let slot = heap.slot(*id);
        let class = labels.class_name(*id);
        match slot.ty {
            Type::Class | Type::Module | Type::Iclass => {
                let name = heap.names().class_name(heap.address(*id)).unwrap_or_default();
                let inside = name.strip_prefix("#<Class:").and_then(|name| name.strip_suffix('>'));
                let inside = inside.filter(|name| !name.starts_with("0x") && !name.contains(":0x"));
                return (inside.unwrap_or(&name).to_owned(), Some(*id));
            }
            Type::Data if class == "Thread" => return (class, Some(*id)),
            Type::Object | Type::Struct | Type::Data if !is_core(&class) => return (class, Some(*id)),
            _ => {}
        }
    }
    let root = way.first().and_then(|first| roots.get(first));
    (root.map_or_else(String::new, |category| format!("root {category}")), None)
}

/// The answer of `suspects`; `diff` is that of the dumps, where there are several.
#[must_use]
pub fn report(
    heap: &Heap,
    suspects: &[Suspect],
    dumps: &[&str],
    contexts: &[Context],
    diff: Option<&Diff<'_>>,
) -> Report {
    let last = dumps.last().copied().unwrap_or_default();
    let items = suspects.iter().map(|suspect| suspect.facts(heap, last)).collect();
    let mut sections = vec![Section::List(List { name: "suspects", title: "Suspects".into(), items })];
    if suspects.is_empty() {
        let text = match dumps.len() {
            1 => "nothing in this dump looks like a leak; take two more while the app works, and give all three",
            2 => "nothing grew between the dumps that was not there before",
            _ => "nothing took in objects in each step and kept them",
        };
        sections.push(note(Level::Info, text));
    } else if dumps.len() < 3 {
        let text = "fewer than three dumps do not tell a leak from a cache that is still warming up; take three, with work in between, \
                    and give the oldest first";
        sections.push(note(Level::Info, text));
    }
    match diff {
        Some(diff) => sections.extend(super::diff::doubts(diff)),
        None if contexts.iter().any(|context| context.totals.traced.count == 0) => {
            sections.push(note(Level::Info, super::UNTRACED));
        }
        None => {}
    }
    contexts.iter().for_each(|context| sections.extend(context.notes()));
    Report { verb: "suspects", dump: dumps.join(", "), sections }
}

impl Suspect {
    /// It in a line.
    #[must_use]
    pub fn headline(&self) -> String {
        let what = if self.count == 1 {
            self.class.clone()
        } else {
            format!("{} × {}", human::count(self.count), self.class)
        };
        let grown = if self.steps.is_empty() { "holding" } else { "new" };
        format!("{what}, {} {grown}, held by {}", human::bytes(self.memsize), self.holder)
    }

    /// The command that goes on from it; none where a root itself holds the objects.
    #[must_use]
    pub fn next(&self, heap: &Heap, dump: &str) -> Option<String> {
        self.id.map(|id| format!("heap_inspector show {} 0x{:x}", shell_words::quote(dump), heap.address(id)))
    }

    fn facts(&self, heap: &Heap, dump: &str) -> Vec<crate::report::Fact> {
        let step = |step: &Step| match step.edge.to_string() {
            edge if edge.is_empty() => step.label.clone(),
            edge => format!("{edge} → {}", step.label),
        };
        let address = self.id.map(|id| format!("0x{:x}", heap.address(id)));
        let list = |texts: &mut dyn Iterator<Item = String>| Cell::List(texts.map(Cell::Text).collect());
        let text = |text: Option<String>| text.map_or(Cell::Missing, Cell::Text);
        vec![
            fact("headline", "", Cell::Text(self.headline()), String::new()),
            fact("confidence", "Confidence", Cell::Text(self.confidence.name().into()), self.reasons.join("; ")),
            fact("reasons", "", list(&mut self.reasons.iter().cloned()), String::new()),
            fact("class", "Class", Cell::Text(self.class.clone()), String::new()),
            fact("count", "Objects", Cell::Count(self.count), String::new()),
            fact("memsize", "Memory", Cell::Bytes(self.memsize), String::new()),
            fact(
                "steps",
                "In each step",
                Cell::List(self.steps.iter().map(|bytes| Cell::Bytes(*bytes)).collect()),
                String::new(),
            ),
            fact("location", "Allocated at", key_cell(Key::Location, &self.location), String::new()),
            fact(
                "since",
                "Since generation",
                self.since.map_or(Cell::Missing, |number| Cell::Number(u64::from(number))),
                String::new(),
            ),
            fact("holder", "Holder", Cell::Text(self.holder.clone()), String::new()),
            fact("accumulates_in", "Accumulates in", Cell::Text(self.label.clone()), String::new()),
            fact("address", "Address", text(address), String::new()),
            fact("path", "Path", list(&mut self.path.iter().map(step)), String::new()),
            fact("next", "Look at", text(self.next(heap, dump)), String::new()),
        ]
    }
}

#[cfg(test)]
mod tests;
