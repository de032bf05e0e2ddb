//! The accumulation points of a dump without generations, or with those of samples alone: who holds many objects of one kind.

use super::anchors::AccumulationPoint;
use super::joining::{ElementKind, joined};
use super::naming::{is_core, name};
use super::origins::{Origin, Origins};
use super::points::{Accumulation, Content, ObjectKind, is_element, kind_of};
use super::{Confidence, FEW_OBJECTS, LARGE, LEAST, Suspect};
use crate::analysis::in_use::SLOT;
use crate::control::Control;
use crate::graph::Links;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::labels::Labels;
use crate::memory::{self, filled, list, room};
use crate::record::Type;
use crate::sampling::Sampling;
use crate::source::Source;
use crate::{Result, sort};

/// The suspects of one dump that tells no generations.
pub(super) fn untraced(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    shortest_paths: &ShortestPaths,
    source: &Source,
    limit: usize,
    control: &Control<'_>,
) -> Result<Vec<Suspect>> {
    let floor = LEAST.max(tree.reachable().memsize / 2000);
    let labels = Labels::new(heap);
    let held = Held::new(heap, tree, children, shortest_paths, &labels, floor, control)?;
    let ranked = held.ranked(heap, tree, children, floor, limit.saturating_add(DOUBTED), control)?;
    control.check()?;
    let ranked = by_doubt(heap, tree, shortest_paths, source, ranked, limit)?;
    name(
        heap,
        tree,
        children,
        shortest_paths,
        source,
        &ranked,
        &|_| true,
        &|point| {
            let what = match &point.verdict {
                Some((_, doubt)) => doubt,
                None if point.content.is_empty() => "it is big",
                None => "it holds many objects of one kind",
            };
            let text = "since when the dump does not tell, so start-up data and caches look the same; two more dumps would tell them apart";
            (Confidence::Low, format!("{what}; {text}"))
        },
        control,
    )
}

/// The first of the points, those behind the others that are less likely a leak: what Ruby's own library holds, and what was made in
/// one go, as start-up data is.
fn by_doubt(
    heap: &Heap,
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    source: &Source,
    mut points: Vec<(AccumulationPoint, Accumulation)>,
    limit: usize,
) -> Result<Vec<(AccumulationPoint, Accumulation)>> {
    let looked_at = points.len().min(limit.saturating_add(DOUBTED));
    let path = |at: AccumulationPoint| at.node().and_then(|id| shortest_paths.path(id)).unwrap_or_default();
    let mut labels = Labels::new(heap);
    let origins = Origins::new(heap, &labels, points[..looked_at].iter().flat_map(|(anchor, _)| path(*anchor)));
    let code: Vec<NodeId> = origins.code().collect();
    labels.read_texts(source, &code, std::iter::empty())?;
    let mut weighed: Vec<(u64, AccumulationPoint, Accumulation)> = Vec::new();
    for (anchor, mut point) in points.drain(..looked_at) {
        let doubt = if is_of_ruby(heap, &labels, &origins, &path(anchor)) {
            Some("Ruby's own library holds many objects of one kind")
        } else {
            let is_at_once = point.content.iter().max_by_key(|(kind, content)| (content.retained, **kind));
            let is_at_once =
                is_at_once.zip(anchor.node()).is_some_and(|((kind, _), id)| is_side_by_side(heap, tree, id, *kind));
            is_at_once.then_some("it holds many objects of one kind, side by side as if they were made in one go")
        };
        let weight = if doubt.is_some() { point.bytes / DOUBTFUL } else { point.bytes };
        point.verdict = doubt.map(|doubt| (Confidence::Low, doubt.to_owned()));
        point.rank = (1, weight);
        weighed.push((weight, anchor, point));
    }
    sort::by(&mut weighed, |(one, a, _), (other, b, _)| other.cmp(one).then(a.cmp(b)));
    weighed.truncate(limit);
    Ok(weighed.into_iter().map(|(_, anchor, point)| (anchor, point)).collect())
}

/// So many more points than are asked for are looked at.
const DOUBTED: usize = 40;
/// What is doubtful ranks by this part of its bytes.
const DOUBTFUL: u64 = 10;
/// So many objects of a point tell whether they were made in one go.
const NEIGHBOURS: usize = 1000;

/// Whether the nearest class, module or object with a class on the path is of Ruby's library, or a table of Ruby's own is all there is.
fn is_of_ruby(heap: &Heap, labels: &Labels<'_>, origins: &Origins, path: &[NodeId]) -> bool {
    let nearest = path.iter().rev().find_map(|id| match heap.properties(*id).ty {
        Type::Class | Type::Module | Type::Iclass => heap.names().class_name(heap.address(*id)).map(Some),
        Type::Object | Type::Struct => Some(labels.class(*id)),
        Type::Data => labels.class(*id).filter(|class| !is_core(class) || class == "Thread").map(Some),
        _ => None,
    });
    match nearest {
        // An object of a class that the dump does not tell of.
        Some(None) => true,
        // Constants and global variables of the app are `Object`'s, and a thread's variables its own.
        Some(Some(name)) => {
            let name = name.strip_prefix("#<Class:").and_then(|name| name.strip_suffix('>')).unwrap_or(&name);
            !matches!(name, "Object" | "Thread" | "Kernel") && origins.of(labels, name) == Origin::Ruby
        }
        None => path.first().is_none_or(|first| heap.class(*first).is_none()),
    }
}

/// Whether the objects of a kind that a point refers to lie as close together as what each of them holds takes, as they do where they
/// were made one after another and nothing else in between.
fn is_side_by_side(heap: &Heap, tree: &Tree, point: NodeId, kind: ObjectKind) -> bool {
    let objects: Vec<NodeId> = heap.targets(point).filter(|id| kind_of(heap, *id) == kind).take(NEIGHBOURS).collect();
    let is_near = |pair: &&[NodeId]| {
        let slots = tree.retained_count(pair[0]).max(tree.retained_count(pair[1]));
        heap.address(pair[0]).abs_diff(heap.address(pair[1])) <= 3 * SLOT * slots
    };
    let near = objects.windows(2).filter(is_near).count() as u64;
    objects.len() as u64 > FEW_OBJECTS && near * 100 >= (objects.len() as u64 - 1) * 95
}

/// By point, what it holds. There may be a point for each object, as in a ladder, so that is a few numbers in lists: what a point holds is
/// summed up when all that is its is known, one point after another.
struct Held {
    /// By node, the point that holds it; none where none does, or it does not count.
    points: Links,
    /// By node, whether it lies in a list of its own kind: what the first element retains is not counted again for the second.
    is_inside: Vec<bool>,
    /// By node, its number in a search through the dominator tree, so that what a node dominates has the numbers behind its own.
    numbers: Vec<u32>,
    /// The nodes that count, by point.
    nodes: Vec<NodeId>,
}

impl Held {
    /// Code is left out: methods, named classes, and what else no program makes many of at run time. So are small holders, below `floor`
    /// bytes.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
    fn new(
        heap: &Heap,
        tree: &Tree,
        children: &Children,
        shortest_paths: &ShortestPaths,
        labels: &Labels<'_>,
        floor: u64,
        control: &Control<'_>,
    ) -> Result<Held> {
        let (mut points, numbers) = holders(heap, tree, children, control)?;
        let mut is_inside = filled(false, heap.object_count())?;
        let mut nodes = list(heap.object_count())?;
        for id in heap.nodes() {
            control.check_at(id.0 as usize)?;
            let alone = points.get(id);
            points.set(id, None);
            if heap.properties(id).tracer || !tree.is_reachable(id) || is_code(heap, labels, id) {
                continue;
            }
            if alone.is_some_and(|holder| tree.retained(holder) < floor) {
                continue;
            }
            // What several objects hold together stands under the nearest of them.
            let Some(point) = alone.or_else(|| shortest_paths.parent(id)) else { continue };
            if heap.properties(point).tracer {
                continue;
            }
            is_inside[id.0 as usize] = alone.is_some() && tree.above(id) != alone;
            points.set(id, Some(point));
            nodes.push(id);
        }
        let mut held = Held { points, is_inside, numbers, nodes };
        held.join(heap, tree, control)?;
        Ok(held)
    }

    /// Joins points as [`joined`] has it.
    fn join(&mut self, heap: &Heap, tree: &Tree, control: &Control<'_>) -> Result<()> {
        self.sort(control)?;
        let Held { points, nodes, .. } = self;
        let of = |id: &NodeId| points.get(*id);
        let count = nodes.chunk_by(|one, other| of(one) == of(other)).count();
        let mut ids = list(count)?;
        ids.extend(nodes.chunk_by(|one, other| of(one) == of(other)).filter_map(|held| of(&held[0])));
        // Points are asked for in order.
        let mut rest = nodes.chunk_by(|one, other| of(one) == of(other)).enumerate();
        let held = |point: usize, kinds: &mut Vec<ElementKind>| {
            let Some((_, held)) = rest.find(|(at, _)| *at == point) else { return };
            for id in held {
                let (ty, class, ..) = kind_of(heap, *id);
                if kinds.last() != Some(&(ty, class)) {
                    kinds.push((ty, class));
                }
            }
        };
        let joined = joined(heap, tree, &ids, held, control)?;
        if joined == ids {
            return Ok(());
        }
        let (mut at, mut before) = (0, nodes.first().and_then(|id| points.get(*id)));
        for (step, id) in nodes.iter().enumerate() {
            control.check_at(step)?;
            let point = points.get(*id);
            at += usize::from(point != before);
            before = point;
            points.set(*id, Some(joined[at]));
        }
        self.sort(control)
    }

    fn sort(&mut self, control: &Control<'_>) -> Result<()> {
        let Held { points, nodes, .. } = self;
        control.check()?;
        nodes.sort_unstable_by_key(|id| (points.get(*id), *id));
        control.check()
    }

    /// The first `most` of the points with at least `floor` bytes, and of the strings that are large.
    fn ranked(
        &self,
        heap: &Heap,
        tree: &Tree,
        children: &Children,
        floor: u64,
        most: usize,
        control: &Control<'_>,
    ) -> Result<Vec<(AccumulationPoint, Accumulation)>> {
        let large = LARGE.max(tree.reachable().memsize / 1000);
        let is_large = |id: NodeId| heap.ty(id) == Type::String && heap.bytes(id) >= large;
        let mut ranked = Ranked { most, points: Vec::new() };
        let of = |id: &NodeId| self.points.get(*id);
        for (step, held) in self.nodes.chunk_by(|one, other| of(one) == of(other)).enumerate() {
            control.check_at(step)?;
            let Some(point) = of(&held[0]) else { continue };
            if held.len() as u64 > FEW_OBJECTS && !is_large(point) {
                ranked.take(floor, point, self.point(heap, tree, children, point, held, control)?)?;
            }
        }
        for id in heap.nodes().filter(|id| is_large(*id) && tree.is_reachable(*id)) {
            ranked.take(floor, id, Accumulation { bytes: heap.bytes(id), ..Accumulation::default() })?;
        }
        control.check()?;
        Ok(ranked.end())
    }

    /// A point that holds these objects.
    fn point(
        &self,
        heap: &Heap,
        tree: &Tree,
        children: &Children,
        point: NodeId,
        held: &[NodeId],
        control: &Control<'_>,
    ) -> Result<Accumulation> {
        let mut accumulation = Accumulation::default();
        for (step, id) in held.iter().copied().enumerate() {
            control.check_at(step)?;
            let kind = kind_of(heap, id);
            let retained = if self.is_inside[id.0 as usize] { 0 } else { tree.retained(id) };
            let one = Content { count: 1, retained, ..Content::new(id) };
            memory::map(&mut accumulation.content, 1)?;
            accumulation.take(kind, one);
            accumulation.add_stack(kind, heap.stack(id))?;
        }
        if heap.names().sampling.is_some_and(Sampling::is_of_lines) {
            accumulation.fold_untraced();
        }
        let content = &mut accumulation.content;
        content.retain(|_, content| content.count > FEW_OBJECTS);
        content.shrink_to_fit();
        // What the objects of one kind hold are often those of another; only what the point holds itself adds up.
        let most = content.values().map(|content| content.retained).max().unwrap_or(0);
        let mut own = 0u64;
        for (step, id) in children.of(Dominator::Node(point)).enumerate().filter(|_| !content.is_empty()) {
            control.check_at(step)?;
            if content.contains_key(&kind_of(heap, id)) {
                own = own.saturating_add(tree.retained(id));
            }
        }
        let mut bytes = most.max(own);
        if content.values().all(|content| self.dominates(tree, point, content.sample)) {
            bytes = bytes.min(tree.retained(point));
        }
        accumulation.bytes = bytes;
        Ok(accumulation)
    }

    fn dominates(&self, tree: &Tree, point: NodeId, id: NodeId) -> bool {
        let [first, number] = [point, id].map(|id| u64::from(self.numbers[id.0 as usize]));
        (first..first + tree.retained_count(point)).contains(&number)
    }
}

/// The points with the most bytes, of all that were taken.
struct Ranked {
    most: usize,
    points: Vec<(AccumulationPoint, Accumulation)>,
}

impl Ranked {
    fn take(&mut self, floor: u64, point: NodeId, held: Accumulation) -> Result<()> {
        if held.bytes < floor {
            return Ok(());
        }
        if self.points.len() >= self.most.saturating_mul(2) {
            self.cut();
        }
        room(&mut self.points, 1)?;
        self.points.push((AccumulationPoint::Node(point), held));
        Ok(())
    }

    fn cut(&mut self) {
        sort::by(&mut self.points, |(a, one), (b, other)| other.bytes.cmp(&one.bytes).then(a.cmp(b)));
        self.points.truncate(self.most);
    }

    fn end(mut self) -> Vec<(AccumulationPoint, Accumulation)> {
        self.cut();
        self.points
    }
}

/// By node, the nearest object above in the dominator tree, of another kind where it may be an element of a linked list; and its number
/// in the search.
fn holders(heap: &Heap, tree: &Tree, children: &Children, control: &Control<'_>) -> Result<(Links, Vec<u32>)> {
    let (mut holders, mut numbers) = (Links::new(heap.object_count())?, filled(u32::MAX, heap.object_count())?);
    let mut number = 0u32;
    let mut stack: Vec<NodeId> = children.of(Dominator::Root).collect();
    while let Some(id) = stack.pop() {
        control.check_at(number as usize)?;
        numbers[id.0 as usize] = number;
        number += 1;
        if let Some(above) = tree.above(id) {
            let is_next = is_element(heap, above) && kind_of(heap, above) == kind_of(heap, id);
            holders.set(id, if is_next { holders.get(above) } else { Some(above) });
        }
        let below = children.of(Dominator::Node(id));
        room(&mut stack, below.len())?;
        stack.extend(below);
    }
    Ok((holders, numbers))
}

fn is_code(heap: &Heap, labels: &Labels<'_>, id: NodeId) -> bool {
    match heap.properties(id).ty {
        Type::Imemo | Type::Iclass => true,
        Type::Class | Type::Module => {
            heap.names().class_name(heap.address(id)).is_some_and(|name| !name.starts_with("#<Class:0x"))
        }
        Type::Data => labels.class(id).is_none(),
        _ => false,
    }
}
