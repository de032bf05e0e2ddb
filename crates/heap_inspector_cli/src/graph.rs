//! The verbs that need the whole reference graph: what holds what.

use super::Task;
use crate::args::Lines;
use heap_inspector::analysis::dominators::{Dominator, Tree};
use heap_inspector::analysis::{
    Context, Sort, collections as sets, fragmentation as pages, grouping, groups, merged, outline, paths, retained,
    show as object, unreachable as dead,
};
use heap_inspector::heap::Heap;
use heap_inspector::keys::Key;
use heap_inspector::report::Report;
use heap_inspector::scan::Options;
use heap_inspector::select::{Filter, Wanted};
use heap_inspector::source::Source;
use heap_inspector::view::Format;
use heap_inspector::{Error, Result, stored};

/// A loaded dump.
struct Loaded<'a> {
    heap: Heap,
    tree: Tree,
    context: Context,
    source: Source,
    dump: String,
    filter: Filter,
    options: Options<'a>,
}

fn load(task: Task<'_>) -> Result<Loaded<'_>> {
    let Task { source, dump, filter, has_index, options } = task;
    let source = source.spooled(); // texts are read when it is known which
    let (heap, tree) = if has_index {
        stored::load(&source, &options)?
    } else {
        let heap = Heap::load(&source, &options)?;
        let tree = Tree::new(&heap, &options)?;
        (heap, tree)
    };
    let context = Context::of(&heap);
    Ok(Loaded { heap, tree, context, source, dump, filter, options })
}

pub(crate) fn retained(task: Task<'_>, by: &[Key], lines: Lines) -> Result<Report> {
    let Loaded { heap, tree, context, source, dump, filter, options } = load(task)?;
    let holders = match by {
        [] => Some(retained::holders(&heap, &tree, &source, &filter, lines.0, &options)?),
        _ => None,
    };
    let by = if by.is_empty() { &[Key::Class] } else { by };
    let groups = retained::groups(&heap, &tree, by, &filter, Some(lines.0), &options)?;
    Ok(retained::report(&heap, &tree, holders.as_deref(), &groups, &filter, &dump, &context))
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
    let Loaded { heap, tree, context, source, dump, options, .. } = load(task)?;
    let top = match address {
        Some(address) => Dominator::Node(object::find(&heap, address)?),
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
    let shown = outline::Shown { depth, min: shown.min.unwrap_or(all / part), width };
    match by {
        Some(by) => {
            let rows = merged::merged(&heap, &tree, by, top, shown, &options)?;
            Ok(merged::report(&heap, &tree, by, top, &rows, &dump, &context))
        }
        None => {
            let rows = outline::outline(&heap, &tree, &source, top, shown)?;
            Ok(outline::report(&heap, &tree, &rows, &dump, &context))
        }
    }
}

pub(crate) fn path(task: Task<'_>, address: &str, limit: usize) -> Result<Report> {
    let Loaded { heap, tree, context, source, dump, options, .. } = load(task)?;
    let id = object::find(&heap, address)?;
    let paths = paths::paths(&heap, &source, id, limit, &options)?;
    Ok(paths.report(&heap, &tree, &dump, &context))
}

pub(crate) fn merged_paths(task: Task<'_>, class: Option<&str>, lines: Lines) -> Result<Report> {
    let Loaded { heap, context, source, dump, filter, options, .. } = load(task)?;
    let filter = match class {
        Some(class) => filter.with("class", false, &[Wanted::Text(class.to_owned())])?,
        None => filter,
    };
    let ids = grouping::nodes(&heap, &filter);
    if let Some(class) = class.filter(|_| ids.is_empty()) {
        let hint = match grouping::similar_classes(&heap, class, 3).as_slice() {
            [] => "; `heap_inspector top DUMP` lists the classes".to_owned(),
            names => format!("; did you mean {}?", names.join(", ")),
        };
        return Err(Error::Usage { message: format!("the dump has no object of a class {class:?}{hint}") });
    }
    let shown = paths::Shown { width: lines.0, ..paths::Shown::default() };
    let merged = paths::merged(&heap, &source, &ids, shown, &options)?;
    Ok(merged.report(&format!("objects where {}", filter.words().join(", ")), &dump, &context))
}

/// All of an object, or what of it can be drawn.
pub(crate) fn show(task: Task<'_>, address: &str, lines: Lines, is_graph: bool) -> Result<Report> {
    let Loaded { heap, tree, context, source, dump, options, .. } = load(task)?;
    let id = object::find(&heap, address)?;
    let object = object::show(&heap, &tree, &source, id, lines.0, &options)?;
    match is_graph {
        true => Ok(object.graph(&heap, &tree, &dump)),
        false => Ok(object.report(&heap, &tree, &dump, &context)),
    }
}

pub(crate) fn unreachable(task: Task<'_>, by: &[Key], sort: Sort, lines: Lines) -> Result<Report> {
    let Loaded { heap, tree, context, source, dump, filter, options } = load(task)?;
    let asked = groups::Options { by: by.to_vec(), filter, sort, limit: Some(lines.0) };
    let found = dead::unreachable(&heap, &tree, &source, &asked, &options)?;
    Ok(found.report(&heap, &tree, &asked, &dump, &context))
}

pub(crate) fn collections(task: Task<'_>, by: &[Key], lines: Lines) -> Result<Report> {
    let Loaded { heap, tree, context, dump, filter, options, .. } = load(task)?;
    let found = sets::collections(&heap, Some(&tree), by, &filter, lines.0, &options)?;
    Ok(found.report(&heap, &filter, &dump, &context))
}

pub(crate) fn fragmentation(task: Task<'_>, by: &[Key], lines: Lines) -> Result<Report> {
    let Loaded { heap, context, dump, filter, options, .. } = load(task)?;
    let found = pages::fragmentation(&heap, by, &filter, lines.0, &options)?;
    Ok(found.report(&heap, &filter, &dump, &context))
}
