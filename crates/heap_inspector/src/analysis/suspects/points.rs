//! What is new, summed up by the accumulation point that holds it.

use super::Confidence;
use super::anchors::{AccumulationPoint, Anchors};
use super::joining::joined;
use crate::analysis::diff::{Before, Diff};
use crate::analysis::in_use::own_bytes;
use crate::control::Control;
use crate::graph::dominators::{Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::memory::map;
use crate::record::Type;
use crate::stacks::FrameId;
use crate::symbols::{SiteId, Symbol};
use crate::{Result, sort};
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

/// What a group of objects is told by: type, class (an object's own singleton class aside), allocation site and label.
pub(super) type ObjectKind = (Type, Symbol, SiteId, Symbol);

/// Objects of one class and site under one accumulation point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    /// One of them.
    pub(super) sample: NodeId,
    pub(super) count: u64,
    /// What those hold that no other of them holds.
    pub(super) retained: u64,
    /// The first generation plus 1; 0 for none.
    pub(super) since: u32,
    /// By generation, one bit for each slice of the traced period.
    pub(super) bins: u32,
}

impl Content {
    pub(super) fn new(sample: NodeId) -> Content {
        Content { sample, count: 0, retained: 0, since: 0, bins: 0 }
    }

    pub(super) fn add(&mut self, other: Content) {
        self.count += other.count;
        self.retained = self.retained.saturating_add(other.retained);
        self.bins |= other.bins;
        self.since = if self.since == 0 { other.since } else { self.since.min(other.since.max(1)) };
    }
}

/// What was found of an accumulation point.
#[derive(Clone, Debug, Default)]
pub(in crate::analysis) struct Accumulation {
    /// The bytes that came in each step.
    pub(in crate::analysis) steps: Vec<u64>,
    /// Those of them that it holds together with others.
    pub(super) joint: Vec<u64>,
    /// How sure it is that it leaks, and why; of several dumps, set when they are compared.
    pub(super) verdict: Option<(Confidence, String)>,
    pub(super) content: HashMap<ObjectKind, Content>,
    /// By type and class, how many of the objects were allocated in a stack.
    pub(super) stacks: HashMap<(Type, Symbol, FrameId), u64>,
    /// By generation, one bit for each slice of the traced period.
    pub(super) bins: u32,
    pub(super) bytes: u64,
    /// The other places that are one with it by their normalised path, whose content is in this one's.
    pub(super) others: Vec<NodeId>,
    /// What it ranks by: its tier, and what it grew in its smallest step, or its weight in one dump.
    pub(super) rank: (u8, u64),
    /// The bytes that came in all steps, where `steps` has by how much it grew.
    pub(super) came: u64,
    /// By sort, which part of the objects that came is growth, where some were given back and it is known.
    pub(super) kept: HashMap<ObjectKind, f64>,
}

/// What left is told where it is more than such a part of what came; a smaller one is what else came with it.
const GAVE_BACK: u64 = 20;

impl Accumulation {
    /// Whether it gave back so much of what came that it is told.
    pub(super) fn gave_back(&self) -> bool {
        self.total().saturating_mul(GAVE_BACK) < self.came.saturating_mul(GAVE_BACK - 1)
    }

    /// How many objects came and stayed.
    pub(in crate::analysis) fn count(&self) -> u64 {
        self.content.values().map(|content| content.count).sum()
    }

    /// The bytes that came and stayed; of one dump what the objects hold.
    pub(super) fn total(&self) -> u64 {
        if self.steps.is_empty() {
            self.bytes
        } else {
            self.steps.iter().fold(0, |sum: u64, step| sum.saturating_add(*step))
        }
    }

    /// Of how many of its objects, those of a sort, it is growth that they came: as the sort tells, or else the bytes.
    pub(super) fn grown(&self, sort: Option<ObjectKind>, count: u64) -> u64 {
        if !self.gave_back() {
            return count;
        }
        let part = sort.and_then(|sort| self.kept.get(&sort).copied());
        (count as f64 * part.unwrap_or_else(|| self.total() as f64 / self.came as f64)).round() as u64
    }

    pub(super) fn add(&mut self, other: Accumulation) {
        self.steps.resize(other.steps.len().max(self.steps.len()), 0);
        self.steps.iter_mut().zip(&other.steps).for_each(|(sum, step)| *sum = sum.saturating_add(*step));
        self.joint.resize(other.joint.len().max(self.joint.len()), 0);
        self.joint.iter_mut().zip(&other.joint).for_each(|(sum, step)| *sum = sum.saturating_add(*step));
        self.bins |= other.bins;
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (stack, count) in other.stacks {
            *self.stacks.entry(stack).or_default() += count;
        }
        other.content.into_iter().for_each(|(sort, content)| self.take(sort, content));
        self.others.extend(other.others);
    }

    /// Adds objects of one sort.
    pub(super) fn take(&mut self, sort: ObjectKind, content: Content) {
        self.content.entry(sort).or_insert_with(|| Content::new(content.sample)).add(content);
    }

    /// How sure it is that it leaks, and why; not at all where nothing was said.
    pub(super) fn judged(&self) -> (Confidence, String) {
        self.verdict.clone().unwrap_or((Confidence::Low, String::new()))
    }

    /// Counts the stack of an object, where it is known.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub(super) fn add_stack(&mut self, (ty, class, ..): ObjectKind, stack: FrameId) -> Result<()> {
        if stack.is_some() {
            map(&mut self.stacks, 1)?;
            *self.stacks.entry((ty, class, stack)).or_default() += 1;
        }
        Ok(())
    }

    /// Counts what has no line to the most of its class that has one: a compaction takes the lines of what it moves, and of sampled
    /// allocations few have any.
    pub(super) fn fold_untraced(&mut self) {
        let untraced: Vec<ObjectKind> =
            self.content.keys().filter(|(.., site, _)| *site == SiteId::NONE).copied().collect();
        for sort in untraced {
            let is_like =
                |other: &ObjectKind| (other.0, other.1, other.3) == (sort.0, sort.1, sort.3) && other.2 != sort.2;
            let traced = self.content.iter().filter(|(other, _)| is_like(other));
            let Some(to) = traced.max_by_key(|(other, content)| (content.retained, **other)).map(|(to, _)| *to) else {
                continue;
            };
            if let (Some(from), Some(to)) = (self.content.remove(&sort), self.content.get_mut(&to)) {
                to.add(Content { since: to.since, ..from });
            }
        }
    }
}

pub(super) fn kind_of(heap: &Heap, id: NodeId) -> ObjectKind {
    let (ty, numbers, names) = (heap.ty(id), heap.numbers(id), heap.names());
    // A class made at run time has a singleton class of its own: that is not another one.
    let is_metaclass = ty == Type::Class && names.is_metaclass(heap.address(id));
    let class = if is_metaclass { names.metaclass() } else { names.instance_class(numbers.class) };
    (ty, class, numbers.site, numbers.label)
}

/// Where what is new since the first dump piles up: by accumulation point, as [`join`] has it. Only what `counts` is summed up.
///
/// # Errors
/// [`Error::Interrupted`] when cancelled.
pub(in crate::analysis) fn places(
    diff: &Diff<'_>,
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    control: &Control<'_>,
    mut counts: impl FnMut(NodeId) -> bool,
) -> Result<HashMap<AccumulationPoint, Accumulation>> {
    let heap = diff.heap();
    let steps = diff.step_count();
    let known = known_classes(diff);
    let is_old = |id: NodeId| diff.step(id).is_none() || known.contains(&id);
    // What was moved looks new in a later step than it came in, and so does what is in it.
    let is_sure = diff.is_traced() || diff.has_unmatched();
    let mut anchors = Anchors::new(heap, tree, shortest_paths, is_old)?;
    let mut places: HashMap<AccumulationPoint, Accumulation> = HashMap::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        let properties = heap.properties(id);
        if properties.tracer || !tree.is_reachable(id) || !counts(id) {
            continue;
        }
        match diff.step(id).map(|step| if is_sure { step } else { step.max(step_of_owner(diff, tree, id)) }) {
            Some(step) => {
                let Some((anchor, is_alone)) = anchors.of(id) else { continue };
                map(&mut places, 1)?;
                let place = places.entry(anchor).or_default();
                place.steps.resize(steps, 0);
                place.joint.resize(steps, 0);
                place.steps[step] = place.steps[step].saturating_add(heap.bytes(id));
                place.joint[step] = place.joint[step].saturating_add(if is_alone { 0 } else { heap.bytes(id) });
                let sort = kind_of(heap, id);
                // A list holds its own kind: what the first element retains is not counted again for the second.
                let is_inside = match tree.dominator(id) {
                    Dominator::Node(by) => diff.step(by).is_some() && kind_of(heap, by) == sort,
                    _ => false,
                };
                let retained = if is_inside { 0 } else { tree.retained(id) };
                let content = Content { sample: id, count: 1, retained, since: properties.generation, bins: 0 };
                place.take(sort, content);
                place.add_stack(sort, properties.stack)?;
            }
            // Its own growth: a string that is appended to, the table of a hash.
            None => {
                let last = own_bytes(heap, id, properties.ty);
                // Nearly all objects are as they were.
                if bytes_before(diff, 0, id, properties.ty).is_none_or(|first| first >= last) {
                    continue;
                }
                let sizes: Option<Vec<u64>> =
                    (0..steps).map(|dump| bytes_before(diff, dump, id, properties.ty)).collect();
                let Some(mut sizes) = sizes else { continue };
                sizes.push(last);
                if sizes.is_sorted() {
                    map(&mut places, 1)?;
                    let place = places.entry(AccumulationPoint::Node(id)).or_default();
                    place.steps.resize(steps, 0);
                    sizes
                        .windows(2)
                        .zip(&mut place.steps)
                        .for_each(|(pair, step)| *step = step.saturating_add(pair[1] - pair[0]));
                }
            }
        }
    }
    let mut places = join(heap, tree, places, control)?;
    places.values_mut().for_each(Accumulation::fold_untraced);
    Ok(places)
}

/// The step in which an object of a class came that is made of this one, a string, list or table; 0 where there is none.
///
/// Where births are not known, an object counts as kept that lies where another of its class lay. Strings, lists and tables do often, by
/// chance; objects of the app's classes seldom. So what such an object alone holds is no older than it.
fn step_of_owner(diff: &Diff<'_>, tree: &Tree, id: NodeId) -> usize {
    let heap = diff.heap();
    let is_value = |id: NodeId| {
        matches!(
            heap.ty(id),
            Type::String | Type::Array | Type::Hash | Type::Float | Type::Bignum | Type::Rational | Type::Complex
        )
    };
    if !is_value(id) || heap.generation(id) > 0 {
        return 0;
    }
    let mut above = std::iter::successors(tree.above(id), |id| tree.above(*id)).take(OWNERS);
    let owner = above.find(|id| !is_value(*id) || diff.step(*id).is_none());
    let owner = owner.filter(|id| matches!(heap.ty(*id), Type::Object | Type::Struct));
    owner.and_then(|id| diff.step(id)).unwrap_or(0)
}

/// So far above an object is looked for the one that is made of it.
const OWNERS: usize = 12;

/// The classes and modules that every dump has under their names: where objects were moved, they are old wherever they lie.
fn known_classes(diff: &Diff<'_>) -> HashSet<NodeId> {
    if !diff.has_unmatched() {
        return HashSet::new();
    }
    let earlier: Vec<HashMap<String, NodeId>> =
        diff.dumps()[..diff.step_count()].iter().map(|dump| dump.heap.classes_by_name()).collect();
    let named = diff.heap().classes_by_name().into_iter();
    named.filter(|(name, _)| earlier.iter().all(|all| all.contains_key(name))).map(|(_, id)| id).collect()
}

/// The own bytes of an object of the last dump in an earlier one, if it was there under its address.
fn bytes_before(diff: &Diff<'_>, dump: usize, id: NodeId, ty: Type) -> Option<u64> {
    match diff.before(dump, id) {
        Before::Same(before) => Some(own_bytes(diff.dumps()[dump].heap, before, ty)),
        _ => None,
    }
}

/// Joins accumulation points that are one to a programmer, as [`joined`] has it. What a root holds stays.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn join(
    heap: &Heap,
    tree: &Tree,
    places: HashMap<AccumulationPoint, Accumulation>,
    control: &Control<'_>,
) -> Result<HashMap<AccumulationPoint, Accumulation>> {
    let (mut nodes, mut joint) = (Vec::new(), HashMap::new());
    for (point, place) in places {
        match point {
            AccumulationPoint::Node(id) => nodes.push((id, place)),
            AccumulationPoint::Root(_) => drop(joint.insert(point, place)),
        }
    }
    // In an order, so that what a joined place is told by is the same each time.
    sort::by_key(&mut nodes, |(id, _)| *id);
    let ids: Vec<NodeId> = nodes.iter().map(|(id, _)| *id).collect();
    let held = |at: usize, kinds: &mut Vec<_>| {
        kinds.extend(nodes[at].1.content.keys().map(|(ty, class, ..)| (*ty, *class)));
    };
    let joined = joined(heap, tree, &ids, held, control)?;
    for (step, (to, (_, place))) in joined.into_iter().zip(nodes).enumerate() {
        control.check_at(step)?;
        match joint.entry(AccumulationPoint::Node(to)) {
            Entry::Vacant(free) => drop(free.insert(place)),
            Entry::Occupied(mut known) => known.get_mut().add(place),
        }
    }
    Ok(joint)
}

/// Whether the node may be an element of a list that is made of its own kind.
pub(super) fn is_element(heap: &Heap, id: NodeId) -> bool {
    matches!(heap.ty(id), Type::Object | Type::Struct | Type::Data)
}
