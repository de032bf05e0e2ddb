//! What changed between dumps of one process: which objects are new, gone and kept, and which groups grow.
//!
//! An address alone does not tell an object: slots are used again. Two records are of one object if address, type, class, allocation
//! site and generation agree. Objects without a generation were allocated before tracing began, so among traced ones address, type and
//! class do; where one of two dumps is not traced slots used again may be taken for kept, and the report says so. The generation tells more: a
//! record of a generation that was over when the earlier dump was taken is of an object that was there then, and if it is not found at
//! its address it was moved by a compaction. So nothing that was moved is called new.
//!
//! With three dumps or more an object is *retained* if it is new since the first and has stayed since the second: what was allocated
//! and kept while the app did its work, and neither start-up data nor what the last requests had not yet given back.
//! Costs a look-up of an address for each object and 4 bytes for each object and dump.

use super::grouping::Grouping;
use super::groups::{self, Groups, Shows};
use super::retained;
use super::{Context, Order, address_cell, column, fact, key_cell, note, titled};
use crate::Result;
use crate::control::Control;
use crate::graph::CHECK_INTERVAL;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::{Key, KeyValue, Value, Values};
use crate::names::{ClassId, Names, TRACER_STRUCT};
use crate::properties::ObjectProperties;
use crate::record::Type;
use crate::report::{Cell, Column, Facts, Level, Note, Report, Rest, Section, Table};
use crate::select::Filter;
use crate::sums::Sum;
use crate::symbols::{SiteId, Symbol, Symbols};
use hashbrown::HashMap;
use std::sync::Arc;

/// What became of an object of a later dump, seen from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Before {
    /// It was there, as this node.
    Same(NodeId),
    /// It was there, at another address.
    Moved,
    /// It was not there.
    New,
}

const NEW: u32 = u32::MAX;
const MOVED: u32 = u32::MAX - 1;

/// Which objects of a later dump were in an earlier one.
#[derive(Debug)]
pub struct Match {
    /// By node of the later dump: the node of the earlier one.
    earlier: Vec<u32>,
    moved: u64,
    /// Objects without a generation that were not found though objects were traced in between.
    unmatched: u64,
    /// The part of the classes, of those whose addresses are in both dumps, that have one name in both.
    similarity: f64,
    /// Objects of a time before the earlier dump that it lacks, and that no move explains.
    strangers: u64,
    /// The later dump was taken before the earlier one.
    reversed: bool,
}

/// How one heap's numbers of names read in another's.
pub(super) struct Translation {
    classes: Vec<Option<ClassId>>,
    pub(super) sites: Vec<Option<SiteId>>,
    pub(super) labels: Vec<Option<Symbol>>,
}

impl Translation {
    pub(super) fn new(from: &Names, to: &Names) -> Translation {
        let (one, other) = (&from.tables, &to.tables);
        let label = |sym: u32| match sym {
            0 => Some(Symbol::NONE),
            sym => other.symbols.find(one.symbols.bytes(Symbol(sym))),
        };
        let labels: Vec<Option<Symbol>> = (0..one.symbols.len() as u32).map(label).collect();
        let sites_of_other: HashMap<_, _> =
            (0..other.sites.len() as u32).map(|id| (other.sites.get(SiteId(id)), SiteId(id))).collect();
        let sites = (0..one.sites.len() as u32).map(|id| {
            let mut site = one.sites.get(SiteId(id));
            site.file = labels[site.file.0 as usize]?;
            site.method = labels[site.method.0 as usize]?;
            sites_of_other.get(&site).copied()
        });
        let classes = (0..one.class_count() as u32).map(|id| {
            let class = ClassId(id);
            if class == ClassId::NONE {
                return Some(class);
            }
            let found = to.class_at(one.class_address(class))?;
            let same = one.symbols.bytes(from.instance_class(class)) == other.symbols.bytes(to.instance_class(found));
            same.then_some(found)
        });
        Translation { classes: classes.collect(), sites: sites.collect(), labels }
    }
}

impl Match {
    /// Looks up each object of `later` in `earlier`.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn new(earlier: &Heap, later: &Heap, control: &Control<'_>) -> Result<Match> {
        Match::looked_up(earlier, later, control, false)
    }

    fn looked_up(earlier: &Heap, later: &Heap, control: &Control<'_>, is_backwards: bool) -> Result<Match> {
        let translation = Translation::new(later.names(), earlier.names());
        // What was traced in this generation or later may have come after the earlier dump.
        let last = earlier.newest_generation();
        let alone = is_traced(earlier) != is_traced(later);
        let was_traced = last > 0 && later.newest_generation() > last;
        let mut found = Match {
            earlier: Vec::with_capacity(later.object_count()),
            moved: 0,
            unmatched: 0,
            similarity: similarity(earlier, later),
            strangers: 0,
            reversed: false,
        };
        for id in later.nodes() {
            if (id.0 as usize).is_multiple_of(CHECK_INTERVAL) {
                control.check()?;
            }
            let properties = later.properties(id);
            let same = earlier.node(later.address(id)).filter(|before| {
                let length = |heap: &Heap, id: NodeId| heap.length(id);
                is_same(&properties, &earlier.properties(*before), &translation, alone)
                    && (properties.generation > 0 && !alone
                        || is_alike(properties.ty, length(later, id), length(earlier, *before)))
            });
            found.earlier.push(match same {
                Some(before) => before.0,
                None if properties.generation > 0 && properties.generation < last => {
                    found.moved += 1;
                    MOVED
                }
                None => {
                    found.unmatched += u64::from(was_traced && properties.generation == 0);
                    NEW
                }
            });
        }
        found.strangers = found.strangers(later, last);
        if later.newest_generation() < last && found.similarity > 0.5 && !is_backwards {
            // What was there before the one must be in the other, if they are of one process and only in the wrong order.
            let back = Match::looked_up(later, earlier, control, true)?;
            found.reversed = !back.is_strange();
        }
        Ok(found)
    }

    /// How many objects of generations that were over when the earlier dump was taken are strange to it, as in two processes that forked
    /// from one: up to some generation, the fork's, all objects are where they were, and of the later ones nearly none is. A compaction
    /// moves some of every time.
    fn strangers(&self, later: &Heap, last: u32) -> u64 {
        if self.moved < STRANGERS {
            return 0;
        }
        let mut by_generation = vec![(0u64, 0u64); last as usize];
        for (id, earlier) in later.nodes().zip(&self.earlier) {
            if let Some((moved, all)) = by_generation.get_mut(later.properties(id).generation as usize) {
                *moved += u64::from(*earlier >= MOVED);
                *all += 1;
            }
        }
        let all = by_generation.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let (mut before, mut strangers) = ((0, 0), 0);
        for (moved, count) in by_generation {
            let after = (all.0 - before.0, all.1 - before.1);
            let is_fork =
                before.1 >= STRANGERS && before.0 * FEW_OF <= before.1 && after.0 * 10 >= after.1 * MOST_OF_TEN;
            if is_fork && after.0 >= STRANGERS {
                strangers = strangers.max(after.0);
            }
            before = (before.0 + moved, before.1 + count);
        }
        strangers
    }

    /// Whether the dumps are of two processes which forked from one, or of one that was restarted so.
    fn is_strange(&self) -> bool {
        self.strangers > 0
    }

    /// What became of an object.
    #[must_use]
    pub fn before(&self, id: NodeId) -> Before {
        match self.earlier[id.0 as usize] {
            NEW => Before::New,
            MOVED => Before::Moved,
            node => Before::Same(NodeId(node)),
        }
    }

    /// Whether the object was not there.
    #[must_use]
    pub fn is_new(&self, id: NodeId) -> bool {
        self.earlier[id.0 as usize] == NEW
    }

    /// How many objects were moved by a compaction in between.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// How many objects without a generation were not found, though allocations were traced in between: a compaction moved them (Ruby 3.1
    /// forgets where such were allocated), or tracing was off for a time. They count as new.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Whether both dumps can be of one process: most of the classes at one address have one name, and the later one has no objects
    /// that the earlier one must have as well.
    #[must_use]
    pub fn is_one_process(&self) -> bool {
        self.similarity > 0.5 && (self.reversed || !self.is_strange())
    }
}

/// Fewer objects than this tell nothing.
const STRANGERS: u64 = 50;
/// Before a fork no more than one of so many lies elsewhere, after it so many of ten.
const FEW_OF: u64 = 100;
const MOST_OF_TEN: u64 = 8;

/// Whether any allocation was traced.
fn is_traced(heap: &Heap) -> bool {
    heap.totals().traced.count > 0
}

/// Whether two records at one address are of one object; `alone` where one of the dumps does not say when and where it was allocated.
fn is_same(properties: &ObjectProperties, before: &ObjectProperties, translation: &Translation, alone: bool) -> bool {
    let is_born_alike = || {
        properties.generation == before.generation
            && translation.sites[properties.names.site.0 as usize] == Some(before.names.site)
    };
    properties.ty == before.ty
        && translation.classes[properties.names.class.0 as usize] == Some(before.names.class)
        && (alone || is_born_alike())
        // The label of a string is its encoding, which may be changed.
        && (properties.ty == Type::String || translation.labels[properties.names.label.0 as usize] == Some(before.names.label))
}

/// Whether untraced objects may be one by their lengths: those of these types keep theirs.
fn is_alike(ty: Type, length: Option<u32>, before: Option<u32>) -> bool {
    length == before || !matches!(ty, Type::Symbol | Type::Bignum | Type::Float)
}

/// The part of the earlier dump's classes that go by the same name in the later one.
fn similarity(earlier: &Heap, later: &Heap) -> f64 {
    let (mut same, mut all) = (0u32, 0u32);
    for id in 1..earlier.names().tables.class_count() as u32 {
        let address = earlier.names().tables.class_address(ClassId(id));
        if let Some(name) = earlier.names().class_name(address) {
            all += 1;
            same += u32::from(later.names().class_name(address) == Some(name));
        }
    }
    if all == 0 { 1.0 } else { f64::from(same) / f64::from(all) }
}

/// A dump of several, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// Its heap.
    pub heap: &'a Heap,
    /// Its dominator tree, where it is known; growth tells retained sizes where each dump has one.
    pub tree: Option<&'a Tree>,
}

/// What was found out about some dumps, without them, to be kept: see [`Diff::of`].
#[derive(Clone, Debug)]
pub struct Matches {
    /// For each dump but the last, what the last one's objects were in it.
    by_dump: Arc<[Match]>,
    gone: Sum,
}

impl Matches {
    /// The bytes it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.by_dump.iter().map(|matched| matched.earlier.len() * size_of::<u32>()).sum()
    }
}

/// What a dump tells of when and of which process it was taken, where heap_inspector took it. A claim, like all of a dump.
#[derive(serde::Deserialize)]
struct Taken {
    time: Option<String>,
    pid: Option<u64>,
    host: Option<String>,
}

impl Taken {
    fn of(heap: &Heap) -> Option<Taken> {
        serde_json::from_str(heap.totals().meta.as_deref()?).ok()
    }

    /// Whether they are told to be of different processes.
    fn is_other(&self, other: &Taken) -> bool {
        let differs = |pair: Option<(String, String)>| pair.is_some_and(|(one, other)| one != other);
        self.pid.zip(other.pid).is_some_and(|(one, other)| one != other)
            || differs(self.host.clone().zip(other.host.clone()))
    }

    /// The time, where it has the form that sorts as text.
    fn sortable(&self) -> Option<&str> {
        let time = self.time.as_deref()?;
        let digits = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
        let form: Vec<u8> = time.bytes().map(digits).collect();
        (form == b"0000-00-00T00:00:00.000Z").then_some(time)
    }
}

/// The order in which dumps were taken, where all tell their time, and of one process; none where they stand in it, or where it is not
/// known.
#[must_use]
pub fn order(heaps: &[&Heap]) -> Option<Vec<usize>> {
    let taken: Vec<Taken> = heaps.iter().map(|heap| Taken::of(heap)).collect::<Option<_>>()?;
    let times: Vec<&str> = taken.iter().map(Taken::sortable).collect::<Option<_>>()?;
    let is_told = taken.iter().all(|one| one.pid.is_some() && !one.is_other(&taken[0]));
    let mut order: Vec<usize> = (0..heaps.len()).collect();
    order.sort_by_key(|at| times[*at]);
    (is_told && !order.is_sorted()).then_some(order)
}

/// The word on dumps that were put into the order in which they were taken.
#[must_use]
pub fn sorted_note(names: &[&str]) -> Section {
    let text = format!(
        "the dumps were not given in the order in which they were taken; they are read as {}",
        names.join(", ")
    );
    note(Level::Info, text)
}

/// How the dumps of one process differ.
#[derive(Debug)]
pub struct Diff<'a> {
    dumps: Vec<Dump<'a>>,
    /// For each dump but the last, what the last one's objects were in it.
    matches: Arc<[Match]>,
    gone: Sum,
}

impl<'a> Diff<'a> {
    /// The dumps that `matches` came from, compared before.
    #[must_use]
    pub fn of(dumps: &[Dump<'a>], matches: &Matches) -> Diff<'a> {
        Diff { dumps: dumps.to_vec(), matches: Arc::clone(&matches.by_dump), gone: matches.gone }
    }

    /// What was found out, to be kept without the dumps.
    #[must_use]
    pub fn matches(&self) -> Matches {
        Matches { by_dump: Arc::clone(&self.matches), gone: self.gone }
    }

    /// Compares each dump with the last one.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for fewer than two dumps, [`crate::Error::Interrupted`] when cancelled.
    pub fn new(dumps: &[Dump<'a>], control: &Control<'_>) -> Result<Diff<'a>> {
        let [first, .., last] = dumps else {
            return Err(crate::Error::usage("a diff needs two dumps or more, the oldest first"));
        };
        let earlier = &dumps[..dumps.len() - 1];
        let matches = at_once(earlier, |earlier| Match::new(earlier.heap, last.heap, control))?;
        let mut kept = Sum::default();
        for id in last.heap.nodes().filter(|id| !matches[0].is_new(*id)) {
            let memsize = match matches[0].before(id) {
                Before::Same(before) => first.heap.bytes(before),
                _ => last.heap.bytes(id),
            };
            kept.add(Sum { count: 1, memsize, references: 0 });
        }
        let all = first.heap.totals().objects;
        let gone = Sum {
            count: all.count.saturating_sub(kept.count),
            memsize: all.memsize.saturating_sub(kept.memsize),
            references: 0,
        };
        Ok(Diff { dumps: dumps.to_vec(), matches: matches.into(), gone })
    }

    /// Whether all dumps can be of one process; else what is new cannot be told.
    #[must_use]
    pub fn is_one_process(&self) -> bool {
        let last = Taken::of(self.heap());
        self.matches.iter().zip(&self.dumps).all(|(matched, dump)| {
            matched.is_one_process()
                && !Taken::of(dump.heap).zip(last.as_ref()).is_some_and(|(one, last)| one.is_other(last))
        })
    }

    /// Why nothing that is said of the growth is sure, where it is so.
    pub(super) fn doubtful(&self) -> Option<String> {
        if let Some(cut) = self.dumps.iter().find(|dump| dump.heap.diagnostics().truncated) {
            return Some(format!("{} was cut off, so what is missing there looks new", cut.name));
        }
        if let Some(partial) = self.dumps.iter().find(|dump| dump.heap.roots().is_empty()) {
            return Some(format!("{} is partial, so what is missing there looks new", partial.name));
        }
        let newest = |dump: &Dump<'_>| dump.heap.newest_generation();
        let is_reversed = self.dumps.windows(2).any(|pair| newest(&pair[0]) > newest(&pair[1]) && newest(&pair[1]) > 0);
        is_reversed.then(|| "the dumps are not in the order in which they were taken".to_owned())
    }

    /// Whether so many objects lie elsewhere than in an earlier dump that what is new is not sure.
    pub(super) fn has_unmatched(&self) -> bool {
        let few = WARNED * self.heap().object_count() as f64;
        self.matches.iter().any(|matched| (matched.unmatched() + matched.moved()) as f64 > few)
    }

    /// The dumps, oldest first.
    #[must_use]
    pub fn dumps(&self) -> &[Dump<'a>] {
        &self.dumps
    }

    /// The last dump's heap, whose nodes are told here.
    #[must_use]
    pub fn heap(&self) -> &'a Heap {
        self.dumps[self.dumps.len() - 1].heap
    }

    /// What an object of the last dump was in the dump of a number, from 0.
    #[must_use]
    pub fn before(&self, dump: usize, id: NodeId) -> Before {
        self.matches[dump].before(id)
    }

    /// How many steps there are from dump to dump.
    pub(super) fn step_count(&self) -> usize {
        self.matches.len()
    }

    /// The step in which an object of the last dump came; none where it was in the first.
    pub(super) fn step(&self, id: NodeId) -> Option<usize> {
        self.matches.iter().rposition(|before| before.is_new(id))
    }

    /// Whether an object of the last dump was not in the first.
    #[must_use]
    pub fn is_new(&self, id: NodeId) -> bool {
        self.matches[0].is_new(id)
    }

    /// Whether an object is new since the first dump and was in all others: the rule of three dumps. With two, whether it is new.
    #[must_use]
    pub fn is_retained(&self, id: NodeId) -> bool {
        self.is_new(id) && self.matches[1..].iter().all(|before| !before.is_new(id))
    }

    /// The objects of the last dump that were not in the first.
    pub fn new_objects(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.heap().nodes().filter(|id| self.is_new(*id))
    }

    /// The objects that [`Diff::is_retained`].
    pub fn retained_objects(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.heap().nodes().filter(|id| self.is_retained(*id))
    }

    /// How many objects of the first dump the last one lacks, and their bytes there.
    #[must_use]
    pub fn gone(&self) -> Sum {
        self.gone
    }

    /// The objects of the first dump that the last one lacks. Of those that a compaction moved as many are left out as there are of their
    /// sort in the last dump, wherever they lie.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn gone_objects(&self, control: &Control<'_>) -> Result<Vec<NodeId>> {
        let first = self.dumps[0].heap;
        let mut kept = vec![false; first.object_count()];
        let mut moved: HashMap<(Type, ClassId, SiteId, u32), u32> = HashMap::new();
        let translation = (self.matches[0].moved > 0).then(|| Translation::new(self.heap().names(), first.names()));
        for id in self.heap().nodes() {
            control.check_at(id.0 as usize)?;
            match (self.before(0, id), &translation) {
                (Before::Same(before), _) => kept[before.0 as usize] = true,
                (Before::Moved, Some(translation)) => {
                    let properties = self.heap().properties(id);
                    let class = translation.classes[properties.names.class.0 as usize];
                    let site = translation.sites[properties.names.site.0 as usize];
                    if let (Some(class), Some(site)) = (class, site) {
                        *moved.entry((properties.ty, class, site, properties.generation)).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        let mut is_moved = |id: &NodeId| {
            let properties = first.properties(*id);
            let left =
                moved.get_mut(&(properties.ty, properties.names.class, properties.names.site, properties.generation));
            left.filter(|left| **left > 0).map(|left| *left -= 1).is_some()
        };
        let mut gone = Vec::new();
        for id in first.nodes() {
            control.check_at(id.0 as usize)?;
            gone.extend((!kept[id.0 as usize] && !is_moved(&id)).then_some(id));
        }
        Ok(gone)
    }

    /// Count and bytes of some objects of the last dump.
    #[must_use]
    pub fn sum(&self, ids: impl Iterator<Item = NodeId>) -> Sum {
        let mut sum = Sum::default();
        ids.for_each(|id| sum.add(Sum { count: 1, memsize: self.heap().bytes(id), references: 0 }));
        sum
    }

    /// Groups some objects of the last dump.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn groups(
        &self,
        ids: impl Iterator<Item = NodeId>,
        asked: &groups::Options,
        control: &Control<'_>,
    ) -> Result<Groups> {
        groups::of(self.heap(), ids, asked, control)
    }
}

/// How a group went from dump to dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// It grew in each step, the smallest at least half of the greatest.
    Steady,
    /// It grew in each step, unevenly.
    Growing,
    /// It grew, but not in each step.
    Step,
    /// It is as big as it was.
    Flat,
    /// It shrank.
    Shrinking,
}

impl Trend {
    /// The trend of sizes, oldest first. Of two there is no telling whether growth goes on.
    #[must_use]
    pub fn of(sizes: &[u64]) -> Trend {
        let (first, last) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
        let steps: Vec<i128> = sizes.windows(2).map(|pair| i128::from(pair[1]) - i128::from(pair[0])).collect();
        let (least, most) = (steps.iter().min().copied().unwrap_or(0), steps.iter().max().copied().unwrap_or(0));
        match last.cmp(&first) {
            std::cmp::Ordering::Less => Trend::Shrinking,
            std::cmp::Ordering::Equal => Trend::Flat,
            std::cmp::Ordering::Greater if least > 0 && least * 2 >= most && steps.len() > 1 => Trend::Steady,
            std::cmp::Ordering::Greater if least > 0 => Trend::Growing,
            std::cmp::Ordering::Greater => Trend::Step,
        }
    }

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Trend::Steady => "steady",
            Trend::Growing => "growing",
            Trend::Step => "step",
            Trend::Flat => "flat",
            Trend::Shrinking => "shrinking",
        }
    }
}

/// A group in all dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// A value for each key.
    pub key: Vec<KeyValue>,
    /// Its objects in each dump, oldest first.
    pub sums: Vec<Sum>,
    /// What they retain in each dump, where all dumps have their trees.
    pub retained_memsizes: Option<Vec<u64>>,
    /// How its bytes went, of what it retains where that is known.
    pub trend: Trend,
}

impl Growth {
    fn sizes(&self) -> Vec<u64> {
        self.retained_memsizes.clone().unwrap_or_else(|| self.sums.iter().map(|sum| sum.memsize).collect())
    }

    /// The bytes by which it grew, from the first dump to the last.
    #[must_use]
    pub fn memsize_delta(&self) -> i64 {
        delta(self.sums.iter().map(|sum| sum.memsize))
    }

    /// The objects by which it grew.
    #[must_use]
    pub fn count_delta(&self) -> i64 {
        delta(self.sums.iter().map(|sum| sum.count))
    }

    /// The bytes by which what it retains grew, where that is known.
    #[must_use]
    pub fn retained_memsize_delta(&self) -> Option<i64> {
        self.retained_memsizes.as_ref().map(|memsizes| delta(memsizes.iter().copied()))
    }

    /// What it ranks by: the bytes by which it grew, of what it retains where that is known.
    fn rank(&self) -> i64 {
        self.retained_memsize_delta().unwrap_or_else(|| self.memsize_delta())
    }
}

/// What came since the first dump and is held by one object that was there then: the nearest such object above, in the last dump's
/// dominator tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderGrowth {
    /// That object; none where it is a root itself.
    pub id: Option<NodeId>,
    /// Whom a programmer would ask: the class, module or thread that holds it, or the root where none does.
    pub holder: String,
    /// The object for people.
    pub label: String,
    /// How many objects came.
    pub count: u64,
    /// Their bytes, with those by which the object itself grew, by the dump in which they were first: so the first is 0, and the last is
    /// all that came and stayed.
    pub memsizes: Vec<u64>,
    /// What the object retains in each dump, where all dumps have their trees; none in a dump in which it lay elsewhere.
    pub retained_memsizes: Option<Vec<Option<u64>>>,
    /// How its bytes went: what it retains, where that is known of all dumps, else `memsizes`.
    pub trend: Trend,
}

/// The holders of what came, the one of the most bytes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// As many as the limit allowed.
    pub holders: Vec<HolderGrowth>,
    /// How many it cut off.
    pub rest_holders: u64,
    /// What came to those.
    pub rest: Sum,
}

impl HolderGrowth {
    /// The bytes that came and stayed.
    #[must_use]
    pub fn memsize_delta(&self) -> u64 {
        self.memsizes.last().copied().unwrap_or(0)
    }

    /// The bytes by which what the object retains grew, where that is known of all dumps.
    #[must_use]
    pub fn retained_memsize_delta(&self) -> Option<i64> {
        let memsizes: Vec<u64> = self.retained_memsizes.as_ref()?.iter().copied().collect::<Option<_>>()?;
        Some(delta(memsizes.into_iter()))
    }
}

fn delta(mut sizes: impl DoubleEndedIterator<Item = u64>) -> i64 {
    let first = sizes.next().unwrap_or(0);
    sizes.next_back().unwrap_or(first) as i64 - first as i64
}

/// All but the allocation tracer's own store, which grows with what it traces.
fn without_tracer(filter: &Filter) -> Filter {
    let tracer = format!("struct!={}", String::from_utf8_lossy(TRACER_STRUCT));
    filter.clone().and(&Filter::parse(&[tracer]).expect("the name of a C type is a value"))
}

/// Count and bytes of a dump's groups, and what has the texts of their keys.
struct Grouped<'a> {
    keys: Vec<Vec<Value>>,
    values: Values<'a>,
    sums: Vec<Sum>,
}

fn grouped<'a>(heap: &'a Heap, by: &[Key], filter: &'a Filter, control: &Control<'_>) -> Result<Grouped<'a>> {
    let (mut grouping, mut sums) = (Grouping::new(heap, by, filter), Vec::<Sum>::new());
    for id in heap.nodes() {
        if (id.0 as usize).is_multiple_of(CHECK_INTERVAL) {
            control.check()?;
        }
        if let Some(group) = grouping.group(id) {
            crate::memory::reach(&mut sums, group, Sum::default())?;
            sums[group].add(Sum { count: 1, memsize: heap.bytes(id), references: 0 });
        }
    }
    let (keys, values) = grouping.values(control)?;
    Ok(Grouped { keys, values, sums })
}

/// Has `work` done on each dump at once.
fn at_once<'a, T: Send>(dumps: &[Dump<'a>], work: impl Fn(&Dump<'a>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    let jobs = dumps.iter().map(|dump| move || work(dump));
    crate::threads::all(jobs.collect()).into_iter().collect()
}

/// The texts of all dumps as numbers of one table, so that groups are matched without making texts of those that did not grow.
#[derive(Default)]
struct Texts(Symbols);

impl Texts {
    fn value(&mut self, value: &KeyValue) -> Value {
        match value {
            KeyValue::None => Value::None,
            KeyValue::Number(number) => Value::Number(*number),
            KeyValue::Flag(flag) => Value::Flag(*flag),
            KeyValue::Text(text) => Value::Text(self.0.intern(text.as_bytes())),
            KeyValue::Absent(absent) => Value::Absent(*absent),
        }
    }

    fn outside(&self, value: Value) -> KeyValue {
        match value {
            Value::None => KeyValue::None,
            Value::Number(number) => KeyValue::Number(number),
            Value::Flag(flag) => KeyValue::Flag(flag),
            Value::Text(sym) => KeyValue::Text(self.0.text(sym).into_owned()),
            Value::Absent(absent) => KeyValue::Absent(absent),
        }
    }
}

/// The groups that grew, the one that grew the most bytes first, of what it retains where that is known; `retained` asks for what they
/// retain too, where there are trees. The allocation tracer is left out.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn growth(
    diff: &Diff<'_>,
    by: &[Key],
    filter: &Filter,
    retained: bool,
    control: &Control<'_>,
) -> Result<Vec<Growth>> {
    let dumps = diff.dumps();
    let filter = &without_tracer(filter);
    let mut texts = Texts::default();
    let mut found: HashMap<Vec<Value>, (Vec<Sum>, Vec<u64>)> = HashMap::new();
    let none = || (vec![Sum::default(); dumps.len()], vec![0; dumps.len()]);
    let with_trees = retained && dumps.iter().all(|dump| dump.tree.is_some());
    let all = at_once(dumps, |dump| grouped(dump.heap, by, filter, control))?;
    for (at, Grouped { keys, values, sums }) in all.into_iter().enumerate() {
        let mut known: HashMap<Value, Value> = HashMap::new();
        for (mut key, sum) in keys.into_iter().zip(sums) {
            for value in &mut key {
                *value = *known.entry(*value).or_insert_with_key(|value| texts.value(&values.outside(*value)));
            }
            found.entry(key).or_insert_with(none).0[at] = sum;
        }
    }
    for (at, dump) in dumps.iter().enumerate() {
        if let Some(tree) = dump.tree.filter(|_| with_trees) {
            for group in retained::groups(dump.heap, tree, by, filter, None, control)?.groups {
                let key = group.key.iter().map(|value| texts.value(value)).collect();
                found.entry(key).or_insert_with(none).1[at] = group.retained_memsize;
            }
        }
    }
    let mut growth: Vec<Growth> = found
        .into_iter()
        .filter_map(|(key, (sums, retained))| {
            let mut growth =
                Growth { key: Vec::new(), sums, retained_memsizes: with_trees.then_some(retained), trend: Trend::Flat };
            if growth.rank() <= 0 {
                return None;
            }
            growth.trend = Trend::of(&growth.sizes());
            growth.key = key.into_iter().map(|value| texts.outside(value)).collect();
            Some(growth)
        })
        .collect();
    growth.sort_by(|a, b| b.rank().cmp(&a.rank()).then_with(|| a.key.cmp(&b.key)));
    Ok(growth)
}

/// Moved objects are worth a word where they are more than such a part.
const WARNED: f64 = 0.01;

/// Whether two dumps have the same objects, of the same bytes and births, in the same order, as only one moment has.
fn is_one_dump(one: &Heap, other: &Heap) -> bool {
    let told = |heap: &Heap, id: NodeId| (heap.address(id), heap.bytes(id), heap.properties(id).generation);
    one.object_count() == other.object_count()
        && one.object_count() > 0
        && one.nodes().all(|id| told(one, id) == told(other, id))
}

/// What else to know of the dumps before the numbers are believed.
pub(super) fn doubts(diff: &Diff<'_>) -> Vec<Section> {
    let mut notes = Vec::new();
    let dumps = diff.dumps();
    let traced = |dump: &Dump<'_>| is_traced(dump.heap);
    for (matched, dump) in diff.matches.iter().zip(dumps) {
        let last = dumps[dumps.len() - 1].name;
        let (taken, of_last) = (Taken::of(dump.heap), Taken::of(diff.heap()));
        let is_other = taken.as_ref().zip(of_last.as_ref()).is_some_and(|(one, last)| one.is_other(last));
        if !matched.is_one_process() || is_other {
            let series = [dump.heap, diff.heap()].map(|heap| heap.totals().ruby_version.series());
            let pids = || Some((taken.as_ref()?.pid?, of_last.as_ref()?.pid?));
            let why = match pids().filter(|_| is_other) {
                Some((one, other)) if one != other => {
                    format!("the one is of process {one}, the other of process {other}")
                }
                Some(_) => "they were taken on two hosts".to_owned(),
                None if series[0] != series[1] => {
                    format!("Ruby {} wrote the one, Ruby {} the other", series[0], series[1])
                }
                None if matched.is_strange() => format!(
                    "{} objects of {last} are older than {} and not in it, as in workers that one process forked, or after a restart",
                    human::count(matched.strangers),
                    dump.name
                ),
                None => "the same classes lie at other addresses".to_owned(),
            };
            let text = format!(
                "{} and {last} are not of one process: {why}. Which objects are new cannot be told; only the growth by group can be \
                 compared",
                dump.name
            );
            notes.push(note(Level::Warning, text));
        } else if matched.reversed {
            let text = format!("{} is newer than {last}: give the oldest dump first", dump.name);
            notes.push(note(Level::Warning, text));
        } else if matched.moved() as f64 > WARNED * diff.heap().object_count() as f64 {
            let text = format!(
                "{} objects were moved between {} and {last}, by GC.compact; they are told by their generations and count as kept",
                human::count(matched.moved()),
                dump.name
            );
            notes.push(note(Level::Info, text));
        }
        if matched.is_one_process() && matched.unmatched() as f64 > WARNED * diff.heap().object_count() as f64 {
            let text = format!(
                "{} objects without a generation are not where they were in {}, though allocations were traced in between: GC.compact \
                 moved them, or tracing was off for a time; they count as new",
                human::count(matched.unmatched()),
                dump.name
            );
            notes.push(note(Level::Warning, text));
        }
    }
    for pair in dumps.windows(2) {
        let [one, other] = [&pair[0], &pair[1]];
        if is_one_dump(one.heap, other.heap) {
            let text = format!("{} and {} hold the same objects: are they one dump twice?", one.name, other.name);
            notes.push(note(Level::Warning, text));
        }
        if traced(one) != traced(other) {
            let (with, without) = if traced(one) { (one.name, other.name) } else { (other.name, one.name) };
            let text =
                format!("{with} was traced and {without} was not: objects are told by address, type and class alone");
            notes.push(note(Level::Warning, text));
        } else if !traced(one) {
            let text = format!(
                "{} and {} were not traced: an object at the address of another of its type and class, which is gone, is taken for it. {}",
                one.name,
                other.name,
                super::UNTRACED
            );
            notes.push(note(Level::Warning, text));
        } else if diff.is_one_process()
            && !diff.matches.iter().any(|matched| matched.reversed)
            && one.heap.newest_generation() > other.heap.newest_generation()
        {
            let text = format!("{} is newer than {}: give the oldest dump first", one.name, other.name);
            notes.push(note(Level::Warning, text));
        }
    }
    notes
}

/// What growth is told by.
#[derive(Clone, Copy, Debug)]
pub enum By<'b> {
    /// The values of keys.
    Keys(&'b [Key]),
    /// What holds that which came, as `holders::growth` found it.
    Holder(&'b Holders),
}

/// The answer of `diff`; where all dumps have their trees also what the groups retain.
///
/// # Errors
/// Those of [`growth`].
pub fn report(diff: &Diff<'_>, by: By<'_>, filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Report> {
    let mut sections = vec![Section::Table(dump_table(diff))];
    // Of several processes all objects are new, and all are gone.
    let is_one = diff.is_one_process();
    if is_one {
        sections.push(Section::Facts(facts(diff)));
    }
    match by {
        By::Keys(by) => {
            if is_one {
                sections.push(Section::Table(stayed_table(diff, by, filter, limit, control)?));
            }
            let all = growth(diff, by, filter, true, control)?;
            sections.push(Section::Table(growth_table(&all, by, filter, limit)));
        }
        By::Holder(all) if is_one => sections.push(Section::Table(holder_table(diff, all, filter))),
        By::Holder(_) => {}
    }
    Ok(with_notes(diff, sections))
}

/// What came and stayed, in groups: the middle part of the answer of `diff`.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn stayed_report(
    diff: &Diff<'_>,
    by: &[Key],
    filter: &Filter,
    limit: usize,
    control: &Control<'_>,
) -> Result<Report> {
    Ok(with_notes(diff, vec![Section::Table(stayed_table(diff, by, filter, limit, control)?)]))
}

/// The growth by keys or holders alone, the last part of the answer of `diff`.
#[must_use]
pub fn growth_report(diff: &Diff<'_>, all: &[Growth], by: &[Key], filter: &Filter, limit: usize) -> Report {
    with_notes(diff, vec![Section::Table(growth_table(all, by, filter, limit))])
}

/// The growth by holder alone.
#[must_use]
pub fn holder_report(diff: &Diff<'_>, all: &Holders, filter: &Filter) -> Report {
    with_notes(diff, vec![Section::Table(holder_table(diff, all, filter))])
}

/// A report with what is to be known of the dumps.
fn with_notes(diff: &Diff<'_>, mut sections: Vec<Section>) -> Report {
    let dumps = diff.dumps();
    let names: Vec<&str> = dumps.iter().map(|dump| dump.name).collect();
    // What the numbers cannot be believed for is read before them.
    let is_warning = |section: &Section| matches!(section, Section::Note(note) if note.level == Level::Warning);
    let (warnings, notes): (Vec<Section>, Vec<Section>) = doubts(diff).into_iter().partition(is_warning);
    sections.splice(0..0, warnings);
    sections.extend(notes);
    for dump in dumps {
        let context = Context::of(dump.heap);
        sections.extend(context.notes().into_iter().map(|section| match section {
            Section::Note(note) => Section::Note(Note { text: format!("{}: {}", dump.name, note.text), ..note }),
            section => section,
        }));
    }
    Report { verb: "diff", dump: names.join(", "), sections }
}

fn titled_by(what: &str, by: &[Key], filter: &Filter) -> String {
    let keys: Vec<&str> = by.iter().map(|key| key.name()).collect();
    titled(&format!("{what} by {}", keys.join(", ")), filter)
}

/// What came and stayed, in groups: the retained objects, of two dumps the new ones. The allocation tracer is left out.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn stayed(
    diff: &Diff<'_>,
    by: &[Key],
    filter: &Filter,
    limit: Option<usize>,
    control: &Control<'_>,
) -> Result<Groups> {
    let asked = groups::Options { by: by.to_vec(), filter: without_tracer(filter), sort: Order::Bytes, limit };
    diff.groups(diff.retained_objects(), &asked, control)
}

fn stayed_table(diff: &Diff<'_>, by: &[Key], filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Table> {
    let (name, what) = if diff.dumps().len() > 2 { ("retained", "Retained objects") } else { ("new", "New objects") };
    let stayed = stayed(diff, by, filter, Some(limit), control)?;
    Ok(stayed.table(name, titled_by(what, by, filter), Shows::BytesAndCount))
}

fn dump_table(diff: &Diff<'_>) -> Table {
    Table {
        name: "dumps",
        title: "Dumps".into(),
        columns: vec![
            column("count", "Objects"),
            column("memsize", "Memory"),
            column("traced_count", "Traced"),
            Column { name: "dump", title: "Dump", shrinks: true },
        ],
        rows: diff
            .dumps()
            .iter()
            .map(|dump| {
                let totals = dump.heap.totals();
                vec![
                    Cell::Count(totals.objects.count),
                    Cell::Bytes(totals.objects.memsize),
                    Cell::Count(totals.traced.count),
                    Cell::Text(dump.name.to_owned()),
                ]
            })
            .collect(),
        rest: None,
        total: None,
        bar: None,
    }
}

fn facts(diff: &Diff<'_>) -> Facts {
    let filter = without_tracer(&Filter::default());
    let sum = |is_counted: &dyn Fn(NodeId) -> bool| {
        let mut grouping = Grouping::new(diff.heap(), &[], &filter);
        diff.sum(diff.heap().nodes().filter(|id| is_counted(*id) && grouping.group(*id).is_some()))
    };
    let new = sum(&|id| diff.is_new(id));
    let mut facts = vec![
        fact("new_count", "New objects", Cell::Count(new.count), "since the first dump".into()),
        fact("new_memsize", "New memory", Cell::Bytes(new.memsize), String::new()),
        fact("gone_count", "Gone objects", Cell::Count(diff.gone.count), "since the first dump".into()),
        fact("gone_memsize", "Gone memory", Cell::Bytes(diff.gone.memsize), String::new()),
    ];
    if diff.dumps().len() > 2 {
        let retained = sum(&|id| diff.is_retained(id));
        let remark = "new since the first dump, and in all others since".to_owned();
        facts.push(fact("retained_count", "Retained objects", Cell::Count(retained.count), remark));
        facts.push(fact("retained_memsize", "Retained memory", Cell::Bytes(retained.memsize), String::new()));
    }
    let tracer = || diff.dumps().iter().map(|dump| dump.heap.totals().tracer.memsize);
    if tracer().any(|memsize| memsize > 0) {
        let sizes = Cell::List(tracer().map(Cell::Bytes).collect());
        facts.push(fact(
            "tracer_memsizes",
            "Allocation tracer",
            sizes,
            "in each dump: the cost of tracing, left out here".into(),
        ));
    }
    Facts { name: "changes", title: String::new(), facts }
}

fn growth_table(all: &[Growth], by: &[Key], filter: &Filter, limit: usize) -> Table {
    let is_retained = all.first().is_some_and(|growth| growth.retained_memsizes.is_some());
    let mut columns =
        vec![column("memsize_delta", "Growth"), column("count_delta", "Objects"), column("trend", "Trend")];
    columns.push(column("memsizes", "Memory in each dump"));
    if is_retained {
        columns.insert(0, column("retained_memsize_delta", "Retained"));
        columns.push(column("retained_memsizes", "Retained in each dump"));
    }
    columns.extend(by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }));
    let list = |memsizes: &mut dyn Iterator<Item = u64>| Cell::List(memsizes.map(Cell::Bytes).collect());
    let row = |growth: &Growth| -> Vec<Cell> {
        let mut cells = vec![
            Cell::BytesChange(growth.memsize_delta()),
            Cell::Change(growth.count_delta()),
            Cell::Text(growth.trend.name().to_owned()),
            list(&mut growth.sums.iter().map(|sum| sum.memsize)),
        ];
        if let (Some(delta), Some(memsizes)) = (growth.retained_memsize_delta(), &growth.retained_memsizes) {
            cells.insert(0, Cell::BytesChange(delta));
            cells.push(list(&mut memsizes.iter().copied()));
        }
        cells.extend(by.iter().zip(&growth.key).map(|(key, value)| key_cell(*key, value)));
        cells
    };
    let rest = all.len().saturating_sub(limit);
    let mut rest_cells = vec![Cell::Missing; columns.len()];
    let cut = &all[all.len().min(limit)..];
    rest_cells[usize::from(is_retained)] = Cell::BytesChange(cut.iter().map(Growth::memsize_delta).sum());
    Table {
        name: "growth",
        title: titled_by("Growth", by, filter),
        columns,
        rows: all.iter().take(limit).map(row).collect(),
        rest: (rest > 0).then_some(Rest { rows: rest as u64, cells: rest_cells }),
        total: None,
        bar: None,
    }
}

fn holder_table(diff: &Diff<'_>, all: &Holders, filter: &Filter) -> Table {
    let is_retained = all.holders.first().is_some_and(|growth| growth.retained_memsizes.is_some());
    let mut columns = vec![
        column("memsize_delta", "New"),
        column("count_delta", "Objects"),
        column("trend", "Trend"),
        column("memsizes", "New in each dump"),
    ];
    if is_retained {
        // The trend is of it.
        columns.insert(0, column("retained_memsize_delta", "Retained"));
        columns.push(column("retained_memsizes", "Retained in each dump"));
    }
    columns.extend([
        Column { name: "holder", title: "Holder", shrinks: true },
        Column { name: "accumulates_in", title: "Accumulates in", shrinks: true },
        column("address", "Address"),
    ]);
    let change = |bytes: u64| Cell::BytesChange(i64::try_from(bytes).unwrap_or(i64::MAX));
    let row = |growth: &HolderGrowth| -> Vec<Cell> {
        let mut cells = vec![
            change(growth.memsize_delta()),
            Cell::Change(i64::try_from(growth.count).unwrap_or(i64::MAX)),
            Cell::Text(growth.trend.name().to_owned()),
            Cell::List(growth.memsizes.iter().map(|bytes| Cell::Bytes(*bytes)).collect()),
        ];
        let retained = |memsizes: &Vec<Option<u64>>| {
            Cell::List(memsizes.iter().map(|bytes| bytes.map_or(Cell::Missing, Cell::Bytes)).collect())
        };
        if let Some(memsizes) = &growth.retained_memsizes {
            cells.insert(0, growth.retained_memsize_delta().map_or(Cell::Missing, Cell::BytesChange));
            cells.push(retained(memsizes));
        }
        cells.extend([
            Cell::Text(growth.holder.clone()),
            Cell::Text(growth.label.clone()),
            growth.id.map_or(Cell::Missing, |id| address_cell(diff.heap(), id)),
        ]);
        cells
    };
    let mut rest = vec![Cell::Missing; columns.len()];
    rest[usize::from(is_retained)] = change(all.rest.memsize);
    rest[usize::from(is_retained) + 1] = Cell::Change(i64::try_from(all.rest.count).unwrap_or(i64::MAX));
    Table {
        name: "growth",
        title: titled("Growth by holder", filter),
        columns,
        rows: all.holders.iter().map(row).collect(),
        rest: (all.rest_holders > 0).then_some(Rest { rows: all.rest_holders, cells: rest }),
        total: None,
        bar: None,
    }
}

#[cfg(test)]
mod tests;
