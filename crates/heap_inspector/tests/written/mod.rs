//! Lines as a heap file, slowly: each line is taken apart at its keys, and what is in another form stays a line.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::heap_file::write::{Block, Columns, Packer};
use heap_inspector::heap_file::{self, Field, Fields, frame};

/// The heap file of a dump's lines.
pub(crate) fn heap_file(lines: &[u8]) -> Vec<u8> {
    let mut file = frame::header().to_vec();
    let (mut packer, mut records) = (Packer::new().unwrap(), 0);
    let mut take = |block: &mut Block| {
        file.extend_from_slice(packer.pack(block).unwrap().0);
        records += u64::from(block.records());
        block.clear();
        true
    };
    let mut columns = Columns::new(&mut take);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap();
        match fields(line) {
            Some(fields) => fields.iter().for_each(|field| field.tell(&mut columns)),
            None => columns.line(line),
        }
        columns.end();
    }
    columns.flush();
    file.extend_from_slice(&frame::end(records));
    file
}

struct Told<'a> {
    field: Field,
    value: &'a [u8],
    /// The value without its escapes.
    text: Vec<u8>,
}

impl Told<'_> {
    fn tell<'b>(&'b self, to: &mut impl Fields<'b>) {
        use Field::*;
        let Told { field, value, text } = self;
        let (field, value) = (*field, *value);
        let plain = std::str::from_utf8(value).unwrap_or_default();
        let inner = value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
        match field {
            Address | Class | ReceiverClass | Default | Superclass => to.address(field, address(inner)),
            Frozen | Embedded | Broken | Fstring | Chilled | Shared | Singleton | TooComplexShape => to.truth(field),
            Length | VariationCount | Fd => to.signed(field, plain.parse().unwrap()),
            Value => to.text(field, text),
            References => {
                to.begin_references();
                for item in inner.split(|byte| *byte == b',').filter(|item| !item.is_empty()) {
                    let item = item.trim_ascii();
                    to.reference(address(&item[1..item.len() - 1]));
                }
                to.end_references();
            }
            Names => {
                to.begin_names();
                for item in items(inner) {
                    to.name(if item == b"0" {
                        heap_file::Name::None
                    } else {
                        heap_file::Name::Text(&item[1..item.len() - 1])
                    });
                }
                to.end_names();
            }
            _ if matches!(value[0], b'"' | b'{') => to.word(field, inner),
            _ => to.number(field, plain.parse().unwrap()),
        }
    }
}

fn address(text: &[u8]) -> u64 {
    u64::from_str_radix(std::str::from_utf8(&text[2..]).unwrap(), 16).unwrap_or(0)
}

/// Whether a value is of the sort that its field has.
fn is_usual(field: Field, value: &[u8]) -> bool {
    use Field::*;
    let is_quoted = |value: &[u8]| value.len() >= 2 && value[0] == b'"' && value.ends_with(b"\"");
    let is_address = |value: &[u8]| {
        let digits = value.strip_prefix(b"\"0x").and_then(|rest| rest.strip_suffix(b"\""));
        digits.is_some_and(|digits| digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit))
    };
    let list = |value: &[u8]| value.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).map(<[u8]>::to_vec);
    match field {
        Address | Class | ReceiverClass | Default | Superclass => is_address(value),
        Frozen | Embedded | Broken | Fstring | Chilled | Shared | Singleton | TooComplexShape => value == b"true",
        References => list(value).is_some_and(|list| {
            list.is_empty() || list.split(|byte| *byte == b',').all(|item| is_address(item.trim_ascii()))
        }),
        Names => list(value).is_some_and(|list| items(&list).iter().all(|item| *item == b"0" || is_quoted(item))),
        Flags => value.starts_with(b"{") && value.ends_with(b"}"),
        Type | ImemoType | Mid | CalledId | Value | Encoding | Coderange | Name | RealClassName | Struct | Block
        | File | Method | Root | ShapeType | EdgeName => is_quoted(value),
        Length | VariationCount | Fd => std::str::from_utf8(value).is_ok_and(|value| value.parse::<i64>().is_ok()),
        _ => std::str::from_utf8(value).is_ok_and(|value| value.parse::<u64>().is_ok()),
    }
}

/// The fields of a line that is in Ruby's own form; none of others.
fn fields(line: &[u8]) -> Option<Vec<Told<'_>>> {
    let mut rest = line.strip_prefix(b"{")?;
    let mut fields: Vec<Told<'_>> = Vec::new();
    loop {
        let colon = rest.iter().position(|byte| *byte == b':')?;
        let key = std::str::from_utf8(rest.get(1..colon.checked_sub(1)?)?).ok()?;
        let field = Field::ALL.iter().find(|field| !key.is_empty() && field.key_text() == key)?;
        let length = value_length(&rest[colon + 1..])?;
        let value = &rest[colon + 1..colon + 1 + length];
        if !is_usual(*field, value) || fields.iter().any(|told| told.field == *field) {
            return None;
        }
        let text = if *field == Field::Value {
            serde_json::from_slice::<String>(value).ok()?.into_bytes()
        } else {
            Vec::new()
        };
        // Printed in another way than Ruby would.
        if *field == Field::Value {
            let mut escaped = Vec::new();
            heap_inspector::heap_file::lines::escape(&mut escaped, &text);
            if escaped != value[1..value.len() - 1] {
                return None;
            }
        }
        fields.push(Told { field: *field, value, text });
        rest = &rest[colon + 1 + length..];
        rest = match rest {
            b"}" => return Some(fields),
            _ if rest.starts_with(b",\"edge_name") => &rest[1..],
            _ => rest.strip_prefix(b", ")?,
        };
    }
}

/// How long the value is that some bytes begin with.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut is_text, mut at) = (0, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if is_text => at += 1,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text && depth > 0 => depth -= 1,
            b',' | b'}' if !is_text && depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The items of a list of names.
fn items(list: &[u8]) -> Vec<&[u8]> {
    let (mut items, mut rest) = (Vec::new(), list);
    while !rest.is_empty() {
        let Some(length) = value_length(&[rest, b","].concat()) else { return vec![b"?"] };
        items.push(&rest[..length]);
        rest = rest.get(length + 1..).unwrap_or_default();
    }
    items
}
