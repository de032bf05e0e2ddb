//! What beside its growth speaks about a suspect, in words: no guess, only what the dump shows.

use super::naming::SEARCHED;
use super::points::{Content, ObjectKind, kind_of};
use crate::graph::dominators::{Children, Dominator, Tree};
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::labels::Labels;
use crate::record::{Flags, Type};
use hashbrown::HashSet;
use std::cell::OnceCell;

/// So many strings of a suspect are looked at.
const STRINGS: usize = 200;
/// They repeat if so many have one text, in the mean.
const REPEATS: usize = 4;
/// Shorter lists than this are nothing to speak of.
const LONG: u32 = 100;
/// Nor is one among fewer of its kind.
const MANY: usize = 100;
/// A list is long for its kind if no more than this part is longer.
const LONGER_PART: usize = 1000;
/// What an object holds is spread if no part of it is more than this.
const SPREAD: u64 = 10;

/// The lengths of all arrays and of all hashes, where a long one was met.
#[derive(Default)]
pub(super) struct Lengths {
    arrays: OnceCell<Vec<u32>>,
    hashes: OnceCell<Vec<u32>>,
}

impl Lengths {
    fn of(heap: &Heap, ty: Type) -> Vec<u32> {
        heap.nodes().filter(|id| heap.ty(*id) == ty).filter_map(|id| heap.length(id)).collect()
    }

    /// How a list stands among its kind.
    fn rank(&self, heap: &Heap, id: NodeId) -> Option<String> {
        let ty = heap.ty(id);
        let (kind, all) = match ty {
            Type::Array => ("arrays", &self.arrays),
            Type::Hash => ("hashes", &self.hashes),
            _ => return None,
        };
        let own = heap.length(id).filter(|length| *length >= LONG)?;
        let all = all.get_or_init(|| Lengths::of(heap, ty));
        let longer = all.iter().filter(|length| **length > own).count();
        let rank = match longer {
            0 => "longest".to_owned(),
            1 => "second longest".to_owned(),
            2 => "third longest".to_owned(),
            longer => format!("{} longest", ordinal(longer + 1)),
        };
        (all.len() >= MANY && longer <= all.len() / LONGER_PART)
            .then(|| format!("{rank} of {} {kind}", human::count(all.len() as u64)))
    }
}

/// 4th, 21st, 112th.
fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{}{ending}", human::count(number as u64))
}

/// Up to so many strings of a kind among what an object holds alone, found in a short search.
pub(super) fn strings(heap: &Heap, children: &Children, of: NodeId, kind: ObjectKind) -> Vec<NodeId> {
    let mut found = Vec::new();
    let mut stack: Vec<NodeId> = children.of(Dominator::Node(of)).take(STRINGS).collect();
    for _ in 0..STRINGS * SEARCHED {
        let Some(id) = stack.pop().filter(|_| found.len() < STRINGS) else { break };
        if kind_of(heap, id) == kind {
            found.push(id);
        }
        stack.extend(children.of(Dominator::Node(id)).take(SEARCHED));
    }
    found
}

/// What is seen where, for one suspect.
pub(super) struct Evidence<'a, 'heap> {
    pub(super) heap: &'a Heap,
    pub(super) tree: &'a Tree,
    pub(super) children: &'a Children,
    pub(super) labels: &'a Labels<'heap>,
    pub(super) lengths: &'a Lengths,
}

impl Evidence<'_, '_> {
    /// What speaks for a point of so many bytes: `path` leads to it, `main` is what piles up there, `strings` are some of these where they
    /// are strings.
    pub(super) fn of(&self, path: &[NodeId], bytes: u64, main: Option<&Content>, strings: &[NodeId]) -> Vec<String> {
        let point = path.last().copied();
        let found = [
            point.and_then(|id| self.lengths.rank(self.heap, id)),
            point.and_then(|id| self.drop(id, bytes)),
            self.keeper(path),
            main.and_then(|content| self.captured(content)),
            main.and_then(|content| self.classes(content)),
            self.repeats(strings),
        ];
        found.into_iter().flatten().collect()
    }

    /// Where retained memory drops: the object holds much, each object that it holds little.
    fn drop(&self, id: NodeId, bytes: u64) -> Option<String> {
        let retained = self.tree.retained(id);
        let most = self.children.of(Dominator::Node(id)).map(|child| self.tree.retained(child)).max()?;
        (retained >= bytes && most <= retained / SPREAD).then(|| {
            format!(
                "the accumulation point retains {}, each object in it {} at most",
                human::bytes(retained),
                human::bytes(most)
            )
        })
    }

    /// The nearest thread, fiber or closure on the path: they hold what nobody wrote into a variable of an object.
    fn keeper(&self, path: &[NodeId]) -> Option<String> {
        path.iter().rev().find_map(|id| {
            let made = self.made(*id);
            match self.labels.class_name(*id).as_str() {
                "Thread" => Some(format!("a thread{made} holds it, by its stack or its own variables")),
                "Fiber" => Some(format!("a fiber{made} holds it, by its stack")),
                "Proc" => Some(format!("a closure{made} holds it, by a local variable around the block")),
                _ => None,
            }
        })
    }

    /// Where an object was allocated, as far as known.
    fn made(&self, id: NodeId) -> String {
        match self.labels.value(Key::Location, id) {
            KeyValue::Text(location) if self.heap.properties(id).generation > 0 => format!(" of {location}"),
            _ => String::new(),
        }
    }

    fn captured(&self, content: &Content) -> Option<String> {
        let is_closure = self.labels.class_name(content.sample) == "Proc";
        is_closure.then(|| {
            format!("closures{} hold what they capture: local variables around the block", self.made(content.sample))
        })
    }

    fn classes(&self, content: &Content) -> Option<String> {
        let properties = self.heap.properties(content.sample);
        let is_class = matches!(properties.ty, Type::Class | Type::Module);
        if is_class && properties.flags.has(Flags::SINGLETON) {
            return Some("they are singleton classes, as `extend` and `def object.name` make them".into());
        }
        let kind = if properties.ty == Type::Module { "modules" } else { "classes" };
        (is_class && content.count > 1)
            .then(|| format!("they are {kind} that were made one by one while the process ran"))
    }

    /// Whether the strings repeat. Only texts that were read whole count.
    fn repeats(&self, strings: &[NodeId]) -> Option<String> {
        let texts: Vec<&str> = strings.iter().filter_map(|id| self.labels.text(*id)).collect();
        let different: HashSet<&str> = texts.iter().copied().collect();
        (different.len() * REPEATS <= texts.len() && texts.len() >= 2 * REPEATS).then(|| {
            let plural = if different.len() == 1 { "" } else { "s" };
            format!("{} of these strings have {} text{plural} in all", texts.len(), different.len())
        })
    }
}
