//! Names of edges as the dump tells them, and where the code of closures stands: read again for the edges that are asked for, so that
//! a heap takes no more memory for them.

use super::Edge;
use crate::heap::{Heap, NodeId};
use crate::record::{Record, Text, Type};
use hashbrown::{HashMap, HashSet};

/// In place of a place: where a closure's code stands, or where a thread, fiber or enumerator waits.
pub(super) const BLOCK: usize = usize::MAX;
/// So many names are kept.
const KEPT: usize = 1 << 20;
/// Bytes of a name that are shown.
const SHOWN: usize = 200;
/// What it is to a class where it is not told of which constant.
const FILE_OF_CONSTANT: &str = "file of a constant";
/// Words that a name in parentheses may be.
const WORDS: [&str; 17] = [
    "attached object",
    "block",
    "call cache",
    "code",
    "default",
    "fiber",
    FILE_OF_CONSTANT,
    "hidden constant",
    "hidden variable",
    "local variables",
    "name",
    "outer scope",
    "receiver",
    "scope",
    "self",
    "superclass",
    "thread variables",
];

/// What was read, and what is to be read.
#[derive(Default)]
pub(super) struct Named {
    edges: HashMap<(NodeId, u32), Edge>,
    blocks: HashMap<NodeId, String>,
    waiting: HashMap<NodeId, String>,
    /// By the reference to the file in which a constant was set: the constant, and the line.
    set: HashMap<(NodeId, u32), (String, u32)>,
    /// By holder the places of references whose names are wanted, and [`BLOCK`].
    wanted: HashMap<NodeId, Vec<usize>>,
    /// Holders that were read, with the places that were asked for.
    asked: HashSet<(NodeId, usize)>,
}

impl Named {
    /// Asks for the names of references by their places.
    pub(super) fn want(&mut self, heap: &Heap, places: impl Iterator<Item = (NodeId, usize)>) {
        self.wanted.clear();
        for (id, place) in places {
            let has_it = match place {
                BLOCK => heap.ty(id) == Type::Data,
                _ => is_told(heap, id),
            };
            if has_it && self.asked.len() < KEPT && self.asked.insert((id, place)) {
                self.wanted.entry(id).or_default().push(place);
            }
        }
        self.wanted.values_mut().for_each(|places| places.sort_unstable());
    }

    /// The objects whose lines are to be read.
    pub(super) fn wanted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.wanted.keys().copied()
    }

    /// Takes what is wanted of an object's line.
    pub(super) fn take(&mut self, heap: &Heap, id: NodeId, record: &Record<'_>, hides_texts: bool) {
        let Some(places) = self.wanted.remove(&id) else { return };
        if places.contains(&BLOCK) {
            record.block.map(|block| self.blocks.insert(id, shown(block)));
            record.waits_in.map(|place| self.waiting.insert(id, shown(place)));
        }
        let mut places = places.into_iter().peekable();
        for (place, name) in record.edge_names().enumerate() {
            let Some(wanted) = places.peek() else { break };
            if *wanted == place {
                places.next();
                let Some(name) = name.map(shown) else { continue };
                let at = (id, place as u32);
                if let Some((constant, line)) = set(heap.ty(id), &name) {
                    self.set.insert(at, (constant.to_owned(), line));
                }
                if let Some(edge) = edge(heap.ty(id), &name, hides_texts) {
                    self.edges.insert(at, edge);
                }
            }
        }
    }

    pub(super) fn edge(&self, from: NodeId, place: usize) -> Option<&Edge> {
        self.edges.get(&(from, u32::try_from(place).ok()?))
    }

    /// Of which constant the reference is to the file in which it was set, and the line.
    pub(super) fn set(&self, from: NodeId, place: usize) -> Option<(&str, u32)> {
        let (constant, line) = self.set.get(&(from, u32::try_from(place).ok()?))?;
        Some((constant, *line))
    }

    /// File and line of a closure's code.
    pub(super) fn block(&self, id: NodeId) -> Option<&str> {
        self.blocks.get(&id).map(String::as_str)
    }

    /// File and line where a thread, fiber or enumerator waits.
    pub(super) fn waits_in(&self, id: NodeId) -> Option<&str> {
        self.waiting.get(&id).map(String::as_str)
    }
}

/// Whether names of an object's references are read. The place of an element is its name, where each element is a reference.
pub(super) fn is_told(heap: &Heap, id: NodeId) -> bool {
    match heap.ty(id) {
        Type::Array => heap.length(id).map(|length| length as usize) != Some(heap.references(id).len()),
        ty => ty != Type::String,
    }
}

/// The beginning of a name.
pub(super) fn shown(text: Text<'_>) -> String {
    let start = text.decode_start(SHOWN + 1);
    let is_cut = start.len() > SHOWN;
    let text = String::from_utf8_lossy(&start[..start.len().min(SHOWN)]);
    format!("{text}{}", if is_cut { "…" } else { "" })
}

/// How the name of a reference to the file of a constant begins.
const FILE_OF: &str = "(file of ";

/// A constant and the line at which it was set: `(file of EVENTS, line 7)`. What C set has line 0.
fn set(ty: Type, name: &str) -> Option<(&str, u32)> {
    let told = name.strip_prefix(FILE_OF)?.strip_suffix(')')?;
    let (constant, line) = told.rsplit_once(", line ")?;
    let line = line.parse().ok().filter(|line| *line > 0)?;
    matches!(ty, Type::Class | Type::Module).then_some((constant, line))
}

/// What a name says; none where it says nothing that an object of this type can mean. Of a key that is a text no more than that there is
/// one, where texts are hidden.
pub(super) fn edge(ty: Type, name: &str, hides_texts: bool) -> Option<Edge> {
    let is_module = matches!(ty, Type::Class | Type::Module | Type::Iclass);
    let first = name.chars().next()?;
    match first {
        '@' => Some(Edge::Variable(name.to_owned())),
        '#' if is_module => Some(Edge::Method(name.to_owned())),
        '.' if ty == Type::Struct => Some(Edge::Member(name.to_owned())),
        '[' if ty == Type::Hash && hides_texts && name.starts_with("[\"") => Some(Edge::Value(None)),
        '[' if ty == Type::Hash => Some(match name.strip_prefix("[\"").and_then(|name| name.strip_suffix("\"]")) {
            Some(text) => Edge::Value(Some(text.to_owned())),
            None => Edge::Entry(name.to_owned()),
        }),
        '[' if ty == Type::Array => name[1..].strip_suffix(']')?.parse().ok().map(Edge::Element),
        '(' if name.starts_with(FILE_OF) && is_module => Some(Edge::Other(FILE_OF_CONSTANT)),
        '(' => match name.strip_prefix('(')?.strip_suffix(')')? {
            "key" => Some(Edge::Key),
            "value" => Some(Edge::Value(None)),
            word => WORDS.iter().find(|known| **known == word).map(|known| Edge::Other(known)),
        },
        _ if is_module => Some(Edge::Constant(name.to_owned())),
        _ if ty == Type::Imemo => Some(Edge::Local(name.to_owned())),
        _ => None,
    }
}
