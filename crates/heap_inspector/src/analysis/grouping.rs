//! Which group a node is in, and whether a filter lets it through; each distinct slot is looked at once.

use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue, Value, Values};
use crate::select::Filter;
use crate::survey::{Parts, Slot};
use hashbrown::HashMap;

/// The nodes that pass a filter, in order.
#[must_use]
pub fn nodes(heap: &Heap, filter: &Filter) -> Vec<NodeId> {
    let mut grouping = Grouping::new(heap, &[], filter);
    heap.nodes().filter(|id| grouping.group(*id).is_some()).collect()
}

/// The names of classes that have objects and are most like `name`, the likest first: what may have been meant where there are none of
/// that name. A name counts as like if it is the same but for case, if it ends in the one meant, or if few letters differ.
#[must_use]
pub fn similar_classes(heap: &Heap, name: &str, limit: usize) -> Vec<String> {
    let by = [Key::Class];
    let filter = Filter::default();
    let mut grouping = Grouping::new(heap, &by, &filter);
    for id in heap.nodes() {
        grouping.group(id);
    }
    let wanted = name.to_lowercase();
    let rank = |known: &str| {
        let lower = known.to_lowercase();
        if lower == wanted {
            return Some(0);
        }
        if lower.ends_with(&format!("::{wanted}")) {
            return Some(1);
        }
        let ending = lower.rsplit("::").next().unwrap_or_default();
        let distance = strsim::osa_distance(&lower, &wanted).min(strsim::osa_distance(ending, &wanted) + 1);
        (distance <= 1 + wanted.chars().count() / 4).then_some(1 + distance)
    };
    let names = grouping.keys().into_iter().filter_map(|key| match key.into_iter().next() {
        Some(KeyValue::Text(known)) => rank(&known).map(|rank| (rank, known)),
        _ => None,
    });
    let mut names: Vec<(usize, String)> = names.collect();
    names.sort();
    names.into_iter().take(limit).map(|(_, name)| name).collect()
}

/// Numbers the groups that nodes are in. Each distinct slot is looked at once.
pub(crate) struct Grouping<'a> {
    heap: &'a Heap,
    by: &'a [Key],
    filter: &'a Filter,
    parts: Parts,
    values: Values<'a>,
    known: HashMap<Slot, Option<u32>>,
    last: Option<(Slot, Option<u32>)>,
    numbers: HashMap<Vec<Value>, u32>,
    order: Vec<Vec<Value>>,
}

impl<'a> Grouping<'a> {
    pub(crate) fn new(heap: &'a Heap, by: &'a [Key], filter: &'a Filter) -> Grouping<'a> {
        let parts = by.iter().fold(filter.parts(), |parts, key| parts.union(key.parts()));
        Grouping {
            heap,
            by,
            filter,
            parts,
            values: Values::new(heap.names()),
            known: HashMap::new(),
            last: None,
            numbers: HashMap::new(),
            order: Vec::new(),
        }
    }

    /// The number of the node's group; none where the filter keeps it out.
    pub(crate) fn group(&mut self, id: NodeId) -> Option<usize> {
        if self.filter.memsize().is_some_and(|ranges| !ranges.hold(self.heap.bytes(id))) {
            return None;
        }
        let slot = self.heap.slot(id).keep(self.parts);
        let number = match self.last {
            Some((last, number)) if last == slot => number,
            _ => self.known.get(&slot).copied().unwrap_or_else(|| self.number(slot)),
        };
        self.last = Some((slot, number));
        number.map(|number| number as usize)
    }

    fn number(&mut self, slot: Slot) -> Option<u32> {
        let number = self.filter.holds(&mut self.values, &slot).then(|| {
            let key: Vec<Value> = self.by.iter().map(|by| self.values.value(*by, &slot)).collect();
            let next = self.order.len() as u32;
            let number = *self.numbers.entry(key.clone()).or_insert(next);
            if number == next {
                self.order.push(key);
            }
            number
        });
        self.known.insert(slot, number);
        number
    }

    /// The keys of the groups, by number.
    pub(crate) fn keys(self) -> Vec<Vec<KeyValue>> {
        let outside = |value: &Value| self.values.outside(*value);
        self.order.iter().map(|key| key.iter().map(outside).collect()).collect()
    }
}
