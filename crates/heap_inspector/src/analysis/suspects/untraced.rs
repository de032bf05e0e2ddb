//! The places of a dump without generations, or with those of samples alone: who holds many objects of one kind.

use super::anchors::AccumulationPoint;
use super::naming::{is_core, name};
use super::origins::{Origin, Origins};
use super::points::{Accumulation, Content, ObjectKind, SLOT, is_element, join, kind_of};
use super::{Confidence, FEW_OBJECTS, LARGE, LEAST, Suspect};
use crate::Result;
use crate::control::Control;
use crate::graph::Links;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::labels::Labels;
use crate::record::Type;
use crate::sampling::Sampling;
use crate::source::Source;
use hashbrown::HashMap;

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
    let large = LARGE.max(tree.reachable().memsize / 1000);
    let labels = Labels::new(heap);
    let mut places = join(heap, tree, places(heap, tree, children, shortest_paths, &labels, floor, control)?, control)?;
    for (anchor, place) in &mut places {
        let Some(anchor) = anchor.node() else { continue };
        if heap.names().sampling.is_some_and(Sampling::is_of_lines) {
            place.fold_untraced();
        }
        place.content.retain(|_, content| content.count > FEW_OBJECTS);
        // What the objects of one sort hold are often those of another; only what the place holds itself adds up.
        let most = place.content.values().map(|content| content.retained).max().unwrap_or(0);
        let own = children.of(Dominator::Node(anchor));
        let own = own
            .filter(|id| place.content.contains_key(&kind_of(heap, *id)))
            .fold(0u64, |sum, id| sum.saturating_add(tree.retained(id)));
        place.bytes = most.max(own);
        let dominates =
            |id: NodeId| std::iter::successors(Some(id), |node| tree.above(*node)).any(|node| node == anchor);
        if place.content.values().all(|content| dominates(content.sample)) {
            place.bytes = place.bytes.min(tree.retained(anchor));
        }
    }
    let strings = heap
        .nodes()
        .filter(|id| heap.properties(*id).ty == Type::String && heap.bytes(*id) >= large && tree.is_reachable(*id));
    let own = |id: NodeId| Accumulation { bytes: heap.bytes(id), ..Accumulation::default() };
    places.extend(strings.map(|id| (AccumulationPoint::Node(id), own(id))));
    let mut ranked: Vec<(AccumulationPoint, Accumulation)> =
        places.into_iter().filter(|(_, place)| place.bytes >= floor).collect();
    ranked.sort_by(|(a, one), (b, other)| other.bytes.cmp(&one.bytes).then(a.cmp(b)));
    control.check()?;
    let ranked = by_doubt(heap, tree, shortest_paths, source, ranked, limit)?;
    name(
        heap,
        tree,
        children,
        shortest_paths,
        source,
        &ranked,
        |_| true,
        |place| {
            let what = match &place.verdict {
                Some((_, doubt)) => doubt,
                None if place.content.is_empty() => "it is big",
                None => "it holds many objects of one kind",
            };
            let text = "since when the dump does not tell, so start-up data and caches look the same; two more dumps would tell them apart";
            (Confidence::Low, format!("{what}; {text}"))
        },
        control,
    )
}

/// The first of the places, those behind the others that are less likely a leak: what Ruby's own library holds, and what was made in
/// one go, as start-up data is.
fn by_doubt(
    heap: &Heap,
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    source: &Source,
    mut places: Vec<(AccumulationPoint, Accumulation)>,
    limit: usize,
) -> Result<Vec<(AccumulationPoint, Accumulation)>> {
    let looked_at = places.len().min(limit.saturating_add(DOUBTED));
    let way = |at: AccumulationPoint| at.node().and_then(|id| shortest_paths.path(id)).unwrap_or_default();
    let mut labels = Labels::new(heap);
    let origins = Origins::new(heap, &labels, places[..looked_at].iter().flat_map(|(anchor, _)| way(*anchor)));
    let code: Vec<NodeId> = origins.code().collect();
    labels.read_texts(source, &code, std::iter::empty())?;
    let mut weighed: Vec<(u64, AccumulationPoint, Accumulation)> = Vec::new();
    for (anchor, mut place) in places.drain(..looked_at) {
        let doubt = if is_of_ruby(heap, &labels, &origins, &way(anchor)) {
            Some("Ruby's own library holds many objects of one kind")
        } else {
            let is_at_once = place.content.iter().max_by_key(|(sort, content)| (content.retained, **sort));
            let is_at_once =
                is_at_once.zip(anchor.node()).is_some_and(|((sort, _), id)| is_side_by_side(heap, tree, id, *sort));
            is_at_once.then_some("it holds many objects of one kind, side by side as if they were made in one go")
        };
        let weight = if doubt.is_some() { place.bytes / DOUBTFUL } else { place.bytes };
        place.verdict = doubt.map(|doubt| (Confidence::Low, doubt.to_owned()));
        weighed.push((weight, anchor, place));
    }
    weighed.sort_by(|(one, a, _), (other, b, _)| other.cmp(one).then(a.cmp(b)));
    weighed.truncate(limit);
    Ok(weighed.into_iter().map(|(_, anchor, place)| (anchor, place)).collect())
}

/// So many more places than are asked for are looked at.
const DOUBTED: usize = 40;
/// What is doubtful ranks by this part of its bytes.
const DOUBTFUL: u64 = 10;
/// So many objects of a place tell whether they were made in one go.
const NEIGHBOURS: usize = 1000;

/// Whether the nearest class, module or object with a class on the way is of Ruby's library, or a table of Ruby's own is all there is.
fn is_of_ruby(heap: &Heap, labels: &Labels<'_>, origins: &Origins, way: &[NodeId]) -> bool {
    let named = way.iter().rev().find_map(|id| match heap.properties(*id).ty {
        Type::Class | Type::Module | Type::Iclass => heap.names().class_name(heap.address(*id)),
        Type::Object | Type::Struct => Some(labels.class_name(*id)),
        Type::Data => Some(labels.class_name(*id)).filter(|class| !is_core(class) || class == "Thread"),
        _ => None,
    });
    match named {
        // Constants and global variables of the app are `Object`'s, and a thread's variables its own.
        Some(name) => {
            let name = name.strip_prefix("#<Class:").and_then(|name| name.strip_suffix('>')).unwrap_or(&name);
            !matches!(name, "Object" | "Thread" | "Kernel") && origins.of(labels, name) == Origin::Ruby
        }
        None => way.first().is_none_or(|first| heap.class(*first).is_none()),
    }
}

/// Whether the objects of a sort that a place refers to lie as close together as what each of them holds takes, as they do where they
/// were made one after another and nothing else in between.
fn is_side_by_side(heap: &Heap, tree: &Tree, place: NodeId, sort: ObjectKind) -> bool {
    let objects: Vec<NodeId> = heap.targets(place).filter(|id| kind_of(heap, *id) == sort).take(NEIGHBOURS).collect();
    let is_near = |pair: &&[NodeId]| {
        let slots = tree.retained_count(pair[0]).max(tree.retained_count(pair[1]));
        heap.address(pair[0]).abs_diff(heap.address(pair[1])) <= 3 * SLOT * slots
    };
    let near = objects.windows(2).filter(is_near).count() as u64;
    objects.len() as u64 > FEW_OBJECTS && near * 100 >= (objects.len() as u64 - 1) * 95
}

/// By place, what it holds of each sort. Code is left out: methods, named classes, and what else no program makes many of at run time.
/// So are small holders, below `floor` bytes.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
fn places(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    shortest_paths: &ShortestPaths,
    labels: &Labels<'_>,
    floor: u64,
    control: &Control<'_>,
) -> Result<HashMap<AccumulationPoint, Accumulation>> {
    let holders = holders(heap, tree, children)?;
    let mut places: HashMap<AccumulationPoint, Accumulation> = HashMap::new();
    for id in heap.nodes() {
        control.check_at(id.0 as usize)?;
        if heap.properties(id).tracer || !tree.is_reachable(id) || is_code(heap, labels, id) {
            continue;
        }
        let alone = holders.get(id);
        if alone.is_some_and(|holder| tree.retained(holder) < floor) {
            continue;
        }
        // What several objects hold together stands under the nearest of them.
        let Some(holder) = alone.or_else(|| shortest_paths.parent(id)) else { continue };
        if heap.properties(holder).tracer {
            continue;
        }
        // What a list's first element retains is not counted again for the second.
        let is_inside = alone.is_some() && tree.above(id) != alone;
        let content = Content { count: 1, retained: if is_inside { 0 } else { tree.retained(id) }, ..Content::new(id) };
        let place = places.entry(AccumulationPoint::Node(holder)).or_default();
        place.content.entry(kind_of(heap, id)).or_insert_with(|| Content::new(id)).add(content);
        place.add_stack(kind_of(heap, id), heap.stack(id));
    }
    Ok(places)
}

/// By node, the nearest object above in the dominator tree, of another sort where it may be an element of a linked list.
fn holders(heap: &Heap, tree: &Tree, children: &Children) -> Result<Links> {
    let mut holders = Links::new(heap.object_count())?;
    let mut stack: Vec<NodeId> = children.of(Dominator::Root).collect();
    while let Some(id) = stack.pop() {
        if let Some(above) = tree.above(id) {
            let is_next = is_element(heap, above) && kind_of(heap, above) == kind_of(heap, id);
            holders.set(id, if is_next { holders.get(above) } else { Some(above) });
        }
        stack.extend(children.of(Dominator::Node(id)));
    }
    Ok(holders)
}

fn is_code(heap: &Heap, labels: &Labels<'_>, id: NodeId) -> bool {
    match heap.properties(id).ty {
        Type::Imemo | Type::Iclass => true,
        Type::Class | Type::Module => {
            heap.names().class_name(heap.address(id)).is_some_and(|name| !name.starts_with("#<Class:0x"))
        }
        Type::Data => labels.class_name(id).starts_with('('),
        _ => false,
    }
}
