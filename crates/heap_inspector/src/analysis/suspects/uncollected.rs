//! What the app said should be gone by now, and is not: [`heap_inspector`'s first line](crate::record::META_ROOT) tells of such objects.
//!
//! Nothing has to be guessed of these, so who holds them comes first. But as many as there are threads may be the last that each had in
//! its hands: a stack is scanned word by word.

use super::anchors::Anchors;
use super::naming::name;
use super::points::{Accumulation, Content, join, kind_of};
use super::{AccumulationPoint, Confidence, Suspect};
use crate::control::Control;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::source::Source;
use crate::{Result, sort};
use hashbrown::{HashMap, HashSet};
use serde::Deserialize;

/// Objects and reasons that are believed of a dump.
const OBJECTS: usize = 10_000;
const REASONS: usize = 100;
/// Letters of a reason.
const LETTERS: usize = 60;

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    uncollected: Vec<Left>,
}

/// Objects that should be gone for one reason.
#[derive(Deserialize)]
struct Left {
    #[serde(default)]
    reason: String,
    count: u64,
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    addresses: Vec<String>,
}

impl Left {
    fn nodes(&self, heap: &Heap) -> Vec<NodeId> {
        let address = |text: &String| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        self.addresses.iter().take(OBJECTS).filter_map(address).filter_map(|address| heap.node(address)).collect()
    }

    fn words(&self) -> String {
        let reason: String = self.reason.chars().take(LETTERS).collect();
        let of = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let (what, seconds) = (if self.count == 1 { "object" } else { "objects" }, human::count(self.seconds));
        let count = human::count(self.count);
        format!(
            "the app said that {count} such {what} should be gone{of}, up to {seconds} s before the dump, and a full collection left them"
        )
    }
}

/// Puts who holds what should be gone before the suspects that were `found` otherwise. Both are of the last dump.
///
/// # Errors
/// Those of [`name`].
pub(super) fn before(
    found: Vec<Suspect>,
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    shortest_paths: &ShortestPaths,
    source: &Source,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let Told { uncollected: left } = heap.totals().taken().unwrap_or(Told { uncollected: Vec::new() });
    let mut by_node: HashMap<NodeId, usize> = HashMap::new();
    for (at, one) in left.iter().enumerate().take(REASONS) {
        by_node.extend(one.nodes(heap).into_iter().filter(|id| tree.is_reachable(*id)).map(|id| (id, at)));
    }
    if by_node.is_empty() {
        return Ok(found);
    }
    let mut anchors = Anchors::new(heap, tree, shortest_paths, |id| !by_node.contains_key(&id))?;
    let mut nodes: Vec<NodeId> = by_node.keys().copied().collect();
    nodes.sort_unstable();
    let mut accumulations: HashMap<AccumulationPoint, Accumulation> = HashMap::new();
    for id in &nodes {
        let Some((anchor, _)) = anchors.of(*id) else { continue };
        let is_inside = matches!(tree.dominator(*id), Dominator::Node(by) if by_node.contains_key(&by));
        let retained = if is_inside { 0 } else { tree.retained(*id) };
        let accumulation = accumulations.entry(anchor).or_default();
        let kind = kind_of(heap, *id);
        let content = Content { count: 1, retained, since: heap.properties(*id).generation, ..Content::new(*id) };
        accumulation.take(kind, content);
        accumulation.bytes = accumulation.bytes.saturating_add(retained);
    }
    let threads = threads(heap);
    let mut accumulations: Vec<(AccumulationPoint, Accumulation)> =
        join(heap, tree, accumulations, control)?.into_iter().collect();
    for (anchor, accumulation) in &mut accumulations {
        let mut reasons: Vec<usize> =
            accumulation.content.values().filter_map(|one| by_node.get(&one.sample)).copied().collect();
        reasons.sort_unstable();
        reasons.dedup();
        let words = reasons.iter().map(|at| left[*at].words()).collect::<Vec<_>>().join("; ");
        let path = anchor.node().and_then(|id| shortest_paths.path(id)).unwrap_or_default();
        let is_in_hands = path.iter().any(|id| threads.contains(id)) && accumulation.count() <= threads.len() as u64;
        accumulation.verdict = Some(match is_in_hands {
            true => (
                Confidence::Low,
                format!("{words}; a thread's stack holds them, as it may hold the last of its work for a while"),
            ),
            false => (Confidence::High, words),
        });
    }
    sort::by(&mut accumulations, |(a, one), (b, other)| {
        let rank =
            |accumulation: &Accumulation| (accumulation.verdict.as_ref().map(|verdict| verdict.0), accumulation.bytes);
        rank(other).cmp(&rank(one)).then(a.cmp(b))
    });
    let is_left = |id: NodeId| by_node.contains_key(&id);
    let named =
        name(heap, tree, children, shortest_paths, source, &accumulations, &is_left, &Accumulation::judged, control)?;
    Ok(joined(named, found))
}

/// What should be gone first. Where it is what grows too it is one suspect, with what is known of its growth.
fn joined(named: Vec<Suspect>, mut found: Vec<Suspect>) -> Vec<Suspect> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for suspect in named {
        let is_same = |other: &Suspect| other.id.is_some() && (other.id, &other.class) == (suspect.id, &suspect.class);
        let joined = match found.iter().position(is_same) {
            Some(at) => {
                let mut grown = found.remove(at);
                grown.reasons.splice(0..0, suspect.reasons.into_iter().take(1));
                grown.confidence = grown.confidence.max(suspect.confidence);
                grown
            }
            None => suspect,
        };
        let list = if joined.confidence > Confidence::Low { &mut first } else { &mut last };
        list.push(joined);
    }
    first.into_iter().chain(found).chain(last).collect()
}

/// The threads of the dump, by their objects.
fn threads(heap: &Heap) -> HashSet<NodeId> {
    let class = heap.classes_by_name().get("Thread").copied();
    heap.nodes().filter(|id| class.is_some() && heap.class(*id) == class).collect()
}
