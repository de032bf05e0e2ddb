//! Brings a line that the scanner refused into the form it takes.
//!
//! Two cases. *Another form*, to be normalized: valid JSON with other spacing, `null`s or `false`s, as a filter or another program writes it; serde_json
//! reads it and it is printed anew. *Broken by Ruby*: `file`, `struct`, `encoding`, `real_class_name` and `root` are never escaped,
//! class names not before Ruby 3.4 and methods not before 3.0, so a quote, backslash or newline in one breaks the line. There the end
//! of a text is taken to be the first quote behind which a known key or the end of the record stands. Both are rare: they allocate.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// What became of a refused line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It was valid JSON; here in Ruby's form.
    Normalized(Vec<u8>),
    /// It was broken in a way that Ruby breaks lines; here with its texts escaped.
    Repaired(Vec<u8>),
    /// It cannot be read, and why.
    Lost(String),
}

/// How the value of a key is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    Addresses,
    /// Texts, and 0 for none.
    Names,
    Number,
    /// A number that may be negative: a closed file's descriptor is -1.
    Signed,
    Text,
    /// A text that some Ruby prints without escaping it.
    RawText,
    True,
    Flags,
}

const KEYS: &[(&str, Kind)] = &[
    ("address", Kind::Address),
    ("type", Kind::Text),
    ("root", Kind::RawText),
    ("id", Kind::Number),
    ("parent_id", Kind::Number),
    ("depth", Kind::Number),
    ("shape_type", Kind::Text),
    ("edge_name", Kind::Text),
    ("edges", Kind::Number),
    ("shape_id", Kind::Number),
    ("slot_size", Kind::Number),
    ("class", Kind::Address),
    ("frozen", Kind::True),
    ("embedded", Kind::True),
    ("broken", Kind::True),
    ("fstring", Kind::True),
    ("shared", Kind::True),
    ("associated", Kind::True),
    ("chilled", Kind::True),
    ("singleton", Kind::True),
    ("too_complex_shape", Kind::True),
    ("complex_shape", Kind::True),
    ("bytesize", Kind::Number),
    ("capacity", Kind::Number),
    ("value", Kind::Text),
    ("encoding", Kind::RawText),
    ("coderange", Kind::Text),
    ("size", Kind::Number),
    ("default", Kind::Address),
    ("length", Kind::Number),
    ("ivars", Kind::Number),
    ("variation_count", Kind::Number),
    ("superclass", Kind::Address),
    ("name", Kind::RawText),
    ("real_class_name", Kind::RawText),
    ("struct", Kind::RawText),
    ("fd", Kind::Signed),
    ("node_type", Kind::Text),
    ("imemo_type", Kind::Text),
    ("mid", Kind::RawText),
    ("called_id", Kind::RawText),
    ("receiver_class", Kind::Address),
    ("references", Kind::Addresses),
    ("block", Kind::Text),
    ("waits_in", Kind::Text),
    ("names", Kind::Names),
    ("file", Kind::RawText),
    ("line", Kind::Number),
    ("method", Kind::RawText),
    ("generation", Kind::Number),
    ("stack", Kind::Number),
    ("memsize", Kind::Number),
    ("flags", Kind::Flags),
];

fn kind(key: &[u8]) -> Option<Kind> {
    KEYS.iter().find(|(known, _)| known.as_bytes() == key).map(|(_, kind)| *kind)
}

/// A line to be normalized may be so long.
const LONGEST: usize = 16 << 20;

/// Repairs one line (or several that a raw newline split), without its newline at the end.
#[must_use]
pub fn repair(line: &[u8]) -> Repair {
    if line.len() > LONGEST {
        // To take it apart as JSON could take thirty times its length.
        return match serde_json::from_slice::<IgnoredAny>(line) {
            Ok(_) => Repair::Lost(format!("not in Ruby's form, and longer than {LONGEST} bytes")),
            Err(error) => repaired(line).map_or_else(|| Repair::Lost(reason(line, &error)), Repair::Repaired),
        };
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Object(members)) => match normalized(&members) {
            Ok(line) => Repair::Normalized(line),
            Err(reason) => Repair::Lost(reason),
        },
        Ok(_) => Repair::Lost("not a JSON object".into()),
        Err(error) => repaired(line).map_or_else(|| Repair::Lost(reason(line, &error)), Repair::Repaired),
    }
}

fn reason(line: &[u8], error: &serde_json::Error) -> String {
    if line.first() != Some(&b'{') {
        "not a record: no opening brace".into()
    } else if !line.ends_with(b"}") {
        "the record ends early".into()
    } else {
        let text = error.to_string();
        let end = text.find(" at line").unwrap_or(text.len());
        format!("invalid JSON: {}", &text[..end])
    }
}

/// Prints a JSON object in Ruby's form. A key we know with a value of another kind is an error: no number is guessed.
fn normalized(members: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let mut out = Vec::from(*b"{");
    for (key, kind) in KEYS {
        let Some(value) = members.get(*key) else { continue };
        let wrong = || format!("{key:?} holds {value:.40}, not {}", kind.noun());
        match (kind, value) {
            (_, Value::Null) | (Kind::True, Value::Bool(false)) => continue,
            (Kind::True, Value::Bool(true)) => {}
            (Kind::Number, Value::Number(number)) if number.is_u64() => {}
            (Kind::Signed, Value::Number(number)) if number.is_i64() => {}
            (Kind::Text | Kind::RawText, Value::String(_)) | (Kind::Flags, Value::Object(_)) => {}
            (Kind::Address, Value::String(text)) if is_address(text) => {}
            (Kind::Addresses, Value::Array(list)) if list.iter().all(|item| item.as_str().is_some_and(is_address)) => {}
            (Kind::Names, Value::Array(list))
                if list.iter().all(|item| item.is_string() || item.as_u64() == Some(0)) => {}
            _ => return Err(wrong()),
        }
        let text = match kind {
            Kind::Flags => flags(value),
            Kind::Addresses => value.to_string().replace("\",\"", "\", \"").to_lowercase(),
            Kind::Address => value.to_string().to_lowercase(),
            _ => value.to_string(),
        };
        out.extend_from_slice(if out.len() > 1 { b", \"" } else { b"\"" });
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'}');
    Ok(out)
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Address => "an address",
            Kind::Addresses => "a list of addresses",
            Kind::Names => "a list of names",
            Kind::Number => "a whole number",
            Kind::Signed => "a number",
            Kind::Text | Kind::RawText => "a string",
            Kind::True => "true",
            Kind::Flags => "an object",
        }
    }
}

fn is_address(text: &str) -> bool {
    text.strip_prefix("0x")
        .is_some_and(|digits| digits.len() <= 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The flags that are true, and the age.
fn flags(value: &Value) -> String {
    let members: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| **value == Value::Bool(true) || *key == "age" && value.is_u64())
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    format!("{{{}}}", members.join(", "))
}

/// Escapes the texts of a line that Ruby broke. `None` where it is not such a line.
fn repaired(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(line.len() + 16);
    let mut rest = line.strip_prefix(b"{\"")?;
    out.extend_from_slice(b"{\"");
    loop {
        let end = memchr::memchr(b'"', rest)?;
        let (key, after) = (&rest[..end], rest[end..].strip_prefix(b"\":")?);
        out.extend_from_slice(key);
        out.extend_from_slice(b"\":");
        let is_raw = kind(key) == Some(Kind::RawText) && after.first() == Some(&b'"');
        let value_end = if is_raw { 1 + text_end(&after[1..])? + 1 } else { plain_end(after)? };
        if is_raw {
            escape(&after[1..value_end - 1], &mut out);
        } else {
            out.extend_from_slice(&after[..value_end]);
        }
        rest = &after[value_end..];
        if rest == b"}" {
            out.push(b'}');
            return Some(out);
        }
        let separator = separator(rest)?;
        out.extend_from_slice(b", \"");
        rest = &rest[separator..];
    }
}

/// The length of `, "` or `,"` at the start of `rest`.
fn separator(rest: &[u8]) -> Option<usize> {
    [&b", \""[..], b",\""].iter().find(|mark| rest.starts_with(mark)).map(|mark| mark.len())
}

/// Where a text ends: at the first quote with a known key, or the record's end, behind it.
fn text_end(rest: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', rest).find(|at| {
        let after = &rest[at + 1..];
        after == b"}"
            || separator(after).is_some_and(|length| {
                let key = &after[length..];
                memchr::memchr(b'"', &key[..key.len().min(32)])
                    .is_some_and(|end| key[end..].starts_with(b"\":") && kind(&key[..end]).is_some())
            })
    })
}

/// Where a value that is no text ends: at the first comma or closing brace outside brackets and strings.
fn plain_end(rest: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let (mut in_string, mut quoted) = (false, false);
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            _ if quoted => quoted = false,
            b'\\' if in_string => quoted = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => return (at > 0).then_some(at),
            _ => {}
        }
    }
    None
}

/// Writes `raw` as a JSON string: as it is where it is one, else escaped as the plain bytes it is.
fn escape(raw: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if is_escaped(raw) {
        out.extend_from_slice(raw);
    } else {
        for byte in raw {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(*byte),
            }
        }
    }
    out.push(b'"');
}

/// Whether `raw` is the inside of a JSON string as it stands.
fn is_escaped(raw: &[u8]) -> bool {
    let mut quoted = false;
    for byte in raw {
        match byte {
            _ if quoted => quoted = false,
            b'\\' => quoted = true,
            b'"' | 0..0x20 => return false,
            _ => {}
        }
    }
    !quoted && super::unescape(raw).is_some()
}
