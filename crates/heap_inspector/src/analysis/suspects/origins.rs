//! Whose a class is: the app's, a gem's or Ruby's own.
//!
//! A dump does not say where a class was written. Where the class was traced its site does, else the code of its methods: the file of
//! most of them counts, so one that the app adds to a gem's class does not make it the app's. A class with none is what the module
//! around it is. Costs a look at the names of all classes, and the texts of a few methods of each that is asked for.

use super::naming::is_core;
use crate::gems::App;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue};
use crate::labels::{Labels, code};
use crate::record::Type;
use hashbrown::{HashMap, HashSet};

/// So many methods of a class are looked at.
const METHODS: usize = 16;
/// Among so many references.
const REFERENCES: usize = 4096;
/// Modules stand in each other no deeper than this.
const DEPTH: usize = 16;

/// Whose a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The app's, or nothing says whose.
    App,
    /// A gem's.
    Gem,
    /// Ruby's own, or its standard library's.
    Ruby,
}

/// Where a file or line comes from; none where it names no file.
pub(super) fn of_file(app: &App, path: &str) -> Option<Origin> {
    // `eval` without a file tells nothing.
    if path.is_empty() || path.starts_with("(eval") && !path.contains('/') {
        return None;
    }
    Some(match app.owner(path).as_str() {
        "app" => Origin::App,
        "stdlib" | "ruby" => Origin::Ruby,
        _ => Origin::Gem,
    })
}

/// What tells of one class.
#[derive(Debug, Default)]
struct Evidence {
    /// The file in which it was made, where that was traced.
    site: Option<Origin>,
    /// The code of its methods.
    methods: Vec<NodeId>,
    /// The code of its own class's methods.
    singleton_methods: Vec<NodeId>,
    /// A class that inherits from more than `Object`: what it inherits may define methods on it.
    is_subclass: bool,
}

/// The origins of some classes.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Origins(HashMap<String, Evidence>);

impl Origins {
    /// Gathers what tells of the classes of these nodes, and of those nodes that are classes.
    pub(in crate::analysis) fn new(heap: &Heap, labels: &Labels<'_>, nodes: impl Iterator<Item = NodeId>) -> Origins {
        let mut found: HashMap<String, Evidence> = HashMap::new();
        let mut around: HashSet<String> = HashSet::new();
        let mut classes: HashSet<NodeId> = HashSet::new();
        for id in nodes {
            match (heap.properties(id).ty, class_of(heap, labels, id)) {
                (_, Some(class)) => _ = classes.insert(class),
                // Up to Ruby 3.0 a dump names no superclass of a singleton class.
                (Type::Object | Type::Struct | Type::Data, None) => _ = around.insert(labels.class_name(id)),
                _ => {}
            }
        }
        for id in classes {
            let Some(name) = heap.names().class_name(heap.address(id)) else { continue };
            let modules = std::iter::successors(name.rsplit_once("::"), |(name, _)| name.rsplit_once("::"));
            around.extend(modules.take(DEPTH).map(|(module, _)| module.to_owned()));
            found.entry(name).or_insert_with(|| evidence(heap, labels, id));
        }
        around.retain(|name| !found.contains_key(name));
        if !around.is_empty() {
            let all = heap.classes_by_name();
            let modules = around.into_iter().filter_map(|name| all.get(&name).map(|id| (name, *id)));
            found.extend(modules.map(|(name, id)| (name, evidence(heap, labels, id))));
        }
        Origins(found)
    }

    /// What is to be read ([`Labels::read_texts`]) before it is asked.
    pub(in crate::analysis) fn code(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.values().flat_map(|known| known.methods.iter().chain(&known.singleton_methods)).copied()
    }

    /// Whose the class of an object is; Ruby's where the dump tells of none.
    pub(super) fn of_object(&self, labels: &Labels<'_>, id: NodeId) -> Origin {
        labels.class(id).map_or(Origin::Ruby, |class| self.of(labels, &class))
    }

    /// Whose the class of this name is.
    pub(super) fn of(&self, labels: &Labels<'_>, class: &str) -> Origin {
        let around = std::iter::successors(Some(class), |name| Some(name.rsplit_once("::")?.0));
        for (depth, name) in around.take(DEPTH).enumerate() {
            if is_core(name) {
                return Origin::Ruby;
            }
            let Some(known) = self.0.get(name) else { continue };
            // Of a class that inherits what stands on its singleton class may be its parent's doing, as `class_attribute` is.
            let of_singleton = main(labels, &known.singleton_methods)
                .filter(|origin| *origin == Origin::App || depth > 0 || !known.is_subclass);
            if let Some(origin) = known.site.or_else(|| main(labels, &known.methods)).or(of_singleton) {
                return origin;
            }
        }
        Origin::App
    }
}

/// The class of an object of a program, past singleton and included classes; of a class or module itself.
fn class_of(heap: &Heap, labels: &Labels<'_>, id: NodeId) -> Option<NodeId> {
    match heap.properties(id).ty {
        Type::Class | Type::Module => Some(id),
        Type::Object | Type::Struct | Type::Data => {
            let (name, names) = (labels.class_name(id), heap.names());
            let first = heap.class(id).map(|class| heap.address(class));
            let mut classes = std::iter::successors(first, |address| names.superclass(*address)).take(DEPTH);
            let own = classes.find(|address| names.class_name(*address).as_deref() == Some(&name));
            own.and_then(|address| heap.node(address))
        }
        _ => None,
    }
}

/// Where most of the code comes from.
fn main(labels: &Labels<'_>, methods: &[NodeId]) -> Option<Origin> {
    let mut counts = [(0, Origin::Ruby), (0, Origin::Gem), (0, Origin::App)];
    for origin in methods.iter().filter_map(|iseq| of_file(labels.heap().names().app(), labels.code(*iseq)?.file)) {
        counts.iter_mut().filter(|(_, known)| *known == origin).for_each(|(count, _)| *count += 1);
    }
    counts.into_iter().max_by_key(|(count, _)| *count).filter(|(count, _)| *count > 0).map(|(_, origin)| origin)
}

fn evidence(heap: &Heap, labels: &Labels<'_>, id: NodeId) -> Evidence {
    let properties = heap.properties(id);
    let site = match labels.value(Key::File, id) {
        KeyValue::Text(file) if properties.generation > 0 => of_file(heap.names().app(), &file),
        _ => None,
    };
    let superclass = heap.names().superclass(heap.address(id)).and_then(|address| heap.names().class_name(address));
    let is_plain = superclass.is_none_or(|name| matches!(name.as_str(), "Object" | "BasicObject"));
    let own = heap.class(id).filter(|class| heap.names().is_metaclass(heap.address(*class)));
    Evidence {
        site,
        methods: methods(heap, id),
        singleton_methods: own.map(|class| methods(heap, class)).unwrap_or_default(),
        is_subclass: properties.ty == Type::Class && !is_plain,
    }
}

/// The code of a few methods of a class.
fn methods(heap: &Heap, class: NodeId) -> Vec<NodeId> {
    let targets = heap.references(class).take(REFERENCES).filter_map(|target| target.node());
    let is_method = |id: &NodeId| {
        let properties = heap.properties(*id);
        properties.ty == Type::Imemo && heap.names().tables.symbols.bytes(properties.names.label) == b"ment"
    };
    targets.filter(is_method).filter_map(|id| code::iseq_of(heap, id)).take(METHODS).collect()
}
