//! Which object new ones pile up at: the nearest old one above them.

use super::naming::SEARCHED;
use crate::Result;
use crate::control::Control;
use crate::graph::Links;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId, Target};
use crate::memory::zeroed;
use hashbrown::HashMap;

/// Where objects pile up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::analysis) enum AccumulationPoint {
    /// At an object.
    Node(NodeId),
    /// At the root of this number.
    Root(u32),
}

impl AccumulationPoint {
    /// The object.
    pub(in crate::analysis) fn node(self) -> Option<NodeId> {
        match self {
            AccumulationPoint::Node(id) => Some(id),
            AccumulationPoint::Root(_) => None,
        }
    }

    /// The root's category.
    pub(super) fn category(self, heap: &Heap) -> Option<&str> {
        match self {
            AccumulationPoint::Node(_) => None,
            AccumulationPoint::Root(number) => heap.roots().get(number as usize).map(|root| &root.category[..]),
        }
    }
}

/// What is known of the points of objects, in 4 bytes for each: nodes are numbered from 1 up, roots from the other end down. A dump has
/// not so many lines that they meet.
pub(super) struct Known(Vec<u32>);

/// Not asked yet: what memory is that nobody wrote to.
const UNKNOWN: u32 = 0;
/// There is none.
const NONE: u32 = u32::MAX;

impl Known {
    pub(super) fn new(count: usize) -> Result<Known> {
        Ok(Known(zeroed(count)?))
    }

    /// The point of an object, or that it has none; nothing where it was not asked yet.
    pub(super) fn get(&self, id: NodeId) -> Option<Option<AccumulationPoint>> {
        match self.0[id.0 as usize] {
            UNKNOWN => None,
            NONE => Some(None),
            node if node as usize <= self.0.len() => Some(Some(AccumulationPoint::Node(NodeId(node - 1)))),
            root => Some(Some(AccumulationPoint::Root(NONE - 1 - root))),
        }
    }

    pub(super) fn set(&mut self, id: NodeId, point: Option<AccumulationPoint>) {
        self.0[id.0 as usize] = match point {
            None => NONE,
            Some(AccumulationPoint::Node(id)) => id.0 + 1,
            Some(AccumulationPoint::Root(number)) => NONE - 1 - number,
        };
    }
}

/// Finds the accumulation points of new objects; each object is walked over once.
pub(super) struct Anchors<'a, F> {
    heap: &'a Heap,
    tree: &'a Tree,
    shortest_paths: &'a ShortestPaths,
    is_old: F,
    /// The first root that refers to an object.
    roots: HashMap<NodeId, AccumulationPoint>,
    by_dominator: Known,
    by_path: Known,
    walked: Vec<NodeId>,
}

impl<'a, F: Fn(NodeId) -> bool> Anchors<'a, F> {
    pub(super) fn new(heap: &'a Heap, tree: &'a Tree, shortest_paths: &'a ShortestPaths, is_old: F) -> Result<Self> {
        let mut roots = HashMap::new();
        for (number, root) in (0..).zip(heap.roots()) {
            for id in root.targets.iter().filter_map(Target::node) {
                roots.entry(id).or_insert(AccumulationPoint::Root(number));
            }
        }
        let count = heap.object_count();
        let (by_dominator, by_path) = (Known::new(count)?, Known::new(count)?);
        Ok(Anchors { heap, tree, shortest_paths, is_old, roots, by_dominator, by_path, walked: Vec::new() })
    }

    /// The accumulation point of an object, and whether it alone keeps the object alive; none where nothing leads to the object.
    pub(super) fn of(&mut self, id: NodeId) -> Option<(AccumulationPoint, bool)> {
        let Anchors { heap, tree, shortest_paths, is_old, roots, by_dominator, by_path, walked } = self;
        let alone = climb(id, |id| tree.above(id), is_old, by_dominator, walked, |_| None);
        if let Some(point) = alone.filter(|point| point.node().is_some_and(|id| !heap.is_tracer(id))) {
            return Some((point, true));
        }
        let root = |first: NodeId| roots.get(&first).copied();
        climb(id, |id| shortest_paths.parent(id), is_old, by_path, walked, root).map(|point| (point, false))
    }
}

/// The nearest old node above; where there is none what `root` says of the first one.
fn climb(
    id: NodeId,
    above: impl Fn(NodeId) -> Option<NodeId>,
    is_old: &impl Fn(NodeId) -> bool,
    known: &mut Known,
    walked: &mut Vec<NodeId>,
    root: impl Fn(NodeId) -> Option<AccumulationPoint>,
) -> Option<AccumulationPoint> {
    let mut at = id;
    let point = loop {
        if let Some(point) = known.get(at) {
            break point;
        }
        if is_old(at) {
            break Some(AccumulationPoint::Node(at));
        }
        walked.push(at);
        match above(at) {
            None => break root(at),
            Some(next) => at = next,
        }
    };
    walked.drain(..).for_each(|id| known.set(id, point));
    point
}

/// By node, the nearest object above in the dominator tree that is older, by generation.
///
/// The plain version walks up from each object, and where generations rise along a long chain as far as that is long. This one keeps, of
/// the objects above the one it is at, those that have no older one below them: their generations rise, so the nearest older one is
/// found by halves, and all of that generation or later behind it give way to the object itself. That changes one place and the
/// length, which are put back when the search leaves the object.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn older(heap: &Heap, children: &Children, control: &Control<'_>) -> Result<Links> {
    let mut older = Links::new(heap.object_count())?;
    // The chain with its generations, how much of it holds, and what stands to be put back.
    let (mut chain, mut length): (Vec<(u32, NodeId)>, usize) = Default::default();
    let mut before: Vec<(u32, (u32, NodeId), u32)> = Vec::new();
    let mut stack = vec![children.of(Dominator::Root)];
    let mut walked = 0usize;
    while let Some(below) = stack.last_mut() {
        let Some(id) = below.next() else {
            stack.pop();
            if let Some((place, known, all)) = before.pop() {
                chain[place as usize] = known;
                length = all as usize;
            }
            continue;
        };
        control.check_at(walked)?;
        walked += 1;
        let own = heap.generation(id);
        let place = chain[..length].partition_point(|(generation, _)| *generation < own);
        if place > 0 {
            older.set(id, Some(chain[place - 1].1));
        }
        let below = children.of(Dominator::Node(id));
        if below.len() == 0 {
            continue;
        }
        if place == chain.len() {
            chain.push((own, id));
        }
        before.push((place as u32, std::mem::replace(&mut chain[place], (own, id)), length as u32));
        length = place + 1;
        stack.push(below);
    }
    Ok(older)
}

/// The nearest older object on the shortest path to one, not far up.
pub(super) fn older_on_path(heap: &Heap, shortest_paths: &ShortestPaths, id: NodeId) -> Option<NodeId> {
    let up = std::iter::successors(shortest_paths.parent(id), |node| shortest_paths.parent(*node));
    up.take(SEARCHED).find(|node| heap.generation(*node) < heap.generation(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::dominators::Tree;
    use crate::graph::random::heap_of_lines;
    use proptest::prelude::*;

    /// A tree of objects, each under an earlier one, with these generations; the first is the root's.
    fn lines(nodes: &[(usize, u32)]) -> String {
        let address = |node: usize| format!("\"0x{:x}\"", 0x1000 + 40 * node);
        let mut held = vec![Vec::new(); nodes.len()];
        for (node, (above, _)) in nodes.iter().enumerate().skip(1) {
            held[above % node].push(address(node));
        }
        let objects = nodes.iter().zip(held).enumerate().map(|(node, ((_, generation), held))| {
            let (address, held) = (address(node), held.join(", "));
            format!("{{\"address\":{address}, \"type\":\"OBJECT\", \"references\":[{held}], \"generation\":{generation}, \"memsize\":40}}\n")
        });
        format!("{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{}]}}\n", address(0))
            + &objects.collect::<String>()
    }

    fn both(nodes: &[(usize, u32)]) -> [Vec<Option<NodeId>>; 2] {
        let (heap, _) = heap_of_lines(&lines(nodes));
        let tree = Tree::new(&heap, &Control::default()).expect("nobody cancels");
        let plain = heap.nodes().map(|id| {
            std::iter::successors(tree.above(id), |node| tree.above(*node))
                .find(|node| heap.generation(*node) < heap.generation(id))
        });
        let older = older(&heap, tree.children().expect("it is small"), &Control::default()).expect("nobody cancels");
        [heap.nodes().map(|id| older.get(id)).collect(), plain.collect()]
    }

    proptest! {
        #[test]
        fn finds_the_older_one_that_walking_up_finds(nodes in prop::collection::vec((0usize..60, 0u32..8), 1..60)) {
            let [found, plain] = both(&nodes);
            prop_assert_eq!(found, plain);
        }
    }
}
