//! The cheapest chain of references from the roots to each object.
//!
//! Short chains are cheap, but a step through Ruby's own machinery (inline caches, method entries), over an object's own class or from a
//! stack that is scanned conservatively costs as much as several others, because it says little to a programmer. All shortest paths
//! together are a tree, found in one run from the roots by Dial's algorithm (Communications of the ACM 12, 1969: Dijkstra's with a
//! bucket for each of the few costs). It costs 9 bytes for each object and time for each edge.
//!
//! *Other* paths to one object follow the shortest path to some object, take one edge that is on no shortest path, and go on by the
//! cheapest tail, which a second run, backwards from the object, finds for all. These are the paths with one detour as in Eppstein's
//! "Finding the k Shortest Paths" (SIAM Journal on Computing 28, 1998); those with several are not looked for.

use super::dominators::UNREACHABLE;
use super::{ROOT, Referrers, targets};
use crate::control::Control;
use crate::heap::{Heap, NodeId, Target};
use crate::memory::{STRIDE, filled, list};
use crate::record::Type;
use crate::{Result, sort};
use hashbrown::HashSet;

/// What a step costs.
const STEP: u32 = 1;
/// What it costs beside that to an object's own class, ...
const TO_CLASS: u32 = 3;
/// ... out of Ruby's machinery or the allocation tracer, ...
const MACHINERY: u32 = 4;
/// ... off a thread or fiber, whose stack is another in the next dump, ...
const STACK: u32 = 8;
/// ... to an object that is to be gone round, ...
const AVOIDED: u32 = 2;
/// ... and from a root that is scanned conservatively.
const CONSERVATIVE: u32 = 12;
/// One more than the greatest cost of a step.
const BUCKETS: usize = 16;

/// Sorts of IMEMO that hold what a program holds, and no machinery.
const PLAIN_IMEMO: [&[u8]; 5] = [b"env", b"fields", b"ifunc", b"memo", b"svar"];

/// The cheapest chain from the roots to each object. Of several that cost the same the search takes the one it meets first, which follows
/// from the order of roots, objects and references in the dump and from nothing else: one dump has one answer.
#[derive(Debug)]
pub struct ShortestPaths {
    /// By node: the one before it; [`ROOT`] at the beginning.
    parents: Vec<u32>,
    costs: Costs,
    /// The reachable nodes, cheapest first.
    order: Vec<u32>,
}

impl ShortestPaths {
    /// Finds the shortest paths to all objects.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn new(heap: &Heap, control: &Control<'_>) -> Result<ShortestPaths> {
        ShortestPaths::around(heap, |_| false, control)
    }

    /// The shortest paths that rather go round what `avoids` says: a step to such an object costs as much as three.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn around(heap: &Heap, avoids: impl Fn(NodeId) -> bool, control: &Control<'_>) -> Result<ShortestPaths> {
        let count = heap.object_count();
        let mut search = Search::new(count)?;
        for (node, cost) in beginnings(heap) {
            search.reach(ROOT, node, cost);
        }
        let mut order = list(count)?;
        let (mut together, mut heads) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER));
        let mut cheaper = Cheaper::new();
        let mut checked = 0;
        while let Some((cost, nodes)) = search.bucket() {
            for nodes in nodes.rchunks(TOGETHER) {
                if order.len() >= checked {
                    control.check()?;
                    checked = order.len() + STRIDE;
                }
                together.clear();
                together.extend(nodes.iter().rev().copied().filter(|node| search.costs.get(*node) == cost));
                order.extend_from_slice(&together);
                // All targets and then the class, each looked up once for a node, not for each of its edges.
                heads.clear();
                heads.extend(together.iter().map(|node| {
                    let id = NodeId(*node);
                    (heap.ty(id), heap.packed_class(id), heap.edge_places(id))
                }));
                for (node, (ty, class, places)) in together.iter().zip(&heads) {
                    let cost = cost + cost_off(heap, *node, *ty);
                    for targets in heap.packed_edges(places.clone()).chunks(EDGES - 1) {
                        cheaper.room(targets.len() + 1, &mut search, &avoids);
                        for target in targets {
                            let cost = cost + if target == class { TO_CLASS } else { 0 };
                            cheaper.take(&search.costs, *node, *target, cost);
                        }
                    }
                    cheaper.room(1, &mut search, &avoids);
                    cheaper.take(&search.costs, *node, *class, cost + TO_CLASS);
                }
                cheaper.reach(&mut search, &avoids);
            }
            search.done(nodes);
        }
        Ok(ShortestPaths { parents: search.from, costs: search.costs, order })
    }

    /// The object before one on its path; none where it begins, or where there is no path.
    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        Some(self.parents[id.0 as usize]).filter(|node| *node < UNREACHABLE).map(NodeId)
    }

    /// The reachable nodes, cheapest first.
    pub(crate) fn order(&self) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        self.order.iter().map(|node| NodeId(*node))
    }

    /// About how many bytes of memory they take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        4 * (self.parents.capacity() + self.order.capacity()) + self.costs.footprint()
    }

    /// Whether there is a path to the object.
    #[must_use]
    pub fn is_reachable(&self, id: NodeId) -> bool {
        self.parents[id.0 as usize] != UNREACHABLE
    }

    /// What stands before the object on its shortest path; none where a root refers to it, or nothing leads to it.
    #[must_use]
    pub fn before(&self, id: NodeId) -> Option<NodeId> {
        Some(self.parents[id.0 as usize]).filter(|node| *node != ROOT && *node != UNREACHABLE).map(NodeId)
    }

    /// The shortest path to the object, from what a root refers to down to itself; none where there is no path.
    #[must_use]
    pub fn path(&self, id: NodeId) -> Option<Vec<NodeId>> {
        if !self.is_reachable(id) {
            return None;
        }
        let mut path = vec![id];
        let mut at = self.parents[id.0 as usize];
        while at != ROOT {
            path.push(NodeId(at));
            at = self.parents[at as usize];
        }
        path.reverse();
        Some(path)
    }

    /// The shortest path to the object and up to `limit - 1` other chains, of those that are cheap and end unlike the shortest path; cheapest first. Costs about as much as [`ShortestPaths::new`].
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled.
    pub fn chains(
        &self,
        heap: &Heap,
        referrers: &Referrers,
        id: NodeId,
        limit: usize,
        control: &Control<'_>,
    ) -> Result<Vec<Vec<NodeId>>> {
        let Some(path) = self.path(id) else { return Ok(Vec::new()) };
        let tails = TailPaths::new(heap, referrers, &path, control)?;
        let mut branches: Vec<Branch> = Vec::new();
        let count = self.parents.len();
        let (mut above, mut below) = (Junctions::new(count, &path), Junctions::new(count, &path));
        let mut take = |branch: Branch| {
            branches.push(branch);
            if branches.len() >= 2 * EXAMINED {
                branches.sort_unstable();
                branches.dedup();
                branches.truncate(EXAMINED);
            }
        };
        let end = path.len() as u32;
        for (node, cost) in beginnings(heap) {
            let tail = tails.costs.get(node);
            if self.parents[node as usize] != ROOT && tail != u32::MAX {
                let cost = cost + tail;
                take(Branch { rank: cost + ALIKE * (end - below.of(&tails.next, node)), cost, from: ROOT, to: node });
            }
        }
        for from in &self.order {
            // The shortest path to `from` begins with so many objects of the one path; what the object itself holds leads to it no other path.
            let common = above.of(&self.parents, *from);
            if common as usize == path.len() {
                continue;
            }
            for NodeId(to) in targets(heap, NodeId(*from)) {
                let tail = tails.costs.get(to);
                // A tail that comes back to one of those passes it twice.
                if tail == u32::MAX || self.parents[to as usize] == *from {
                    continue;
                }
                let met = below.of(&tails.next, to);
                if met > common {
                    let cost = self.costs.get(*from) + step_cost(heap, *from, to) + tail;
                    take(Branch { rank: cost + ALIKE * (end - met), cost, from: *from, to });
                }
            }
        }
        branches.sort_unstable();
        branches.dedup();
        let mut found: Vec<(u32, Vec<NodeId>)> = Vec::new();
        let mut steps_left = count.max(1 << 16).saturating_mul(4);
        for Branch { cost, from, to, .. } in branches.into_iter().take(EXAMINED) {
            if found.len() + 1 >= limit || steps_left == 0 {
                break;
            }
            let mut chain = if from == ROOT { Vec::new() } else { self.path(NodeId(from)).unwrap_or_default() };
            let mut at = to;
            while at != ROOT {
                chain.push(NodeId(at));
                at = tails.next[at as usize];
            }
            steps_left = steps_left.saturating_sub(chain.len());
            let mut seen = HashSet::with_capacity(chain.len());
            if chain.iter().all(|id| seen.insert(*id)) {
                found.push((cost, chain));
            }
        }
        sort::by_key(&mut found, |(cost, _)| *cost);
        let mut chains = vec![path];
        chains.extend(found.into_iter().map(|(_, chain)| chain));
        chains.truncate(limit);
        Ok(chains)
    }
}

/// What it costs to end like the shortest path: another holder of the object tells more than another path to the same one.
const ALIKE: u32 = 2;
/// So many of the cheapest branches are looked at for chains that pass no object twice.
const EXAMINED: usize = 4096;

/// Where a chain leaves all shortest paths: it follows the shortest path to `from`, goes on to `to` and from there by the cheapest tail. As it is the first
/// edge that is on no path, no two branches are the same chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Branch {
    /// The cost, and [`ALIKE`] for each object that the chain ends with as the shortest path does.
    rank: u32,
    cost: u32,
    from: u32,
    to: u32,
}

/// What the roots refer to, and what a chain costs that begins there.
fn beginnings(heap: &Heap) -> impl Iterator<Item = (u32, u32)> + '_ {
    heap.roots().iter().flat_map(|root| {
        let cost = if is_conservative(&root.category) { CONSERVATIVE } else { 0 };
        root.targets.iter().filter_map(Target::node).map(move |id| (id.0, cost))
    })
}

/// What the step from one node to another costs.
#[inline(always)]
fn step_cost(heap: &Heap, from: u32, to: u32) -> u32 {
    cost_off(heap, from, heap.ty(NodeId(from))) + to_class(heap, from, to)
}

/// What each step from a node of a type costs.
#[inline]
fn cost_off(heap: &Heap, from: u32, ty: Type) -> u32 {
    // The tracer is data.
    if matches!(ty, Type::Imemo | Type::Data) { STEP + more_off(heap, from, ty) } else { STEP }
}

fn more_off(heap: &Heap, from: u32, ty: Type) -> u32 {
    let label = || heap.names().tables.symbols.bytes(heap.label(NodeId(from)));
    match ty {
        _ if heap.is_tracer(NodeId(from)) => MACHINERY,
        Type::Imemo if !PLAIN_IMEMO.contains(&label()) => MACHINERY,
        Type::Data if matches!(label(), b"VM/thread" | b"fiber") => STACK,
        _ => 0,
    }
}

/// What it costs beside that to an object's own class.
#[inline(always)]
fn to_class(heap: &Heap, from: u32, to: u32) -> u32 {
    if to == heap.packed_class(NodeId(from)) { TO_CLASS } else { 0 }
}

/// What it costs to reach each node, in a byte where it is less than [`LOW`]: a search looks at costs in no order, and so many of them stay
/// in a near cache.
#[derive(Debug)]
struct Costs {
    low: Vec<u8>,
    /// The greater ones, where there is one; `u32::MAX` for a node that is not reached. The room for them is taken at once, but no memory.
    high: Vec<u32>,
}

/// One more than the greatest cost that fits in a byte.
const LOW: u8 = u8::MAX;

impl Costs {
    fn new(count: usize) -> Result<Costs> {
        Ok(Costs { low: filled(LOW, count)?, high: list(count)? })
    }

    #[inline]
    fn get(&self, node: u32) -> u32 {
        match self.low[node as usize] {
            LOW => self.high.get(node as usize).copied().unwrap_or(u32::MAX),
            low => u32::from(low),
        }
    }

    /// Whether that is less than what it costs to reach the node so far.
    #[inline]
    fn is_above(&self, cost: u32, node: u32) -> bool {
        cost < u32::from(self.low[node as usize]) || cost >= u32::from(LOW) && cost < self.get(node)
    }

    /// Whether it may be, by the byte alone; not where there is no such node.
    #[inline]
    fn may_be_above(&self, cost: u32, node: u32) -> bool {
        self.low.get(node as usize).is_some_and(|low| cost < u32::from(*low) || *low == LOW)
    }

    #[inline]
    fn set(&mut self, node: u32, cost: u32) {
        self.low[node as usize] = cost.min(u32::from(LOW)) as u8;
        if cost >= u32::from(LOW) {
            if self.high.is_empty() {
                self.high.resize(self.low.len(), u32::MAX);
            }
            self.high[node as usize] = cost;
        }
    }

    fn footprint(&self) -> usize {
        self.low.capacity() + 4 * self.high.len()
    }
}

/// A search for the cheapest chains: nodes wait in a bucket for each of the few costs.
struct Search {
    /// By node: the one it was reached from.
    from: Vec<u32>,
    costs: Costs,
    buckets: Vec<Vec<u32>>,
    waiting: usize,
    cost: u32,
}

impl Search {
    fn new(count: usize) -> Result<Search> {
        Ok(Search {
            from: filled(UNREACHABLE, count)?,
            costs: Costs::new(count)?,
            buckets: vec![Vec::new(); BUCKETS],
            waiting: 0,
            cost: 0,
        })
    }

    /// Whether that is less than what it costs to reach the node so far.
    #[inline(always)]
    fn is_cheaper(&self, to: u32, cost: u32) -> bool {
        self.costs.is_above(cost, to)
    }

    #[inline(always)]
    fn reach(&mut self, from: u32, to: u32, cost: u32) {
        if self.is_cheaper(to, cost) {
            self.costs.set(to, cost);
            self.from[to as usize] = from;
            self.buckets[cost as usize % BUCKETS].push(to);
            self.waiting += 1;
        }
    }

    /// All nodes of the least cost that were not given yet, the last of them first, some of which are cheaper by now: no step costs
    /// nothing, so none comes to these. They are to be given back.
    fn bucket(&mut self) -> Option<(u32, Vec<u32>)> {
        while self.waiting > 0 {
            let nodes = std::mem::take(&mut self.buckets[self.cost as usize % BUCKETS]);
            if !nodes.is_empty() {
                self.waiting -= nodes.len();
                return Some((self.cost, nodes));
            }
            self.cost += 1;
        }
        None
    }

    /// Takes back a bucket whose nodes were looked at.
    fn done(&mut self, mut nodes: Vec<u32>) {
        nodes.clear();
        self.buckets[self.cost as usize % BUCKETS] = nodes;
    }

    /// The cheapest node that was not given yet, and its cost.
    #[inline(always)]
    fn next(&mut self) -> Option<(u32, u32)> {
        while self.waiting > 0 {
            let Some(node) = self.buckets[self.cost as usize % BUCKETS].pop() else {
                self.cost += 1;
                continue;
            };
            self.waiting -= 1;
            if self.costs.get(node) == self.cost {
                return Some((node, self.cost));
            } // else a cheaper chain was found since
        }
        None
    }
}

/// So many nodes of one cost are looked at together: their edges lie all over the memory, and a processor waits for several places at
/// once if nothing has to be known of one before the next.
const TOGETHER: usize = 64;
/// And so many edges.
const EDGES: usize = 512;

/// Edges that may lead to their targets more cheaply than known so far, in order. Most lead to what is reached more cheaply already, so
/// few are; which, is told without a branch, and they are looked at once more when all are there. As costs only fall, what is left
/// out would have been left out then, too.
struct Cheaper {
    /// From, to and cost.
    edges: Box<[(u32, u32, u32); EDGES]>,
    count: usize,
}

impl Cheaper {
    fn new() -> Cheaper {
        Cheaper { edges: Box::new([(0, 0, 0); EDGES]), count: 0 }
    }

    /// Makes room for so many more.
    #[inline]
    fn room(&mut self, more: usize, search: &mut Search, avoids: &impl Fn(NodeId) -> bool) {
        if self.count + more > EDGES {
            self.reach(search, avoids);
        }
    }

    /// Keeps an edge if it is cheaper; one that leads to no node of the dump is not.
    #[inline]
    fn take(&mut self, costs: &Costs, from: u32, to: u32, cost: u32) {
        self.edges[self.count % EDGES] = (from, to, cost);
        self.count += usize::from(costs.may_be_above(cost, to));
    }

    /// Goes along those that are kept.
    fn reach(&mut self, search: &mut Search, avoids: &impl Fn(NodeId) -> bool) {
        for (from, to, cost) in &self.edges[..std::mem::take(&mut self.count)] {
            if search.is_cheaper(*to, *cost) {
                let avoided = if avoids(NodeId(*to)) { AVOIDED } else { 0 };
                search.reach(*from, *to, cost + avoided);
            }
        }
    }
}

/// The cheapest chain from each node to one object.
struct TailPaths {
    costs: Costs,
    /// By node: the one behind it; [`ROOT`] at the end.
    next: Vec<u32>,
}

impl TailPaths {
    /// Those to the end of `path`, which all that reach it follow.
    fn new(heap: &Heap, referrers: &Referrers, path: &[NodeId], control: &Control<'_>) -> Result<TailPaths> {
        let mut search = Search::new(heap.object_count())?;
        let Some(end) = path.last() else { return Ok(TailPaths { costs: search.costs, next: search.from }) };
        search.reach(ROOT, end.0, 0);
        let mut walked = 0usize;
        while let Some((node, cost)) = search.next() {
            walked += 1;
            control.check_at(walked)?;
            for NodeId(from) in referrers.of(NodeId(node)) {
                search.reach(node, from, cost + step_cost(heap, from, node));
            }
        }
        // A part of a cheapest chain is one; of several that are equal this one is taken.
        path.windows(2).for_each(|pair| search.from[pair[0].0 as usize] = pair[1].0);
        Ok(TailPaths { costs: search.costs, next: search.from })
    }
}

/// Where the chains that a tree of pointers tells meet one path. Each node is walked over once, whatever is asked.
struct Junctions {
    /// By node: the place on the shortest path of the first object of it that its chain meets, plus 1; 0 for none, `u32::MAX` where that is not
    /// known yet.
    known: Vec<u32>,
    walked: Vec<u32>,
}

impl Junctions {
    fn new(count: usize, path: &[NodeId]) -> Junctions {
        let mut known = vec![u32::MAX; count];
        for (place, id) in (1..).zip(path) {
            known[id.0 as usize] = place;
        }
        Junctions { known, walked: Vec::new() }
    }

    fn of(&mut self, pointers: &[u32], node: u32) -> u32 {
        let mut at = node;
        while at != ROOT && self.known[at as usize] == u32::MAX {
            self.walked.push(at);
            at = pointers[at as usize];
        }
        let place = if at == ROOT { 0 } else { self.known[at as usize] };
        self.walked.drain(..).for_each(|at| self.known[at as usize] = place);
        place
    }
}

/// Whether roots of the category may be no references at all.
pub(crate) fn is_conservative(category: &str) -> bool {
    category == "machine_context"
}

#[cfg(test)]
mod tests;
