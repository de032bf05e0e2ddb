//! The objects that the page can be walked through: fields, references, referrers, what each dominates, and the way from a root.

use super::cells::{LONGEST, VALUE, cut, name};
use crate::analysis::{chains, retained, show};
use crate::control::Control;
use crate::graph::Referrers;
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId, Target};
use crate::keys::{Key, KeyValue};
use crate::labels::{Edge, Labels};
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::{Result, sort};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// The objects that retain most, so many of them.
pub(super) const BIGGEST: usize = 1000;
/// Objects at most, with those on the ways to them.
pub(super) const MOST: usize = 2000;
/// Objects of one way at most, where one is asked for.
pub(super) const WAY: usize = 60;
/// Bytes that they take in the file at most.
const ROOM: usize = 2_200_000;
/// References of one.
const REFERENCES: usize = 16;
/// Referrers, and dominated objects of one.
const OTHERS: usize = 10;
/// Fields of its line that stand elsewhere.
const TOLD: [&str; 10] =
    ["address", "type", "class", "memsize", "file", "line", "method", "generation", "references", "slot_size"];

/// The objects that retain most, as a table has them: `[address, label, own, retained, retained count, location, held by]`.
pub(super) fn holders(heap: &Heap, holders: &[retained::Holder]) -> Value {
    let row = |holder: &retained::Holder| {
        json!([
            address(heap, holder.id),
            name(&holder.label),
            holder.memsize,
            holder.retained_memsize,
            holder.retained_count,
            holder.location.words().map(name),
            holder.held_by.as_deref().map(name),
        ])
    };
    holders.iter().take(super::groups::GROUPS).map(row).collect()
}

fn address(heap: &Heap, id: NodeId) -> String {
    format!("0x{:x}", heap.address(id))
}

/// What stands around an object.
struct Around {
    id: NodeId,
    references: Vec<(usize, Target)>,
    rest_references: usize,
    referrers: Vec<NodeId>,
    rest_referrers: usize,
    dominated: Vec<NodeId>,
    rest_dominated: usize,
}

impl Around {
    fn new(heap: &Heap, tree: &Tree, children: &Children, referrers: &Referrers, id: NodeId) -> Around {
        let references: Vec<(usize, Target)> = heap.references(id).take(REFERENCES).enumerate().collect();
        let mut from: Vec<NodeId> = referrers.of(id).collect();
        from.dedup();
        let rest_referrers = biggest(tree, &mut from);
        let mut dominated: Vec<NodeId> = children.of(Dominator::Node(id)).collect();
        let rest_dominated = biggest(tree, &mut dominated);
        let rest_references = heap.references(id).len() - references.len();
        Around { id, references, rest_references, referrers: from, rest_referrers, dominated, rest_dominated }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let references = self.references.iter().filter_map(|(_, target)| target.node());
        [self.id].into_iter().chain(references).chain(self.referrers.iter().chain(&self.dominated).copied())
    }
}

/// Keeps those that retain most, in that order; how many others there were.
fn biggest(tree: &Tree, ids: &mut Vec<NodeId>) -> usize {
    let rank = |id: &NodeId| (Reverse(tree.retained(*id)), *id);
    let rest = ids.len().saturating_sub(OTHERS);
    if rest > 0 {
        ids.select_nth_unstable_by_key(OTHERS, rank);
        ids.truncate(OTHERS);
    }
    sort::by_key(ids, rank);
    rest
}

/// The objects of `wanted`, the first first, with those on the ways to them, at most `most` and as far as there is room; and how many these are.
///
/// # Errors
/// Those of [`Heap::records`].
pub(super) fn told(
    snapshot: &Snapshot,
    source: &Source,
    wanted: &[NodeId],
    shortest_paths: &ShortestPaths,
    most: usize,
    control: &Control<'_>,
) -> Result<(Value, usize)> {
    let (heap, tree, children) = (snapshot.heap(), snapshot.tree(control)?, snapshot.children(control)?);
    let referrers = snapshot.referrers(control)?;
    let ids = with_ways(wanted, shortest_paths, most);
    let mut around = Vec::with_capacity(ids.len());
    for (step, id) in ids.iter().enumerate() {
        if step.is_multiple_of(16) {
            control.check()?;
        }
        around.push(Around::new(heap, tree, children, referrers, *id));
    }
    let mut labels = Labels::new(heap);
    let nodes: Vec<NodeId> = around.iter().flat_map(Around::nodes).collect();
    let keys = around.iter().flat_map(|around| {
        let holders = around.referrers.iter().copied().chain(shortest_paths.before(around.id));
        holders.map(|from| (from, around.id))
    });
    labels.read_texts_and_names(source, &nodes, keys, &ids, REFERENCES)?;
    let mut lines: HashMap<NodeId, Vec<(String, String)>> = HashMap::new();
    heap.records(source, &ids, |id, _, line| {
        // A line of many megabytes holds little more than references, which are told already.
        let fields = if line.len() > LONG_LINE { Vec::new() } else { show::fields(line, source) };
        lines.insert(id, fields);
        Ok(())
    })?;
    let roots = chains::root_categories(heap);
    let (mut told, mut room) = (Vec::new(), ROOM);
    for (step, around) in around.iter().enumerate() {
        if step.is_multiple_of(64) {
            control.check()?;
        }
        let fields = lines.remove(&around.id).unwrap_or_default();
        let value = object(heap, tree, &labels, &roots, shortest_paths, around, &fields);
        let Some(left) = room.checked_sub(value.to_string().len()) else { break };
        room = left;
        told.push(value);
    }
    let count = told.len();
    Ok((Value::Array(told), count))
}

/// Bytes of a line that is looked at.
const LONG_LINE: usize = 1 << 20;

/// Those that are wanted, and then what stands before them on their ways.
fn with_ways(wanted: &[NodeId], shortest_paths: &ShortestPaths, most: usize) -> Vec<NodeId> {
    let (mut ids, mut met) = (Vec::new(), HashSet::new());
    for id in wanted {
        if ids.len() < most && met.insert(*id) {
            ids.push(*id);
        }
    }
    let mut at = 0;
    while at < ids.len() && ids.len() < most {
        if let Some(before) = shortest_paths.before(ids[at])
            && met.insert(before)
        {
            ids.push(before);
        }
        at += 1;
    }
    ids
}

fn object(
    heap: &Heap,
    tree: &Tree,
    labels: &Labels<'_>,
    roots: &HashMap<NodeId, &str>,
    shortest_paths: &ShortestPaths,
    around: &Around,
    fields: &[(String, String)],
) -> Value {
    let id = around.id;
    let edge = |edge: Edge| cut(&edge.to_string(), LONGEST);
    let node = |edge: String, id: NodeId| {
        json!([edge, address(heap, id), name(&labels.node(id)), heap.bytes(id), tree.retained(id)])
    };
    let to = around.references.iter().map(|(place, target)| {
        let edge = edge(labels.reference(id, *place));
        match target {
            Target::Node(target) => node(edge, *target),
            Target::Dangling(address) => json!([edge, format!("0x{address:x}"), "(not in the dump)", null, null]),
        }
    });
    let own = |key: &str| TOLD.contains(&key);
    let fields = fields.iter().filter(|(key, _)| !own(key)).take(24);
    let location = labels.value(Key::Location, id);
    let app = labels.value(Key::AppLocation, id);
    let before = shortest_paths.before(id);
    let held = match before {
        Some(before) => edge(labels.edge(before, id)),
        None if shortest_paths.is_reachable(id) => edge(chains::root_edge(heap, roots, id)),
        None => String::new(),
    };
    json!({
        "address": address(heap, id),
        "label": name(&labels.node(id)),
        "class": name(&labels.class_name(id)),
        "class_address": heap.class(id).map(|class| address(heap, class)),
        "own": heap.bytes(id),
        "retained": tree.retained(id),
        "retained_count": tree.retained_count(id),
        "generation": heap.properties(id).generation.checked_sub(1),
        "location": location.words().map(name),
        "app_location": match &app {
            KeyValue::Text(line) if app != location => name(line),
            _ => Value::Null,
        },
        "reachable": tree.is_reachable(id),
        "fields": fields.map(|(key, value)| json!([cut(key, VALUE), cut(value, VALUE)])).collect::<Value>(),
        "held": held,
        "before": before.map(|before| address(heap, before)),
        "dominator": match tree.dominator(id) {
            Dominator::Node(by) => Value::from(address(heap, by)),
            _ => Value::Null,
        },
        "dominator_label": match tree.dominator(id) {
            Dominator::Node(by) => name(&labels.node(by)),
            _ => Value::Null,
        },
        "to": to.collect::<Value>(),
        "rest_to": around.rest_references,
        "from": around.referrers.iter().map(|from| node(edge(labels.edge(*from, id)), *from)).collect::<Value>(),
        "rest_from": around.rest_referrers,
        "below": around.dominated.iter().map(|below| node(String::new(), *below)).collect::<Value>(),
        "rest_below": around.rest_dominated,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::snapshot::Index;

    #[test]
    fn references_are_called_what_the_dump_calls_them() {
        let lines = [
            r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}"#,
            r#"{"type":"ROOT", "root":"vm", "references":["0x1000"]}"#,
            r#"{"address":"0x1000", "type":"IMEMO", "imemo_type":"env", "references":["0x1028", "0x1050"], "names":["request","(self)"], "memsize":40}"#,
            r#"{"address":"0x1028", "type":"OBJECT", "references":["0x1050", "0x1050"], "names":["@session","@last"], "memsize":40}"#,
            r#"{"address":"0x1050", "type":"HASH", "length":1, "references":["0x1078", "0x1028"], "names":["(key)","[\"card\"]"], "memsize":40}"#,
            r#"{"address":"0x1078", "type":"STRING", "value":"card", "memsize":40}"#,
        ];
        let source = Source::reader(std::io::Cursor::new(lines.join("\n")), "memory");
        let control = Control::default();
        let snapshot = Snapshot::load(source, Index::Ignored, &control.into()).unwrap();
        let heap = snapshot.heap();
        let wanted: Vec<NodeId> = [0x1000, 0x1028, 0x1050].map(|address| heap.node(address).unwrap()).to_vec();
        let edges = |source: &Source| {
            let paths = snapshot.shortest_paths(&control).unwrap();
            let (told, count) = super::told(&snapshot, source, &wanted, paths, 10, &control).unwrap();
            assert_eq!(count, 3);
            let words = |object: &Value, key: &str| {
                let edges = object[key].as_array().unwrap().iter().map(|edge| edge[0].as_str().unwrap().to_owned());
                edges.collect::<Vec<_>>()
            };
            let objects = told.as_array().unwrap().iter();
            objects.map(|object| (words(object, "to"), words(object, "from"))).collect::<Vec<_>>()
        };
        let found = edges(&snapshot.source().again());
        assert_eq!(found[0].0, ["local variable request", "self"]);
        assert_eq!(found[1].0, ["@session", "@last"]);
        assert_eq!(found[2].0, ["key", "[\"card\"]"]);
        assert!(found[1].1.contains(&"local variable request".to_owned()), "{found:?}");
        assert_eq!(edges(&snapshot.source().again().without_values())[2].0, ["key", "value"]);
    }
}
