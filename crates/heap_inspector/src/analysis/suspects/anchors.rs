//! Which object new ones pile up at: the nearest old one above them.

use super::naming::SEARCHED;
use crate::analysis::dominators::{Children, Dominator, Tree};
use crate::analysis::paths::Ways;
use crate::graph::ROOT;
use crate::heap::{Heap, NodeId, Target};
use hashbrown::HashMap;

/// Not asked yet.
pub(super) const UNKNOWN: u32 = u32::MAX - 1;

/// Finds the accumulation points of new objects; each object is walked over once.
pub(super) struct Anchors<'a, F> {
    heap: &'a Heap,
    tree: &'a Tree,
    ways: &'a Ways,
    is_old: F,
    /// What stands for the root that refers to an object.
    roots: HashMap<NodeId, u32>,
    /// By node; [`UNKNOWN`] where it was not asked yet.
    by_dominator: Vec<u32>,
    by_way: Vec<u32>,
    walked: Vec<u32>,
}

impl<'a, F: Fn(NodeId) -> bool> Anchors<'a, F> {
    pub(super) fn new(heap: &'a Heap, tree: &'a Tree, ways: &'a Ways, is_old: F) -> Self {
        let unknown = || vec![UNKNOWN; heap.object_count()];
        let mut roots = HashMap::new();
        for (number, root) in heap.roots().iter().enumerate() {
            for target in &root.targets {
                if let Target::Node(id) = target {
                    roots.entry(*id).or_insert(root_anchor(number));
                }
            }
        }
        Anchors { heap, tree, ways, is_old, roots, by_dominator: unknown(), by_way: unknown(), walked: Vec::new() }
    }

    /// The accumulation point of an object: a node, or what stands for a root; and whether it alone keeps the object alive.
    pub(super) fn of(&mut self, id: NodeId) -> (u32, bool) {
        let Anchors { heap, tree, ways, is_old, roots, by_dominator, by_way, walked } = self;
        let anchor = climb(id, |id| tree.above(id.0), is_old, by_dominator, walked, |_| ROOT);
        if anchor != ROOT && !heap.slot(NodeId(anchor)).tracer {
            return (anchor, true);
        }
        let root = |first: NodeId| roots.get(&first).copied().unwrap_or(ROOT);
        (climb(id, |id| ways.parent(id), is_old, by_way, walked, root), false)
    }
}

/// What stands for a root among the accumulation points.
fn root_anchor(number: usize) -> u32 {
    UNKNOWN - 1 - number.min(1000) as u32
}

/// The root that such a number stands for, for people.
pub(in crate::analysis) fn root_label(heap: &Heap, anchor: u32) -> String {
    let root = heap.roots().get((UNKNOWN - 1 - anchor) as usize);
    format!("root {}", root.map_or("", |root| &root.category))
}

/// The nearest old node above; where there is none what `root` says of the first one.
fn climb(
    id: NodeId,
    above: impl Fn(NodeId) -> u32,
    is_old: &impl Fn(NodeId) -> bool,
    known: &mut [u32],
    walked: &mut Vec<u32>,
    root: impl Fn(NodeId) -> u32,
) -> u32 {
    let mut at = id.0;
    let anchor = loop {
        if known[at as usize] != UNKNOWN {
            break known[at as usize];
        }
        if is_old(NodeId(at)) {
            break at;
        }
        walked.push(at);
        match above(NodeId(at)) {
            ROOT => break root(NodeId(at)),
            next => at = next,
        }
    };
    walked.drain(..).for_each(|node| known[node as usize] = anchor);
    anchor
}

/// By node, the nearest object above in the dominator tree that is older, by generation; [`ROOT`] where there is none. From each older
/// object on, generations fall, so the steps are fewer than the garbage collections.
pub(super) fn older(heap: &Heap, tree: &Tree, children: &Children) -> Vec<u32> {
    let generation = |node: u32| heap.slot(NodeId(node)).generation;
    let mut older = vec![ROOT; heap.object_count()];
    let mut stack: Vec<NodeId> = children.of(Dominator::Root).collect();
    while let Some(id) = stack.pop() {
        let mut at = tree.above(id.0);
        while at != ROOT && generation(at) >= generation(id.0) {
            at = older[at as usize];
        }
        older[id.0 as usize] = at;
        stack.extend(children.of(Dominator::Node(id)));
    }
    older
}

/// The nearest older object on the way to one, not far up.
pub(super) fn older_on_way(heap: &Heap, ways: &Ways, id: NodeId) -> Option<u32> {
    let generation = |node: u32| heap.slot(NodeId(node)).generation;
    let up = std::iter::successors(Some(ways.parent(id)), |node| (*node != ROOT).then(|| ways.parent(NodeId(*node))));
    up.take(SEARCHED).take_while(|node| *node != ROOT).find(|node| generation(*node) < generation(id.0))
}
