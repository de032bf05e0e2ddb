//! The places of a dump without generations: who holds many objects of one kind.

use super::naming::name;
use super::places::{Content, Place, is_element, join, sort_of};
use super::{Confidence, FEW_OBJECTS, LARGE, LEAST, Suspect};
use crate::Result;
use crate::analysis::dominators::{Children, Dominator, Tree};
use crate::analysis::paths::Ways;
use crate::graph::{PATIENCE, ROOT};
use crate::heap::{Heap, NodeId};
use crate::labels::Labels;
use crate::record::Type;
use crate::scan::Options;
use crate::source::Source;
use hashbrown::HashMap;

/// The suspects of one dump that tells no generations.
pub(super) fn untraced(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    ways: &Ways,
    source: &Source,
    limit: usize,
    options: &Options<'_>,
) -> Result<Vec<Suspect>> {
    let floor = LEAST.max(tree.reachable().memsize / 2000);
    let large = LARGE.max(tree.reachable().memsize / 1000);
    let labels = Labels::new(heap);
    let mut places = join(heap, tree, places(heap, tree, children, ways, &labels, floor, options)?, options)?;
    for (anchor, place) in &mut places {
        place.content.retain(|_, content| content.count > FEW_OBJECTS);
        // What the objects of one sort hold are often those of another; only what the place holds itself adds up.
        let most = place.content.values().map(|content| content.retained).max().unwrap_or(0);
        let own = children.of(Dominator::Node(NodeId(*anchor)));
        let own = own
            .filter(|id| place.content.contains_key(&sort_of(heap, *id)))
            .fold(0u64, |sum, id| sum.saturating_add(tree.retained(id)));
        place.bytes = most.max(own);
        let dominates = |id: NodeId| {
            std::iter::successors(Some(id.0), |node| Some(tree.above(*node)).filter(|node| *node != ROOT))
                .any(|node| node == *anchor)
        };
        if place.content.values().all(|content| dominates(content.sample)) {
            place.bytes = place.bytes.min(tree.retained(NodeId(*anchor)));
        }
    }
    let strings = heap
        .nodes()
        .filter(|id| heap.slot(*id).ty == Type::String && heap.bytes(*id) >= large && tree.is_reachable(*id));
    places.extend(strings.map(|id| (id.0, Place { bytes: heap.bytes(id), ..Place::default() })));
    let mut ranked: Vec<(u32, Place)> = places.into_iter().filter(|(_, place)| place.bytes >= floor).collect();
    ranked.sort_by(|(a, one), (b, other)| other.bytes.cmp(&one.bytes).then(a.cmp(b)));
    ranked.truncate(limit);
    name(
        heap,
        tree,
        children,
        ways,
        source,
        &ranked,
        |_| true,
        |place| {
            let what = if place.content.is_empty() { "it is big" } else { "it holds many objects of one kind" };
            let text = "since when the dump does not tell, so start-up data and caches look the same; two more dumps would tell them apart";
            (Confidence::Low, format!("{what}; {text}"))
        },
    )
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
    ways: &Ways,
    labels: &Labels<'_>,
    floor: u64,
    options: &Options<'_>,
) -> Result<HashMap<u32, Place>> {
    let holders = holders(heap, tree, children);
    let mut places: HashMap<u32, Place> = HashMap::new();
    for id in heap.nodes() {
        if (id.0 as usize).is_multiple_of(PATIENCE) {
            options.check()?;
        }
        if heap.slot(id).tracer || !tree.is_reachable(id) || is_code(heap, labels, id) {
            continue;
        }
        let holder = match holders[id.0 as usize] {
            // What several objects hold together stands under the nearest of them.
            ROOT => ways.parent(id),
            holder if tree.retained(NodeId(holder)) < floor => continue,
            holder => holder,
        };
        if holder == ROOT || heap.slot(NodeId(holder)).tracer {
            continue;
        }
        // What a list's first element retains is not counted again for the second.
        let is_inside = tree.above(id.0) != holder && holders[id.0 as usize] != ROOT;
        let content = Content { count: 1, retained: if is_inside { 0 } else { tree.retained(id) }, ..Content::new(id) };
        let place = places.entry(holder).or_default();
        place.content.entry(sort_of(heap, id)).or_insert_with(|| Content::new(id)).add(content);
    }
    Ok(places)
}

/// By node, the nearest object above in the dominator tree, of another sort where it may be an element of a linked list; [`ROOT`]
/// where there is none.
fn holders(heap: &Heap, tree: &Tree, children: &Children) -> Vec<u32> {
    let mut holders = vec![ROOT; heap.object_count()];
    let mut stack: Vec<NodeId> = children.of(Dominator::Root).collect();
    while let Some(id) = stack.pop() {
        let above = tree.above(id.0);
        if above != ROOT {
            let is_next = is_element(heap, above) && sort_of(heap, NodeId(above)) == sort_of(heap, id);
            holders[id.0 as usize] = if is_next { holders[above as usize] } else { above };
        }
        stack.extend(children.of(Dominator::Node(id)));
    }
    holders
}

fn is_code(heap: &Heap, labels: &Labels<'_>, id: NodeId) -> bool {
    match heap.slot(id).ty {
        Type::Imemo | Type::Iclass => true,
        Type::Class | Type::Module => {
            heap.names().class_name(heap.address(id)).is_some_and(|name| !name.starts_with("#<Class:0x"))
        }
        Type::Data => labels.class_name(id).starts_with('('),
        _ => false,
    }
}
