//! Who holds what came between dumps: growth by holder.
//!
//! What is new since the first dump is summed up as [`super::suspects`] does it: by the nearest object above, in the last dump's
//! dominator tree, that was there in the first, accumulation points that are one to a programmer joined. Here all of them are told,
//! whether they go on growing or not. Costs the graph (paths, dominators) of the last dump and 8 bytes for each of its objects.

use super::chains;
use super::diff::{Before, Diff, HolderGrowth, Holders, Trend};
use super::grouping::Grouping;
use super::suspects::{self, AccumulationPoint};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::NodeId;
use crate::labels::Labels;
use crate::select::Filter;
use crate::source::Source;
use crate::sums::Sum;
use crate::{Result, sort};

/// The `limit` holders of the most bytes of what came since the first dump and passes the filter; `tree` and
/// `shortest_paths` are the last dump's.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn growth(
    diff: &Diff<'_>,
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    source: &Source,
    filter: &Filter,
    limit: usize,
    control: &Control<'_>,
) -> Result<Holders> {
    if !diff.is_one_process() {
        return Ok(Holders::default()); // what is new cannot be told
    }
    let heap = diff.heap();
    let mut grouping = Grouping::new(heap, &[], filter);
    let points = suspects::accumulations(diff, tree, shortest_paths, control, |id| grouping.group(id).is_some())?;
    let mut points: Vec<(AccumulationPoint, Vec<u64>, u64)> = points
        .into_iter()
        .map(|(anchor, found)| {
            let sums = found.steps.iter().scan(0, |sum, step| {
                *sum += step;
                Some(*sum)
            });
            (anchor, std::iter::once(0).chain(sums).collect(), found.count())
        })
        .collect();
    sort::by(&mut points, |(a, one, _), (b, other, _)| other.last().cmp(&one.last()).then(a.cmp(b)));
    let cut = points.split_off(limit.min(points.len()));
    let mut rest = Sum::default();
    for (_, memsizes, count) in &cut {
        rest.add(Sum { count: *count, memsize: memsizes.last().copied().unwrap_or(0), references: 0 });
    }
    let roots = chains::root_categories(heap);
    let mut labels = Labels::new(heap);
    let path = |anchor: &AccumulationPoint| anchor.node().and_then(|id| shortest_paths.path(id)).unwrap_or_default();
    let nodes: Vec<NodeId> = points.iter().flat_map(|(anchor, ..)| path(anchor)).collect();
    let origins = suspects::Origins::new(heap, &labels, nodes.iter().copied());
    let anchors = points.iter().filter_map(|(anchor, ..)| anchor.node());
    let told = points.iter().flat_map(|(anchor, ..)| suspects::telling(heap, &path(anchor)));
    // Only such dumps name holders by what they hold with.
    let named = points.iter().filter(|_| heap.has_edge_names());
    let pairs = |anchor| path(anchor).windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>();
    let edges: Vec<(NodeId, NodeId)> = named.flat_map(|(anchor, ..)| pairs(anchor)).collect();
    labels.read_texts(source, &anchors.chain(origins.code()).chain(told).collect::<Vec<_>>(), edges)?;
    let with_trees = diff.dumps().iter().all(|dump| dump.tree.is_some());
    let growth = |(anchor, memsizes, count): (AccumulationPoint, Vec<u64>, u64)| {
        let id = anchor.node();
        let retained_memsizes = with_trees.then(|| retained(diff, id));
        let known =
            retained_memsizes.iter().flatten().copied().collect::<Option<Vec<u64>>>().filter(|known| !known.is_empty());
        let path = path(&anchor);
        HolderGrowth {
            id,
            address: id.map(|id| heap.address(id)),
            holder: match id {
                Some(_) => suspects::holder(heap, &labels, &origins, &roots, &path, "").0,
                None => suspects::root_label(heap, anchor),
            },
            label: id.map_or_else(|| suspects::root_label(heap, anchor), |id| labels.node(id)),
            count,
            trend: Trend::of(known.as_deref().unwrap_or(&memsizes)),
            memsizes,
            retained_memsizes,
        }
    };
    Ok(Holders { holders: points.into_iter().map(growth).collect(), rest_holders: cut.len() as u64, rest })
}

/// What an object retains in each dump, where it is known there.
fn retained(diff: &Diff<'_>, id: Option<NodeId>) -> Vec<Option<u64>> {
    let last = diff.dumps().len() - 1;
    let node = |at: usize| match id.map(|id| if at == last { Before::Same(id) } else { diff.before(at, id) }) {
        Some(Before::Same(node)) => Some(node),
        _ => None,
    };
    let retained = |at: usize| Some(diff.dumps()[at].tree?.retained(node(at)?));
    (0..=last).map(retained).collect()
}

#[cfg(test)]
mod tests;
