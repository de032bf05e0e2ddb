//! The verbs that need the whole reference graph: what holds what.

use super::Task;
use crate::args::Lines;
use heap_inspector::analysis::{
    Order, collections as sets, dominator_tree, dominators_by_key, fragmentation as pages, grouping, groups, paths,
    retained, show as object, unreachable as dead,
};
use heap_inspector::control::Control;
use heap_inspector::graph::dominators::{Dominator, Tree};
use heap_inspector::heap::Heap;
use heap_inspector::keys::Key;
use heap_inspector::report::Report;
use heap_inspector::select::{Filter, Wanted};
use heap_inspector::snapshot::{Index, Snapshot};
use heap_inspector::view::Format;
use heap_inspector::{Error, Result};

/// A question and the dump it is put to.
struct Asked<'a> {
    snapshot: Snapshot,
    dump: String,
    filter: Filter,
    control: Control<'a>,
}

fn load(task: Task<'_>) -> Result<Asked<'_>> {
    let Task { source, dump, filter, has_index, options } = task;
    let snapshot = Snapshot::load(source, if has_index { Index::Kept } else { Index::Ignored }, &options)?;
    snapshot.tree(&options.control)?; // for the index file, should the question not need it
    Ok(Asked { snapshot, dump, filter, control: options.control })
}

impl Asked<'_> {
    fn graph(&self) -> Result<(&Heap, &Tree)> {
        Ok((self.snapshot.heap(), self.snapshot.tree(&self.control)?))
    }
}

pub(crate) fn retained(task: Task<'_>, by: &[Key], lines: Lines) -> Result<Report> {
    let asked = load(task)?;
    let (heap, tree) = asked.graph()?;
    let holders = match by {
        [] => Some(retained::holders(heap, tree, asked.snapshot.source(), &asked.filter, lines.0, &asked.control)?),
        _ => None,
    };
    let by = if by.is_empty() { &[Key::Class] } else { by };
    let groups = retained::groups(heap, tree, by, &asked.filter, Some(lines.0), &asked.control)?;
    Ok(retained::report(heap, tree, holders.as_deref(), &groups, &asked.filter, &asked.dump, &asked.snapshot.context()))
}

/// How much of the dominator tree is asked for, and how.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) by: Option<Key>,
    pub(crate) depth: Option<usize>,
    pub(crate) min: Option<u64>,
    pub(crate) lines: Option<Lines>,
    pub(crate) format: Format,
}

pub(crate) fn dominators(task: Task<'_>, address: Option<&str>, shown: Shown) -> Result<Report> {
    let asked = load(task)?;
    let (heap, tree) = asked.graph()?;
    let top = match address {
        Some(address) => Dominator::Node(object::find(heap, address)?),
        None => Dominator::Root,
    };
    let all = match top {
        Dominator::Node(id) => tree.retained(id),
        _ => tree.reachable().memsize,
    };
    // In a flame graph what is small takes little room.
    let (is_flame, part) = match shown.format {
        Format::Folded => (true, 100_000),
        Format::Flamegraph => (true, 2000),
        _ => (false, 100),
    };
    let depth = shown.depth.unwrap_or(if is_flame { 40 } else { 4 });
    let width = shown.lines.map_or(if is_flame { usize::MAX } else { 10 }, |lines| lines.0);
    let by = shown.by.or(is_flame.then_some(Key::Class));
    let shown = dominator_tree::Shown { depth, min: shown.min.unwrap_or(all / part), width };
    match by {
        Some(by) => {
            let rows = dominators_by_key::dominators_by_key(heap, tree, by, top, shown, &asked.control)?;
            Ok(dominators_by_key::report(heap, tree, by, top, &rows, &asked.dump, &asked.snapshot.context()))
        }
        None => {
            let rows = dominator_tree::dominator_tree(heap, tree, asked.snapshot.source(), top, shown)?;
            Ok(dominator_tree::report(heap, tree, &rows, &asked.dump, &asked.snapshot.context()))
        }
    }
}

pub(crate) fn path(task: Task<'_>, address: &str, limit: usize) -> Result<Report> {
    let asked = load(task)?;
    let (heap, tree) = asked.graph()?;
    let id = object::find(heap, address)?;
    let paths = paths::paths(heap, asked.snapshot.source(), id, limit, &asked.control)?;
    Ok(paths.report(heap, tree, &asked.dump, &asked.snapshot.context()))
}

pub(crate) fn merged_paths(task: Task<'_>, class: Option<&str>, lines: Lines) -> Result<Report> {
    let asked = load(task)?;
    let heap = asked.snapshot.heap();
    let filter = match class {
        Some(class) => asked.filter.clone().with("class", false, &[Wanted::Text(class.to_owned())])?,
        None => asked.filter.clone(),
    };
    let ids = grouping::nodes(heap, &filter, &asked.control)?;
    if let Some(class) = class.filter(|_| ids.is_empty()) {
        let hint = match grouping::similar_classes(heap, class, 3, &asked.control)?.as_slice() {
            [] => "; `heap_inspector top DUMP` lists the classes".to_owned(),
            names => format!("; did you mean {}?", names.join(", ")),
        };
        return Err(Error::Usage { message: format!("the dump has no object of a class {class:?}{hint}") });
    }
    let shown = paths::Shown { width: lines.0, ..paths::Shown::default() };
    let merged = paths::merged(heap, asked.snapshot.source(), &ids, shown, &asked.control)?;
    Ok(merged.report(&format!("objects where {}", filter.words().join(", ")), &asked.dump, &asked.snapshot.context()))
}

/// All of an object, or what of it can be drawn.
pub(crate) fn show(task: Task<'_>, address: &str, lines: Lines, is_graph: bool) -> Result<Report> {
    let asked = load(task)?;
    let (heap, tree) = asked.graph()?;
    let id = object::find(heap, address)?;
    let object = object::show(heap, tree, asked.snapshot.source(), id, lines.0, &asked.control)?;
    match is_graph {
        true => Ok(object.graph(heap, tree, &asked.dump)),
        false => Ok(object.report(heap, tree, &asked.dump, &asked.snapshot.context())),
    }
}

pub(crate) fn unreachable(task: Task<'_>, by: &[Key], sort: Order, lines: Lines) -> Result<Report> {
    let asked = load(task)?;
    let (heap, tree) = asked.graph()?;
    let groups = groups::Options { by: by.to_vec(), filter: asked.filter.clone(), sort, limit: Some(lines.0) };
    let found = dead::unreachable(heap, tree, asked.snapshot.source(), &groups, &asked.control)?;
    Ok(found.report(heap, tree, &groups, &asked.dump, &asked.snapshot.context()))
}

pub(crate) fn collections(task: Task<'_>, by: &[Key], lines: Lines) -> Result<Report> {
    let asked = load(task)?;
    let (heap, tree) = asked.graph()?;
    let found = sets::collections(heap, Some(tree), by, &asked.filter, lines.0, &asked.control)?;
    Ok(found.report(heap, &asked.filter, &asked.dump, &asked.snapshot.context()))
}

pub(crate) fn fragmentation(task: Task<'_>, by: &[Key], lines: Lines) -> Result<Report> {
    let asked = load(task)?;
    let heap = asked.snapshot.heap();
    let found = pages::fragmentation(heap, by, &asked.filter, lines.0, &asked.control)?;
    Ok(found.report(heap, &asked.filter, &asked.dump, &asked.snapshot.context()))
}
