//! A verdict for each step of a path: whether the object is expected to be alive, or stuck, its work being over.
//!
//! First the rules (`verdicts/rules.rs`) are asked of each step alone. Then verdicts spread: what leads to an expected object is expected,
//! and what only a stuck one holds is stuck. Between the last expected step and the first stuck one lies the *faulty* reference: the one that
//! should have been cut. Where steps between are unknown each reference there may be it. The idea, and that a verdict has a reason in
//! words, is LeakCanary's.

use super::chains::Step;
use super::normalised::plain;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId, Target};
use crate::labels::Edge;
use crate::record::{Flags, Type};
use hashbrown::HashSet;
pub use rules::Rules;
pub(crate) use rules::Work;
use rules::{ENVIRONMENT_KEYS, ENVIRONMENT_VALUES, EXPECTED, WORK};

mod rules;

/// What is to be thought of an object's being alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is meant to live.
    Expected,
    /// Its work is over, and something holds it.
    Stuck,
    /// Nothing is known of it.
    Unknown,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Expected => "expected",
            Verdict::Stuck => "stuck",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Whether the reference to a step is the one to cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It is not.
    #[default]
    None,
    /// It may be, or one of its neighbours.
    Candidate,
    /// It is.
    Faulty,
}

impl Fault {
    /// What stands beside such a reference; none of others.
    #[must_use]
    pub fn words(self) -> Option<&'static str> {
        match self {
            Fault::None => None,
            Fault::Candidate => Some("may be the faulty reference"),
            Fault::Faulty => Some("the faulty reference"),
        }
    }
}

/// Its word, and nothing where the reference is not the one to cut.
impl serde::Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Fault::None => serializer.serialize_none(),
            Fault::Candidate => serializer.serialize_unit_variant("Fault", 1, "candidate"),
            Fault::Faulty => serializer.serialize_unit_variant("Fault", 2, "faulty"),
        }
    }
}

/// What is thought of a step, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Judged {
    /// Of the object.
    pub verdict: Verdict,
    /// Why, in words; empty where nothing is known.
    pub reason: String,
    /// Of the reference to it.
    pub fault: Fault,
}

/// What growth tells of a path, by places among its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The accumulation point, where it is one of the steps.
    pub point: Option<usize>,
    /// What piles up; the accumulation point itself where that grows.
    pub pile: usize,
    /// Whether what stands before was there in the first of several dumps.
    pub is_known: bool,
}

/// Which threads of a heap run, and what they are at work on.
#[derive(Debug)]
pub struct AtWork {
    /// What threads, fibers and closures' frames hold right now.
    held: HashSet<NodeId>,
    /// The threads that run; none where the dump does not tell.
    threads: HashSet<NodeId>,
}

/// Judges the steps of paths in one heap.
#[derive(Debug)]
pub struct Judge<'a> {
    heap: &'a Heap,
    tree: &'a Tree,
    rules: &'a Rules,
    at_work: &'a AtWork,
}

/// Chains of superclasses are a few dozen long; a hostile dump may close one to a ring.
const ANCESTORS: usize = 200;
/// Dominators are looked up so far for what holds a step alone.
const HIGH: usize = 10_000;

impl AtWork {
    /// Of a heap; takes time for each object.
    #[must_use]
    pub fn of(heap: &Heap) -> AtWork {
        let (mut held, mut threads) = (HashSet::new(), HashSet::new());
        let label = |id: NodeId| label(heap, id);
        for id in heap.nodes().filter(|id| heap.ty(*id) == Type::Data) {
            match label(id) {
                b"ractor" => threads.extend(heap.targets(id).filter(|target| label(*target) == b"VM/thread")),
                b"VM/thread" | b"fiber" => held.extend(heap.targets(id)),
                _ => {}
            }
        }
        for root in heap.roots() {
            let targets = root.targets.iter().filter_map(Target::node);
            if root.category == "machine_context" {
                held.extend(targets);
            } else {
                threads.extend(targets.filter(|target| label(*target) == b"VM/thread"));
            }
        }
        AtWork { held, threads }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.held.allocation_size() + self.threads.allocation_size()
    }
}

impl<'a> Judge<'a> {
    /// Of a heap, with the user's rules.
    #[must_use]
    pub fn new(heap: &'a Heap, tree: &'a Tree, at_work: &'a AtWork, rules: &'a Rules) -> Judge<'a> {
        Judge { heap, tree, rules, at_work }
    }

    /// How many threads run; none where the dump does not tell.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.at_work.threads.len()
    }

    /// What is thought of each step.
    #[must_use]
    pub fn steps(&self, steps: &[Step], growth: Option<Growth>) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::new();
        for at in 0..steps.len() {
            let (verdict, reason) = self.alone(steps, at).unwrap_or((Verdict::Unknown, String::new()));
            judged.push(Judged { verdict, reason, fault: Fault::None });
        }
        self.grown(steps, growth, &mut judged);
        let expected = judged.iter().rposition(|judged| judged.verdict == Verdict::Expected);
        if let Some(last) = expected {
            let by = steps[last].label.clone();
            for judged in judged[..last].iter_mut().filter(|judged| judged.verdict == Verdict::Unknown) {
                (judged.verdict, judged.reason) = (Verdict::Expected, format!("it leads to {by}, which is expected"));
            }
        }
        let begin = expected.map_or(0, |last| last + 1);
        let stuck = judged[begin..].iter().position(|judged| judged.verdict == Verdict::Stuck).map(|at| begin + at);
        if let Some(first) = stuck {
            for at in first + 1..steps.len() {
                if judged[at].verdict == Verdict::Unknown && self.is_above(steps[first].id, steps[at].id) {
                    let reason = format!("only {} holds it, which is stuck", steps[first].label);
                    (judged[at].verdict, judged[at].reason) = (Verdict::Stuck, reason);
                }
            }
        }
        // Without a stuck step nothing says that any reference should be cut, but of what is asked for last.
        let end = stuck.unwrap_or(steps.len().saturating_sub(1));
        if begin <= end && end < steps.len() {
            let fault = if begin == end && stuck.is_some() { Fault::Faulty } else { Fault::Candidate };
            judged[begin..=end].iter_mut().for_each(|judged| judged.fault = fault);
        }
        judged
    }

    /// The references to the steps at fault, by classes.
    #[must_use]
    pub fn faulty_references(&self, steps: &[Step], judged: &[Judged]) -> Vec<String> {
        let at_fault = judged.iter().enumerate().filter(|(_, judged)| judged.fault != Fault::None);
        let word = |at: usize| reference(self.heap, at.checked_sub(1).map(|before| &steps[before]), &steps[at]);
        at_fault.map(|(at, _)| word(at)).collect()
    }

    /// What growth says: where objects piled up, and what piled up there.
    fn grown(&self, steps: &[Step], growth: Option<Growth>, judged: &mut [Judged]) {
        let Some(Growth { point, pile, is_known }) = growth else { return };
        if judged.iter().take(pile).any(|judged| judged.verdict == Verdict::Stuck) || pile >= steps.len() {
            return; // a rule knows better
        }
        // Threads that run and pile up wait for what does not come.
        let is_thread = |at: usize| label(self.heap, steps[at].id) == b"VM/thread";
        let is_told =
            |verdict: Verdict| verdict != Verdict::Unknown && !(verdict == Verdict::Expected && is_thread(pile));
        if let Some(judged) = judged.get_mut(pile).filter(|judged| !is_told(judged.verdict)) {
            let reason = if point == Some(pile) { "it grows and grows" } else { "such objects pile up here" };
            (judged.verdict, judged.reason) = (Verdict::Stuck, reason.to_owned());
        }
        let old = if is_known { point.map_or(pile..pile, |point| point..pile) } else { pile..pile };
        for judged in judged[old].iter_mut().filter(|judged| judged.verdict == Verdict::Unknown) {
            let reason = "it was there in the first dump, and took in objects ever since";
            (judged.verdict, judged.reason) = (Verdict::Expected, reason.to_owned());
        }
    }

    /// What the rules say of a step, whatever stands around it.
    fn alone(&self, steps: &[Step], at: usize) -> Option<(Verdict, String)> {
        let Step { id, edge, .. } = &steps[at];
        let heap = self.heap;
        let properties = heap.properties(*id);
        let expected = |reason: &str| Some((Verdict::Expected, reason.to_owned()));
        let stuck = |reason: &str| Some((Verdict::Stuck, reason.to_owned()));
        if matches!(properties.ty, Type::Class | Type::Module | Type::Iclass) {
            let name = heap.names().class_name(heap.address(*id)).unwrap_or_default();
            let is_named = !name.is_empty() && !name.contains("0x") && !properties.flags.has(Flags::SINGLETON);
            return is_named.then(|| (Verdict::Expected, format!("{name} lives as long as the program")));
        }
        let classes = ancestors(heap, *id);
        if let Some(told) = self.rules.of_classes(classes.iter()) {
            return Some(told);
        }
        if let Some(work) = work(&classes) {
            if self.at_work.held.contains(id) {
                return None;
            }
            return Some((Verdict::Stuck, format!("{}, and no thread is at work on it", work.one)));
        }
        if let Some((_, reason)) = EXPECTED.iter().find(|(class, _)| classes.iter().any(|own| own == class)) {
            return expected(reason);
        }
        match label(heap, *id) {
            b"VM/thread" if self.at_work.threads.is_empty() => return None,
            b"VM/thread" if self.at_work.threads.contains(id) => return expected("a thread that runs"),
            b"VM/thread" => return stuck("a thread that is finished"),
            b"ractor" => return expected("a Ractor"),
            b"fiber" if at > 0 && is_collection(heap, steps[at - 1].id) => {
                return stuck("a suspended fiber that stands in a collection, so nobody waits to resume it");
            }
            b"enumerator" if heap.targets(*id).any(|target| label(heap, target) == b"fiber") => {
                return stuck("an enumerator that was stopped halfway, with the fiber that it runs in");
            }
            _ => {}
        }
        if self.is_rejected(*id, &classes) {
            return stuck("a promise that was rejected");
        }
        if properties.ty == Type::Hash && !self.at_work.held.contains(id) && self.is_environment(steps, at) {
            return stuck("the environment of a request, and no thread is at work on it");
        }
        match edge {
            Edge::Constant(name) => Some((Verdict::Expected, format!("the constant {name}"))),
            Edge::Global(name) => Some((Verdict::Expected, format!("the global variable {name}"))),
            _ => None,
        }
    }

    /// Whether it is a promise of concurrent-ruby that failed: it has the state for that, the older kind the exception alone.
    fn is_rejected(&self, id: NodeId, classes: &[String]) -> bool {
        let is = |class: &str| classes.iter().any(|own| own == class);
        let holds = |class: &str| {
            self.heap.targets(id).any(|target| ancestors(self.heap, target).iter().any(|found| found == class))
        };
        is("Concurrent::Promises::Future") && holds("Concurrent::Promises::InternalStates::Rejected")
            || is("Concurrent::Obligation") && holds("Exception")
    }

    /// Whether a hash is the environment of a request (Rack's specification): by the key that the path goes on with, or by what servers and
    /// frameworks put into it.
    fn is_environment(&self, steps: &[Step], at: usize) -> bool {
        let key = match steps.get(at + 1).map(|next| &next.edge) {
            Some(Edge::Value(Some(key)) | Edge::Entry(key)) => key.as_str(),
            _ => "",
        };
        ENVIRONMENT_KEYS.iter().any(|prefix| key.starts_with(prefix))
            || self.heap.targets(steps[at].id).any(|target| {
                let class = self.heap.names().instance_class(self.heap.properties(target).names.class);
                let class = self.heap.names().tables.symbols.bytes(class);
                ENVIRONMENT_VALUES.iter().any(|known| known.as_bytes() == class)
            })
    }

    /// Whether one object alone holds another.
    fn is_above(&self, above: NodeId, below: NodeId) -> bool {
        std::iter::successors(self.tree.above(below), |id| self.tree.above(*id)).take(HIGH).any(|id| id == above)
    }

    /// Which kind of work an object is, where no thread is at work on it.
    pub(crate) fn left_over(&self, id: NodeId, work: Work) -> Option<Work> {
        (!self.at_work.held.contains(&id)).then_some(work)
    }
}

/// Which kind of work objects of these classes are.
pub(crate) fn work(classes: &[String]) -> Option<Work> {
    WORK.iter().find(|(class, _)| classes.iter().any(|own| own == class)).map(|(_, work)| *work)
}

/// The names of an object's class, of what that includes, and of its superclasses.
pub(crate) fn ancestors(heap: &Heap, id: NodeId) -> Vec<String> {
    let names = heap.names();
    let own = names.instance_class(heap.properties(id).names.class);
    let first = heap.class(id).map(|class| heap.address(class));
    let chain = std::iter::successors(first, |address| names.superclass(*address)).take(ANCESTORS);
    let own = names.tables.symbols.text(own).into_owned();
    std::iter::once(own).chain(chain.filter_map(|address| names.class_name(address))).collect()
}

/// Whether an object is an array, a hash or a set.
#[must_use]
pub(super) fn is_collection(heap: &Heap, id: NodeId) -> bool {
    matches!(heap.ty(id), Type::Array | Type::Hash) || label(heap, id) == b"set"
}

/// The label of a DATA; of others none.
fn label(heap: &Heap, id: NodeId) -> &[u8] {
    let properties = heap.properties(id);
    match properties.ty {
        Type::Data => heap.names().tables.symbols.bytes(properties.names.label),
        _ => b"",
    }
}

/// The reference between two steps by classes and, where the dump has it, the name it goes by: no place in a list, no key.
#[must_use]
pub fn reference(heap: &Heap, before: Option<&Step>, step: &Step) -> String {
    let name = |id: NodeId| {
        let (names, properties) = (heap.names(), heap.properties(id));
        let text = |sym| names.tables.symbols.text(sym).into_owned();
        let name = match properties.ty {
            Type::Class | Type::Module => names.class_name(heap.address(id)).unwrap_or_default(),
            _ => text(names.instance_class(properties.names.class)),
        };
        match properties.ty {
            // Ruby's own.
            Type::Imemo | Type::Data if name.is_empty() => format!("({})", text(properties.names.label)),
            Type::Array if name.is_empty() => "Array".to_owned(),
            Type::Hash if name.is_empty() => "Hash".to_owned(),
            _ => plain(&name),
        }
    };
    let is_list = before.is_some_and(|before| is_collection(heap, before.id));
    let edge = match &step.edge {
        Edge::Variable(name) | Edge::Likely(name) => name.clone(),
        _ if is_list => "[…]".to_owned(),
        edge => edge.to_string(),
    };
    let words = [before.map(|before| name(before.id)).unwrap_or_default(), edge, "→".to_owned(), name(step.id)];
    words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
