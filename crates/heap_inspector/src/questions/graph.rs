//! The longer answers about what holds what.

use super::Asked;
use super::list::{Dominators, Path};
use crate::analysis::verdicts::Rules;
use crate::analysis::{dominator_tree, dominators_by_key, grouping, paths, show};
use crate::graph::dominators::Dominator;
use crate::heap::NodeId;
use crate::keys::Key;
use crate::report::Report;
use crate::select::Wanted;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

pub(super) fn retained(snapshot: &Snapshot, by: &[Key], limit: usize, asked: &Asked<'_>) -> Result<Report> {
    let by = Some(by).filter(|by| !by.is_empty());
    let found = snapshot.retained(by, &asked.filter, Some(limit), &asked.options.control)?;
    Ok(found.report(&asked.filter, &asked.dump, &snapshot.context()))
}

pub(super) fn dominators(snapshot: &Snapshot, chosen: &Dominators, asked: &Asked<'_>) -> Result<Report> {
    let (heap, control) = (snapshot.heap(), &asked.options.control);
    let tree = snapshot.tree(control)?;
    let top = match &chosen.address {
        Some(address) => Dominator::Node(show::find(heap, address)?),
        None => Dominator::Root,
    };
    let all = match top {
        Dominator::Node(id) => tree.retained(id),
        _ => tree.reachable().memsize,
    };
    let (by, shown) = chosen.shown(all, asked.format);
    match by {
        Some(by) => {
            let found = dominators_by_key::dominators_by_key(heap, tree, by, top, shown, control)?;
            Ok(found.report(&asked.dump, &snapshot.context()))
        }
        None => {
            let rows = dominator_tree::dominator_tree(heap, tree, snapshot.source(), top, shown, control)?;
            dominator_tree::report(rows.rows(), tree.reachable(), &asked.dump, &snapshot.context(), control)
        }
    }
}

impl Path {
    fn rules(&self) -> Result<Rules> {
        Ok(self.rules.as_ref().map(|path| Rules::read(path.as_ref())).transpose()?.unwrap_or_default())
    }
}

/// The path to an object if something were not there.
fn path_without(snapshot: &Snapshot, id: NodeId, name: &str, chosen: &Path, asked: &Asked<'_>) -> Result<Report> {
    let control = &asked.options.control;
    let mut found = snapshot.without(id, name, control)?;
    found.paths.judge(snapshot.heap(), snapshot.tree(control)?, snapshot.at_work(control)?, &chosen.rules()?);
    Ok(found.report(name, &asked.dump, &snapshot.context()))
}

pub(super) fn path(snapshot: &Snapshot, chosen: &Path, asked: &Asked<'_>) -> Result<Report> {
    let (heap, control) = (snapshot.heap(), &asked.options.control);
    if let Some(address) = &chosen.address {
        let id = show::find(heap, address)?;
        if let Some(name) = &chosen.without {
            return path_without(snapshot, id, name, chosen, asked);
        }
        let mut paths = paths::paths(heap, snapshot.tree(control)?, snapshot.source(), id, chosen.paths, control)?;
        paths.judge(heap, snapshot.tree(control)?, snapshot.at_work(control)?, &chosen.rules()?);
        return Ok(paths.report(&asked.dump, &snapshot.context()));
    }
    let class = chosen.class.as_deref();
    let filter = match class {
        Some(class) => asked.filter.clone().with("class", false, &[Wanted::Text(class.to_owned())])?,
        None => asked.filter.clone(),
    };
    let ids = grouping::nodes(heap, &filter, control)?;
    if let Some(class) = class.filter(|_| ids.is_empty()) {
        let hint = match grouping::similar_classes(heap, class, 3, control)?.as_slice() {
            [] => "; `heap_inspector top DUMP` lists the classes".to_owned(),
            names => format!("; did you mean {}?", names.join(", ")),
        };
        return Err(Error::Usage { message: format!("the dump has no object of a class {class:?}{hint}") });
    }
    let shown = paths::Shown { width: chosen.lines.0, ..paths::Shown::default() };
    let merged = paths::merged(heap, snapshot.source(), &ids, shown, control)?;
    Ok(merged.report(&format!("objects where {}", filter.words().join(", ")), &asked.dump, &snapshot.context()))
}
