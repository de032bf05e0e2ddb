//! A loaded dump and what is worked out of it: the dominator tree, its children, the shortest paths, the referrers.
//!
//! Each is made when it is first asked for, by whoever asks first, and kept: one thread works, others wait for it as long as they are
//! not cancelled, a cancelled or failed attempt leaves the next one free to try, and a process forked meanwhile makes its own.
//! The index file beside the dump is read and written here, so nobody above knows of it.

use crate::Result;
use crate::analysis::Context;
use crate::analysis::diff::Dump;
use crate::analysis::path_growth::Pathed;
use crate::analysis::retained::{self, Retained};
use crate::analysis::verdicts::AtWork;
use crate::analysis::without::{Cut, WhatIf, what_if};
use crate::control::Control;
use crate::graph::Referrers;
use crate::graph::dominators::{Children, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::keys::Key;
use crate::scan::Options;
use crate::select::Filter;
use crate::source::Source;
use crate::stored::{self, Opened, Plain, Unsaved};
pub use once::Once;
use std::sync::{Mutex, OnceLock};
pub use suspected::Said;

mod once;
mod suspected;

/// What becomes of the index file beside a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Index {
    /// Neither read nor written.
    Ignored,
    /// Read where there is one that can be believed.
    Read,
    /// Read; and written with the dominator tree, where there was none.
    #[default]
    Kept,
}

/// A loaded dump with its name.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// The dump.
    pub snapshot: &'a Snapshot,
}

impl<'a> Named<'a> {
    /// The dump to be compared with others, with its dominator tree where that is made already: it came with an index file.
    pub(crate) fn compared(self) -> Dump<'a> {
        Dump { name: self.name, heap: self.snapshot.heap(), tree: self.snapshot.made_tree() }
    }

    /// The dump with its graph, for growth by path.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn pathed(self, control: &Control<'_>) -> Result<Pathed<'a>> {
        let (tree, shortest_paths) = (self.snapshot.tree(control)?, self.snapshot.shortest_paths(control)?);
        Ok(Pathed { name: self.name, heap: self.snapshot.heap(), tree, shortest_paths })
    }
}

/// A loaded dump, and what was worked out of it. May be asked from several threads at once.
#[derive(Debug)]
pub struct Snapshot {
    heap: Heap,
    source: Source,
    tree: Once<Tree>,
    children: Once<()>,
    shortest_paths: Once<ShortestPaths>,
    referrers: Once<Referrers>,
    at_work: Once<AtWork>,
    /// The plain answer of what objects retain, where the index file has it.
    plain: OnceLock<Plain>,
    /// The right to write the index file when the tree is made.
    unsaved: Mutex<Option<Unsaved>>,
}

impl Snapshot {
    /// Loads a dump, from its index file where that is whole and of this very dump.
    ///
    /// # Errors
    /// Those of [`Heap::load`]; never one of the index file.
    pub fn load(source: Source, index: Index, options: &Options<'_>) -> Result<Snapshot> {
        let source = source.spooled(); // texts are read when it is known which
        let (heap, opened) = match index {
            Index::Ignored => (Heap::load(&source, options)?, Opened::default()),
            Index::Read | Index::Kept => stored::open(&source, options)?,
        };
        let (tree, plain, unsaved) = match opened {
            Opened::Whole(tree, plain) => (Once::of(tree), OnceLock::from(plain), None),
            Opened::Unsaved(unsaved) => {
                (Once::default(), OnceLock::new(), Some(unsaved).filter(|_| index == Index::Kept))
            }
        };
        Ok(Snapshot {
            heap,
            source,
            tree,
            children: Once::default(),
            shortest_paths: Once::default(),
            referrers: Once::default(),
            at_work: Once::default(),
            plain,
            unsaved: Mutex::new(unsaved),
        })
    }

    /// Its objects and references.
    #[must_use]
    pub fn heap(&self) -> &Heap {
        &self.heap
    }

    /// Where texts and lines of the dump are read from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The same for those who read of it what they tell: without values of strings where these are not to be told.
    pub(crate) fn source_to_tell(&self, is_confidential: bool) -> Source {
        let source = self.source.again();
        if is_confidential { source.without_values() } else { source }
    }

    /// The totals, and what was lost.
    #[must_use]
    pub fn context(&self) -> Context {
        Context::of(&self.heap)
    }

    /// The dominator tree. When it is made the index file is written, where it is [`Index::Kept`].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn tree(&self, control: &Control<'_>) -> Result<&Tree> {
        self.tree.get(control, || {
            let tree = Tree::new(&self.heap, control)?;
            // It is locked nowhere else; in a forked process it may stay so.
            if let Some(unsaved) = self.unsaved.try_lock().ok().and_then(|mut unsaved| unsaved.take()) {
                let plain = unsaved.save(&self.heap, &tree, control);
                self.plain.get_or_init(|| plain);
            }
            Ok(tree)
        })
    }

    /// The dominator tree, where it is made already.
    #[must_use]
    pub fn made_tree(&self) -> Option<&Tree> {
        self.tree.peek()
    }

    /// The objects and classes that retain the most, `limit` of each at most, or the groups by `by`.
    ///
    /// # Errors
    /// Those of [`Snapshot::tree`], [`retained::holders`] and [`retained::groups`].
    pub fn retained(
        &self,
        by: Option<&[Key]>,
        filter: &Filter,
        limit: Option<usize>,
        control: &Control<'_>,
    ) -> Result<Retained> {
        let tree = self.tree(control)?;
        let known = self.plain.get().and_then(|plain| plain.0.as_ref());
        retained::retained(&self.heap, tree, known, &self.source, by, filter, limit, control)
    }

    /// By object, the objects that it dominates immediately.
    ///
    /// # Errors
    /// Those of [`Snapshot::tree`].
    pub fn children(&self, control: &Control<'_>) -> Result<&Children> {
        let tree = self.tree(control)?;
        self.children.get(control, || {
            self.heap.read_ahead(control.thread_count());
            tree.children().map(drop)
        })?;
        tree.children()
    }

    /// The cheapest path from a root to each object.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn shortest_paths(&self, control: &Control<'_>) -> Result<&ShortestPaths> {
        self.shortest_paths.get(control, || {
            self.heap.read_ahead(control.thread_count());
            ShortestPaths::new(&self.heap, control)
        })
    }

    /// By object, the objects that refer to it.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn referrers(&self, control: &Control<'_>) -> Result<&Referrers> {
        self.referrers.get(control, || {
            self.heap.read_ahead(control.thread_count());
            Referrers::new(&self.heap, control)
        })
    }

    /// Which threads run, and what they are at work on.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn at_work(&self, control: &Control<'_>) -> Result<&AtWork> {
        self.at_work.get(control, || Ok(AtWork::of(&self.heap)))
    }

    /// An object as it would be without what `name` says ([`Cut::of`]).
    ///
    /// # Errors
    /// Those of [`Cut::of`] and [`what_if`].
    pub fn without(&self, id: NodeId, name: &str, control: &Control<'_>) -> Result<WhatIf> {
        let (heap, source) = (&self.heap, &self.source);
        let (tree, shortest_paths) = (self.tree(control)?, self.shortest_paths(control)?);
        let cut = Cut::of(heap, tree, shortest_paths, source, name, control)?;
        what_if(heap, tree, shortest_paths, source, id, &cut, control)
    }

    /// Bytes of memory that it takes now.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.heap.footprint()
            + self.tree.peek().map_or(0, Tree::footprint)
            + self.shortest_paths.peek().map_or(0, ShortestPaths::footprint)
            + self.referrers.peek().map_or(0, Referrers::footprint)
            + self.at_work.peek().map_or(0, AtWork::footprint)
    }
}

#[cfg(test)]
mod tests;
