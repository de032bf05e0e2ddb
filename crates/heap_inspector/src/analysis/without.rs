//! What if: who holds an object, and what would be freed, if some objects or a reference were not there.
//!
//! Reachability is worked out anew without them, which is not what they retain: what others hold, too, stays. Costs a search through the
//! heap and 4 bytes for each object.

use super::chains::{Chain, Told, root_categories};
use super::normalised::{NormalisedPaths, PathId};
use super::paths::Paths;
use super::suspects::{Graph, OtherHolders, others};
use super::verdicts::is_collection;
use super::{Context, fact, note, show};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::graph::targets;
use crate::heap::{Heap, NodeId, Target};
use crate::labels::Labels;
use crate::memory::{filled, room};
use crate::report::{Cell, Facts, Level, Report, Section};
use crate::source::Source;
use crate::sums::Sum;
use crate::{Error, Result};
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;

/// What is not there: objects, or references from one object to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    nodes: HashSet<NodeId>,
    edges: HashSet<(NodeId, NodeId)>,
}

/// An object in a heap from which something is cut.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WhatIf {
    /// The chain of references that holds it then, if any does.
    pub paths: Paths,
    /// What no root leads to any more.
    pub freed: Sum,
    /// Who holds it then: whoever refers to it, or, as long as that is one list or alike, to that.
    pub others: OtherHolders,
}

/// So many lists are looked through, one in another.
const NESTED: usize = 8;

impl Cut {
    /// What a user names: an object by its address, all of a leak by its fingerprint, a class or module by its name, or what that holds by a
    /// constant or variable, as in `Audit::EVENTS` or `Audit@events`, where the dump names these.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such thing, those of [`Heap::records`].
    pub fn of(
        heap: &Heap,
        tree: &Tree,
        shortest_paths: &ShortestPaths,
        source: &Source,
        name: &str,
        control: &Control<'_>,
    ) -> Result<Cut> {
        let none = |why: &str| Error::usage(format!("nothing to go without: {why}"));
        if name.starts_with("0x") {
            return Ok(Cut { nodes: HashSet::from([show::find(heap, name)?]), ..Cut::default() });
        }
        if name.starts_with("leak-") {
            let mut paths = NormalisedPaths::new(heap, tree, shortest_paths)?;
            let mut known: HashMap<PathId, bool> = HashMap::new();
            let mut nodes = HashSet::new();
            for id in heap.nodes() {
                control.check_at(id.0 as usize)?;
                let path = paths.of(id)?;
                if *known.entry(path).or_insert_with(|| paths.path(path).fingerprint() == name) {
                    nodes.insert(id);
                }
            }
            return if nodes.is_empty() {
                Err(none(&format!("no object of the dump is of {name}")))
            } else {
                Ok(Cut { nodes, ..Cut::default() })
            };
        }
        let classes = heap.classes_by_name();
        if let Some(id) = classes.get(name) {
            return Ok(Cut { nodes: HashSet::from([*id]), ..Cut::default() });
        }
        let at = name.rfind("::").or_else(|| name.find('@')).filter(|at| *at > 0);
        let holder = at.and_then(|at| Some((*classes.get(&name[..at])?, &name[at..])));
        let Some((holder, edge)) = holder else {
            return Err(none(&format!("{name:?} is not an address, fingerprint, class or module of the dump")));
        };
        let mut labels = Labels::new(heap);
        labels.read_names(source, &[holder], heap.references(holder).len())?;
        let held = heap.references(holder).enumerate().filter_map(|(place, target)| Some((place, target.node()?)));
        let edges: HashSet<(NodeId, NodeId)> = held
            .filter(|(place, _)| labels.reference(holder, *place).to_string() == edge)
            .map(|(_, target)| (holder, target))
            .collect();
        if edges.is_empty() {
            let why = if heap.has_edge_names() {
                "holds nothing by that name"
            } else {
                "may, but the dump names no variables"
            };
            return Err(none(&format!("{} {why}: {edge}", &name[..name.len() - edge.len()])));
        }
        Ok(Cut { edges, ..Cut::default() })
    }
}

/// The object without what is cut; the graph and the source are the heap's.
///
/// # Errors
/// Those of [`Heap::records`], [`Error::Interrupted`] when cancelled.
pub fn what_if(
    heap: &Heap,
    tree: &Tree,
    shortest_paths: &ShortestPaths,
    source: &Source,
    id: NodeId,
    cut: &Cut,
    control: &Control<'_>,
) -> Result<WhatIf> {
    const UNSEEN: u32 = u32::MAX;
    const ROOT: u32 = u32::MAX - 1;
    let mut before = filled(UNSEEN, heap.object_count())?;
    let mut waiting: VecDeque<NodeId> = VecDeque::new();
    let mut reached = Sum::default();
    for target in heap.roots().iter().flat_map(|root| root.targets.iter().filter_map(Target::node)) {
        if before[target.0 as usize] == UNSEEN && !cut.nodes.contains(&target) {
            before[target.0 as usize] = ROOT;
            waiting.push_back(target);
        }
    }
    while let Some(from) = waiting.pop_front() {
        control.check_at(reached.count as usize)?;
        reached.add(Sum { count: 1, memsize: heap.bytes(from), references: 0 });
        for target in targets(heap, from) {
            let is_new = before[target.0 as usize] == UNSEEN;
            if is_new && !cut.nodes.contains(&target) && !cut.edges.contains(&(from, target)) {
                before[target.0 as usize] = from.0;
                waiting.push_back(target);
            }
        }
    }
    let mut nodes = Vec::new();
    let mut at = id.0;
    while at < ROOT && before[at as usize] != UNSEEN {
        room(&mut nodes, 1)?;
        nodes.push(NodeId(at));
        at = before[at as usize];
    }
    nodes.reverse();
    let graph = Graph { heap, tree, shortest_paths, source };
    let others = if nodes.is_empty() { OtherHolders::default() } else { holders(graph, &nodes, cut, control)? };
    let mut labels = Labels::new(heap);
    labels.read_texts(source, &nodes, nodes.windows(2).map(|pair| (pair[0], pair[1])))?;
    labels.read_texts(source, &[id], [])?;
    let told = Told { tree: Some(tree), ..Told::default() };
    let mut chains = Vec::new();
    if !nodes.is_empty() {
        chains.push(Chain::new(&labels, &root_categories(heap), &nodes, told, control)?);
    }
    let all = tree.reachable();
    let freed = Sum { count: all.count - reached.count, memsize: all.memsize - reached.memsize, references: 0 };
    let (address, memsize, retained_memsize) = (heap.address(id), heap.bytes(id), Some(tree.retained(id)));
    Ok(WhatIf {
        paths: Paths { id, address, memsize, retained_memsize, label: labels.node(id), chains, judged: Vec::new() },
        freed,
        others,
    })
}

/// Who holds the last object of a chain if something is cut. Where a single list does that, whoever holds the list: the paths part there.
fn holders(graph: Graph<'_>, chain: &[NodeId], cut: &Cut, control: &Control<'_>) -> Result<OtherHolders> {
    let is_cut = |from: NodeId, to: NodeId| cut.edges.contains(&(from, to));
    let is_gone = |id: NodeId| cut.nodes.contains(&id);
    let mut found = OtherHolders::default();
    for (depth, held) in chain.iter().rev().take(NESTED).enumerate() {
        let above = others(graph, |id| id == *held, is_cut, is_gone, control)?;
        let by_list = match &above.named[..] {
            [one] if above.more == 0 && one.referrer_count == 1 => {
                one.by.is_some_and(|by| is_collection(graph.heap, by))
            }
            _ => false,
        };
        let is_parting = above.named.len() > 1;
        if depth == 0 || is_parting {
            found = above;
        }
        if is_parting || !by_list {
            break;
        }
    }
    Ok(found)
}

impl WhatIf {
    /// The answer of `path DUMP ADDRESS --without NAME`.
    #[must_use]
    pub fn report(&self, name: &str, dump: &str, context: &Context) -> Report {
        let also = self.others.named.iter().map(|one| Cell::Text(one.words()));
        let facts = vec![
            fact("cut", "Without", Cell::Text(name.to_owned()), String::new()),
            fact("freed_memsize", "Freed", Cell::Bytes(self.freed.memsize), String::new()),
            fact("freed_count", "Freed objects", Cell::Count(self.freed.count), String::new()),
            fact("held", "Still held", Cell::Flag(!self.paths.chains.is_empty()), String::new()),
            fact("also_held_by", "By", Cell::List(also.collect()), String::new()),
            fact("also_held_by_more", "", Cell::Count(self.others.more), String::new()),
        ];
        let without = Section::Facts(Facts { name: "without", title: String::new(), facts });
        let mut sections = vec![self.paths.facts(), without];
        let next = if self.paths.chains.is_empty() {
            sections.push(note(Level::Info, "nothing else holds the object: it would be freed"));
            format!("see what should take it out of {name}")
        } else {
            sections.extend(self.paths.sections());
            "what the path shows holds the object all the same: it is to be cut, too".to_owned()
        };
        sections.extend(context.notes());
        sections.push(note(Level::Next, next));
        Report { verb: "path", dump: dump.to_owned(), sections }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::{Cut, what_if};
    use crate::control::Control;
    use crate::graph::dominators::Tree;
    use crate::graph::random::heap_of_lines;
    use crate::graph::shortest_paths::ShortestPaths;

    /// App holds a list with an order, Cache holds the order, too, and the list a note.
    const SHOP: &str = r#"{"type":"ROOT", "root":"vm", "references":["0x1000", "0x1028", "0x1050", "0x1078"]}
{"address":"0x1000", "type":"CLASS", "name":"App", "references":["0x2000"], "memsize":40}
{"address":"0x1028", "type":"CLASS", "name":"Cache", "references":["0x3000"], "memsize":40}
{"address":"0x1050", "type":"CLASS", "name":"Order", "memsize":40}
{"address":"0x1078", "type":"CLASS", "name":"Array", "memsize":40}
{"address":"0x2000", "type":"ARRAY", "class":"0x1078", "length":2, "references":["0x3000", "0x4000"], "memsize":56}
{"address":"0x3000", "type":"OBJECT", "class":"0x1050", "memsize":80}
{"address":"0x4000", "type":"OBJECT", "class":"0x1050", "memsize":100}
"#;

    /// What is freed, and what holds the object then.
    fn without(name: &str, address: u64) -> Result<(u64, u64, Vec<String>), String> {
        let (heap, source) = heap_of_lines(SHOP);
        let control = Control::default();
        let tree = Tree::new(&heap, &control).unwrap();
        let shortest_paths = ShortestPaths::new(&heap, &control).unwrap();
        let cut = Cut::of(&heap, &tree, &shortest_paths, &source, name, &control).map_err(|error| error.to_string())?;
        let found =
            what_if(&heap, &tree, &shortest_paths, &source, heap.node(address).unwrap(), &cut, &control).unwrap();
        let steps = found.paths.chains.iter().flat_map(|chain| chain.steps.iter().map(|step| step.label.clone()));
        Ok((found.freed.count, found.freed.memsize, steps.collect()))
    }

    #[test]
    fn what_others_hold_too_stays() {
        let by_cache = vec!["class Cache".to_owned(), "Order".to_owned()];
        assert_eq!(without("0x2000", 0x3000), Ok((2, 156, by_cache.clone())), "the list and what it alone holds");
        assert_eq!(without("App", 0x3000), Ok((3, 196, by_cache)), "the class, too");
        assert_eq!(without("App", 0x4000), Ok((3, 196, vec![])));
        assert_eq!(without("Cache", 0x4000).unwrap().1, 40);
    }

    #[test]
    fn others_that_hold_it_are_named() {
        let others = |lines: &str, name: &str| {
            let (heap, source) = heap_of_lines(lines);
            let control = Control::default();
            let tree = Tree::new(&heap, &control).unwrap();
            let paths = ShortestPaths::new(&heap, &control).unwrap();
            let cut = Cut::of(&heap, &tree, &paths, &source, name, &control).unwrap();
            what_if(&heap, &tree, &paths, &source, heap.node(0x3000).unwrap(), &cut, &control).unwrap().others.words()
        };
        assert_eq!(others(SHOP, "0x2000"), "Cache (Cache constant or variable → Order)");
        assert_eq!(others(SHOP, "Cache"), "App (Array […] → Order)");
        // Who holds the one list that holds it, where the paths part above.
        let lines = SHOP.replace("\"0x1078\"]", "\"0x1078\", \"0x10a0\"]")
            + "{\"address\":\"0x10a0\", \"type\":\"CLASS\", \"name\":\"Index\", \"references\":[\"0x2000\"], \"memsize\":40}\n";
        assert_eq!(
            others(&lines, "Cache"),
            "App (App constant or variable → Array) and Index (Index constant or variable → Array)"
        );
        let alone = SHOP.replace("\"0x3000\", \"0x4000\"", "\"0x4000\"");
        assert_eq!(others(&alone, "Cache"), "", "nothing holds it then");
    }

    #[test]
    fn a_leak_is_named_by_its_fingerprint() {
        let of = |steps: &[&str]| {
            crate::analysis::normalised::NormalisedPath(steps.iter().map(|step| (*step).to_owned()).collect())
                .fingerprint()
        };
        assert_eq!(without(&of(&["App", "Array"]), 0x4000), Ok((2, 156, vec![])));
        assert_eq!(without(&of(&["App", "Array", "Order"]), 0x4000), Ok((1, 100, vec![])));
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert!(without("leak-000000", 0x3000).unwrap_err().contains("no object of the dump is of leak-000000"));
        assert!(
            without("Nobody", 0x3000)
                .unwrap_err()
                .contains("\"Nobody\" is not an address, fingerprint, class or module")
        );
        assert!(without("App::LIST", 0x3000).unwrap_err().contains("the dump names no variables: ::LIST"));
        assert!(without("0x77", 0x3000).unwrap_err().contains("no object at 0x77"));
    }
}
