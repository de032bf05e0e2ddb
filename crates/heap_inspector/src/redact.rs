//! A dump without its secrets: the values of strings replaced, all else as it was.
//!
//! A source comes in, the same lines go out in the same order; the line that tells how the dump was taken says that it was redacted, and is
//! put first where there is none. A value becomes another of the same length, the same for the same value,
//! so that sizes and duplicates still count; which one it becomes depends on a random key that nobody keeps. Values of up to
//! [`SHORT`] bytes go through a permutation of all values of their length (a Feistel network, as in NIST's FF1), so two of them never
//! become one; of longer ones the first [`HASHED`] bytes come from a keyed hash (SipHash-2-4, 128 bits), and the rest are stars.
//!
//! Of keys of hashes that heap_inspector's own dumper told those that are strings are left out. Kept are names and small values: symbols,
//! those made of user input too, keys of hashes that are symbols, numbers, nil, true, false or classes, classes, methods, constants,
//! variables, files and lines, the frames of stacks, encodings, struct names. A line that cannot be read is left out and counted, since a
//! secret may be in it. One thread; takes a block of memory (1 MiB, or the longest line).

use crate::record::repair::{Repair, repair};
use crate::record::scan::{Scanner, line};
use crate::record::{META_ROOT, Record, Text, Type};
use crate::source::Source;
use crate::{Error, Result};
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};
use std::hash::Hasher;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a redaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Records that were written.
    pub records: u64,
    /// Values that were replaced in them.
    pub values: u64,
    /// Records that could not be read and were left out.
    pub lost: u64,
    /// Whether the input ended early.
    pub truncated: bool,
}

/// Writes `source` without its secrets to `out`, whose name is for messages. Stops soon after `cancel` is raised.
///
/// # Errors
/// Those of the source; [`Error::Interrupted`] when cancelled; [`Error::Format`] where nothing in it is a record; if `out` cannot be written to.
pub fn redact(source: &Source, out: &mut dyn Write, name: &str, cancel: Option<&AtomicBool>) -> Result<Redacted> {
    let mut redactor = Redactor {
        is_told: false,
        key: Key::random()?,
        scanner: Scanner::default(),
        references: Vec::new(),
        sum: Redacted::default(),
    };
    let mut blocks = source.open()?;
    let mut written = Vec::new();
    let mut recycled = Vec::new();
    while let Some(block) = blocks.next(recycled)? {
        if cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Error::Interrupted);
        }
        written.clear();
        redactor.block(&block.bytes, &mut written);
        out.write_all(&written).map_err(|source| Error::File { path: PathBuf::from(name), source })?;
        recycled = block.bytes;
    }
    let mut sum = redactor.sum;
    sum.truncated |= blocks.damage().is_some();
    if sum.records == 0 {
        return Err(Error::format("not a heap dump: none of its lines is a record"));
    }
    Ok(sum)
}

struct Redactor {
    /// Whether what was written says that it is redacted.
    is_told: bool,
    key: Key,
    scanner: Scanner,
    references: Vec<u64>,
    sum: Redacted,
}

impl Redactor {
    fn block(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut record = Record::default();
            self.references.clear();
            if let Some(scanned) = self.scanner.scan(rest, &mut record, &mut self.references)
                && is_single(&rest[..scanned.bytes], &record)
            {
                self.write(&rest[..scanned.bytes], &record, out);
                rest = &rest[scanned.bytes..];
            } else {
                rest = &rest[self.refused(rest, out)..];
            }
        }
    }

    /// Writes a line that is not in Ruby's own form in that form, or leaves it out. Returns its length.
    #[cold]
    fn refused(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let (mut text, mut taken) = line(rest);
        if text.iter().all(u8::is_ascii_whitespace) {
            return taken;
        }
        while !text.ends_with(b"}") && taken < rest.len() && !rest[taken..].starts_with(b"{\"") {
            taken += line(&rest[taken..]).1;
            text = rest[..taken].trim_ascii_end();
        }
        let mut record = Record::default();
        self.references.clear();
        let repaired = match repair(text) {
            Repair::Normalized(repaired) | Repair::Repaired(repaired) => repaired,
            Repair::Lost(_) => Vec::new(),
        };
        if self.scanner.scan(&repaired, &mut record, &mut self.references).is_some() && is_single(&repaired, &record) {
            self.write(&repaired, &record, out);
            out.push(b'\n');
        } else {
            self.sum.lost += 1;
            self.sum.truncated |= !rest[..taken].ends_with(b"\n");
        }
        taken
    }

    fn write(&mut self, text: &[u8], record: &Record<'_>, out: &mut Vec<u8>) {
        self.sum.records += 1;
        if record.is_meta() {
            match record.value.and_then(told_redacted) {
                Some(line) => {
                    self.is_told = true;
                    out.extend_from_slice(&line);
                    out.extend(text.ends_with(b"\n").then_some(b'\n'));
                }
                None => {
                    self.sum.records -= 1;
                    self.sum.lost += 1;
                }
            }
            return;
        }
        if !self.is_told {
            self.is_told = true;
            out.extend_from_slice(&meta_line("{\"redacted\":true}"));
            out.push(b'\n');
        }
        let is_name = record.ty == Type::Symbol || record.is_stacks() || record.is_names();
        let place = |part: &[u8]| {
            let start = part.as_ptr().addr() - text.as_ptr().addr();
            start..start + part.len()
        };
        let value = record.value.filter(|_| !is_name).map(|value| {
            self.sum.values += 1;
            let mut other = Vec::new();
            self.key.replace(&value.decode(), &mut other);
            (place(value.raw), other)
        });
        // Keys of hashes that are texts.
        let names = record.names.filter(|_| record.edge_names().flatten().any(is_text_key));
        let names = names.map(|names| (place(names), names_without_texts(record)));
        let (first, second) = match (value, names) {
            (Some(value), Some(names)) if names.0.start < value.0.start => (Some(names), Some(value)),
            either => either,
        };
        let mut done = 0;
        for (part, other) in first.into_iter().chain(second) {
            out.extend_from_slice(&text[done..part.start]);
            out.extend_from_slice(&other);
            done = part.end;
        }
        out.extend_from_slice(&text[done..]);
    }
}

/// The line that tells how a dump was taken, when it says that the dump is redacted.
fn told_redacted(value: Text<'_>) -> Option<Vec<u8>> {
    let mut told: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&value.decode()).ok()?;
    let was_redacted = told.insert("redacted".into(), true.into()) == Some(true.into());
    // The app's own words, which may hold what it works on. Where the dump was taken so, such ones were left out.
    let left = told.get_mut("uncollected").and_then(serde_json::Value::as_array_mut).filter(|_| !was_redacted);
    for left in left.into_iter().flatten().filter_map(serde_json::Value::as_object_mut) {
        left.insert("reason".into(), "".into());
    }
    Some(meta_line(&serde_json::Value::Object(told).to_string()))
}

fn meta_line(told: &str) -> Vec<u8> {
    let told = serde_json::Value::from(told);
    format!("{{\"type\":\"ROOT\", \"root\":\"{META_ROOT}\", \"value\":{told}, \"references\":[]}}").into_bytes()
}

/// Whether a name is the key of a hash that is a text: `["…"]`.
fn is_text_key(name: Text<'_>) -> bool {
    name.decode_start(2)[..] == *b"[\""
}

/// A record's list of names, in which a value of a hash says no more than that it is one where its key is a text.
fn names_without_texts(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for name in record.edge_names() {
        if !out.is_empty() {
            out.push(b',');
        }
        match name {
            None => out.push(b'0'),
            Some(name) if is_text_key(name) => out.extend_from_slice(b"\"(value)\""),
            Some(name) => out.extend_from_slice(&[b"\"", name.raw, b"\""].concat()),
        }
    }
    out
}

/// Whether the one value that the record knows is the only one in its line: of two keys the scanner tells the last. Inside of texts a
/// quote has a backslash before it, so this finds keys alone, but for names that Ruby did not escape.
fn is_single(text: &[u8], record: &Record<'_>) -> bool {
    if record.names.is_some() && memchr::memmem::find_iter(text, b"\"names\":").count() != 1 {
        return false;
    }
    record.value.is_none() || memchr::memmem::find_iter(text, b"\"value\":").count() == 1
}

/// Up to so many bytes are permuted: all texts of so many 7-bit bytes fit in a `u64`.
pub const SHORT: usize = 9;
/// So many bytes of a longer value tell it from others: 126 bits.
pub const HASHED: usize = 21;

/// Rounds of the Feistel network, as many as FF1 has.
const ROUNDS: u8 = 10;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What values become in one redaction, for those who write a dump themselves.
#[derive(Debug)]
pub struct Values(Key);

impl Values {
    /// With a random key of its own.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn random() -> Result<Values> {
        Key::random().map(Values)
    }

    /// What a value becomes: as many bytes, the same for the same ones.
    #[must_use]
    pub fn other(&self, value: &[u8]) -> Vec<u8> {
        let mut other = Vec::with_capacity(value.len());
        self.0.other(value, &mut other);
        other
    }
}

/// The key, never kept nor told.
struct Key([u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    fn random() -> Result<Key> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)
            .map_err(|error| Error::File { path: "(random bytes)".into(), source: error.into() })?;
        Ok(Key(key))
    }

    /// Appends what becomes of `value`, escaped as Ruby would.
    fn replace(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut other = Vec::with_capacity(value.len());
        self.other(value, &mut other);
        other.into_iter().for_each(|byte| escape(byte, out));
    }

    /// Appends what becomes of `value`.
    fn other(&self, value: &[u8], out: &mut Vec<u8>) {
        if value.len() <= SHORT && value.is_ascii() {
            // What prints becomes what prints. Other texts go on through the permutation until they come to another such one.
            let (first, radix) = if is_printable(value) { (b' ', 95) } else { (0, 128) };
            let mut digits: Vec<u8> = value.iter().map(|byte| byte - first).collect();
            loop {
                self.permute(&mut digits, radix);
                if radix == 95 || !is_printable(&digits) {
                    break;
                }
            }
            out.extend(digits.iter().map(|digit| digit + first));
            return;
        }
        let mut hasher = SipHasher128::new_with_key(&self.0);
        hasher.write(value);
        let mut bits = hasher.finish128().as_u128();
        for _ in 0..value.len().min(HASHED) {
            out.push(LETTERS[(bits & 63) as usize]);
            bits >>= 6;
        }
        out.resize(out.len() + value.len().saturating_sub(HASHED), b'*');
    }

    /// A permutation of all rows of so many digits: by halves in turn, each gets a hash of the other added. A single digit has no
    /// halves; it goes through a shuffled alphabet.
    fn permute(&self, digits: &mut [u8], radix: u64) {
        if let [digit] = digits {
            *digit = self.shuffled(radix)[usize::from(*digit)];
            return;
        }
        let length = digits.len() as u64;
        let (left, right) = digits.split_at_mut(digits.len() / 2);
        for round in 0..ROUNDS {
            let (changed, other) = if round % 2 == 0 { (&mut *left, &*right) } else { (&mut *right, &*left) };
            let modulus = radix.pow(u32::try_from(changed.len()).expect("there are a few digits"));
            let mut hasher = SipHasher24::new_with_key(&self.0);
            hasher.write_u64(radix << 32 | length << 8 | u64::from(round));
            hasher.write(other);
            let number = changed.iter().fold(0, |number, digit| number * radix + u64::from(*digit));
            let mut number = (number + hasher.finish() % modulus) % modulus;
            for digit in changed.iter_mut().rev() {
                *digit = u8::try_from(number % radix).expect("the radix is below 256");
                number /= radix;
            }
        }
    }

    /// The alphabet in the order of a keyed hash of its letters.
    fn shuffled(&self, radix: u64) -> Vec<u8> {
        let mut letters: Vec<u8> = (0..=u8::MAX).take(usize::try_from(radix).unwrap_or(usize::MAX)).collect();
        letters.sort_by_cached_key(|letter| {
            let mut hasher = SipHasher24::new_with_key(&self.0);
            hasher.write_u64(radix << 32);
            hasher.write_u8(*letter);
            (hasher.finish(), *letter)
        });
        letters
    }
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Appends a byte below 128 as it stands in a JSON string.
fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b' '..=b'~' => out.push(byte),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests;
