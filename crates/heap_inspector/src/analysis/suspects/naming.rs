//! Puts accumulation points in words: the holder, what piles up, its line, the path.

use super::anchors::root_label;
use super::places::{Content, Place, sort_of};
use super::{Confidence, Suspect, signs};
use crate::Result;
use crate::analysis::dominators::{Children, Dominator, Tree};
use crate::analysis::paths::{self, Ways};
use crate::heap::{Heap, NodeId};
use crate::keys::Key;
use crate::labels::Labels;
use crate::record::Type;
use crate::source::Source;
use hashbrown::HashMap;

/// Classes of Ruby's own whose objects are seldom what leaks, but what it is made of.
const CORE: [&str; 53] = [
    "Array",
    "BasicObject",
    "Bignum",
    "BigDecimal",
    "Binding",
    "Class",
    "Complex",
    "Data",
    "Date",
    "DateTime",
    "Dir",
    "Encoding",
    "Enumerator",
    "Enumerator::Generator",
    "Enumerator::Lazy",
    "Enumerator::Yielder",
    "Fiber",
    "File",
    "Float",
    "Hash",
    "IO",
    "Integer",
    "MatchData",
    "Method",
    "Module",
    "Monitor",
    "Mutex",
    "NilClass",
    "Object",
    "ObjectSpace::WeakMap",
    "ObjectSpace::WeakKeyMap",
    "Pathname",
    "Proc",
    "Queue",
    "Ractor",
    "Random",
    "Range",
    "Rational",
    "Regexp",
    "Set",
    "SizedQueue",
    "String",
    "StringIO",
    "Struct",
    "Symbol",
    "Thread",
    "Thread::ConditionVariable",
    "Thread::Mutex",
    "Thread::Queue",
    "Thread::SizedQueue",
    "Time",
    "UnboundMethod",
    "UnicodeNormalize",
];

pub(super) fn is_core(class: &str) -> bool {
    class.starts_with('(') || CORE.contains(&class)
}

/// An application's class is what leaks if its objects hold at least this part of what came.
const MAIN_PART: f64 = 0.2;

/// Puts the places in words.
pub(super) fn name(
    heap: &Heap,
    tree: &Tree,
    children: &Children,
    ways: &Ways,
    source: &Source,
    places: &[(u32, Place)],
    judge: impl Fn(&Place) -> (Confidence, String),
) -> Result<Vec<Suspect>> {
    let mut labels = Labels::new(heap);
    let roots = paths::root_categories(heap);
    let is_node = |anchor: u32| (anchor as usize) < heap.object_count();
    let chains: Vec<Vec<NodeId>> = places
        .iter()
        .map(|(anchor, _)| if is_node(*anchor) { ways.way(NodeId(*anchor)).unwrap_or_default() } else { Vec::new() })
        .collect();
    let nodes: Vec<NodeId> = chains.iter().flatten().copied().collect();
    let edges = chains.iter().flat_map(|way| way.windows(2).map(|pair| (pair[0], pair[1])));
    let mains: Vec<Option<Content>> = places.iter().map(|(_, place)| main_content(&labels, place)).collect();
    let strings: Vec<Vec<NodeId>> = chains
        .iter()
        .zip(&mains)
        .map(|(way, main)| match (way.last(), main.map(|content| sort_of(heap, content.sample))) {
            (Some(anchor), Some(sort)) if sort.0 == Type::String => signs::strings(heap, children, *anchor, sort),
            _ => Vec::new(),
        })
        .collect();
    let read: Vec<NodeId> = nodes.iter().chain(strings.iter().flatten()).copied().collect();
    labels.read_texts(source, &read, edges)?;
    let labels = &labels;
    let lengths = signs::Lengths::new(heap);
    let sight = signs::Sight { heap, tree, children, labels, lengths: &lengths };
    let mut suspects = Vec::new();
    for (((anchor, place), way), (main, strings)) in places.iter().zip(&chains).zip(mains.iter().zip(&strings)) {
        let (confidence, growth) = judge(place);
        let id = is_node(*anchor).then_some(NodeId(*anchor));
        let Some(sample) = main.map(|content| inside(tree, children, labels, content.sample)).or(id) else { continue };
        let since = main.map_or(heap.slot(sample).generation, |content| content.since);
        let (holder, holder_id) = match id {
            Some(_) => holder(heap, labels, &roots, way),
            None => (root_label(heap, *anchor), None),
        };
        suspects.push(Suspect {
            holder,
            holder_id,
            id,
            label: id.map_or_else(|| root_label(heap, *anchor), |id| labels.node(id)),
            class: labels.class_name(sample),
            count: main.map_or(1, |content| content.count),
            memsize: place.total(),
            steps: place.steps.clone(),
            location: labels.value(Key::Location, sample),
            since: since.checked_sub(1),
            path: paths::steps(labels, &roots, way),
            confidence,
            reasons: std::iter::once(growth).chain(sight.signs(way, place.total(), main.as_ref(), strings)).collect(),
        });
    }
    Ok(suspects)
}

/// What piles up in a place: of an application's class if such objects hold a good part of it, else what holds the most; none where the
/// place itself grows.
fn main_content(labels: &Labels<'_>, place: &Place) -> Option<Content> {
    let mut best: Option<(u8, Content)> = None;
    let most = place.content.values().map(|content| content.retained).max().unwrap_or(0);
    if most * 4 < place.total() {
        return None;
    }
    for content in place.content.values() {
        let class = labels.class_name(content.sample);
        let rank = match class.as_str() {
            // What a Ruby programmer does not see.
            class if class.starts_with('(') => 0,
            _ if (content.retained as f64) < MAIN_PART * most as f64 => 0,
            class if is_core(class) => 1,
            _ => 2,
        };
        let key =
            |rank: u8, content: &Content| (rank, content.retained, content.count, std::cmp::Reverse(content.sample));
        if best.as_ref().is_none_or(|(other, known)| key(rank, content) > key(*other, known)) {
            best = Some((rank, *content));
        }
    }
    best.map(|(_, content)| content)
}

/// What a programmer knows an object by: itself, or where it is of a class of Ruby's own the object of an application's class inside of
/// it that holds the most of it, as a block does a request.
fn inside(tree: &Tree, children: &Children, labels: &Labels<'_>, sample: NodeId) -> NodeId {
    let own = labels.class_name(sample);
    if !is_core(&own) {
        return sample;
    }
    let least = (tree.retained(sample) as f64 * MAIN_PART) as u64;
    let mut best: Option<(bool, u64, NodeId)> = None;
    let mut stack = vec![sample];
    for _ in 0..SEARCHED {
        let Some(id) = stack.pop() else { break };
        let class = labels.class_name(id);
        let key = (!is_core(&class), tree.retained(id), id);
        if !class.starts_with('(') && key.1 >= least && best.is_none_or(|best| (key.0, key.1) > (best.0, best.1)) {
            best = Some(key);
        }
        stack.extend(children.of(Dominator::Node(id)).take(SEARCHED));
    }
    best.map_or(sample, |(.., id)| id)
}

/// So many objects inside of one are looked at.
pub(super) const SEARCHED: usize = 100;

/// The nearest object on the way, from its end, that a programmer has a name for, and that name.
pub(in crate::analysis) fn holder(
    heap: &Heap,
    labels: &Labels<'_>,
    roots: &HashMap<NodeId, &str>,
    way: &[NodeId],
) -> (String, Option<NodeId>) {
    for id in way.iter().rev() {
        let slot = heap.slot(*id);
        let class = labels.class_name(*id);
        match slot.ty {
            Type::Class | Type::Module | Type::Iclass => {
                let name = heap.names().class_name(heap.address(*id)).unwrap_or_default();
                let inside = name.strip_prefix("#<Class:").and_then(|name| name.strip_suffix('>'));
                let inside = inside.filter(|name| !name.starts_with("0x") && !name.contains(":0x"));
                return (inside.unwrap_or(&name).to_owned(), Some(*id));
            }
            Type::Data if class == "Thread" => return (class, Some(*id)),
            Type::Object | Type::Struct | Type::Data if !is_core(&class) => return (class, Some(*id)),
            _ => {}
        }
    }
    let root = way.first().and_then(|first| roots.get(first));
    (root.map_or_else(String::new, |category| format!("root {category}")), None)
}
