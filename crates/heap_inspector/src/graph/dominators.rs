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
use crate::arrays::{Few, Group, Parts, Reader};
use crate::control::Control;
use crate::heap::column::Column;
use crate::heap::{FewRows, Heap, Kept, Later, NodeId, Origin, later};
use crate::memory::{STRIDE, copied, filled, list, room, zeroed};
use crate::sums::Sum;
use crate::{Error, Result, threads};
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

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
    columns: Later<Columns>,
    reachable: Sum,
    children: OnceLock<Children>,
}

/// What is known of each node.
#[derive(Debug, Default)]
struct Columns {
    idoms: Vec<u32>,
    retained: Column,
    counts: Column,
}

/// What the columns of a stored tree must keep to.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    objects: usize,
    reachable: Sum,
    /// So many threads look whether they do.
    threads: usize,
}

impl later::Bounds for Bounds {
    fn objects(self) -> usize {
        self.objects
    }
}

/// [`Columns`] of which few numbers are read.
#[derive(Debug)]
struct FewNodes {
    idoms: Few,
    retained: FewRows,
    counts: FewRows,
    bounds: Bounds,
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
        let columns = Later::now(Columns { idoms, retained: retained?, counts });
        Ok(Tree { columns, reachable, children: OnceLock::new() })
    }

    pub(crate) fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(&self.columns.idoms[..]);
        self.columns.retained.parts(parts);
        self.columns.counts.parts(parts);
        parts.end_group();
        parts.push(vec![self.reachable.count, self.reachable.memsize]);
    }

    /// The tree of a heap of so many objects, which stays in the group of a file; the group behind it begins with what is reachable.
    pub(crate) fn from_parts(
        [group, behind]: [Group; 2],
        objects: usize,
        threads: usize,
        origin: &Arc<Origin>,
    ) -> Option<Tree> {
        let reachable: Vec<u64> = behind.array(0)?;
        let [count, memsize] = reachable[..].try_into().ok()?;
        let reachable = Sum { count, memsize, references: 0 };
        let again = |heap: Heap| Tree::new(&heap, &Control::default()).ok()?.columns.into_inner();
        let columns = Later::kept(group, Bounds { objects, reachable, threads }, origin, again);
        (count <= objects as u64).then(|| Tree { columns, reachable, children: OnceLock::new() })
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let children = self.children.get().map_or(0, Children::footprint);
        let columns = self.columns.peek().map_or(0, |columns| {
            4 * columns.idoms.capacity() + columns.retained.footprint() + columns.counts.footprint()
        });
        columns + children
    }

    /// The dominator as it is kept: a node, or what stands in place of one.
    #[inline]
    fn idom(&self, id: NodeId) -> u32 {
        self.columns.ask(|columns| columns.idoms[id.0 as usize], |few| few.idom(id.0 as usize))
    }

    /// What dominates the object immediately.
    #[inline(always)]
    #[must_use]
    pub fn dominator(&self, id: NodeId) -> Dominator {
        match self.idom(id) {
            ROOT => Dominator::Root,
            UNREACHABLE => Dominator::Unreachable,
            node => Dominator::Node(NodeId(node)),
        }
    }

    /// The node of the immediate dominator; none where no object is it.
    pub(crate) fn above(&self, id: NodeId) -> Option<NodeId> {
        Some(self.idom(id)).filter(|node| *node < UNREACHABLE).map(NodeId)
    }

    /// Whether a chain of references leads from a root to the object.
    #[must_use]
    pub fn is_reachable(&self, id: NodeId) -> bool {
        self.idom(id) != UNREACHABLE
    }

    /// The bytes that the object retains, its own included; 0 of an unreachable one.
    #[must_use]
    pub fn retained(&self, id: NodeId) -> u64 {
        self.columns.ask(|columns| columns.retained.get(id.0 as usize), |few| few.retained(id.0 as usize))
    }

    /// How many objects it retains, itself included; 0 of an unreachable one.
    #[must_use]
    pub fn retained_count(&self, id: NodeId) -> u64 {
        self.columns.ask(|columns| columns.counts.get(id.0 as usize), |few| few.count(id.0 as usize))
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
                let children = Children::new(self.columns.idoms.len(), |id| self.dominator(id))?;
                Ok(self.children.get_or_init(|| children))
            }
        }
    }
}

impl Kept for Columns {
    type Few = FewNodes;
    type Bounds = Bounds;

    fn from_parts(reader: &mut Reader, Bounds { objects, reachable, threads }: Bounds) -> Option<Columns> {
        let idoms: Vec<u32> = reader.take()?;
        // The two numbers that are no nodes are the greatest ones: they wrap to 0 and 1.
        let end = idoms.iter().fold(0, |end, idom| idom.wrapping_add(2).max(end));
        if idoms.len() != objects || end as usize > objects + 1 {
            return None;
        }
        let retained = Column::from_parts(reader, objects, u64::MAX)?;
        let counts = Column::from_parts(reader, objects, u64::MAX)?;
        let Sum { count, memsize, .. } = reachable;
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
        let falls = threads::all(parts.collect()).into_iter().all(|falls| falls);
        falls.then_some(Columns { idoms, retained, counts })
    }

    fn few(group: &Group, bounds: Bounds) -> Option<FewNodes> {
        let idoms = group.few(0).filter(|idoms| idoms.count_of(4) == Some(bounds.objects))?;
        let column = |first| FewRows::new(group, first, bounds.objects, u64::MAX);
        Some(FewNodes { idoms, retained: column(1)?, counts: column(4)?, bounds })
    }

    fn empty(objects: usize) -> Columns {
        let (retained, counts) = (Column::same(objects, 0), Column::same(objects, 0));
        Columns { idoms: vec![UNREACHABLE; objects], retained, counts }
    }
}

impl FewNodes {
    /// Chains of dominators may be cycles here; the columns are looked at before one is walked long.
    fn idom(&self, node: usize) -> Option<u32> {
        let idom = self.idoms.number(node)? as u32;
        (idom >= UNREACHABLE || (idom as usize) < self.bounds.objects).then_some(idom)
    }

    fn retained(&self, node: usize) -> Option<u64> {
        self.retained.get(node).filter(|bytes| *bytes <= self.bounds.reachable.memsize)
    }

    fn count(&self, node: usize) -> Option<u64> {
        self.counts.get(node).filter(|count| *count <= self.bounds.reachable.count)
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
