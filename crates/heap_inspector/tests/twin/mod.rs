//! The slow twin of the record scanner: serde_json reads the line as a tree, and each field is looked up in it.

use heap_inspector::record::{Flags, Record, Type};
use serde_json::Value;

/// A record with all its parts owned, for comparison.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plain {
    pub(crate) ty: Type,
    pub(crate) type_name: Vec<u8>,
    pub(crate) flags: Flags,
    pub(crate) addresses: [Option<u64>; 4],
    pub(crate) references: Vec<u64>,
    pub(crate) numbers: [Option<u64>; 12],
    pub(crate) fd: Option<i64>,
    pub(crate) memsize: u64,
    pub(crate) texts: [Option<Vec<u8>>; 14],
    pub(crate) names: Vec<Option<Vec<u8>>>,
}

/// The fields of a valid line; `None` where a field we know holds a value of another kind, or the line is no object.
pub(crate) fn twin(line: &[u8]) -> Option<Plain> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let members = value.as_object()?;
    let get = |key: &str| members.get(key).filter(|value| !value.is_null());
    let number = |key: &str| get(key).map_or(Some(None), |value| value.as_u64().map(Some));
    let small = |key: &str| number(key).filter(|found| found.is_none_or(|found| u32::try_from(found).is_ok()));
    let text =
        |key: &str| get(key).map_or(Some(None), |value| value.as_str().map(|text| Some(text.as_bytes().to_vec())));
    let address = |key: &str| get(key).map_or(Some(None), |value| parse(value).map(Some));
    let references = match get("references") {
        None => Vec::new(),
        Some(list) => list.as_array()?.iter().map(parse).collect::<Option<_>>()?,
    };
    let mut flags = Flags::default();
    let mut age = None;
    let is_own = |bit: &Flags| Flags::OWN.has(*bit);
    for (bit, key) in Flags::NAMED.iter().filter(|(bit, _)| is_own(bit)) {
        match get(key) {
            Some(Value::Bool(true)) => flags.set(*bit),
            None | Some(Value::Bool(false)) => {}
            _ => return None,
        }
    }
    match get("too_complex_shape") {
        Some(Value::Bool(true)) => flags.set(Flags::COMPLEX_SHAPE),
        None | Some(Value::Bool(false)) => {}
        _ => return None,
    }
    if let Some(nested) = get("flags") {
        for (key, value) in nested.as_object()? {
            if *value == Value::Bool(true) {
                Flags::from_key(key.as_bytes()).into_iter().filter(|bit| !is_own(bit)).for_each(|bit| flags.set(bit));
            } else if key == "age" {
                age = value.as_u64();
            }
        }
    }
    let type_name = text("type")?.unwrap_or_default();
    let length = number("length")?.or(number("size")?);
    Some(Plain {
        ty: Type::from_name(&type_name),
        type_name,
        flags,
        addresses: [address("address")?, address("class")?, address("superclass")?, address("default")?],
        references,
        numbers: [
            small("shape_id")?,
            small("slot_size")?,
            number("bytesize")?,
            number("capacity")?,
            length,
            number("ivars")?,
            small("line")?,
            small("generation")?,
            age,
            small("id")?,
            small("parent_id")?,
            small("stack")?,
        ],
        fd: get("fd").map_or(Some(None), |value| value.as_i64().map(Some))?,
        memsize: number("memsize")?.unwrap_or(0),
        texts: [
            text("value")?,
            text("encoding")?,
            text("coderange")?,
            text("name")?,
            text("real_class_name")?,
            text("struct")?,
            text("imemo_type")?,
            text("root")?,
            text("file")?,
            text("method")?,
            text("shape_type")?,
            text("edge_name")?,
            text("block")?,
            text("waits_in")?,
        ],
        names: match get("names") {
            None => Vec::new(),
            Some(list) => list.as_array()?.iter().map(name).collect::<Option<_>>()?,
        },
    })
}

/// A name, or none for 0.
fn name(value: &Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::String(text) => Some(Some(text.as_bytes().to_vec())),
        value => (value.as_u64() == Some(0)).then_some(None),
    }
}

fn parse(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 16).ok() }
}

/// What the scanner made of a line, in the same shape.
pub(crate) fn plain(record: &Record<'_>, references: &[u64]) -> Plain {
    let wide = |number: Option<u32>| number.map(u64::from);
    let text = |text: Option<heap_inspector::record::Text<'_>>| text.map(|text| text.decode().into_owned());
    Plain {
        ty: record.ty,
        type_name: record.type_name.decode().into_owned(),
        flags: record.flags,
        addresses: [record.address, record.class, record.superclass, record.default],
        references: references.to_vec(),
        numbers: [
            wide(record.shape_id),
            wide(record.slot_size),
            record.bytesize,
            record.capacity,
            record.length,
            record.ivars,
            wide(record.line),
            wide(record.generation),
            wide(record.age),
            wide(record.id),
            wide(record.parent_id),
            wide(record.stack),
        ],
        fd: record.fd,
        memsize: record.memsize,
        texts: [
            text(record.value),
            text(record.encoding),
            text(record.coderange),
            text(record.name),
            text(record.real_class_name),
            text(record.struct_name),
            text(record.imemo_type),
            text(record.root),
            text(record.file),
            text(record.method),
            text(record.shape_type),
            text(record.edge_name),
            text(record.block),
            text(record.waits_in),
        ],
        names: record.edge_names().map(text).collect(),
    }
}
