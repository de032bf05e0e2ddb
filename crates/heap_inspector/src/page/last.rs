//! The last dump, whose objects the page is of, and the answers about it.

use super::{cells, groups, objects, suspect, trees};
use crate::Result;
use crate::analysis::diff::{self, By, Compared, Diff};
use crate::analysis::fragmentation::PageMap;
use crate::analysis::groups::Options;
use crate::analysis::suspects::Suspect;
use crate::analysis::{
    Context, Order, collections, fragmentation, holders, retained, strings, summary, threads, unreachable,
};
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::keys::Key;
use crate::report::{Report, Section};
use crate::scan;
use crate::select::Filter;
use crate::snapshot::Snapshot;
use crate::source::Source;
use serde_json::{Map, Value, json};

/// Rows of the tables that are no groups.
const ROWS: usize = 50;
/// Holders of less are not walked through for their place below the roots alone.
const LEAST: u64 = 1 << 10;

/// The last dump, and what its answers are made of.
pub(super) struct Last<'a> {
    name: &'a str,
    snapshot: &'a Snapshot,
    source: &'a Source,
    heap: &'a Heap,
    tree: &'a Tree,
    children: &'a Children,
    shortest_paths: &'a ShortestPaths,
    context: Context,
    all: Filter,
    scanning: &'a scan::Options<'a>,
}

impl<'a> Last<'a> {
    /// Works out what the answers have in common; texts are read from `source`.
    pub(super) fn new(
        name: &'a str,
        snapshot: &'a Snapshot,
        source: &'a Source,
        scanning: &'a scan::Options<'a>,
    ) -> Result<Last<'a>> {
        let control = &scanning.control;
        Ok(Last {
            name,
            snapshot,
            source,
            heap: snapshot.heap(),
            tree: snapshot.tree(control)?,
            children: snapshot.children(control)?,
            shortest_paths: snapshot.shortest_paths(control)?,
            context: snapshot.context(),
            all: Filter::default(),
            scanning,
        })
    }

    fn control(&self) -> &'a Control<'a> {
        &self.scanning.control
    }

    pub(super) fn suspect(&self, suspect: &Suspect) -> Value {
        suspect::value(self.heap, self.tree, suspect, self.name)
    }

    pub(super) fn strings(&self) -> Result<Value> {
        let (found, context) = strings::read(self.source, &self.all, Order::Bytes, 2 * ROWS, self.scanning)?;
        Ok(sections(found.report(self.name, &self.all, &context)))
    }

    /// What there is, by type, class, gem and so on, by generation, and who holds it.
    pub(super) fn groups(&self, diff: Option<&Diff<'_>>) -> Result<Map<String, Value>> {
        let Last { heap, tree, source, .. } = self;
        let summary = summary::summary(heap, &self.all, ROWS, self.control())?;
        let reachable = tree.reachable();
        let (generations, tables) = groups::groups(heap, tree, diff, self.control())?;
        Ok(map([
            ("memory", sections(summary.report(self.name))),
            ("reachable", json!({"count": reachable.count, "bytes": reachable.memsize})),
            ("generations", generations),
            ("groups", tables),
            ("trees", trees::trees(heap, tree, source, self.control())?),
        ]))
    }

    /// What came and stayed, and who holds it.
    pub(super) fn growth(&self, diff: &Diff<'_>) -> Result<Value> {
        let (all, control) = (&self.all, self.control());
        let found = diff::answer(diff, By::Keys(vec![Key::Class, Key::Location]), all, ROWS, control)?;
        let report = found.report(all, ROWS);
        let mut sections: Vec<Value> = Vec::new();
        if diff.is_one_process() {
            let found = holders::growth(diff, self.tree, self.shortest_paths, self.source, all, ROWS, control)?;
            let by_holder = Compared::of(diff).holder_report(&found, all);
            let tables = by_holder.sections.iter().filter(|section| matches!(section, Section::Table(_)));
            sections.extend(tables.map(cells::section));
        }
        let is_told = |section: &&Section| !matches!(section, Section::Table(table) if table.name == "dumps");
        sections.extend(report.sections.iter().filter(is_told).map(cells::section));
        Ok(Value::Array(sections))
    }

    /// Collections, pages, garbage, threads, the biggest holders, and the objects that can be walked through, with how many these are.
    pub(super) fn waste_and_objects(&self, suspects: &[Suspect]) -> Result<(Map<String, Value>, usize)> {
        let Last { name, heap, tree, children, source, context, all, .. } = self;
        let control = self.control();
        let collections = collections::collections(heap, Some(tree), &[Key::Location], all, ROWS, control)?;
        let pages = fragmentation::fragmentation(heap, &[Key::Class], all, ROWS, control)?;
        let threads = threads::threads(heap, tree, children, source, 2 * ROWS, control)?;
        let by_class = Options { by: vec![Key::Class], filter: all.clone(), sort: Order::Bytes, limit: Some(ROWS) };
        let garbage = unreachable::unreachable(heap, tree, source, &by_class, control)?;
        let holders = retained::holders(heap, tree, source, all, objects::BIGGEST, control)?;

        let mut wanted: Vec<NodeId> = suspects.iter().flat_map(suspect::objects).collect();
        wanted.extend(threads.holders.iter().map(|thread| thread.id));
        wanted.extend(holders.iter().take(objects::BIGGEST / 4).map(|holder| holder.id));
        wanted.extend(collections.biggest.iter().chain(&collections.emptiest).map(|found| found.id));
        let below_roots = children.of(Dominator::Root).filter(|id| tree.retained(*id) >= LEAST);
        wanted.extend(below_roots.take(objects::BIGGEST / 4));
        wanted.extend(holders.iter().map(|holder| holder.id));
        let (told, count) = objects::told(self.snapshot, source, &wanted, self.shortest_paths, objects::MOST, control)?;
        let parts = map([
            ("collections", sections(collections.report(all, name, context))),
            ("fragmentation", sections(pages.report(all, name, context))),
            ("page_map", pages.map.iter().map(page_map).collect()),
            ("threads", sections(threads.report(name, context))),
            ("unreachable", sections(garbage.report(&by_class, name, context))),
            ("holders", objects::holders(heap, &holders)),
            ("objects", told),
        ]);
        Ok((parts, count))
    }
}

fn map<const N: usize>(parts: [(&str, Value); N]) -> Map<String, Value> {
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An answer without the totals, which the page tells elsewhere.
fn sections(mut report: Report) -> Value {
    report.sections.retain(|section| !matches!(section, Section::Facts(facts) if facts.name == "totals"));
    cells::sections(&report)
}

/// The pages of one slot size, as the page draws them.
fn page_map(map: &PageMap) -> Value {
    json!({ "slot_size": map.slot_size, "pages": map.pages, "pages_per_cell": map.pages_per_cell, "cells": map.cells })
}
