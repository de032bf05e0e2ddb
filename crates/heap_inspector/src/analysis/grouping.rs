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
