//! Chains of references, as from a root to an object: their steps with names, and which of these are shown.

use crate::Result;
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::is_conservative;
use crate::heap::{Heap, NodeId, Target};
use crate::labels::{Edge, Labels};
use crate::memory::{list, room};
use hashbrown::{DefaultHashBuilder, HashMap};
use std::hash::BuildHasher;

/// An object on a chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// The object.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// Its bytes.
    pub memsize: u64,
    /// Bytes that it retains, where they were asked for.
    pub retained_memsize: Option<u64>,
    /// By what the one before holds it, the root the first.
    pub edge: Edge,
    /// The object for people.
    pub label: String,
}

/// A chain of references from a root to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Chain {
    /// The steps; where only what is shown was asked for, these.
    pub steps: Vec<Step>,
    #[serde(skip)]
    shown: Vec<Row>,
}

/// A row of a chain that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// A step, by its place in the chain.
    Step(usize),
    /// So many that repeat the ones before, over and over.
    Folded { steps: usize, over: usize },
    /// So many more.
    LeftOut(usize),
}

impl Row {
    /// What stands for steps that are not told.
    fn words(self) -> String {
        let count = |steps: usize| crate::human::count(steps as u64);
        match self {
            Row::Step(_) => String::new(),
            Row::Folded { steps, over: 1 } => format!("({} steps more like this one)", count(steps)),
            Row::Folded { steps, over } => format!("({} steps more like these {over})", count(steps)),
            Row::LeftOut(steps) => format!("({} steps more)", count(steps)),
        }
    }
}

/// What is told of a chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Every step, or those that a report shows: of what lies deep in a list few, and the rest takes no memory.
    pub every_step: bool,
    /// With this, what each step retains.
    pub tree: Option<&'a Tree>,
}

/// What holds the first object of a chain: the global variable that does, or the category of the root.
pub(crate) fn root_edge(heap: &Heap, roots: &HashMap<NodeId, &str>, id: NodeId) -> Edge {
    match heap.global_variable(id) {
        Some(name) => Edge::Global(name.to_owned()),
        None => Edge::Root(roots.get(&id).copied().unwrap_or_default().to_owned()),
    }
}

/// So many steps repeat themselves at most, one after the other: those from one element of a list to the next.
const PERIOD: usize = 4;
/// What repeats itself for fewer steps than this is told.
const FOLDED: usize = 8;
/// A chain that is longer then is shown by its beginning and its end.
const SHOWN_STEPS: usize = 100;

/// What is shown of a chain, by a number for each step that is the same for those that look the same. Its last step is always shown.
fn fold(looks: &[u64]) -> Vec<Row> {
    let mut shown = Vec::new();
    let (mut at, end) = (0, looks.len().saturating_sub(1));
    while at < looks.len() {
        let repeated = |over: usize| {
            let pairs = looks[at..end].iter().zip(looks.get(at + over..end).unwrap_or_default());
            let same = pairs.take_while(|(one, other)| one == other).count();
            same - same % over
        };
        // The shortest that repeats itself: what it does with two steps it does with four.
        let found = (1..=PERIOD).map(|over| (over, repeated(over))).find(|(_, steps)| *steps >= FOLDED);
        match found {
            Some((over, steps)) => {
                shown.extend((at..at + over).map(Row::Step));
                shown.push(Row::Folded { steps, over });
                at += over + steps;
            }
            None => {
                shown.push(Row::Step(at));
                at += 1;
            }
        }
    }
    if shown.len() > SHOWN_STEPS {
        let steps = |shown: &Row| match shown {
            Row::Step(_) => 1,
            Row::Folded { steps, .. } | Row::LeftOut(steps) => *steps,
        };
        let between = SHOWN_STEPS / 2..shown.len() - SHOWN_STEPS / 2;
        let left_out = shown[between.clone()].iter().map(steps).sum();
        shown.splice(between, [Row::LeftOut(left_out)]);
    }
    shown
}

impl Chain {
    /// Names the steps of a chain. Objects in which Ruby from 4.0 on keeps instance variables are left out: their holder holds those.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when cancelled, [`crate::Error::Memory`].
    pub(super) fn new(
        labels: &Labels<'_>,
        roots: &HashMap<NodeId, &str>,
        nodes: &[NodeId],
        told: Told<'_>,
        control: &Control<'_>,
    ) -> Result<Chain> {
        let heap = labels.heap();
        let step = |place: usize| {
            let id = nodes[place];
            let edge = match place {
                0 => root_edge(heap, roots, id),
                _ => labels.edge(nodes[place - 1], id),
            };
            let retained_memsize = told.tree.map(|tree| tree.retained(id));
            Step {
                id,
                address: heap.address(id),
                memsize: heap.bytes(id),
                retained_memsize,
                edge,
                label: labels.node(id),
            }
        };
        // Where each step stands, and what it looks like.
        let (mut places, mut looks): (Vec<u32>, Vec<u64>) = (list(nodes.len())?, list(nodes.len())?);
        let random = DefaultHashBuilder::default();
        for (place, id) in nodes.iter().enumerate() {
            control.check_at(place)?;
            if place == 0 || place + 1 == nodes.len() || !labels.is_fields(*id) {
                let Step { edge, label, .. } = step(place);
                places.push(place as u32);
                looks.push(random.hash_one((edge, label)));
            }
        }
        let mut shown = fold(&looks);
        drop(looks);
        let mut steps = Vec::new();
        if told.every_step {
            for (count, place) in places.iter().enumerate() {
                control.check_at(count)?;
                room(&mut steps, 1)?;
                steps.push(step(*place as usize));
            }
        } else {
            for row in &mut shown {
                if let Row::Step(at) = row {
                    steps.push(step(places[*at] as usize));
                    *at = steps.len() - 1;
                }
            }
        }
        Ok(Chain { steps, shown })
    }

    /// What is shown of it: steps, each with its place among [`Chain::steps`], and in words what is left out of them.
    pub(crate) fn rows(&self) -> impl Iterator<Item = std::result::Result<(usize, &Step), String>> {
        self.shown.iter().map(|shown| match shown {
            Row::Step(at) => Ok((*at, &self.steps[*at])),
            other => Err(other.words()),
        })
    }
}

/// For what the roots refer to the category of the first root that does, of one that is no conservative guess if there is one.
pub(crate) fn root_categories(heap: &Heap) -> HashMap<NodeId, &str> {
    let mut categories: HashMap<NodeId, &str> = HashMap::new();
    for root in heap.roots() {
        for target in &root.targets {
            let Target::Node(id) = target else { continue };
            let known = categories.entry(*id).or_insert(&root.category);
            if is_conservative(known) {
                *known = &root.category;
            }
        }
    }
    categories
}

#[cfg(test)]
mod tests;
