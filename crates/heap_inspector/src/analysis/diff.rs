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

use super::groups::{self, Groups};
use super::work::Work;
use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::names::ClassId;
use crate::record::Type;
use crate::sums::Sum;
use crate::symbols::SiteId;
use doubts::WARNED;
use hashbrown::HashMap;
use order::Taken;
use std::sync::Arc;

pub use compared::Compared;
pub use growth::{Growth, HolderGrowth, Holders, Trend, growth, stayed};
pub(super) use matching::Translation;
pub use matching::{Before, Match};
pub use order::{order, sorted_note};
pub use report::{Answer, By, answer};

mod compared;
mod doubts;
mod growth;
mod matching;
mod order;
mod report;

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

    /// Whether of some dump only samples were traced.
    pub(super) fn is_sampled(&self) -> bool {
        self.dumps().iter().any(|dump| matching::is_sampled(dump.heap))
    }

    /// Whether every allocation was traced in all of the dumps, so that of each object it is known whether it is another's successor.
    pub(super) fn is_traced(&self) -> bool {
        !self.is_sampled() && self.dumps.iter().all(|dump| dump.heap.newest_generation() > 0)
    }

    /// Whether so many objects lie elsewhere than in an earlier dump that what is new is not sure.
    pub(super) fn has_unmatched(&self) -> bool {
        let few = WARNED * self.heap().object_count() as f64;
        self.matches.iter().any(|matched| (matched.unmatched() + matched.moved()) as f64 > few)
    }

    /// What the process did between the dumps, where they tell.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        let heaps: Vec<&Heap> = self.dumps.iter().map(|dump| dump.heap).collect();
        Work::between(&heaps)
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

/// Has `work` done on each dump at once.
fn at_once<'a, T: Send>(dumps: &[Dump<'a>], work: impl Fn(&Dump<'a>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    let jobs = dumps.iter().map(|dump| move || work(dump));
    crate::threads::all(jobs.collect()).into_iter().collect()
}

#[cfg(test)]
mod tests;
