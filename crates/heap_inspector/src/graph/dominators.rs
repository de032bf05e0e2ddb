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
//! Three things save time. Edges from a smaller number need no evaluation, only the smallest counts, so only edges from a greater one
//! are kept. Which of the two an edge is, is known when the search comes along it, so none is looked at twice. And a node is numbered when
//! the search first meets it, so all arrays are walked in order.
//! Costs about 8 bytes for each node that stay, and while it runs 28 for each node and 12 for each edge from a greater number.
//! Nothing recurses.

use super::rows::{Counts, Rows};
use super::{ROOT, roots};
use crate::arrays::{Parts, Reader};
use crate::control::Control;
use crate::heap::column::Column;
use crate::heap::{Heap, NodeId};
use crate::memory::{STRIDE, copied, filled, list, room, zeroed};
use crate::sums::Sum;
use crate::{Error, Result, threads};
use std::cmp::Ordering;
use std::sync::OnceLock;

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
    children: OnceLock<Children>,
}

/// A depth-first search: it numbers the nodes, and takes in each edge once, for what it says of semidominators.
#[derive(Default)]
struct Search {
    /// By number, from 1: the node. Number 0 is the roots'.
    order: Vec<u32>,
    /// By node: its number, 0 for none.
    numbers: Vec<u32>,
    /// By number: the number of the node from which it was met.
    parents: Vec<u32>,
    /// By number: the smallest number from which an edge leads to it.
    semis: Vec<u32>,
    /// The edges from greater numbers, target first: to look for them again would cost more than to keep them.
    back: Vec<(u32, u32)>,
}

/// A node whose edges are being followed: its references, then its class.
struct Frame {
    number: u32,
    /// Where its next reference stands among those of the heap, and where its last one ends; one behind that when its class is done.
    next: u32,
    end: u32,
}

impl Search {
    fn new(heap: &Heap, control: &Control<'_>) -> Result<Search> {
        let count = heap.object_count();
        let (order, parents, semis) = (list(count + 1)?, list(count + 1)?, list(count + 1)?);
        let mut search = Search { order, numbers: zeroed(count)?, parents, semis, back: Vec::new() };
        search.order.push(ROOT);
        search.parents.push(0);
        search.semis.push(0);
        let mut stack: Vec<Frame> = Vec::new();
        let frame = |number: u32, node: u32| {
            let places = heap.edge_places(NodeId(node));
            Frame { number, next: places.start, end: places.end }
        };
        for root in roots(heap) {
            stack.extend(search.follow(root.0, 0).map(|number| frame(number, root.0)));
            while let Some(top) = stack.last_mut() {
                room(&mut search.back, STRIDE)?;
                if let Some((number, node)) = search.next(heap, top) {
                    room(&mut stack, 1)?;
                    stack.push(frame(number, node));
                    control.check_at(search.order.len())?;
                } else if top.next > top.end {
                    stack.pop();
                } else {
                    control.check()?;
                }
            }
        }
        Ok(search)
    }

    /// Follows some edges of a node, up to one that leads where the search was not yet: the number and the node there.
    #[inline(always)]
    fn next(&mut self, heap: &Heap, frame: &mut Frame) -> Option<(u32, u32)> {
        if frame.next > frame.end {
            return None;
        }
        let end = frame.end.min(frame.next.saturating_add(STRIDE as u32 - 1));
        for target in heap.packed_edges(frame.next..end) {
            frame.next += 1;
            if let Some(number) = self.follow(*target, frame.number) {
                return Some((number, *target));
            }
        }
        if frame.next < frame.end {
            return None;
        }
        frame.next = frame.end + 1;
        let class = heap.packed_class(NodeId(self.order[frame.number as usize]));
        Some((self.follow(class, frame.number)?, class))
    }

    /// Takes in an edge; the number of the node that it leads to, where that had none.
    #[inline(always)]
    fn follow(&mut self, target: u32, source: u32) -> Option<u32> {
        // The node that a dangling reference leads to has no place among the numbers.
        let number = self.numbers.get_mut(target as usize)?;
        match source.cmp(number) {
            _ if *number == 0 => {
                *number = self.order.len() as u32;
                self.order.push(target);
                self.parents.push(source);
                self.semis.push(source);
                return Some(*number);
            }
            Ordering::Greater => self.back.push((*number, source)),
            Ordering::Less => self.semis[*number as usize] = self.semis[*number as usize].min(source),
            Ordering::Equal => {}
        }
        None
    }
}

/// The edges from greater numbers, as the list of these of each target.
fn greater(back: Vec<(u32, u32)>, count: usize) -> Result<Rows> {
    let mut counts = Counts::new(count)?;
    back.iter().for_each(|(target, _)| counts.add(*target));
    let mut room = counts.room()?;
    back.into_iter().for_each(|(target, source)| room.put(target, source));
    Ok(room.rows())
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
fn immediate(parents: Vec<u32>, mut semis: Vec<u32>, greater: &Rows, control: &Control<'_>) -> Result<Vec<u32>> {
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

/// By number, the bytes and the count of all that each dominates, itself included; of the roots' number all that is reachable.
fn retained_sums(heap: &Heap, order: &[u32], idoms: &[u32], control: &Control<'_>) -> Result<Vec<(u64, u32)>> {
    let mut sums: Vec<(u64, u32)> = list(order.len())?;
    let own = |node: &u32| if *node != ROOT { (heap.bytes(NodeId(*node)), 1) } else { Default::default() };
    sums.extend(order.iter().map(own));
    // A dominator's number is smaller, so all that a node dominates is summed up before the node is.
    for number in (1..order.len()).rev() {
        control.check_at(number)?;
        let (bytes, count) = sums[number];
        let held = &mut sums[idoms[number] as usize];
        held.0 = held.0.saturating_add(bytes);
        held.1 += count;
    }
    Ok(sums)
}

impl Tree {
    /// The dominator tree of a heap. Without ROOT lines nothing is reachable.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn new(heap: &Heap, control: &Control<'_>) -> Result<Tree> {
        let Search { order, numbers, parents, semis, back } = Search::new(heap, control)?;
        drop(numbers);
        control.check()?;
        let greater = greater(back, order.len())?;
        control.check()?;
        let idoms = immediate(parents, semis, &greater, control)?;
        drop(greater);
        let sums = retained_sums(heap, &order, &idoms, control)?;
        let reachable = Sum { count: u64::from(sums[0].1), memsize: sums[0].0, references: 0 };
        // By node, written once and read in order: the columns look at each number twice.
        let count = heap.object_count();
        let by_number =
            || order.iter().zip(&sums).enumerate().skip(1).map(|(number, (node, sum))| (number, *node as usize, *sum));
        let bytes = || {
            let mut retained: Vec<u64> = zeroed(count)?;
            by_number().for_each(|(_, node, (bytes, _))| retained[node] = bytes);
            Column::new(count, |row| retained[row])
        };
        let others = || {
            let mut counts: Vec<u32> = zeroed(count)?;
            let mut dominators = filled(UNREACHABLE, count)?;
            by_number().for_each(|(number, node, (_, objects))| {
                counts[node] = objects;
                dominators[node] = order[idoms[number] as usize];
            });
            Ok::<_, Error>((dominators, Column::new(count, |row| u64::from(counts[row]))?))
        };
        let (retained, others) = threads::both(control.thread_count() > 1, bytes, others);
        let (idoms, counts) = others?;
        Ok(Tree { idoms, retained: retained?, counts, reachable, children: OnceLock::new() })
    }

    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(&self.idoms[..]);
        self.retained.parts(parts);
        self.counts.parts(parts);
        parts.push(vec![self.reachable.count, self.reachable.memsize]);
    }

    /// The tree of a heap of so many objects.
    pub(crate) fn from_parts(reader: &mut Reader, objects: usize, threads: usize) -> Option<Tree> {
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
        let fits = &|node: usize| match idoms[node] {
            UNREACHABLE => counts.get(node) == 0 && retained.get(node) == 0,
            ROOT => (1..=count).contains(&counts.get(node)) && retained.get(node) <= memsize,
            above => {
                counts.get(node) >= 1
                    && counts.is_greater(above as usize, node)
                    && !retained.is_greater(node, above as usize)
            }
        };
        let part = objects.div_ceil(threads.max(1)).max(1 << 16);
        let parts = (0..objects).step_by(part).map(|begin| move || (begin..objects.min(begin + part)).all(fits));
        if !threads::all(parts.collect()).into_iter().all(|falls| falls) || count > objects as u64 {
            return None;
        }
        let reachable = Sum { count, memsize, references: 0 };
        Some(Tree { idoms, retained, counts, reachable, children: OnceLock::new() })
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let children = self.children.get().map_or(0, Children::footprint);
        4 * self.idoms.capacity() + self.retained.footprint() + self.counts.footprint() + children
    }

    /// What dominates the object immediately.
    #[inline(always)]
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
    pub fn children(&self) -> Result<&Children> {
        match self.children.get() {
            Some(children) => Ok(children),
            None => {
                let children = Children::new(self.idoms.len(), |id| self.dominator(id))?;
                Ok(self.children.get_or_init(|| children))
            }
        }
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
    #[inline(always)]
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
