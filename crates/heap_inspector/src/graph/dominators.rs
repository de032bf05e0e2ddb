//! Dominators and retained sizes of all objects.
//!
//! An object *dominates* another if every chain of references from the roots to the other leads through it; what an object retains is
//! what it dominates, itself included: the memory that goes when it goes.
//!
//! The plain version takes each node away in turn and looks what cannot be reached any more; the test beside this file does so. This
//! one is semi-NCA (Georgiadis, Tarjan, Werneck: "Finding Dominators in Practice", JGAA 10, 2006), which numbers the nodes in the order
//! of a depth-first search and works on arrays by that number:
//! the *semidominator* of a node is the smallest number from which a chain of greater numbers leads to it, and its dominator is the
//! nearest common ancestor, in the dominator tree, of its parent and its semidominator.
//!
//! Two things save time. Edges from a smaller number need no evaluation, and the first to arrive is the smallest, so only edges from a
//! greater one are kept. And a node is numbered when the search first meets it, so all arrays are walked in order.
//! Costs about 8 bytes for each node that stay, and while it runs 28 for each node and 12 for each edge from a greater number.
//! Nothing recurses.

use super::rows::{Counts, Rows};
use super::{ROOT, roots, targets};
use crate::Result;
use crate::arrays::{Parts, Reader};
use crate::control::Control;
use crate::heap::column::Column;
use crate::heap::{Heap, NodeId};
use crate::memory::{copied, filled, list, room};
use crate::sums::Sum;

/// In place of a dominator: no root leads here.
pub(super) const UNREACHABLE: u32 = u32::MAX - 1;

/// What dominates an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dominator {
    /// An object.
    Node(NodeId),
    /// Only the roots together: no single object holds it.
    Root,
    /// Nothing holds it: garbage that no GC has taken yet, or an object that is held weakly.
    Unreachable,
}

/// The dominator tree with retained sizes.
#[derive(Debug, Default)]
pub struct Tree {
    idoms: Vec<u32>,
    retained: Column,
    counts: Column,
    reachable: Sum,
}

/// Numbers the nodes in the order of a depth-first search.
#[derive(Default)]
struct Search {
    /// By number, from 1: the node. Number 0 is the roots'.
    order: Vec<u32>,
    /// By node: its number, 0 for none.
    numbers: Vec<u32>,
    /// By number: the number of the node from which it was met.
    parents: Vec<u32>,
}

impl Search {
    fn new(heap: &Heap, control: &Control<'_>) -> Result<Search> {
        let count = heap.object_count();
        let mut search = Search { order: list(count + 1)?, numbers: filled(0, count)?, parents: list(count + 1)? };
        search.order.push(ROOT);
        search.parents.push(0);
        // A frame is a node's number and the place of its next edge; behind its references comes its class.
        let mut stack: Vec<(u32, u32)> = Vec::new();
        for root in roots(heap) {
            if search.meet(root.0, 0) {
                stack.push((search.last(), 0));
            }
            while let Some((number, next)) = stack.last_mut() {
                let node = search.order[*number as usize];
                let edges = heap.packed_targets(NodeId(node));
                let at = *next as usize;
                let target = match edges.get(at) {
                    Some(target) => *target,
                    None if at == edges.len() => heap.packed_class(NodeId(node)),
                    None => {
                        stack.pop();
                        continue;
                    }
                };
                *next += 1;
                let parent = *number;
                // The node that a dangling reference leads to has no place among the numbers.
                if search.numbers.get(target as usize) == Some(&0) {
                    search.meet(target, parent);
                    room(&mut stack, 1)?;
                    stack.push((search.last(), 0));
                    control.check_at(search.order.len())?;
                }
            }
        }
        Ok(search)
    }

    /// Numbers a node; `false` where it has a number.
    fn meet(&mut self, node: u32, parent: u32) -> bool {
        let number = &mut self.numbers[node as usize];
        if *number != 0 {
            return false;
        }
        *number = self.order.len() as u32;
        self.order.push(node);
        self.parents.push(parent);
        true
    }

    fn last(&self) -> u32 {
        self.order.len() as u32 - 1
    }
}

/// The edges by the number of their target.
struct Sources {
    /// The smallest number from which an edge leads to it.
    semis: Vec<u32>,
    /// The greater numbers from which edges lead to it.
    greater: Rows,
}

impl Sources {
    fn new(heap: &Heap, search: &Search, control: &Control<'_>) -> Result<Sources> {
        let Search { order, numbers: number_of, .. } = search;
        let mut semis = filled(u32::MAX, order.len())?;
        for root in roots(heap) {
            semis[number_of[root.0 as usize] as usize] = 0;
        }
        let mut counts = Counts::new(order.len())?;
        // Edges from greater numbers, target first: to walk all edges again would cost more than to keep these.
        let mut back: Vec<(u32, u32)> = Vec::new();
        for (source, node) in order.iter().enumerate().skip(1) {
            control.check_at(source)?;
            let source = source as u32;
            for target in targets(heap, NodeId(*node)) {
                let target = number_of[target.0 as usize];
                if source < target {
                    let semi = &mut semis[target as usize];
                    *semi = source.min(*semi);
                } else if source > target {
                    counts.add(target);
                    room(&mut back, 1)?;
                    back.push((target, source));
                }
            }
        }
        control.check()?;
        let mut room = counts.room()?;
        back.into_iter().for_each(|(target, source)| room.put(target, source));
        control.check()?;
        Ok(Sources { semis, greater: room.rows() })
    }
}

/// The forest of nodes whose semidominators are known, with the least semidominator on the way up.
struct Forest {
    /// By number: an ancestor; at first the parent.
    ancestors: Vec<u32>,
    /// By number: the least semidominator from it up to below `ancestors`.
    least: Vec<u32>,
    way: Vec<u32>,
}

impl Forest {
    /// The least semidominator on the way from `number` up to where the numbers are `end` or smaller. Shortens the way.
    fn evaluate(&mut self, number: u32, end: u32) -> u32 {
        let Forest { ancestors, least, way } = self;
        let mut at = number;
        while ancestors[at as usize] > end {
            way.push(at);
            at = ancestors[at as usize];
        }
        let (top, mut low) = (ancestors[at as usize], least[at as usize]);
        while let Some(at) = way.pop() {
            low = low.min(least[at as usize]);
            least[at as usize] = low;
            ancestors[at as usize] = top;
        }
        low
    }
}

/// By number, the immediate dominators' numbers.
fn immediate(parents: Vec<u32>, sources: Sources, control: &Control<'_>) -> Result<Vec<u32>> {
    let Sources { mut semis, greater } = sources;
    let mut forest = Forest { ancestors: copied(&parents)?, least: copied(&semis)?, way: Vec::new() };
    for number in (1..parents.len()).rev() {
        control.check_at(number)?;
        let mut semi = semis[number];
        for source in greater.of(number as u32) {
            semi = semi.min(forest.evaluate(*source, number as u32));
        }
        semis[number] = semi;
        forest.least[number] = semi;
    }
    drop(forest);
    let mut idoms = parents;
    for number in 1..idoms.len() {
        let mut idom = idoms[number];
        while idom > semis[number] {
            idom = idoms[idom as usize];
        }
        idoms[number] = idom;
    }
    Ok(idoms)
}

impl Tree {
    /// The dominator tree of a heap. Without ROOT lines nothing is reachable.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn new(heap: &Heap, control: &Control<'_>) -> Result<Tree> {
        let search = Search::new(heap, control)?;
        let sources = Sources::new(heap, &search, control)?;
        let Search { order, parents, .. } = search;
        let idoms = immediate(parents, sources, control)?;
        // A dominator's number is smaller, so all that a node dominates is summed up before the node is.
        let mut sums: Vec<(u64, u32)> = list(order.len())?;
        let own = |node: &u32| if *node != ROOT { (heap.bytes(NodeId(*node)), 1) } else { Default::default() };
        sums.extend(order.iter().map(own));
        for number in (1..order.len()).rev() {
            let (bytes, count) = sums[number];
            let held = &mut sums[idoms[number] as usize];
            held.0 = held.0.saturating_add(bytes);
            held.1 += count;
        }
        // By node, written once and read in order: the columns look at each number twice.
        let count = heap.object_count();
        let (mut by_node, mut retained, mut counts) =
            (filled(UNREACHABLE, count)?, filled(0u64, count)?, filled(0u32, count)?);
        for (number, node) in order.iter().enumerate().skip(1) {
            let node = *node as usize;
            by_node[node] = order[idoms[number] as usize];
            (retained[node], counts[node]) = sums[number];
        }
        let reachable = Sum { count: u64::from(sums[0].1), memsize: sums[0].0, references: 0 };
        drop((order, idoms, sums));
        let idoms = by_node;
        let retained = Column::new(count, |row| retained[row])?;
        let counts = Column::new(count, |row| u64::from(counts[row]))?;
        Ok(Tree { idoms, retained, counts, reachable })
    }

    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(&self.idoms[..]);
        self.retained.parts(parts);
        self.counts.parts(parts);
        parts.push(vec![self.reachable.count, self.reachable.memsize]);
    }

    /// The tree of a heap of so many objects.
    pub(crate) fn from_parts(reader: &mut Reader, objects: usize) -> Option<Tree> {
        let idoms: Vec<u32> = reader.take()?;
        // The two numbers that are no nodes are the greatest ones: they wrap to 0 and 1.
        let end = idoms.iter().fold(0, |end, idom| idom.wrapping_add(2).max(end));
        if idoms.len() != objects || end as usize > objects + 1 {
            return None;
        }
        let retained = Column::from_parts(reader, objects, u64::MAX)?;
        let counts = Column::from_parts(reader, objects, u64::MAX)?;
        let reachable: Vec<u64> = reader.take()?;
        let [count, memsize] = reachable[..].try_into().ok()?;
        // What dominates an object retains more objects than it does, so where all do no chain of dominators is a cycle.
        let falls = idoms.iter().enumerate().all(|(node, idom)| {
            let (objects, bytes) = (counts.get(node), retained.get(node));
            match *idom {
                UNREACHABLE => objects == 0 && bytes == 0,
                ROOT => (1..=count).contains(&objects) && bytes <= memsize,
                above => objects >= 1 && counts.get(above as usize) > objects && retained.get(above as usize) >= bytes,
            }
        });
        if !falls || count > objects as u64 {
            return None;
        }
        Some(Tree { idoms, retained, counts, reachable: Sum { count, memsize, references: 0 } })
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        4 * self.idoms.capacity() + self.retained.footprint() + self.counts.footprint()
    }

    /// What dominates the object immediately.
    #[must_use]
    pub fn dominator(&self, id: NodeId) -> Dominator {
        match self.idoms[id.0 as usize] {
            ROOT => Dominator::Root,
            UNREACHABLE => Dominator::Unreachable,
            node => Dominator::Node(NodeId(node)),
        }
    }

    /// The node of the immediate dominator; none where no object is it.
    pub(crate) fn above(&self, id: NodeId) -> Option<NodeId> {
        Some(self.idoms[id.0 as usize]).filter(|node| *node < UNREACHABLE).map(NodeId)
    }

    /// Whether a chain of references leads from a root to the object.
    #[must_use]
    pub fn is_reachable(&self, id: NodeId) -> bool {
        self.idoms[id.0 as usize] != UNREACHABLE
    }

    /// The bytes that the object retains, its own included; 0 of an unreachable one.
    #[must_use]
    pub fn retained(&self, id: NodeId) -> u64 {
        self.retained.get(id.0 as usize)
    }

    /// How many objects it retains, itself included; 0 of an unreachable one.
    #[must_use]
    pub fn retained_count(&self, id: NodeId) -> u64 {
        self.counts.get(id.0 as usize)
    }

    /// Count and bytes of all reachable objects: what the roots retain.
    #[must_use]
    pub fn reachable(&self) -> Sum {
        self.reachable
    }

    /// The tree from above.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub fn children(&self) -> Result<Children> {
        Children::new(self.idoms.len(), |id| self.dominator(id))
    }
}

/// The objects that each object dominates immediately. Costs 8 bytes for each object.
#[derive(Debug)]
pub struct Children {
    /// By node, the roots' last.
    rows: Rows,
}

impl Children {
    /// The children of so many nodes, of which `above` tells the parents.
    pub(crate) fn new(count: usize, above: impl Fn(NodeId) -> Dominator) -> Result<Children> {
        let root = count as u32;
        let list = |node: u32| match above(NodeId(node)) {
            Dominator::Node(id) => Some(id.0),
            Dominator::Root => Some(root),
            Dominator::Unreachable => None,
        };
        let mut counts = Counts::new(count + 1)?;
        (0..root).filter_map(list).for_each(|above| counts.add(above));
        let mut room = counts.room()?;
        for node in (0..root).rev() {
            if let Some(above) = list(node) {
                room.put(above, node);
            }
        }
        Ok(Children { rows: room.rows() })
    }

    /// About how many bytes of memory they take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.rows.footprint()
    }

    /// What `of` dominates immediately, in the order of the dump; nothing of [`Dominator::Unreachable`].
    pub fn of(&self, of: Dominator) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        let nodes = match of {
            Dominator::Node(id) => self.rows.of(id.0),
            Dominator::Root => self.rows.of(self.rows.len() as u32 - 1),
            Dominator::Unreachable => &[],
        };
        nodes.iter().map(|node| NodeId(*node))
    }
}

#[cfg(test)]
mod tests;
