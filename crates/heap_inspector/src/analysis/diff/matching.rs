//! Which objects of a later dump were in an earlier one.

use crate::Result;
use crate::control::Control;
use crate::heap::{Heap, NodeId};
use crate::names::{ClassId, Names};
use crate::properties::ObjectProperties;
use crate::record::Type;
use crate::sampling::Sampling;
use crate::symbols::{SiteId, Symbol};
use hashbrown::HashMap;

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
    pub(super) earlier: Vec<u32>,
    pub(super) moved: u64,
    /// Objects without a generation that were not found though objects were traced in between.
    unmatched: u64,
    /// The part of the classes, of those whose addresses are in both dumps, that have one name in both.
    similarity: f64,
    /// Objects of a time before the earlier dump that it lacks, and that no move explains.
    pub(super) strangers: u64,
    /// The later dump was taken before the earlier one.
    pub(super) reversed: bool,
    /// One of the dumps was cut off: what it lacks tells nothing.
    pub(super) is_cut: bool,
}

/// How one heap's numbers of names read in another's.
pub(in crate::analysis) struct Translation {
    pub(super) classes: Vec<Option<ClassId>>,
    pub(in crate::analysis) sites: Vec<Option<SiteId>>,
    pub(in crate::analysis) labels: Vec<Option<Symbol>>,
}

impl Translation {
    pub(in crate::analysis) fn new(from: &Names, to: &Names) -> Translation {
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
        let was_traced = last > 0 && later.newest_generation() > last && !is_sampled(later);
        let mut found = Match {
            earlier: Vec::with_capacity(later.object_count()),
            moved: 0,
            unmatched: 0,
            similarity: similarity(earlier, later),
            strangers: 0,
            reversed: false,
            is_cut: [earlier, later].into_iter().any(|heap| heap.diagnostics().truncated),
        };
        for id in later.nodes() {
            control.check_at(id.0 as usize)?;
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
        if found.is_cut {
            return Ok(found);
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
    pub(super) fn is_strange(&self) -> bool {
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

/// Whether only some allocations were traced, so that an object without a generation may be of any time.
pub(super) fn is_sampled(heap: &Heap) -> bool {
    heap.names().sampling.is_some_and(Sampling::is_of_lines)
}

/// Whether any allocation was traced.
pub(super) fn is_traced(heap: &Heap) -> bool {
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
