//! The places of a dump without generations: who holds many objects of one kind.

use super::{Content, Place, Tree, is_element, sort_of};
use crate::Result;
use crate::analysis::dominators::{Children, Dominator};
use crate::analysis::paths::Ways;
use crate::graph::{PATIENCE, ROOT};
use crate::heap::{Heap, NodeId};
use crate::labels::Labels;
use crate::record::Type;
use crate::scan::Options;
use hashbrown::HashMap;

/// By place, what it holds of each sort. Code is left out: methods, named classes, and what else no program makes many of at run time.
/// So are small holders, below `floor` bytes.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub(super) fn places(
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
