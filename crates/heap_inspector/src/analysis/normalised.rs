//! The normalised path of an object: by what a program holds it, in words that are the same in every dump of the program.
//!
//! It leads from the nearest class, module or thread above the object, or from the root where there is none, over its dominators, each
//! by its class. Where no object alone holds it the next step up is that of the shortest path, which all dominators lie on, so that a
//! normalised path is a part of the shortest one. Ruby's own machinery (environments, code, tables) is left out, what has no name of its
//! own is told as such, and steps that repeat themselves, from one element of a list to the next, are one. So it has no address, count,
//! index, line, nor the names of variables, which a dump by `ObjectSpace.dump_all` lacks.
//!
//! The *fingerprint* is a short hash of it. Costs 4 bytes for each object of the heap and 12 for each path, time for those asked for.

use super::chains::root_categories;
use crate::Result;
use crate::graph::dominators::Tree;
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId};
use crate::memory::{map, room, zeroed};
use crate::names::ClassId;
use crate::record::{Flags, Type};
use crate::symbols::Symbol;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use std::fmt;

/// The normalised path of one object or of many: the classes on it, the holder first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct NormalisedPath(pub Vec<String>);

impl NormalisedPath {
    /// The path and, where it does not end with them, what piles up at its end.
    #[must_use]
    pub fn to(mut self, class: &str) -> NormalisedPath {
        let class = plain(class);
        if self.0.last().is_none_or(|last| *last != class) {
            self.0.push(class);
        }
        self
    }

    /// Its short name: `leak-` and the first six hexadecimal digits of the SHA-256 of its steps, a line each.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.join("\n"));
        let digits: String = digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
        format!("leak-{digits}")
    }
}

impl fmt::Display for NormalisedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" → "))
    }
}

/// Digits of a fingerprint.
const DIGITS: usize = 6;
/// A path has so many steps at most; what lies deeper is at its end.
const LONGEST: u32 = 32;
/// So many steps may repeat themselves, one after the other.
const PERIOD: usize = 4;
/// What has no name, or another in each process.
const NAMELESS: &str = "(anonymous class)";
/// The table of code that `at_exit` runs, and of global variables: what a root holds, whatever the dump calls it.
const ROOTS: [(&str, &str); 2] = [("global_tbl", "(global variables)"), ("end_proc", "(at_exit)")];

/// The number of a normalised path among those of one heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u32);

/// What no root leads to.
const UNREACHABLE: PathId = PathId(0);
/// Held by a root, and by nothing that has a name.
const ROOT: PathId = PathId(1);
/// Not asked yet: what memory is that nobody wrote to. A path that is known has its number plus 1.
const UNKNOWN: u32 = 0;

/// A path as the one before it and a step.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: PathId,
    step: u32,
    length: u32,
}

/// The normalised paths of a heap's objects, each worked out when it is first asked for.
pub struct NormalisedPaths<'a> {
    heap: &'a Heap,
    tree: &'a Tree,
    shortest_paths: &'a ShortestPaths,
    roots: HashMap<NodeId, &'a str>,
    /// By node.
    known: Vec<u32>,
    links: Vec<Link>,
    longer: HashMap<(PathId, u32), PathId>,
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    /// What objects of a type, class and label are called; those of no class of a program are not.
    classes: HashMap<(Type, ClassId, Symbol), Option<u32>>,
}

impl fmt::Debug for NormalisedPaths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NormalisedPaths").field("paths", &self.links.len()).finish_non_exhaustive()
    }
}

/// What a node is on a path.
enum Node {
    /// Nothing that a programmer sees: the path is that of what holds it.
    Machinery,
    /// Where a path begins.
    Beginning(u32),
    Step(u32),
}

impl<'a> NormalisedPaths<'a> {
    /// Of a heap, by its dominators and shortest paths.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub fn new(heap: &'a Heap, tree: &'a Tree, shortest_paths: &'a ShortestPaths) -> Result<NormalisedPaths<'a>> {
        let none = Link { before: UNREACHABLE, step: 0, length: 0 };
        Ok(NormalisedPaths {
            heap,
            tree,
            shortest_paths,
            roots: root_categories(heap),
            known: zeroed(heap.object_count())?,
            links: vec![none; 2],
            longer: HashMap::new(),
            texts: Vec::new(),
            numbers: HashMap::new(),
            classes: HashMap::new(),
        })
    }

    /// The path of an object, itself the last step.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub fn of(&mut self, id: NodeId) -> Result<PathId> {
        let (mut waiting, mut at) = (Vec::new(), id);
        let mut path = loop {
            let known = self.known[at.0 as usize];
            if known != UNKNOWN {
                break PathId(known - 1);
            }
            if !self.shortest_paths.is_reachable(at) {
                break UNREACHABLE;
            }
            let node = self.node(at);
            if let Node::Beginning(step) = node {
                let path = self.append(ROOT, step)?;
                self.known[at.0 as usize] = path.0 + 1;
                break path;
            }
            room(&mut waiting, 1)?;
            waiting.push((at, node));
            match self.above(at) {
                Some(above) => at = above,
                None => {
                    let root = self.roots.get(&at).and_then(|category| {
                        ROOTS.iter().find(|(known, _)| known == category).map(|(_, words)| *words)
                    });
                    break match root {
                        Some(words) => {
                            let step = self.number(words);
                            self.append(ROOT, step)?
                        }
                        None => ROOT,
                    };
                }
            }
        };
        while let Some((at, node)) = waiting.pop() {
            if let Node::Step(step) = node {
                path = self.append(path, step)?;
            }
            self.known[at.0 as usize] = path.0 + 1;
        }
        Ok(path)
    }

    /// The path in words.
    #[must_use]
    pub fn path(&self, id: PathId) -> NormalisedPath {
        let mut steps: Vec<String> = self.back(id).map(|step| self.texts[step as usize].clone()).collect();
        steps.reverse();
        if steps.is_empty() {
            steps.push(if id == UNREACHABLE { "(nothing)".to_owned() } else { "(a root)".to_owned() });
        }
        NormalisedPath(steps)
    }

    /// Whether a path begins with something that has a name.
    #[must_use]
    pub fn has_beginning(&self, id: PathId) -> bool {
        id != ROOT && id != UNREACHABLE
    }

    /// What holds an object: alone, or else on its shortest path. It stands before the object there, so that there is no cycle.
    fn above(&self, id: NodeId) -> Option<NodeId> {
        self.tree.above(id).or_else(|| self.shortest_paths.parent(id))
    }

    fn node(&mut self, id: NodeId) -> Node {
        let properties = self.heap.properties(id);
        match properties.ty {
            Type::Imemo | Type::Iclass => Node::Machinery,
            Type::Class | Type::Module => {
                let name = self.heap.names().class_name(self.heap.address(id)).unwrap_or_default();
                let inside = name.strip_prefix("#<Class:").and_then(|name| name.strip_suffix('>'));
                match plain(inside.unwrap_or(&name)) {
                    // That of one object, which holds it.
                    nameless if nameless == NAMELESS && properties.flags.has(Flags::SINGLETON) => Node::Machinery,
                    nameless if nameless == NAMELESS => Node::Step(self.number(NAMELESS)),
                    name => Node::Beginning(self.number(&name)),
                }
            }
            ty => {
                let key = (ty, properties.names.class, properties.names.label);
                let step = match self.classes.get(&key) {
                    Some(step) => *step,
                    None => {
                        let (names, class) = (self.heap.names(), properties.names.class);
                        let name = names.tables.symbols.text(names.instance_class(class));
                        let is_named = names.is_told(class) && !name.is_empty();
                        let step = is_named.then(|| self.number(&plain(&name)));
                        self.classes.insert(key, step);
                        step
                    }
                };
                match step {
                    None => Node::Machinery,
                    Some(step) if ty == Type::Data && self.texts[step as usize] == "Thread" => Node::Beginning(step),
                    Some(step) => Node::Step(step),
                }
            }
        }
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The steps of a path, the last one first.
    fn back(&self, id: PathId) -> impl Iterator<Item = u32> + '_ {
        let link = |id: PathId| Some(self.links[id.0 as usize]).filter(|link| link.length > 0);
        std::iter::successors(link(id), move |last| link(last.before)).map(|link| link.step)
    }

    /// The path with a step more; what repeats itself is left out again.
    fn append(&mut self, path: PathId, step: u32) -> Result<PathId> {
        let length = self.links[path.0 as usize].length;
        // A set was a hash of its own up to Ruby 3.4.
        let is_inside_of_set = length > 0
            && self.texts[step as usize] == "Hash"
            && self.texts[self.links[path.0 as usize].step as usize] == "Set";
        if length >= LONGEST || is_inside_of_set {
            return Ok(path);
        }
        let last: Vec<u32> = std::iter::once(step).chain(self.back(path).take(PERIOD * 2 - 1)).collect();
        let repeats = (1..=last.len() / 2).find(|over| last[..*over] == last[*over..over * 2]);
        if let Some(over) = repeats {
            let before = (1..over).fold(path, |path, _| self.links[path.0 as usize].before);
            return Ok(before);
        }
        if let Some(known) = self.longer.get(&(path, step)) {
            return Ok(*known);
        }
        let id = PathId(self.links.len() as u32);
        room(&mut self.links, 1)?;
        map(&mut self.longer, 1)?;
        self.links.push(Link { before: path, step, length: length + 1 });
        self.longer.insert((path, step), id);
        Ok(id)
    }
}

/// The name of a class as it is in each process.
pub(super) fn plain(name: &str) -> String {
    // What Ruby 3.0 and older call by another name, and inspect for short.
    let name = match name.strip_prefix("Thread::") {
        Some(own @ ("Queue" | "SizedQueue" | "Mutex" | "ConditionVariable")) => own,
        _ => name,
    };
    if name.is_empty() || name.starts_with("#<") || name.contains("0x") { NAMELESS.to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
