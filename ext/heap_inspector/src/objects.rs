//! What `Relation` and `HeapObject` are made of: objects by query, and the attributes of one.
//!
//! Several objects travel as a String of their numbers, 4 bytes each in the machine's order, their attributes as a column of each. An
//! object's attribute takes about a tenth of a microsecond, so nothing here works beside Ruby that need not.

use crate::convert;
use crate::errors;
use crate::filter::filter;
use crate::heap::{Heap, key_value, keys, text};
use crate::heap_object;
use crate::native::{function, method};
use crate::texts::{KINDS, TextKind, Texts};
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
use heap_inspector::sort;
use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::value::{ReprValue, StaticSymbol};
use magnus::{Error, IntoValue, Module, Object, RArray, RClass, RHash, RModule, RString, Ruby, TryConvert, Value};
use serde::Serialize;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    Flag(Flags),
    Traced,
    Reachable,
}

/// The Symbols of the types, by the type, as Ruby values; 0 for what this version does not know, whose name the dump has. [`define`] writes
/// them, once.
static SYMBOLS: [AtomicUsize; 1 + Type::NAMED.len()] = [const { AtomicUsize::new(0) }; 1 + Type::NAMED.len()];

/// Every attribute with its name, and what makes HeapObject's methods: each has that name, with a question mark where it is yes or no.
macro_rules! attributes {
    ($($name:literal => $attribute:expr),* $(,)?) => {
        const ATTRIBUTES: &[(&str, Attribute)] = &[$(($name, $attribute)),*];

        // A method is a function without a state, so each attribute needs one of its own.
        fn define_readers(class: RClass) -> Result<(), Error> {
            $(class.define_method(&reader($name, $attribute)[..], {
                /// SAFETY: a method of HeapObject, which Ruby calls.
                unsafe extern "C" fn reader(object: Value) -> Value {
                    match unsafe { quick(object, $attribute) } {
                        Some(value) => value,
                        None => unsafe { method!(|ruby: &Ruby, object: Value| read(ruby, object, $attribute), 0)(object) },
                    }
                }
                reader as unsafe extern "C" fn(Value) -> Value
            })?;)*
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
    "frozen" => Attribute::Flag(Flags::FROZEN),
    "old" => Attribute::Flag(Flags::OLD),
    "embedded" => Attribute::Flag(Flags::EMBEDDED),
    "shared" => Attribute::Flag(Flags::SHARED),
    "fstring" => Attribute::Flag(Flags::FSTRING),
    "broken" => Attribute::Flag(Flags::BROKEN),
    "singleton" => Attribute::Flag(Flags::SINGLETON),
    "wb_protected" => Attribute::Flag(Flags::WB_PROTECTED),
    "marked" => Attribute::Flag(Flags::MARKED),
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
    #[inline]
    fn of(self, ruby: &Ruby, heap: &Heap, snapshot: &Snapshot, id: NodeId) -> Result<Value, Error> {
        match self.number(snapshot.heap(), snapshot.made_tree(), id) {
            Some(read) => Ok(read.value(ruby)),
            None => self.of_texts(ruby, heap, snapshot, id),
        }
    }

    /// A text that was kept, or that is from now on if others may have it too.
    fn of_texts(self, ruby: &Ruby, heap: &Heap, snapshot: &Snapshot, id: NodeId) -> Result<Value, Error> {
        let (texts, dump) = (heap.texts(), snapshot.heap());
        let Some((sort, number)) = self.text(texts, dump, id, true) else {
            return Ok(self.worked_out(ruby, snapshot, id));
        };
        if let Some(text) = texts.get(sort, number) {
            return Ok(text);
        }
        let text = self.worked_out(ruby, snapshot, id);
        let tables = &dump.names().tables;
        let count = match sort {
            TextKind::Class => tables.class_count(),
            TextKind::File | TextKind::Location | TextKind::Method | TextKind::Gem | TextKind::Directory => {
                tables.sites.len()
            }
            TextKind::Kind | TextKind::Encoding | TextKind::Struct | TextKind::Imemo => KINDS,
        };
        texts.keep(ruby, sort, number, count, text)?;
        Ok(text)
    }

    /// What stands in a column, or can be told of numbers alone. Calls nothing of Ruby's; none for the other attributes, and for what needs
    /// a tree that is not there.
    #[inline(always)]
    fn number(self, heap: &heap_inspector::heap::Heap, tree: Option<&Tree>, id: NodeId) -> Option<Read> {
        Some(match self {
            Attribute::Number(number) if number.needs_tree() && tree.is_none() => return None,
            Attribute::Number(number) => Read::Number(number.of(heap, tree, id)),
            Attribute::Address => Read::Address(heap.address(id)),
            Attribute::Type => Read::Type(heap.ty(id)).known()?,
            Attribute::Bytesize => Read::Number(match heap.ty(id) {
                Type::String | Type::Symbol => heap.length(id).map(u64::from),
                _ => None,
            }),
            Attribute::Flag(bit) => Read::Flag(heap.flags(id).has(bit)),
            Attribute::Traced => Read::Flag(heap.is_traced(id)),
            Attribute::Reachable => Read::Flag(tree?.is_reachable(id)),
            Attribute::Line => {
                let line = heap.names().tables.sites.get(heap.site(id)).line;
                Read::Number((line > 0).then_some(line.into()))
            }
            Attribute::Class | Attribute::File | Attribute::Location | Attribute::Method | Attribute::Key(_) => {
                return None;
            }
        })
    }

    /// Which of the heap's texts it is, if it is one. Calls nothing of Ruby's. Texts by type and label get a place if `claim` is set.
    #[inline(always)]
    fn text(
        self,
        texts: &Texts,
        heap: &heap_inspector::heap::Heap,
        id: NodeId,
        claim: bool,
    ) -> Option<(TextKind, usize)> {
        let kind = |sort| texts.kind(heap.ty(id) as u8, heap.label(id).0, claim).map(|kind| (sort, kind));
        let site = |sort| Some((sort, heap.site(id).0 as usize));
        match self {
            Attribute::Class => match heap.class_id(id) {
                ClassId::NONE => kind(TextKind::Kind),
                // It has none of its own.
                _ if heap.is_tracer(id) => None,
                class => Some((TextKind::Class, class.0 as usize)),
            },
            Attribute::File => site(TextKind::File),
            Attribute::Location => site(TextKind::Location),
            Attribute::Method => site(TextKind::Method),
            Attribute::Key(Key::Gem) if !heap.is_tracer(id) => site(TextKind::Gem),
            Attribute::Key(Key::Directory) if !heap.is_tracer(id) => site(TextKind::Directory),
            Attribute::Key(Key::Encoding) => kind(TextKind::Encoding),
            Attribute::Key(Key::Struct) => kind(TextKind::Struct),
            Attribute::Key(Key::Imemo) => kind(TextKind::Imemo),
            _ => None,
        }
    }

    /// What is made of texts.
    fn worked_out(self, ruby: &Ruby, snapshot: &Snapshot, id: NodeId) -> Value {
        let heap = snapshot.heap();
        let names = heap.names();
        let symbols = &names.tables.symbols;
        let site = || names.tables.sites.get(heap.site(id));
        let file = || Some(symbols.bytes(site().file)).filter(|file| !file.is_empty() && *file != b"(null)"); // as Ruby up to 2.7 has it
        let text = match self {
            Attribute::Class if heap.class_id(id) != ClassId::NONE && !heap.is_tracer(id) => {
                Some(shared(symbols.bytes(names.instance_class(heap.class_id(id)))))
            }
            Attribute::Class => return key_value(ruby, &outside(snapshot, Key::Class, id)),
            Attribute::Key(key) => return present(ruby, &outside(snapshot, key, id)),
            // One that this version does not know.
            Attribute::Type => {
                return ruby.to_symbol(symbols.text(heap.properties(id).names.label).to_lowercase()).as_value();
            }
            Attribute::Method => {
                Some(site().method).filter(|name| name.is_some()).map(|name| shared(symbols.bytes(name)))
            }
            Attribute::File => file().map(shared),
            Attribute::Location => file().map(|file| match site().line {
                0 => shared(file),
                line => shared(&[file, format!(":{line}").as_bytes()].concat()),
            }),
            // Numbers without the tree that they need.
            _ => None,
        };
        text.unwrap_or_else(|| ruby.qnil().as_value())
    }
}

/// What was read of an object, not yet a Ruby value.
enum Read {
    Number(Option<u64>),
    Flag(bool),
    Address(u64),
    Type(Type),
}

impl Read {
    /// Itself; none for a type that has no Symbol of its own.
    #[inline(always)]
    fn known(self) -> Option<Read> {
        match self {
            Read::Type(ty) if SYMBOLS[ty as usize].load(Ordering::Relaxed) == 0 => None,
            read => Some(read),
        }
    }

    #[inline(always)]
    fn value(self, ruby: &Ruby) -> Value {
        match self {
            Read::Number(Some(number)) if number <= rb_sys::FIXNUM_MAX as u64 => {
                // SAFETY: so Ruby writes an Integer that fits beside its mark.
                unsafe { Value::from_raw((number as rb_sys::VALUE) << 1 | 1) }
            }
            Read::Number(number) => number.into_value_with(ruby),
            Read::Flag(flag) => flag.into_value_with(ruby),
            Read::Address(address) => hexadecimal(address),
            // SAFETY: it is a Symbol that is never collected.
            Read::Type(ty) => unsafe { Value::from_raw(SYMBOLS[ty as usize].load(Ordering::Relaxed) as rb_sys::VALUE) },
        }
    }
}

/// A frozen String as `"0x7f1386ee2a78"`.
fn hexadecimal(address: u64) -> Value {
    let mut text = *b"0x0000000000000000";
    let digits = (u64::BITS - address.leading_zeros()).div_ceil(4).max(1) as usize;
    for (place, cell) in text[2..2 + digits].iter_mut().rev().enumerate() {
        *cell = b"0123456789abcdef"[(address >> (4 * place)) as usize & 15];
    }
    // SAFETY: this is a Ruby thread with the GVL, since all callers have a `Ruby`; the bytes are copied. Where Ruby is out of memory it
    // raises, and nothing is lost.
    unsafe {
        let text = rb_sys::rb_utf8_str_new(text.as_ptr().cast(), 2 + digits as std::ffi::c_long);
        Value::from_raw(rb_sys::rb_obj_freeze(text))
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

pub(crate) fn unpack(ruby: &Ruby, packed: RString, count: usize) -> Result<Vec<NodeId>, Error> {
    let bytes = crate::input::bytes(packed);
    let (numbers, rest) = bytes.as_chunks::<4>();
    let ids: Vec<NodeId> = numbers.iter().map(|number| NodeId(u32::from_ne_bytes(*number))).collect();
    if !rest.is_empty() || ids.iter().any(|id| id.0 as usize >= count) {
        return Err(errors::internal(ruby, "a number of no object"));
    }
    Ok(ids)
}

pub(crate) fn pack(ruby: &Ruby, ids: &[NodeId]) -> RString {
    let mut bytes = vec![0; 4 * ids.len()];
    for (cell, id) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(ids) {
        *cell = id.0.to_ne_bytes();
    }
    let packed = ruby.str_from_slice(&bytes);
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
    sort::by(&mut groups, |one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
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
        let values = ids.iter().enumerate().map(|(at, id)| {
            work::check_interrupts(ruby, at)?;
            attribute.of(ruby, heap, &snapshot, *id)
        });
        columns.push(heap_object::list(ruby, values)?)?;
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

/// What the methods of a HeapObject mostly do: a number of a column, or a text that was made already. None for all else, which [`read`] does.
///
/// # Safety
/// That of [`heap_object::place`].
#[inline(always)]
unsafe fn quick(object: Value, attribute: Attribute) -> Option<Value> {
    let found = catch_unwind(|| {
        // SAFETY: as above; between here and the value's making nothing of Ruby's is called.
        let place = unsafe { heap_object::place(object) };
        let snapshot = unsafe { place.heap.open() }?;
        let (dump, id) = (snapshot.heap(), NodeId(place.index));
        let read = match attribute.number(dump, snapshot.made_tree(), id) {
            Some(read) => Ok(read),
            None => Err(attribute.text(place.heap.texts(), dump, id, false)?),
        };
        // Afterwards, since a column may be read from its file only now.
        dump.whole().ok()?;
        match read {
            // SAFETY: Ruby called the method, so this is a Ruby thread with the GVL.
            Ok(read) => Some(read.value(&unsafe { Ruby::get_unchecked() })),
            Err((kind, number)) => place.heap.texts().get(kind, number),
        }
    });
    // A panic comes once more where it becomes an exception.
    found.ok().flatten()
}

/// What the methods of a HeapObject do. They read the columns by themselves, not by way of a Hash of all that an object has.
fn read(ruby: &Ruby, object: Value, attribute: Attribute) -> Result<Value, Error> {
    // SAFETY: only methods of HeapObject call it, with their receiver.
    let heap_object::Place { heap, index, .. } = unsafe { heap_object::place(object) };
    if attribute.needs_tree() && heap.snapshot(ruby)?.made_tree().is_none() {
        heap.work(ruby, |snapshot, control| snapshot.tree(control).map(drop))?;
    }
    let snapshot = heap.snapshot(ruby)?;
    let value = attribute.of(ruby, heap, &snapshot, NodeId(index))?;
    snapshot.heap().whole().map_err(|error| errors::raised(ruby, &error))?;
    Ok(value)
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
    for (ty, name) in Type::NAMED {
        let symbol = StaticSymbol::from(ruby.intern(&name.to_ascii_lowercase()));
        SYMBOLS[ty as usize].store(symbol.as_raw() as usize, Ordering::Relaxed);
    }
    define_readers(heap_object::define(ruby, module, native)?)?;
    let names = ruby.ary_new();
    for (name, _) in ATTRIBUTES {
        names.push(ruby.to_symbol(name))?;
    }
    names.freeze();
    native.const_set("ATTRIBUTES", names)
}

/// The name of the method.
fn reader(name: &str, attribute: Attribute) -> String {
    let is_flag = matches!(attribute, Attribute::Flag(_) | Attribute::Traced | Attribute::Reachable);
    format!("{name}{}", if is_flag { "?" } else { "" })
}
