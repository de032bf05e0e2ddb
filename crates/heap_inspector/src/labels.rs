//! What nodes and edges are called, as far as a dump tells.
//!
//! A dump lists what an object refers to, but not by what: instance variable, key or constant. Much of it can be worked out. From Ruby
//! 3.2 on the chain of an object's shapes names its instance variables in the order of its references; as numbers, nil and the like
//! leave no reference, a name is certain only where there are as many references as variables, likely where the class of what is
//! referred to tells, and one of a few else. Arrays and hashes list their elements in order. Classes, threads and Ruby's own objects are
//! told by their types, closures and methods by their code. Costs nothing beside the heap until an edge is asked for.
//!
//! A dump by heap_inspector's own dumper names nearly all of them (`names`): such a name is read with the texts, for those edges that are
//! asked for, and goes before what can be worked out.

use crate::Result;
use crate::heap::{Heap, NodeId, Target};
use crate::human;
use crate::keys::{Key, KeyValue, Values};
use crate::names::ClassId;
use crate::properties::ObjectProperties;
use crate::record::{Flags, Text, Type};
use crate::source::Source;
use crate::stacks::FrameId;
use hashbrown::{HashMap, HashSet};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

pub(crate) mod code;
mod named;
pub(crate) mod written;

/// What an edge is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edge {
    /// From a ROOT line: its category.
    Root(String),
    /// An instance variable.
    Variable(String),
    /// An instance variable, by what other objects of the shape hold in it.
    Likely(String),
    /// One of these instance variables, or what the last word says.
    OneOf(Vec<String>),
    /// An element of an array, by its place.
    Element(u32),
    /// A key of a hash.
    Key,
    /// A value of a hash; with the text of its key where that is a string whose text was read.
    Value(Option<String>),
    /// A value of a hash whose key is no string: `[:name]`, `[12]`; a variable of a thread.
    Entry(String),
    /// A constant, by its name.
    Constant(String),
    /// A member of a Struct or Data: `.name`.
    Member(String),
    /// A method of a class: `#name`.
    Method(String),
    /// A local variable of a closure.
    Local(String),
    /// A root that is a global variable: `$name`.
    Global(String),
    /// The object's own class.
    Class,
    /// Of several objects' edges what so many percent of them are called, more than half.
    Mostly(Box<Edge>, u8),
    /// In words; empty where nothing is known.
    Other(&'static str),
}

/// As its words, if there are any, and whether the dump proves them.
impl serde::Serialize for Edge {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let words = Some(self.to_string()).filter(|words| !words.is_empty());
        let mut fields = serializer.serialize_struct("Edge", 2)?;
        fields.serialize_field("certain", &(words.is_none() || self.is_certain()))?;
        fields.serialize_field("edge", &words)?;
        fields.end()
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edge::Root(category) => write!(f, "root {category}"),
            Edge::Variable(name) => f.write_str(name),
            Edge::Likely(name) => write!(f, "{name} (likely)"),
            Edge::OneOf(names) => write!(f, "{} (one of these)", names.join(" or ")),
            Edge::Element(place) => write!(f, "[{place}]"),
            Edge::Key => f.write_str("key"),
            Edge::Value(None) => f.write_str("value"),
            Edge::Value(Some(key)) => write!(f, "[{key:?}]"),
            Edge::Entry(name) | Edge::Member(name) | Edge::Method(name) | Edge::Global(name) => f.write_str(name),
            Edge::Local(name) => write!(f, "local variable {name}"),
            Edge::Constant(name) => write!(f, "::{name}"),
            Edge::Class => f.write_str("class"),
            Edge::Mostly(edge, percent) => write!(f, "{edge} ({percent}% of them)"),
            Edge::Other(words) => f.write_str(words),
        }
    }
}

impl Edge {
    /// Whether the dump proves it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Edge::Likely(_) | Edge::OneOf(_) | Edge::Mostly(..))
    }
}

/// Chains of shapes are a few dozen long; a hostile dump may close one to a ring.
const LONGEST_CHAIN: usize = 4096;
/// So many names of variables are kept: a hostile dump may have thousands for each of its shapes.
const KEPT_NAMES: usize = 1 << 17;
/// So many objects of a shape vote on what its variables hold.
const VOTERS: usize = 64;
/// More candidates than this tell nothing.
const CANDIDATES: usize = 3;
/// Places of so many references are searched through each time.
const SEARCHED: usize = 64;
/// Those of more so many times; then they are kept.
const SEARCHES: u32 = 4;
/// Bytes of a string that a label shows.
const SHOWN: usize = 60;
/// Bytes of the label or path of code that one shows.
const SHOWN_OF_CODE: usize = 1024;

/// By variable: the classes that the voters hold in it.
type Votes = Vec<Vec<Held>>;

/// What tells objects apart in a vote.
type Held = (Type, ClassId);

/// What the variables of shapes were seen to hold, once it was asked for: for all labels of a heap that have it.
#[derive(Clone, Default)]
pub(crate) struct Voted(Arc<OnceLock<HashMap<u32, Votes>>>);

/// The instance variables of an object that is no OBJECT.
struct Generic {
    /// At least so many of its first references are such.
    least: usize,
    /// And at most so many.
    most: usize,
    /// Their names, in order; none where one object holds them all.
    names: Option<Rc<Vec<String>>>,
}

/// A text as far as it is shown.
struct Start {
    /// Ends in `…` where there is more.
    shown: String,
    is_cut: bool,
}

impl Start {
    fn of(text: Text<'_>, limit: usize) -> Start {
        let start = text.decode_start(limit + 1);
        let is_cut = start.len() > limit;
        let text = String::from_utf8_lossy(&start[..start.len().min(limit)]);
        Start { shown: format!("{text}{}", if is_cut { "…" } else { "" }), is_cut }
    }
}

/// The starts of texts by node, behind one another.
#[derive(Default)]
struct Starts {
    text: String,
    /// Where each begins and ends, and whether it is cut.
    places: HashMap<NodeId, (usize, u32, bool)>,
}

impl Starts {
    fn insert(&mut self, id: NodeId, start: &Start) {
        let begin = self.text.len();
        self.text.push_str(&start.shown);
        self.places.insert(id, (begin, start.shown.len() as u32, start.is_cut)); // a start is as long as it is shown
    }

    fn get(&self, id: NodeId) -> Option<(&str, bool)> {
        self.places.get(&id).map(|(begin, length, is_cut)| (&self.text[*begin..][..*length as usize], *is_cut))
    }
}

/// Names nodes and edges of one heap.
pub struct Labels<'a> {
    heap: &'a Heap,
    values: RefCell<Values<'a>>,
    shapes: HashMap<u32, usize>,
    variables: RefCell<HashMap<u32, Rc<Vec<String>>>>,
    /// How many names stand in `variables`: they are forgotten when they are too many.
    kept: Cell<usize>,
    votes: Voted,
    texts: Starts,
    /// Texts that may be labels or paths of code, whole.
    code_texts: HashMap<NodeId, Start>,
    places: RefCell<HashMap<NodeId, Places>>,
    named: named::Named,
}

/// Where the references of a node with many of them lead: how often one was searched for, and from then on the first place of each.
#[derive(Default)]
struct Places {
    searches: u32,
    first: HashMap<NodeId, u32>,
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labels").field("texts", &self.texts.places.len()).finish_non_exhaustive()
    }
}

impl<'a> Labels<'a> {
    /// Labels without the texts of strings.
    #[must_use]
    pub fn new(heap: &'a Heap) -> Labels<'a> {
        let shapes = heap.shapes().iter().enumerate().map(|(at, shape)| (shape.id, at)).collect();
        Labels {
            heap,
            values: RefCell::new(Values::new(heap.names())),
            shapes,
            variables: RefCell::default(),
            kept: Cell::default(),
            votes: Voted::default(),
            texts: Starts::default(),
            code_texts: HashMap::new(),
            places: RefCell::default(),
            named: named::Named::default(),
        }
    }

    /// The same for one of several threads, which count together.
    pub(crate) fn sharing(heap: &'a Heap, votes: &Voted) -> Labels<'a> {
        Labels { votes: votes.clone(), ..Labels::new(heap) }
    }

    /// The heap whose nodes it names.
    pub(crate) fn heap(&self) -> &'a Heap {
        self.heap
    }

    /// Reads what [`Labels::read_texts`] does, and the names of the first references of `holders`, where the dump has such.
    ///
    /// # Errors
    /// Those of [`Heap::records`].
    pub(crate) fn read_texts_and_names(
        &mut self,
        source: &Source,
        ids: &[NodeId],
        edges: impl IntoIterator<Item = (NodeId, NodeId)>,
        holders: &[NodeId],
        count: usize,
    ) -> Result<()> {
        self.read(source, ids, edges, self.first_places(holders, count))
    }

    /// Reads the texts of the strings among `ids`, unless `source` hides them, of the code of the closures and methods among them, and of the string keys of those
    /// `edges`, from a holder to what it holds, that leave a hash.
    ///
    /// # Errors
    /// Those of [`Heap::records`].
    pub fn read_texts(
        &mut self,
        source: &Source,
        ids: &[NodeId],
        edges: impl IntoIterator<Item = (NodeId, NodeId)>,
    ) -> Result<()> {
        self.read(source, ids, edges, Vec::new())
    }

    /// The places of the first references of some objects.
    fn first_places(&self, holders: &[NodeId], count: usize) -> Vec<(NodeId, usize)> {
        let places = |id: NodeId| (0..self.heap.references(id).len().min(count)).map(move |place| (id, place));
        holders.iter().flat_map(|id| places(*id)).collect()
    }

    /// The same, and the names of the references at these places.
    fn read(
        &mut self,
        source: &Source,
        ids: &[NodeId],
        edges: impl IntoIterator<Item = (NodeId, NodeId)>,
        places: Vec<(NodeId, usize)>,
    ) -> Result<()> {
        let is_string = |id: &NodeId| !source.hides_values() && self.heap.properties(*id).ty == Type::String;
        let edges: Vec<(NodeId, NodeId)> = edges.into_iter().collect();
        let keys = edges.iter().filter_map(|(from, to)| self.key_of(*from, *to));
        let mut wanted: Vec<NodeId> =
            ids.iter().copied().chain(keys).filter(|id| is_string(id) && self.texts.get(*id).is_none()).collect();
        let mut iseqs: Vec<NodeId> = ids.iter().filter_map(|id| code::iseq_of(self.heap, *id)).collect();
        iseqs.sort_unstable();
        iseqs.dedup();
        let files: Vec<(NodeId, usize)> = edges.iter().filter_map(|(from, to)| self.file_place(*from, *to)).collect();
        let of_files = files.iter().filter_map(|(from, place)| self.target(*from, *place));
        let of_code: HashSet<NodeId> = iseqs
            .into_iter()
            .flat_map(|iseq| code::texts(self.heap, iseq))
            .chain(of_files)
            .filter(|id| !self.code_texts.contains_key(id))
            .collect();
        let asked: HashSet<NodeId> = wanted.iter().copied().collect();
        wanted.extend(&of_code);
        let mut named = std::mem::take(&mut self.named);
        if self.heap.has_edge_names() {
            let of_edges = edges.iter().filter_map(|(from, to)| Some((*from, self.place(*from, *to)?)));
            let of_blocks = ids.iter().map(|id| (*id, named::BLOCK));
            named.want(self.heap, places.into_iter().chain(of_edges).chain(files).chain(of_blocks));
            wanted.extend(named.wanted());
        }
        let (mut texts, mut code_texts) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.code_texts));
        let read = self.heap.records(source, &wanted, |id, record, _| {
            named.take(self.heap, id, record, source.hides_values());
            let Some(text) = record.value else { return Ok(()) };
            if of_code.contains(&id) {
                code_texts.insert(id, Start::of(text, SHOWN_OF_CODE));
            }
            if asked.contains(&id) {
                texts.insert(id, &Start::of(text, SHOWN));
            }
            Ok(())
        });
        (self.texts, self.code_texts, self.named) = (texts, code_texts, named);
        read
    }

    /// Where a class or module may refer to the file in which its constant was set that holds an object: next to it.
    fn file_place(&self, from: NodeId, to: NodeId) -> Option<(NodeId, usize)> {
        if !self.heap.has_edge_names() || !matches!(self.heap.ty(from), Type::Class | Type::Module) {
            return None;
        }
        let place = self.place(from, to)? + 1;
        let file = self.target(from, place)?;
        (self.heap.ty(file) == Type::String).then_some((from, place))
    }

    /// File and line at which the constant of a class or module was set that holds an object, where the dump tells and it was read.
    pub(crate) fn constant_location(&self, from: NodeId, to: NodeId) -> Option<String> {
        let (_, place) = self.file_place(from, to)?;
        let Some(Edge::Constant(held)) = self.named.edge(from, place - 1) else { return None };
        let (_, line) = self.named.set(from, place).filter(|(constant, _)| constant == held)?;
        let file = self.code_texts.get(&self.target(from, place)?)?;
        Some(format!("{}:{line}", file.shown))
    }

    /// Reads the names of the first references of some objects, where the dump has such.
    ///
    /// # Errors
    /// Those of [`Heap::records`].
    pub fn read_names(&mut self, source: &Source, ids: &[NodeId], count: usize) -> Result<()> {
        if !self.heap.has_edge_names() {
            return Ok(());
        }
        let mut named = std::mem::take(&mut self.named);
        named.want(self.heap, self.first_places(ids, count).into_iter());
        let wanted: Vec<NodeId> = named.wanted().collect();
        let read = self.heap.records(source, &wanted, |id, record, _| {
            named.take(self.heap, id, record, source.hides_values());
            Ok(())
        });
        self.named = named;
        read
    }

    /// What a closure, method, environment or iseq runs, where its texts were read.
    pub(crate) fn code(&self, id: NodeId) -> Option<code::Code<'_>> {
        if self.code_texts.is_empty() {
            return None;
        }
        code::of(self.heap, code::iseq_of(self.heap, id)?, |text| {
            self.code_texts.get(&text).map(|start| start.shown.as_str())
        })
    }

    /// File and line of the Ruby code in which a thread, fiber or enumerator waits, where the dump tells and it was read.
    pub(crate) fn waits_in(&self, id: NodeId) -> Option<&str> {
        self.named.waits_in(id)
    }

    /// The text of a string, where it was read and is short enough to be known whole.
    pub(crate) fn text(&self, id: NodeId) -> Option<&str> {
        self.texts.get(id).filter(|(_, is_cut)| !is_cut).map(|(text, _)| text)
    }

    /// The text of a string as far as it was read.
    pub(crate) fn start(&self, id: NodeId) -> Option<&str> {
        self.texts.get(id).map(|(text, _)| text)
    }

    /// File and line of the nearest frame of the app in a stack.
    pub(crate) fn app_location(&self, stack: FrameId) -> Option<String> {
        let frame = Some(self.heap.names().in_app(stack)).filter(|frame| frame.is_some())?;
        Some(self.frame_location(frame))
    }

    /// File and line of the innermost frame of a stack that has a file: C has none.
    pub(crate) fn innermost_location(&self, stack: FrameId) -> Option<String> {
        let frames = self.heap.names().tables.stacks.frames(stack);
        frames.map(|frame| self.frame_location(frame)).find(|location| !location.is_empty())
    }

    /// File and line of a frame; empty where it has no file.
    fn frame_location(&self, frame: FrameId) -> String {
        self.values.borrow().frame_location(self.heap.names().tables.stacks.site(frame), false)
    }

    /// The value of a key for a node, as [`crate::analysis::groups`] has it.
    #[must_use]
    pub fn value(&self, key: Key, id: NodeId) -> KeyValue {
        let mut values = self.values.borrow_mut();
        let value = values.value(key, &self.heap.properties(id));
        values.outside(value)
    }

    /// The class of a node; none where the dump tells of none, as of Ruby's own objects.
    #[must_use]
    pub fn class(&self, id: NodeId) -> Option<String> {
        match self.value(Key::Class, id) {
            KeyValue::Text(class) => Some(class),
            _ => None,
        }
    }

    /// The name of the class of a node, and for people where it has none: `(IMEMO iseq)` and the like for Ruby's own objects.
    #[must_use]
    pub fn class_name(&self, id: NodeId) -> String {
        self.value(Key::Class, id).words().unwrap_or_default().to_owned()
    }

    /// The node for people: `Order`, `Hash, 20,000 entries`, `String "abc"`, `class Order`, `Proc, block in count, app/shop.rb`.
    #[must_use]
    pub fn node(&self, id: NodeId) -> String {
        let properties = self.heap.properties(id);
        let name = || self.heap.names().class_name(self.heap.address(id)).unwrap_or_default();
        match properties.ty {
            Type::Class if properties.flags.has(Flags::SINGLETON) => format!("singleton class {}", name()),
            Type::Class => format!("class {}", name()),
            Type::Module => format!("module {}", name()),
            Type::Iclass => name(),
            _ => {
                let class = self.class_name(id);
                match (properties.ty, self.start(id), self.heap.length(id)) {
                    (Type::String, Some(text), _) => format!("{class} {text:?}"),
                    (Type::String, None, Some(bytes)) => {
                        format!("{class}, {}", human::bytes(u64::from(bytes)))
                    }
                    (Type::Hash, _, Some(count)) => format!("{class}, {}", plural(count, "entry", "entries")),
                    (Type::Array, _, Some(count)) => format!("{class}, {}", plural(count, "element", "elements")),
                    (Type::Data, ..) if let Some(place) = self.waits_in(id) => format!("{class}, waits in {place}"),
                    (Type::Data | Type::Imemo, ..) => match (self.code(id), self.named.block(id)) {
                        (Some(code), Some(block)) => format!("{class}, {}, {block}", code.label),
                        (Some(code), None) => format!("{class}, {}, {}", code.label, code.file),
                        (None, Some(block)) => format!("{class}, block at {block}"),
                        (None, None) => class,
                    },
                    _ => class,
                }
            }
        }
    }

    /// What the first edge from one node to another is called.
    #[must_use]
    pub fn edge(&self, from: NodeId, to: NodeId) -> Edge {
        match self.place(from, to) {
            Some(place) => self.reference(from, place),
            None if self.heap.class(from) == Some(to) => Edge::Class,
            None => Edge::Other(""),
        }
    }

    /// The place of the first reference from one node to another.
    fn place(&self, from: NodeId, to: NodeId) -> Option<usize> {
        let search = || self.heap.place(from, to);
        if self.heap.references(from).len() <= SEARCHED {
            return search();
        }
        let mut places = self.places.borrow_mut();
        let known = places.entry(from).or_default();
        known.searches += 1;
        if known.searches <= SEARCHES {
            return search();
        }
        if known.first.is_empty() {
            for (place, target) in self.heap.references(from).enumerate() {
                target.node().map(|target| *known.first.entry(target).or_insert(place as u32));
            }
        }
        known.first.get(&to).map(|place| *place as usize)
    }

    /// The first reference that the dump itself calls so, where names were read.
    pub(crate) fn named(&self, from: NodeId, edge: &Edge) -> Option<NodeId> {
        let mut places = 0..self.heap.references(from).len();
        self.target(from, places.find(|place| self.named.edge(from, *place) == Some(edge))?)
    }

    /// What the reference at a place of a node's list is called.
    #[must_use]
    pub fn reference(&self, from: NodeId, place: usize) -> Edge {
        let heap = self.heap;
        if let Some(edge) = self.named.edge(from, place) {
            return edge.clone();
        }
        let target = self.target(from, place);
        if let Some(name) = target.and_then(|target| heap.thread_variable(from, target)) {
            return Edge::Entry(name.to_owned());
        }
        let properties = heap.properties(from);
        // Worked out where it is asked for: an export asks this of each reference.
        let label = |id: NodeId| heap.names().tables.symbols.text(heap.label(id));
        let to_label = || target.map(label).unwrap_or_default();
        let count = heap.references(from).len();
        let length = heap.length(from).map(|length| length as usize);
        let generic = self.generic_variables(from, &properties);
        if place < generic.most {
            return self.generic_variable(&generic, &properties, count, length.unwrap_or(0), place);
        }
        let (place, count) = (place - generic.most, count - generic.most);
        match properties.ty {
            Type::Object => self.variable(from, properties.shape, place, target),
            Type::Imemo if self.is_fields(from) && properties.shape > 0 => {
                self.variable(from, properties.shape, place, target)
            }
            Type::Array if properties.flags.has(Flags::SHARED) => Edge::Other("shared elements"),
            Type::Array if length == Some(count) => Edge::Element(place as u32),
            Type::Array => Edge::Other("element"),
            Type::Hash => match (length, self.key_at(from, generic.most + place)) {
                (Some(length), _) if place + 1 == count && count == length * 2 + 1 => Edge::Other("default"),
                (Some(length), key) if count / 2 == length => match key {
                    Some(key) => Edge::Value(self.start(key).map(str::to_owned)),
                    None if place.is_multiple_of(2) => Edge::Key,
                    None => Edge::Value(None),
                },
                _ => Edge::Other("key or value"),
            },
            Type::Struct => Edge::Other("member"),
            Type::Class | Type::Module | Type::Iclass => self.of_class(from, target, &to_label()),
            Type::String if target.is_some_and(|target| heap.ty(target) == Type::String) => Edge::Other("shared text"),
            Type::String | Type::Symbol => Edge::Other("text"),
            Type::Data => Edge::Other(match (&*label(from), &*to_label()) {
                ("proc", "env") => "closure",
                ("proc" | "binding", "iseq") => "code",
                ("proc", _) => "self or block",
                ("binding", _) => "local variables",
                ("VM/thread", _) => "thread",
                ("fiber", _) => "fiber",
                ("method", _) => "method",
                ("enumerator" | "generator" | "lazy", _) => "enumerator",
                ("set", _) => "element",
                _ => "",
            }),
            Type::Imemo => Edge::Other(match (&*label(from), &*to_label()) {
                ("env", "env") => "outer scope",
                ("env", "iseq") => "code",
                ("env", _) => "local variable or self",
                ("iseq", "iseq") => "block or method inside",
                ("iseq", "constcache") => "constant cache",
                ("iseq", "callcache" | "callinfo") => "call cache",
                ("iseq", _) => "literal",
                ("ment", "iseq") => "code",
                ("ment", _) => "method",
                ("cref", "cref") => "outer scope",
                ("cref", _) => "scope",
                ("constcache", "cref") => "scope",
                ("constcache", _) => "cached constant",
                ("fields", _) => "variable",
                ("svar", _) => "$~ or $_",
                ("ifunc", _) => "block",
                ("subclasses", _) => "subclass",
                _ => "",
            }),
            Type::Match => Edge::Other("match"),
            Type::Rational | Type::Complex => Edge::Other("part"),
            _ => Edge::Other(""),
        }
    }

    /// What the reference at a place of a node's list leads to.
    fn target(&self, from: NodeId, place: usize) -> Option<NodeId> {
        self.heap.target(from, place)
    }

    fn of_class(&self, from: NodeId, target: Option<NodeId>, to_label: &str) -> Edge {
        let heap = self.heap;
        let Some(target) = target else { return Edge::Other("") };
        let to = heap.properties(target);
        if heap.names().superclass(heap.address(from)) == Some(heap.address(target)) {
            return Edge::Other("superclass");
        }
        match to.ty {
            Type::Iclass => Edge::Other("included module"),
            Type::Imemo => Edge::Other(match to_label {
                "ment" => "method",
                "iseq" => "code",
                "cref" => "scope",
                "callcache" | "callinfo" => "call cache",
                "fields" => "variables",
                "subclasses" => "subclasses",
                _ => "",
            }),
            Type::Class | Type::Module => {
                let [holder, held] = [from, target].map(|id| heap.names().class_name(heap.address(id)));
                let (holder, held) = (holder.unwrap_or_default(), held.unwrap_or_default());
                let inner = match holder.as_str() {
                    "Object" => Some(held.as_str()).filter(|name| !name.contains(':')),
                    holder => held.strip_prefix(holder).and_then(|rest| rest.strip_prefix("::")),
                };
                match inner
                    .filter(|name| name.starts_with(|letter: char| letter.is_uppercase()) && !name.contains("::"))
                {
                    Some(name) => Edge::Constant(name.to_owned()),
                    None => Edge::Other("constant or class"),
                }
            }
            _ => Edge::Other("constant or variable"),
        }
    }

    /// The key of the value at a place of a hash's references; none for a key itself or where they are not in pairs.
    pub(crate) fn key_at(&self, hash: NodeId, place: usize) -> Option<NodeId> {
        let length = self.heap.length(hash)? as usize;
        let before = self.generic_variables(hash, &self.heap.properties(hash)).most;
        let at = place.checked_sub(before)?;
        if at.is_multiple_of(2) || at >= length * 2 || (self.heap.references(hash).len() - before) / 2 != length {
            return None;
        }
        self.target(hash, place - 1)
    }

    /// The instance variables of an object that is no OBJECT. Ruby marks them before what the object itself holds
    /// (`gc_mark_children`): up to 3.4 one by one, from 4.0 on by the one object in which it keeps them. Which shape has which is known
    /// from 3.2 on.
    fn generic_variables(&self, from: NodeId, properties: &ObjectProperties) -> Generic {
        let none = Generic { least: 0, most: 0, names: None };
        if matches!(properties.ty, Type::Object | Type::Imemo | Type::Class | Type::Module | Type::Iclass) {
            return none;
        }
        if self.target(from, 0).is_some_and(|first| self.is_fields(first)) {
            return Generic { least: 1, most: 1, ..none };
        }
        let Some(shape) = properties.shape.checked_sub(1) else { return none };
        let names = self.variables(shape);
        if names.is_empty() {
            return none;
        }
        let (count, length) =
            (self.heap.references(from).len(), self.heap.length(from).map_or(0, |length| length as usize));
        let is_shared = properties.flags.has(Flags::SHARED);
        // A shared string or array refers to the one with the text or the elements, another string to nothing.
        let (own_at_least, own_at_most) = match properties.ty {
            Type::String | Type::Array if is_shared => (1, 1),
            Type::String => (0, 0),
            Type::Array => (0, length),
            Type::Hash => (0, length * 2 + 1),
            _ => (0, usize::MAX),
        };
        let most = names.len().min(count.saturating_sub(own_at_least));
        Generic { least: count.saturating_sub(own_at_most).min(most), most, names: Some(names) }
    }

    /// What the reference at a place of an object that is no OBJECT is called, where it may be an instance variable.
    fn generic_variable(
        &self,
        generic: &Generic,
        properties: &ObjectProperties,
        count: usize,
        length: usize,
        place: usize,
    ) -> Edge {
        let Generic { least, most, names: Some(names) } = generic else { return Edge::Other("instance variables") };
        // A hash may have a default: it is likelier that it has none and that no variable is nil.
        let fits = properties.ty == Type::Hash && count == most + length * 2;
        if *least == names.len() {
            Edge::Variable(names[place].clone())
        } else if fits && *most == names.len() {
            Edge::Likely(names[place].clone())
        } else if place >= *least {
            // Or numbers and nil stand in them, which leave no reference, and this is what the object itself holds.
            let own = match properties.ty {
                Type::Array => "an element",
                Type::Hash => "a key or value",
                _ => "its own",
            };
            match names.get(place..).filter(|names| names.len() < CANDIDATES) {
                Some(names) => Edge::OneOf(names.iter().cloned().chain([own.to_owned()]).collect()),
                None => Edge::Other("instance variable or its own"),
            }
        } else {
            // Some hold no object; they stand in order.
            let candidates = &names[place..=place + names.len() - least];
            if candidates.len() > CANDIDATES {
                Edge::Other("instance variable")
            } else {
                Edge::OneOf(candidates.to_vec())
            }
        }
    }

    fn key_of(&self, hash: NodeId, value: NodeId) -> Option<NodeId> {
        if self.heap.properties(hash).ty != Type::Hash {
            return None;
        }
        self.key_at(hash, self.place(hash, value)?)
    }

    /// The instance variables of a shape, in order.
    fn variables(&self, shape: u32) -> Rc<Vec<String>> {
        if let Some(known) = self.variables.borrow().get(&shape) {
            return Rc::clone(known);
        }
        let mut names = Vec::new();
        let mut next = Some(shape);
        for _ in 0..LONGEST_CHAIN {
            let Some(shape) = next.and_then(|id| self.shapes.get(&id)).map(|at| &self.heap.shapes()[*at]) else {
                break;
            };
            if shape.shape_type == "IVAR" {
                names.extend(shape.edge_name.clone());
            }
            next = shape.parent_id.filter(|parent| *parent != shape.id);
        }
        names.reverse();
        let names = Rc::new(names);
        let kept = self.kept.get() + names.len();
        self.kept.set(kept);
        if kept > KEPT_NAMES {
            self.variables.borrow_mut().clear();
            self.kept.set(names.len());
        }
        self.variables.borrow_mut().insert(shape, Rc::clone(&names));
        names
    }

    /// How many instance variables a shape has. Those of the shapes before it are kept in `known`, so each shape is looked at once.
    fn variable_count(&self, shape: u32, known: &mut HashMap<u32, usize>) -> usize {
        let (mut walked, mut next) = (Vec::new(), Some(shape));
        let mut count = loop {
            let Some(id) = next.filter(|_| walked.len() < LONGEST_CHAIN) else { break 0 };
            if let Some(count) = known.get(&id) {
                break *count;
            }
            let Some(shape) = self.shapes.get(&id).map(|at| &self.heap.shapes()[*at]) else { break 0 };
            walked.push(shape);
            next = shape.parent_id.filter(|parent| *parent != shape.id);
        };
        for shape in walked.into_iter().rev() {
            count += usize::from(shape.shape_type == "IVAR" && shape.edge_name.is_some());
            known.insert(shape.id, count);
        }
        count
    }

    /// Which variable of a shape (by its number plus 1) the reference at a place of a node's list is.
    fn variable(&self, from: NodeId, shape: u32, place: usize, target: Option<NodeId>) -> Edge {
        let heap = self.heap;
        let unknown = Edge::Other("instance variable");
        if target.is_some_and(|target| self.is_fields(target)) {
            return Edge::Other("instance variables");
        }
        if shape == 0 || heap.properties(from).flags.has(Flags::COMPLEX_SHAPE) {
            return unknown;
        }
        let names = self.variables(shape - 1);
        let count = heap.references(from).len();
        if names.is_empty() || count > names.len() {
            return unknown;
        }
        if count == names.len() {
            return Edge::Variable(names[place].clone());
        }
        let window = place..=place + names.len() - count;
        let held: Vec<Option<Held>> = heap
            .references(from)
            .map(|target| match target {
                Target::Node(target) => Some(self.held(target)),
                Target::Dangling(_) => None,
            })
            .collect();
        if let Some(at) = self.votes().get(&(shape - 1)).and_then(|votes| elect(votes, &held, place)) {
            return Edge::Likely(names[at].clone());
        }
        let candidates: Vec<String> = names[window].to_vec();
        if candidates.len() > CANDIDATES { unknown } else { Edge::OneOf(candidates) }
    }

    /// Whether it is the object in which Ruby from 4.0 on keeps the instance variables of another.
    pub(crate) fn is_fields(&self, id: NodeId) -> bool {
        self.heap.ty(id) == Type::Imemo && self.heap.names().tables.symbols.bytes(self.heap.label(id)) == b"fields"
    }

    /// Whether it is the singleton class of a class or module.
    pub(crate) fn is_metaclass(&self, id: NodeId) -> bool {
        self.heap.properties(id).ty == Type::Class && self.heap.names().is_metaclass(self.heap.address(id))
    }

    fn held(&self, id: NodeId) -> Held {
        let properties = self.heap.properties(id);
        (properties.ty, properties.names.class)
    }

    /// By shape, what its variables hold in the objects that have a reference for each of them.
    fn votes(&self) -> &HashMap<u32, Votes> {
        self.votes.0.get_or_init(|| {
            let mut votes: HashMap<u32, Votes> = HashMap::new();
            let mut voters: HashMap<u32, usize> = HashMap::new();
            let mut counts = HashMap::new();
            for id in self.heap.nodes() {
                let properties = self.heap.properties(id);
                if properties.ty != Type::Object || properties.shape == 0 || properties.flags.has(Flags::COMPLEX_SHAPE)
                {
                    continue;
                }
                let shape = properties.shape - 1;
                let count = self.heap.references(id).len();
                if count == 0 || self.heap.length(id).is_some_and(|length| length as usize != count) {
                    continue;
                }
                let voted = voters.entry(shape).or_default();
                let may_vote = *voted < VOTERS && self.variable_count(shape, &mut counts) == count;
                if !may_vote || self.variables(shape).len() != count {
                    continue;
                }
                *voted += 1;
                let votes = votes.entry(shape).or_insert_with(|| vec![Vec::new(); count]);
                for (place, target) in self.heap.references(id).enumerate() {
                    if let Target::Node(target) = target {
                        let held = self.held(target);
                        if !votes[place].contains(&held) {
                            votes[place].push(held);
                        }
                    }
                }
            }
            votes
        })
    }
}

/// The variable of the reference at `place`, if all ways to lay the references, in order, on variables that were seen to hold such
/// objects agree on it.
///
/// `early[k]` is the first variable that reference k can be of when those before it are laid as early as they can be, `late[k]` the
/// last when those behind it are laid as late as they can be. Every way lies between, so where they meet there is one.
fn elect(votes: &Votes, held: &[Option<Held>], place: usize) -> Option<usize> {
    let fits = |at: usize, held: &Option<Held>| held.is_none_or(|held| votes[at].contains(&held));
    let mut early = 0;
    for held in &held[..=place] {
        early += votes[early..].iter().enumerate().position(|(at, _)| fits(early + at, held))? + 1;
    }
    let mut late = votes.len();
    for held in held[place..].iter().rev() {
        late = (0..late).rev().find(|at| fits(*at, held))?;
    }
    (early - 1 == late).then_some(late)
}

fn plural(count: u32, one: &str, many: &str) -> String {
    format!("{} {}", human::count(u64::from(count)), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
