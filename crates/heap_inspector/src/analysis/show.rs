//! One object: every field of its line, what it refers to, what refers to it, what it retains and why it is alive.

use super::chains::Told;
use super::paths::{self, Paths};
use super::verdicts::{AtWork, Rules};
use super::{Context, address_cell, bytes_cell, column, edge_cell, fact, key_cell};
use crate::control::Control;
use crate::graph::Referrers;
use crate::graph::dominators::{Dominator, Tree};
use crate::graph::shortest_paths::ShortestPaths;
use crate::heap::{Heap, NodeId, Target};
use crate::keys::{Key, KeyValue};
use crate::labels::{Edge, Labels};
use crate::names::StackFrame;
use crate::record::repair::{Repair, repair};
use crate::record::{Text, Type};
use crate::report::{Cell, Column, Facts, Path, Report, Rest, Section, Table};
use crate::source::Source;
use crate::{Error, Result, sort};
use serde_json::Value;

/// Bytes of a field that are shown.
const SHOWN: usize = 400;

/// Frames of a stack that are told, as many as tracers take.
pub const FRAMES: usize = 256;

/// An object at the other end of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// By what the one holds the other.
    pub edge: Edge,
    /// The object, or the address that the dump has no object of.
    pub target: Target,
    /// Its address.
    pub address: u64,
    /// Its bytes; none where the dump does not have it.
    pub memsize: Option<u64>,
    /// Bytes that it retains; none where the dump does not have it.
    pub retained_memsize: Option<u64>,
    /// The object for people.
    pub label: String,
}

/// Everything about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The object.
    pub id: NodeId,
    /// Its address.
    pub address: u64,
    /// Its bytes.
    pub memsize: u64,
    /// Objects that it retains, itself included.
    pub retained_count: u64,
    /// Their bytes.
    pub retained_memsize: u64,
    /// The object for people.
    pub label: String,
    /// Where it was allocated.
    pub location: KeyValue,
    /// The app's own line that led to it, where that is another one and is known.
    pub app_location: Option<String>,
    /// The frames of the stack that allocated it, the innermost first, at most [`FRAMES`]; none where it is not known.
    pub stack: Vec<StackFrame>,
    /// How many frames there are beyond those.
    pub rest_frames: u64,
    /// What dominates it immediately.
    pub dominator: Dominator,
    /// The address of that object.
    pub dominator_address: Option<u64>,
    /// That object for people.
    pub dominator_label: String,
    /// The fields of its line but for the references, by name, each value as text; long ones are cut.
    pub fields: Vec<(String, String)>,
    /// What it refers to, its class last, as many as the limit allows.
    pub references: Vec<Neighbour>,
    /// How many references there are beyond those.
    pub rest_references: u64,
    /// What refers to it, as many as the limit allows, those that retain the most first.
    pub referrers: Vec<Neighbour>,
    /// How many further objects refer to it.
    pub rest_referrers: u64,
    /// Why it is alive.
    pub paths: Paths,
}

/// Looks up an object by its address, as `0x7f12…` or without `0x`.
///
/// # Errors
/// [`Error::Usage`] where the text is no address, or the dump has no object there.
pub fn find(heap: &Heap, text: &str) -> Result<NodeId> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let address = u64::from_str_radix(digits, 16).map_err(|_| {
        Error::usage(format!("{text:?} is not an address; write it as the dump does, as in 0x7f1386ee2a78"))
    })?;
    heap.node(address).ok_or_else(|| {
        let is_held = heap.dangling_count() > 0
            && heap.nodes().any(|id| heap.references(id).any(|target| target == Target::Dangling(address)));
        let hint = match (is_held, heap.shapes().is_empty()) {
            (true, _) => ", only references to it: it was freed, or its line is lost or was left out",
            (false, true) => "",
            (false, false) => " (a shape or a free slot is not an object)",
        };
        Error::usage(format!("the dump has no object at 0x{address:x}{hint}"))
    })
}

/// Tells all of an object; `limit` holds for references and referrers, texts are read from `source`.
///
/// # Errors
/// Those of [`Heap::records`], [`Referrers::new`] and [`paths::paths`].
pub fn show(
    heap: &Heap,
    tree: &Tree,
    source: &Source,
    id: NodeId,
    limit: usize,
    control: &Control<'_>,
) -> Result<Object> {
    let (referrers, shortest_paths) = (Referrers::new(heap, control)?, ShortestPaths::new(heap, control)?);
    show_by(heap, tree, source, id, limit, (&referrers, &shortest_paths, &AtWork::of(heap)), control)
}

/// [`show`] for those who keep the referrers, the shortest paths and what threads are at work on.
///
/// # Errors
/// Those of [`Heap::records`].
pub fn show_by(
    heap: &Heap,
    tree: &Tree,
    source: &Source,
    id: NodeId,
    limit: usize,
    (referrers, shortest_paths, at_work): (&Referrers, &ShortestPaths, &AtWork),
    control: &Control<'_>,
) -> Result<Object> {
    let mut fields = Vec::new();
    heap.records(source, &[id], |_, _, line| {
        fields = self::fields(line, source);
        Ok(())
    })?;
    let mut from: Vec<NodeId> = referrers.of(id).collect();
    from.dedup();
    let rest_referrers = from.len().saturating_sub(limit) as u64;
    sort::by_key(&mut from, |referrer| std::cmp::Reverse(tree.retained(*referrer)));
    from.truncate(limit);
    let class = heap.class(id).map(|class| (Edge::Class, Target::Node(class)));
    let count = heap.references(id).len();
    let targets: Vec<Target> = heap.references(id).take(limit).collect();
    let mut labels = Labels::new(heap);
    let nodes = targets.iter().filter_map(|target| match target {
        Target::Node(node) => Some(*node),
        Target::Dangling(_) => None,
    });
    let around: Vec<NodeId> = nodes.chain(from.iter().copied()).chain([id]).collect();
    labels.read_texts(source, &around, from.iter().map(|from| (*from, id)))?;
    labels.read_names(source, &[id], limit)?;
    let neighbour = |edge: Edge, target: Target| match target {
        Target::Node(node) => Neighbour {
            edge,
            target,
            address: heap.address(node),
            memsize: Some(heap.bytes(node)),
            retained_memsize: Some(tree.retained(node)),
            label: labels.node(node),
        },
        Target::Dangling(address) => Neighbour {
            edge,
            target,
            address,
            memsize: None,
            retained_memsize: None,
            label: "(not in the dump)".into(),
        },
    };
    let referrer = |from: &NodeId| neighbour(labels.edge(*from, id), Target::Node(*from));
    let dominator = tree.dominator(id);
    let told = Told { tree: Some(tree), ..Told::default() };
    let location = labels.value(Key::Location, id);
    let app_location = match labels.value(Key::AppLocation, id) {
        KeyValue::Text(app) if location.words() != Some(&app) => Some(app),
        _ => None,
    };
    let mut paths = paths::paths_by(heap, source, id, shortest_paths, None, told, control)?;
    paths.judge(heap, tree, at_work, &Rules::default());
    Ok(Object {
        id,
        address: heap.address(id),
        memsize: heap.bytes(id),
        retained_count: tree.retained_count(id),
        retained_memsize: tree.retained(id),
        label: labels.node(id),
        location,
        app_location,
        stack: heap.names().frames(heap.stack(id)).take(FRAMES).collect(),
        rest_frames: heap.names().tables.stacks.frames(heap.stack(id)).skip(FRAMES).count() as u64,
        dominator,
        dominator_address: match dominator {
            Dominator::Node(by) => Some(heap.address(by)),
            Dominator::Root | Dominator::Unreachable => None,
        },
        dominator_label: match dominator {
            Dominator::Node(by) => labels.node(by),
            Dominator::Root => "the roots".into(),
            Dominator::Unreachable => "nothing: no root leads to it".into(),
        },
        fields,
        references: targets
            .iter()
            .enumerate()
            .map(|(place, target)| neighbour(labels.reference(id, place), *target))
            .chain(class.map(|(edge, target)| neighbour(edge, target)))
            .collect(),
        rest_references: (count - targets.len()) as u64,
        referrers: from.iter().map(referrer).collect(),
        rest_referrers,
        paths,
    })
}

/// What an object refers to, in order, its class last, and by what; texts of keys are read from `source`.
///
/// # Errors
/// Those of [`Heap::records`].
pub fn references(heap: &Heap, source: &Source, id: NodeId) -> Result<Vec<(Edge, Target)>> {
    let mut labels = Labels::new(heap);
    let count = heap.references(id).len();
    if heap.properties(id).ty == Type::Hash && count <= KEYS_READ {
        let keys: Vec<NodeId> = (0..count).filter_map(|place| labels.key_at(id, place)).collect();
        labels.read_texts(source, &keys, [])?;
    }
    if labels.read_names(source, &[id], KEYS_READ).is_err() {
        // The dump is gone: what can be worked out stays.
        labels = Labels::new(heap);
    }
    let targets = heap.references(id).enumerate().map(|(place, target)| (labels.reference(id, place), target));
    Ok(targets.chain(heap.class(id).map(|class| (Edge::Class, Target::Node(class)))).collect())
}

/// Of hashes with more references no keys are read.
const KEYS_READ: usize = 10_000;

/// What refers to an object, in the order of the dump and each but once, and by what; names are read from `source`, where that can be read.
#[must_use]
pub fn referrers(heap: &Heap, source: &Source, id: NodeId, referrers: &Referrers) -> Vec<(Edge, NodeId)> {
    let mut from: Vec<NodeId> = referrers.of(id).collect();
    from.dedup();
    let mut labels = Labels::new(heap);
    if heap.has_edge_names() {
        let edges = from.iter().take(KEYS_READ).map(|from| (*from, id));
        if labels.read_texts(source, &[], edges).is_err() {
            labels = Labels::new(heap);
        }
    }
    from.into_iter().map(|from| (labels.edge(from, id), from)).collect()
}

/// A line as JSON that can be parsed: repaired where Ruby did not escape a name, invalid UTF-8 replaced.
#[must_use]
pub fn json(line: &[u8]) -> String {
    let repaired = match serde_json::from_slice::<Value>(line) {
        Ok(_) => None,
        Err(_) => match repair(line) {
            Repair::Normalized(line) | Repair::Repaired(line) => Some(line),
            Repair::Lost(_) => None,
        },
    };
    // What Ruby prints may be no UTF-8, which serde_json wants.
    String::from_utf8_lossy(repaired.as_deref().unwrap_or(line)).into_owned()
}

/// The members of a line but for its references; without the value of a string or number where `source` hides it.
pub(crate) fn fields(line: &[u8], source: &Source) -> Vec<(String, String)> {
    let Ok(Value::Object(members)) = serde_json::from_str(&json(line)) else { return Vec::new() };
    let is_name = members.get("type").is_some_and(|ty| ty == Type::Symbol.name());
    let is_hidden = |key: &str| key == "references" || key == "value" && source.hides_values() && !is_name;
    let show = |value: Value| match value {
        Value::String(text) => {
            let start = Text { raw: text.as_bytes(), escaped: false }.decode_start(SHOWN);
            let more = if start.len() < text.len() { "…" } else { "" };
            format!("{}{more}", String::from_utf8_lossy(&start))
        }
        Value::Object(flags) => flags
            .into_iter()
            .map(|(flag, value)| if value == Value::Bool(true) { flag } else { format!("{flag} {value}") })
            .collect::<Vec<_>>()
            .join(", "),
        value => value.to_string(),
    };
    members.into_iter().filter(|(key, _)| !is_hidden(key)).map(|(key, value)| (key, show(value))).collect()
}

impl Object {
    /// The answer of `show`.
    #[must_use]
    pub fn report(&self, dump: &str, context: &Context) -> Report {
        let mut facts = vec![
            fact("address", "Address", address_cell(self.address), String::new()),
            fact("object", "Object", Cell::Text(self.label.clone()), String::new()),
            fact("location", "Allocated at", key_cell(Key::Location, &self.location), String::new()),
            fact("memsize", "Memory", Cell::Bytes(self.memsize), String::new()),
            fact("retained_memsize", "Retained", Cell::Bytes(self.retained_memsize), String::new()),
            fact("retained_count", "Retained objects", Cell::Count(self.retained_count), String::new()),
            fact("reachable", "Reachable", Cell::Flag(self.dominator != Dominator::Unreachable), String::new()),
            fact(
                "dominator",
                "Dominated by",
                match (self.dominator_address, self.dominator) {
                    (Some(address), _) => address_cell(address),
                    (None, Dominator::Unreachable) => Cell::Null("nothing"),
                    (None, _) => Cell::Null("the roots"),
                },
                match self.dominator {
                    Dominator::Unreachable => "no root leads to it".into(),
                    Dominator::Root => String::new(),
                    Dominator::Node(_) => self.dominator_label.clone(),
                },
            ),
        ];
        if let Some(app) = &self.app_location {
            facts.insert(3, fact("app_location", "In the app at", Cell::Text(app.clone()), String::new()));
        }
        let mut sections = vec![
            Section::Facts(Facts { name: "object", title: String::new(), facts }),
            Section::Table(self.field_table()),
        ];
        sections.extend((!self.stack.is_empty()).then(|| Section::Table(self.stack_table())));
        sections.extend([
            Section::Table(neighbours("references", "Refers to", &self.references, self.rest_references)),
            Section::Table(neighbours("referrers", "Referred to by", &self.referrers, self.rest_referrers)),
        ]);
        sections.extend(self.paths.sections());
        sections.extend(context.notes());
        Report { verb: "show", dump: dump.to_owned(), sections }
    }

    /// The object, what holds it and what it holds as paths of two steps, to be drawn.
    #[must_use]
    pub fn graph(&self, dump: &str) -> Report {
        let own = Neighbour {
            edge: Edge::Other(""),
            target: Target::Node(self.id),
            address: self.address,
            memsize: Some(self.memsize),
            retained_memsize: Some(self.retained_memsize),
            label: self.label.clone(),
        };
        let path = |steps: Vec<Vec<Cell>>| {
            Section::Path(Path {
                name: "edges",
                title: String::new(),
                columns: neighbour_columns(),
                steps: steps.into(),
            })
        };
        let none = Edge::Other("");
        let mut sections = self.paths.sections();
        sections.extend(self.referrers.iter().map(|from| path(vec![cells(from, &none), cells(&own, &from.edge)])));
        sections.extend(self.references.iter().map(|to| path(vec![cells(&own, &none), cells(to, &to.edge)])));
        Report { verb: "show", dump: dump.to_owned(), sections }
    }

    fn stack_table(&self) -> Table {
        let text = |text: Option<String>| text.map_or(Cell::Missing, Cell::Text);
        let rows = self
            .stack
            .iter()
            .map(|frame| vec![Cell::Flag(frame.is_app), text(frame.location()), text(frame.label.clone())]);
        Table {
            name: "stack",
            title: "Stack that allocated it, the innermost frame first".into(),
            columns: vec![
                column("app", "App"),
                Column { name: "location", title: "Location", shrinks: true },
                Column { name: "label", title: "Frame", shrinks: true },
            ],
            rows: rows.collect(),
            rest: (self.rest_frames > 0).then(|| Rest { rows: self.rest_frames, cells: vec![Cell::Missing; 3] }),
            total: None,
            bar: None,
        }
    }

    fn field_table(&self) -> Table {
        Table {
            name: "fields",
            title: "Fields of its line".into(),
            columns: vec![
                Column { name: "field", title: "Field", shrinks: true },
                Column { name: "value", title: "Value", shrinks: true },
            ],
            rows: self
                .fields
                .iter()
                .map(|(key, value)| vec![Cell::Text(key.clone()), Cell::Text(value.clone())])
                .collect(),
            rest: None,
            total: None,
            bar: None,
        }
    }
}

fn neighbour_columns() -> Vec<Column> {
    vec![
        column("address", "Address"),
        column("memsize", "Memory"),
        column("retained_memsize", "Retained"),
        Column { name: "edge", title: "By", shrinks: true },
        Column { name: "object", title: "Object", shrinks: true },
    ]
}

fn cells(neighbour: &Neighbour, edge: &Edge) -> Vec<Cell> {
    vec![
        address_cell(neighbour.address),
        bytes_cell(neighbour.memsize),
        bytes_cell(neighbour.retained_memsize),
        edge_cell(edge),
        Cell::Text(neighbour.label.clone()),
    ]
}

fn neighbours(name: &'static str, title: &str, list: &[Neighbour], rest: u64) -> Table {
    Table {
        name,
        title: title.into(),
        columns: neighbour_columns(),
        rows: list.iter().map(|neighbour| cells(neighbour, &neighbour.edge)).collect(),
        rest: (rest > 0).then(|| Rest { rows: rest, cells: vec![Cell::Missing; 5] }),
        total: None,
        bar: None,
    }
}
