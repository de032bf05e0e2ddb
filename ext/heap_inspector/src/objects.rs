//! What `Relation` and `HeapObject` are made of: objects by query, and the attributes of one.
//!
//! Several objects travel as a String of their numbers, 4 bytes each in the machine's order, their attributes as a column of each. An
//! object's attribute takes about a tenth of a microsecond, so nothing here works beside Ruby that need not.

use crate::convert;
use crate::errors;
use crate::filter::filter;
use crate::heap::{Heap, key_value, keys, text};
use crate::native::{function, method};
use crate::work;
use heap_inspector::analysis::objects::{Bound, Clause, Measure, Number, Objects, OrderBy, Query, Retained, ordered};
use heap_inspector::analysis::{grouping, show};
use heap_inspector::control::Control;
use heap_inspector::graph::dominators::{Children, Dominator, Tree};
use heap_inspector::heap::NodeId;
use heap_inspector::keys::{Key, KeyValue, Values};
use heap_inspector::labels::Labels;
use heap_inspector::names::ClassId;
use heap_inspector::record::{Flags, Type};
use heap_inspector::snapshot::Snapshot;
use magnus::rb_sys::FromRawValue;
use magnus::typed_data::Obj;
use magnus::value::{Id, LazyId, ReprValue, StaticSymbol};
use magnus::{
    Class, Error, IntoValue, Module, Object, RArray, RClass, RHash, RModule, RObject, RString, Ruby, TryConvert, Value,
};
use serde::Serialize;

/// What Ruby asks of an object.
#[derive(Clone, Copy, Debug)]
enum Attribute {
    Number(Number),
    Address,
    Type,
    Class,
    File,
    Line,
    Location,
    Method,
    /// By the value of a key.
    Key(Key),
    /// Bytes of text.
    Bytesize,
    Trait(Flags),
    Traced,
    Reachable,
}

/// Ruby's types with their Symbols, the most frequent first.
static TYPES: [(Type, LazyId); 18] = [
    (Type::String, LazyId::new("string")),
    (Type::Array, LazyId::new("array")),
    (Type::Imemo, LazyId::new("imemo")),
    (Type::Object, LazyId::new("object")),
    (Type::Hash, LazyId::new("hash")),
    (Type::Data, LazyId::new("data")),
    (Type::Class, LazyId::new("class")),
    (Type::Symbol, LazyId::new("symbol")),
    (Type::Struct, LazyId::new("struct")),
    (Type::Iclass, LazyId::new("iclass")),
    (Type::Module, LazyId::new("module")),
    (Type::Float, LazyId::new("float")),
    (Type::Regexp, LazyId::new("regexp")),
    (Type::Bignum, LazyId::new("bignum")),
    (Type::File, LazyId::new("file")),
    (Type::Match, LazyId::new("match")),
    (Type::Rational, LazyId::new("rational")),
    (Type::Complex, LazyId::new("complex")),
];

/// Every attribute with its name, and what makes HeapObject's methods: each has that name, with a question mark where it is yes or no.
macro_rules! attributes {
    ($($name:literal => $attribute:expr),* $(,)?) => {
        const ATTRIBUTES: &[(&str, Attribute)] = &[$(($name, $attribute)),*];

        // A method is a function without a state, so each attribute needs one of its own.
        fn define_readers(class: RClass) -> Result<(), Error> {
            $(class.define_method(
                &reader($name, $attribute)[..],
                method!(|ruby: &Ruby, object: RObject| read(ruby, object, $attribute), 0),
            )?;)*
            Ok(())
        }
    };
}

attributes! {
    "address" => Attribute::Address,
    "type" => Attribute::Type,
    "class_name" => Attribute::Class,
    "memsize" => Attribute::Number(Number::Memsize),
    "retained_memsize" => Attribute::Number(Number::RetainedMemsize),
    "retained_count" => Attribute::Number(Number::RetainedCount),
    "reference_count" => Attribute::Number(Number::ReferenceCount),
    "slot_size" => Attribute::Number(Number::SlotSize),
    "length" => Attribute::Number(Number::Length),
    "bytesize" => Attribute::Bytesize,
    "generation" => Attribute::Number(Number::Generation),
    "file" => Attribute::File,
    "line" => Attribute::Line,
    "location" => Attribute::Location,
    "method_name" => Attribute::Method,
    "gem" => Attribute::Key(Key::Gem),
    "app_location" => Attribute::Key(Key::AppLocation),
    "directory" => Attribute::Key(Key::Directory),
    "encoding" => Attribute::Key(Key::Encoding),
    "struct" => Attribute::Key(Key::Struct),
    "imemo" => Attribute::Key(Key::Imemo),
    "shape" => Attribute::Key(Key::Shape),
    "frozen" => Attribute::Trait(Flags::FROZEN),
    "old" => Attribute::Trait(Flags::OLD),
    "embedded" => Attribute::Trait(Flags::EMBEDDED),
    "shared" => Attribute::Trait(Flags::SHARED),
    "fstring" => Attribute::Trait(Flags::FSTRING),
    "broken" => Attribute::Trait(Flags::BROKEN),
    "singleton" => Attribute::Trait(Flags::SINGLETON),
    "wb_protected" => Attribute::Trait(Flags::WB_PROTECTED),
    "marked" => Attribute::Trait(Flags::MARKED),
    "traced" => Attribute::Traced,
    "reachable" => Attribute::Reachable,
}

impl Attribute {
    fn named(ruby: &Ruby, name: &str) -> Result<Attribute, Error> {
        ATTRIBUTES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, attribute)| *attribute)
            .ok_or_else(|| errors::internal(ruby, &format!("no attribute {name:?}")))
    }

    fn needs_tree(self) -> bool {
        match self {
            Attribute::Number(number) => number.needs_tree(),
            _ => matches!(self, Attribute::Reachable),
        }
    }

    /// The value for Ruby. Objects without it, as untraced ones without a file, give nil.
    fn of(self, ruby: &Ruby, snapshot: &Snapshot, tree: Option<&Tree>, id: NodeId) -> Value {
        let heap = snapshot.heap();
        let nil = || ruby.qnil().as_value();
        let names = heap.names();
        let symbols = &names.tables.symbols;
        match self {
            Attribute::Number(number) => number.of(heap, tree, id).into_value_with(ruby),
            Attribute::Address => address(ruby, heap.address(id)).as_value(),
            Attribute::Bytesize => match heap.properties(id).ty {
                Type::String | Type::Symbol => heap.length(id).into_value_with(ruby),
                _ => nil(),
            },
            Attribute::Trait(bit) => heap.properties(id).flags.has(bit).into_value_with(ruby),
            Attribute::Traced => heap.properties(id).traced.into_value_with(ruby),
            Attribute::Reachable => tree.is_some_and(|tree| tree.is_reachable(id)).into_value_with(ruby),
            Attribute::Type => {
                let properties = heap.properties(id);
                match TYPES.iter().find(|(ty, _)| *ty == properties.ty) {
                    Some((_, name)) => StaticSymbol::from(LazyId::get_inner_with(name, ruby)).as_value(),
                    // One that this version does not know.
                    None => ruby.to_symbol(symbols.text(properties.names.label).to_lowercase()).as_value(),
                }
            }
            Attribute::Class => {
                let properties = heap.properties(id);
                if properties.names.class != ClassId::NONE && !properties.tracer {
                    return shared(symbols.bytes(names.instance_class(properties.names.class)));
                }
                key_value(ruby, &outside(snapshot, Key::Class, id))
            }
            Attribute::Key(key) => present(ruby, &outside(snapshot, key, id)),
            Attribute::File | Attribute::Line | Attribute::Location | Attribute::Method => {
                let site = names.tables.sites.get(heap.properties(id).names.site);
                let file = symbols.bytes(site.file);
                let is_known = !file.is_empty() && file != b"(null)"; // as Ruby up to 2.7 has it
                match self {
                    Attribute::Line if site.line > 0 => site.line.into_value_with(ruby),
                    Attribute::Method if site.method.is_some() => shared(symbols.bytes(site.method)),
                    Attribute::File if is_known => shared(file),
                    Attribute::Location if is_known && site.line == 0 => shared(file),
                    Attribute::Location if is_known => shared(&[file, format!(":{}", site.line).as_bytes()].concat()),
                    _ => nil(),
                }
            }
        }
    }
}

fn outside(snapshot: &Snapshot, key: Key, id: NodeId) -> KeyValue {
    let mut values = Values::new(snapshot.heap().names());
    let value = values.value(key, &snapshot.heap().properties(id));
    values.outside(value)
}

/// A frozen String that all who hold the same text share. Invalid UTF-8 is replaced, as everywhere.
fn shared(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let length = text.len().try_into().unwrap_or(0);
    // SAFETY: this is a Ruby thread with the GVL, since all callers have a `Ruby`; the bytes are copied, and are valid UTF-8. It raises
    // only where Ruby is out of memory; what is jumped over then is no more than memory.
    unsafe { Value::from_raw(rb_sys::rb_enc_interned_str(text.as_ptr().cast(), length, rb_sys::rb_utf8_encoding())) }
}

fn address(ruby: &Ruby, address: u64) -> RString {
    text(ruby, &format!("0x{address:x}"))
}

/// A value as HeapObject has it: nil where there is none, whatever the reason.
fn present(ruby: &Ruby, value: &KeyValue) -> Value {
    match value {
        KeyValue::Absent(_) => ruby.qnil().as_value(),
        value => key_value(ruby, value),
    }
}

/// The value of one key, a frozen Array of several.
fn key(ruby: &Ruby, values: &[KeyValue]) -> Result<Value, Error> {
    if let [value] = values {
        return Ok(key_value(ruby, value));
    }
    let key = ruby.ary_new_capa(values.len());
    for value in values {
        key.push(key_value(ruby, value))?;
    }
    key.freeze();
    Ok(key.as_value())
}

/// Reads a query: clauses `[terms, bounds, reachable, retained_by, among]`, where a bound is `[number, negated, [[low, high], ...]]`,
/// `retained_by` and `among` are Strings of objects, the latter may be nil.
pub(crate) fn query(ruby: &Ruby, heap: &Heap, clauses: RArray) -> Result<Query, Error> {
    let count = heap.snapshot(ruby)?.heap().object_count();
    let any = clauses.into_iter().map(|clause| {
        let (terms, bounds, is_reachable, retained_by, among): (
            RArray,
            RArray,
            Option<bool>,
            RString,
            Option<RString>,
        ) = TryConvert::try_convert(clause)?;
        let bounds = bounds.into_iter().map(|bound| {
            let (name, negated, ranges): (String, bool, Vec<Option<Range>>) = TryConvert::try_convert(bound)?;
            let ranges = ranges.into_iter().map(|range| range.map(|(low, high)| (low, high.unwrap_or(u64::MAX))));
            Ok(Bound { number: number(ruby, &name)?, negated, ranges: ranges.collect() })
        });
        Ok(Clause {
            filter: filter(ruby, terms)?,
            bounds: bounds.collect::<Result<_, Error>>()?,
            is_reachable,
            retained_by: unpack(ruby, retained_by, count)?,
            among: among.map(|among| unpack(ruby, among, count)).transpose()?,
        })
    });
    Ok(Query { any: any.collect::<Result<_, Error>>()? })
}

/// The least and the greatest, nil for no end.
type Range = (u64, Option<u64>);

fn number(ruby: &Ruby, name: &str) -> Result<Number, Error> {
    name.parse().map_err(|error| errors::raised(ruby, &error))
}

fn unpack(ruby: &Ruby, packed: RString, count: usize) -> Result<Vec<NodeId>, Error> {
    let bytes = crate::input::bytes(packed);
    let (numbers, rest) = bytes.as_chunks::<4>();
    let ids: Vec<NodeId> = numbers.iter().map(|number| NodeId(u32::from_ne_bytes(*number))).collect();
    if !rest.is_empty() || ids.iter().any(|id| id.0 as usize >= count) {
        return Err(errors::internal(ruby, "a number of no object"));
    }
    Ok(ids)
}

pub(crate) fn pack(ruby: &Ruby, ids: &[NodeId]) -> RString {
    let packed = ruby.str_from_slice(&ids.iter().flat_map(|id| id.0.to_ne_bytes()).collect::<Vec<u8>>());
    packed.freeze();
    packed
}

/// The tree and its upper side, where they are needed.
fn trees<'a>(
    snapshot: &'a Snapshot,
    is_needed: bool,
    control: &Control<'_>,
) -> heap_inspector::Result<Option<(&'a Tree, &'a Children)>> {
    if is_needed { Ok(Some((snapshot.tree(control)?, snapshot.children(control)?))) } else { Ok(None) }
}

/// The objects of a query, in the order of the dump.
pub(crate) fn ids_of(snapshot: &Snapshot, query: &Query, control: &Control<'_>) -> heap_inspector::Result<Vec<NodeId>> {
    let trees = trees(snapshot, query.needs_tree(), control)?;
    Objects::new(snapshot.heap(), trees, query).ids(control)
}

/// The objects of a query from a place to another in the order of `[[name, descending], ...]`.
fn ids(
    ruby: &Ruby,
    heap: &Heap,
    clauses: RArray,
    order: RArray,
    from: usize,
    to: Option<usize>,
) -> Result<RString, Error> {
    let query = query(ruby, heap, clauses)?;
    let criteria = order.into_iter().map(|criterion| {
        let (name, descending): (String, bool) = TryConvert::try_convert(criterion)?;
        let order = match name.parse::<Number>() {
            Ok(number) => OrderBy::Number(number),
            Err(_) => OrderBy::Key(name.parse::<Key>().map_err(|error| errors::raised(ruby, &error))?),
        };
        Ok((order, descending))
    });
    let criteria = criteria.collect::<Result<Vec<_>, Error>>()?;
    let ids = heap.work(ruby, |snapshot, control| {
        let by_tree = |(order, _): &(OrderBy, bool)| matches!(order, OrderBy::Number(number) if number.needs_tree());
        let trees = trees(snapshot, query.needs_tree() || criteria.iter().any(by_tree), control)?;
        let ids = Objects::new(snapshot.heap(), trees, &query).ids(control)?;
        ordered(snapshot.heap(), trees.map(|(tree, _)| tree), ids, &criteria, from..to.unwrap_or(usize::MAX), control)
    })?;
    Ok(pack(ruby, &ids))
}

/// What a number comes to over all objects of a query.
#[derive(Serialize)]
struct Measured {
    count: u64,
    /// How many have it.
    known: u64,
    sum: u64,
    minimum: Option<u64>,
    maximum: Option<u64>,
}

fn measure(ruby: &Ruby, heap: &Heap, clauses: RArray, of: String) -> Result<Value, Error> {
    let measure = measures(ruby, heap, clauses, &[], &of)?.pop().map(|(_, measure)| measure).unwrap_or_default();
    let ((minimum, maximum), Measure { count, known, sum, .. }) = (measure.extremes().unzip(), measure);
    convert::value(ruby, &Measured { count, known, sum, minimum, maximum })
}

/// What a number comes to by group, `{key => value}`, the greatest first: its `count`, `sum`, `average`, `minimum` or `maximum`.
fn groups(
    ruby: &Ruby,
    heap: &Heap,
    clauses: RArray,
    by: Vec<String>,
    of: String,
    statistic: String,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let groups = measures(ruby, heap, clauses, &keys(ruby, by)?, &of)?;
    let value = |measure: &Measure| match &statistic[..] {
        "count" => Some(measure.count),
        "sum" => Some(measure.sum),
        "minimum" => measure.extremes().map(|(least, _)| least),
        "maximum" => measure.extremes().map(|(_, greatest)| greatest),
        // Floats from 0 on are ordered as their bits.
        _ => measure.average().map(f64::to_bits),
    };
    let ranked = heap.work(ruby, |_, _| {
        Ok(ranked(groups.into_iter().map(|(key, measure)| (value(&measure), key)).collect(), limit))
    })?;
    let hash = ruby.hash_new();
    for (at, (value, values)) in ranked.iter().enumerate() {
        work::check_interrupts(ruby, at)?;
        let value = match value {
            Some(bits) if statistic == "average" => f64::from_bits(*bits).into_value_with(ruby),
            value => value.into_value_with(ruby),
        };
        hash.aset(key(ruby, values)?, value)?;
    }
    hash.freeze();
    Ok(hash)
}

/// The groups with the greatest values, those without a value last; of equal ones by key.
fn ranked<T: Ord>(mut groups: Vec<(T, Vec<KeyValue>)>, limit: Option<usize>) -> Vec<(T, Vec<KeyValue>)> {
    groups.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    groups.truncate(limit.unwrap_or(usize::MAX));
    groups
}

fn measures(
    ruby: &Ruby,
    heap: &Heap,
    clauses: RArray,
    by: &[Key],
    of: &str,
) -> Result<Vec<(Vec<KeyValue>, Measure)>, Error> {
    let (query, number) = (query(ruby, heap, clauses)?, number(ruby, of)?);
    heap.work(ruby, |snapshot, control| {
        let trees = trees(snapshot, query.needs_tree() || number.needs_tree(), control)?;
        Objects::new(snapshot.heap(), trees, &query).groups(by, number, control)
    })
}

/// What the objects of each group retain together, `{key => bytes or objects}`, the greatest first.
fn retained(
    ruby: &Ruby,
    heap: &Heap,
    clauses: RArray,
    by: Vec<String>,
    of: String,
    limit: Option<usize>,
) -> Result<RHash, Error> {
    let (query, by, number) = (query(ruby, heap, clauses)?, keys(ruby, by)?, number(ruby, &of)?);
    let groups = heap.work(ruby, |snapshot, control| {
        let (tree, children) = (snapshot.tree(control)?, snapshot.children(control)?);
        let groups = Objects::new(snapshot.heap(), Some((tree, children)), &query).retained(&by, children, control)?;
        let value = |group: &Retained| if number == Number::RetainedCount { group.count } else { group.memsize };
        Ok(ranked(groups.into_iter().map(|group| (value(&group), group.key)).collect(), limit))
    })?;
    let hash = ruby.hash_new();
    for (at, (value, values)) in groups.iter().enumerate() {
        work::check_interrupts(ruby, at)?;
        hash.aset(key(ruby, values)?, *value)?;
    }
    hash.freeze();
    Ok(hash)
}

/// The values of a key that objects may have.
fn values(ruby: &Ruby, heap: &Heap, key: String) -> Result<RArray, Error> {
    let key = key.parse::<Key>().map_err(|error| errors::raised(ruby, &error))?;
    let found = heap.work(ruby, |snapshot, control| Objects::values(snapshot.heap(), key, control))?;
    let list = ruby.ary_new_capa(found.len());
    for (at, value) in found.iter().enumerate() {
        work::check_interrupts(ruby, at)?;
        list.push(key_value(ruby, value))?;
    }
    Ok(list)
}

/// The attributes of some objects: an Array of each, by name.
fn pluck(ruby: &Ruby, heap: &Heap, packed: RString, names: Vec<String>) -> Result<RArray, Error> {
    let attributes = names.iter().map(|name| Attribute::named(ruby, name)).collect::<Result<Vec<_>, Error>>()?;
    let snapshot = heap.snapshot(ruby)?;
    let ids = unpack(ruby, packed, snapshot.heap().object_count())?;
    if attributes.iter().any(|attribute| attribute.needs_tree()) && snapshot.made_tree().is_none() {
        heap.work(ruby, |snapshot, control| snapshot.tree(control).map(drop))?;
    }
    let columns = ruby.ary_new_capa(attributes.len());
    for attribute in attributes {
        let column = ruby.ary_new_capa(ids.len());
        for (at, id) in ids.iter().enumerate() {
            work::check_interrupts(ruby, at)?;
            column.push(attribute.of(ruby, &snapshot, snapshot.made_tree(), *id))?;
        }
        columns.push(column)?;
    }
    Ok(columns)
}

/// The texts of some objects as the dump has them, by place; nil where it has none.
fn texts(ruby: &Ruby, heap: &Heap, packed: RString) -> Result<RArray, Error> {
    let ids = unpack(ruby, packed, heap.snapshot(ruby)?.heap().object_count())?;
    let found = heap.work(ruby, |snapshot, control| {
        let mut found = std::collections::HashMap::new();
        snapshot.heap().records(snapshot.source(), &ids, |id, record, _| {
            if let Some(text) = record.value {
                found.insert(id, text.decode().into_owned());
            }
            control.check()
        })?;
        Ok(found)
    })?;
    let list = ruby.ary_new_capa(ids.len());
    for (at, id) in ids.iter().enumerate() {
        work::check_interrupts(ruby, at)?;
        list.push(found.get(id).map(|bytes| text(ruby, &String::from_utf8_lossy(bytes))))?;
    }
    Ok(list)
}

/// An object's line, as JSON.
fn line(ruby: &Ruby, heap: &Heap, id: u32) -> Result<RString, Error> {
    let json = heap.work(ruby, |snapshot, _| {
        let mut json = String::new();
        snapshot.heap().records(snapshot.source(), &[NodeId(id)], |_, _, line| {
            json = show::json(line);
            Ok(())
        })?;
        Ok(json)
    })?;
    Ok(text(ruby, &json))
}

/// The frames of the stack that allocated an object, the innermost first.
fn stack(ruby: &Ruby, heap: &Heap, id: u32) -> Result<Value, Error> {
    let snapshot = heap.snapshot(ruby)?;
    let heap = snapshot.heap();
    convert::value(ruby, &heap.names().frames(heap.stack(NodeId(id))).collect::<Vec<_>>())
}

fn find(ruby: &Ruby, heap: &Heap, address: u64) -> Result<Option<u32>, Error> {
    Ok(heap.snapshot(ruby)?.heap().node(address).map(|id| id.0))
}

/// An object in words, without the text of strings; only what closures and methods run is read, where the dump still can be.
fn label(ruby: &Ruby, heap: &Heap, id: u32) -> Result<RString, Error> {
    let (snapshot, id) = (heap.snapshot(ruby)?, NodeId(id));
    if !matches!(snapshot.heap().properties(id).ty, Type::Data | Type::Imemo) {
        return Ok(text(ruby, &Labels::new(snapshot.heap()).node(id)));
    }
    let label = heap.work(ruby, |snapshot, _| {
        let mut labels = Labels::new(snapshot.heap());
        let read = labels.read_texts(snapshot.source(), &[id], []);
        Ok(if read.is_ok() { labels.node(id) } else { Labels::new(snapshot.heap()).node(id) })
    })?;
    Ok(text(ruby, &label))
}

/// The names of classes that are most like one that no object has.
fn similar_classes(ruby: &Ruby, heap: &Heap, name: String) -> Result<Vec<String>, Error> {
    heap.work(ruby, |snapshot, control| grouping::similar_classes(snapshot.heap(), &name, 3, control))
}

/// A text that may go to a terminal.
fn escape(ruby: &Ruby, words: String) -> RString {
    text(ruby, &heap_inspector::view::escape::terminal(&words))
}

/// The object that is a class's superclass, or an object's class.
fn class_of(ruby: &Ruby, heap: &Heap, id: u32) -> Result<Option<u32>, Error> {
    Ok(heap.snapshot(ruby)?.heap().class(NodeId(id)).map(|id| id.0))
}

fn superclass(ruby: &Ruby, heap: &Heap, id: u32) -> Result<Option<u32>, Error> {
    let snapshot = heap.snapshot(ruby)?;
    let dump = snapshot.heap();
    Ok(dump.names().superclass(dump.address(NodeId(id))).and_then(|address| dump.node(address)).map(|id| id.0))
}

/// The name of a class or module itself.
fn name(ruby: &Ruby, heap: &Heap, id: u32) -> Result<Option<RString>, Error> {
    let snapshot = heap.snapshot(ruby)?;
    let dump = snapshot.heap();
    Ok(dump.names().class_name(dump.address(NodeId(id))).map(|name| text(ruby, &name)))
}

/// The objects whose class is this one, singleton classes not passed over.
fn instances(ruby: &Ruby, heap: &Heap, id: u32) -> Result<RString, Error> {
    let ids = heap.work(ruby, |snapshot, _| {
        let dump = snapshot.heap();
        Ok(dump.nodes().filter(|other| dump.class(*other) == Some(NodeId(id))).collect::<Vec<_>>())
    })?;
    Ok(pack(ruby, &ids))
}

/// What dominates an object immediately: an object, `:roots`, or nil.
fn dominator(ruby: &Ruby, heap: &Heap, id: u32) -> Result<Value, Error> {
    let dominator = heap.work(ruby, |snapshot, control| Ok(snapshot.tree(control)?.dominator(NodeId(id))))?;
    Ok(match dominator {
        Dominator::Node(id) => id.0.into_value_with(ruby),
        Dominator::Root | Dominator::Unreachable => ruby.qnil().as_value(),
    })
}

/// What an object dominates immediately.
fn dominated(ruby: &Ruby, heap: &Heap, id: u32) -> Result<RString, Error> {
    let ids = heap.work(ruby, |snapshot, control| {
        Ok(snapshot.children(control)?.of(Dominator::Node(NodeId(id))).collect::<Vec<_>>())
    })?;
    Ok(pack(ruby, &ids))
}

static HEAP: LazyId = LazyId::new("@heap");
static INDEX: LazyId = LazyId::new("@index");

/// Makes HeapObjects of numbers, as `HeapObject.at` makes one.
pub(crate) struct Maker {
    heap: Obj<Heap>,
    class: RClass,
    heap_id: Id,
    index_id: Id,
}

impl Maker {
    pub(crate) fn new(ruby: &Ruby, heap: Obj<Heap>) -> Result<Maker, Error> {
        let module: RModule = ruby.class_object().const_get("HeapInspector")?;
        let (heap_id, index_id) = (LazyId::get_inner_with(&HEAP, ruby), LazyId::get_inner_with(&INDEX, ruby));
        Ok(Maker { heap, class: module.const_get("HeapObject")?, heap_id, index_id })
    }

    pub(crate) fn object(&self, index: impl IntoValue) -> Result<Value, Error> {
        let object = RObject::try_convert(self.class.obj_alloc()?.as_value())?;
        object.ivar_set(self.heap_id, self.heap)?;
        object.ivar_set(self.index_id, index)?;
        object.freeze();
        Ok(object.as_value())
    }
}

/// HeapObjects of some objects.
fn objects(ruby: &Ruby, heap: Obj<Heap>, packed: RString) -> Result<RArray, Error> {
    let ids = unpack(ruby, packed, heap.snapshot(ruby)?.heap().object_count())?;
    let maker = Maker::new(ruby, heap)?;
    let list = ruby.ary_new_capa(ids.len());
    for id in ids {
        list.push(maker.object(id.0)?)?;
    }
    Ok(list)
}

/// What the methods of a HeapObject do. They read the columns by themselves, not by way of a Hash of all that an object has.
fn read(ruby: &Ruby, object: RObject, attribute: Attribute) -> Result<Value, Error> {
    let heap: Obj<Heap> = object.ivar_get(LazyId::get_inner_with(&HEAP, ruby))?;
    let index: u32 = object.ivar_get(LazyId::get_inner_with(&INDEX, ruby))?;
    let snapshot = heap.snapshot(ruby)?;
    if index as usize >= snapshot.heap().object_count() {
        return Err(errors::internal(ruby, "a number of no object"));
    }
    if attribute.needs_tree() && snapshot.made_tree().is_none() {
        heap.work(ruby, |snapshot, control| snapshot.tree(control).map(drop))?;
    }
    Ok(attribute.of(ruby, &snapshot, snapshot.made_tree(), NodeId(index)))
}

pub(crate) fn define(ruby: &Ruby, module: RModule, native: RModule) -> Result<(), Error> {
    native.define_singleton_method("ids", function!(ids, 5))?;
    native.define_singleton_method("measure", function!(measure, 3))?;
    native.define_singleton_method("measure_by_group", function!(groups, 6))?;
    native.define_singleton_method("retained_by_group", function!(retained, 5))?;
    native.define_singleton_method("values", function!(values, 2))?;
    native.define_singleton_method("pluck", function!(pluck, 3))?;
    native.define_singleton_method("texts", function!(texts, 2))?;
    native.define_singleton_method("line", function!(line, 2))?;
    native.define_singleton_method("objects", function!(objects, 2))?;
    native.define_singleton_method("escape", function!(escape, 1))?;
    native.define_singleton_method("similar_classes", function!(similar_classes, 2))?;
    native.define_singleton_method("find", function!(find, 2))?;
    native.define_singleton_method("label", function!(label, 2))?;
    native.define_singleton_method("stack", function!(stack, 2))?;
    native.define_singleton_method("class_of", function!(class_of, 2))?;
    native.define_singleton_method("superclass", function!(superclass, 2))?;
    native.define_singleton_method("class_name", function!(name, 2))?;
    native.define_singleton_method("instances", function!(instances, 2))?;
    native.define_singleton_method("dominator", function!(dominator, 2))?;
    native.define_singleton_method("dominated", function!(dominated, 2))?;
    let class = module.define_class("HeapObject", ruby.class_object())?;
    define_readers(class)?;
    let names = ruby.ary_new();
    for (name, _) in ATTRIBUTES {
        names.push(ruby.to_symbol(name))?;
    }
    names.freeze();
    native.const_set("ATTRIBUTES", names)
}

/// The name of the method.
fn reader(name: &str, attribute: Attribute) -> String {
    let is_flag = matches!(attribute, Attribute::Trait(_) | Attribute::Traced | Attribute::Reachable);
    format!("{name}{}", if is_flag { "?" } else { "" })
}
