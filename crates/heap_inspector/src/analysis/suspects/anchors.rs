//! Which object new ones pile up at: the nearest old one above them.

use super::naming::SEARCHED;
use crate::Result;
use crate::control::Control;
use crate::graph::ROOT;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId, Target};
use hashbrown::HashMap;

/// Not asked yet.
pub(super) const UNKNOWN: u32 = u32::MAX - 1;

/// Finds the accumulation points of new objects; each object is walked over once.
pub(super) struct Anchors<'a, F> {
    heap: &'a Heap,
    tree: &'a Tree,
    shortest_paths: &'a ShortestPaths,
    is_old: F,
    /// What stands for the root that refers to an object.
    roots: HashMap<NodeId, u32>,
    /// By node; [`UNKNOWN`] where it was not asked yet.
    by_dominator: Vec<u32>,
    by_way: Vec<u32>,
    walked: Vec<u32>,
}

impl<'a, F: Fn(NodeId) -> bool> Anchors<'a, F> {
    pub(super) fn new(heap: &'a Heap, tree: &'a Tree, shortest_paths: &'a ShortestPaths, is_old: F) -> Self {
        let unknown = || vec![UNKNOWN; heap.object_count()];
        let mut roots = HashMap::new();
        for (number, root) in heap.roots().iter().enumerate() {
            for target in &root.targets {
                if let Target::Node(id) = target {
                    roots.entry(*id).or_insert(root_anchor(number));
                }
            }
        }
        Anchors {
            heap,
            tree,
            shortest_paths,
            is_old,
            roots,
            by_dominator: unknown(),
            by_way: unknown(),
            walked: Vec::new(),
        }
    }

    /// The accumulation point of an object: a node, or what stands for a root; and whether it alone keeps the object alive.
    pub(super) fn of(&mut self, id: NodeId) -> (u32, bool) {
        let Anchors { heap, tree, shortest_paths, is_old, roots, by_dominator, by_way, walked } = self;
        let anchor = climb(id, |id| tree.above(id.0), is_old, by_dominator, walked, |_| ROOT);
        if anchor != ROOT && !heap.properties(NodeId(anchor)).tracer {
            return (anchor, true);
        }
        let root = |first: NodeId| roots.get(&first).copied().unwrap_or(ROOT);
        (climb(id, |id| shortest_paths.parent(id), is_old, by_way, walked, root), false)
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

/// By node, the nearest object above in the dominator tree that is older, by generation; [`ROOT`] where there is none.
///
/// The plain version walks up from each object, and where generations rise along a long chain as far as that is long. This one keeps, of
/// the objects above the one it is at, those that have no older one below them: their generations rise, so the nearest older one is
/// found by halves, and all of that generation or later behind it give way to the object itself. That changes one place and the
/// length, which are put back when the search leaves the object.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn older(heap: &Heap, children: &Children, control: &Control<'_>) -> Result<Vec<u32>> {
    let generation = |node: u32| heap.properties(NodeId(node)).generation;
    let mut older = vec![ROOT; heap.object_count()];
    // Each node twice, the second time with `ROOT` before it: to be left.
    let mut stack: Vec<u32> = children.of(Dominator::Root).map(|id| id.0).collect();
    // The chain, how much of it holds, and what stands to be put back.
    let (mut chain, mut length, mut before): (Vec<u32>, usize, Vec<(u32, u32, u32)>) = Default::default();
    let mut walked = 0usize;
    while let Some(node) = stack.pop() {
        if node == ROOT {
            let Some((place, known, all)) = before.pop() else { continue };
            chain[place as usize] = known;
            length = all as usize;
            continue;
        }
        control.check_at(walked)?;
        walked += 1;
        let own = generation(node);
        let place = chain[..length].partition_point(|above| generation(*above) < own);
        if place > 0 {
            older[node as usize] = chain[place - 1];
        }
        let mut below = children.of(Dominator::Node(NodeId(node)));
        if below.len() == 0 {
            continue;
        }
        if place == chain.len() {
            chain.push(ROOT);
        }
        before.push((place as u32, std::mem::replace(&mut chain[place], node), length as u32));
        length = place + 1;
        stack.push(ROOT);
        stack.extend(below.by_ref().map(|id| id.0));
    }
    Ok(older)
}

/// The nearest older object on the way to one, not far up.
pub(super) fn older_on_way(heap: &Heap, shortest_paths: &ShortestPaths, id: NodeId) -> Option<u32> {
    let generation = |node: u32| heap.properties(NodeId(node)).generation;
    let up = std::iter::successors(Some(shortest_paths.parent(id)), |node| {
        (*node != ROOT).then(|| shortest_paths.parent(NodeId(*node)))
    });
    up.take(SEARCHED).take_while(|node| *node != ROOT).find(|node| generation(*node) < generation(id.0))
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

    fn both(nodes: &[(usize, u32)]) -> [Vec<u32>; 2] {
        let (heap, _) = heap_of_lines(&lines(nodes));
        let tree = Tree::new(&heap, &Control::default()).expect("nobody cancels");
        let generation = |node: u32| heap.properties(NodeId(node)).generation;
        let plain = heap.nodes().map(|id| {
            let mut at = tree.above(id.0);
            while at != ROOT && generation(at) >= generation(id.0) {
                at = tree.above(at);
            }
            at
        });
        [
            older(&heap, &tree.children().expect("it is small"), &Control::default()).expect("nobody cancels"),
            plain.collect(),
        ]
    }

    proptest! {
        #[test]
        fn finds_the_older_one_that_walking_up_finds(nodes in prop::collection::vec((0usize..60, 0u32..8), 1..60)) {
            let [found, plain] = both(&nodes);
            prop_assert_eq!(found, plain);
        }
    }
}
