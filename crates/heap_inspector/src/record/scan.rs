//! The scanner of the exact form that Ruby writes, checked and without unsafe.
//!
//! The plain version is: parse the line as JSON, look up each key. This one leaves out the tree: at each `, "` the next four bytes
//! tell the key (they differ for all keys but three pairs), the rest of the key is compared, and the value is read in place. Keys may
//! come in any order. Text ends at the first quote that no backslash stands before; a raw newline ends the line and is refused, but
//! for `file`, where Ruby prints newlines raw. What it does not take it refuses without a trace: see [`super::repair`].
//!
//! Two things make up most of a line and repeat: the `flags` are compared with those of earlier lines before they are read, and
//! addresses are read by twelve digits at once.

use super::{Flags, Record, Text, Type};
use memchr::{memchr, memchr3};

/// What the scanner keeps from line to line.
#[derive(Debug, Default)]
pub struct Scanner {
    tails: [Tail; 6],
    last: usize,
    next: usize,
}

/// The end of an earlier line, from `"flags":` on, and what it says.
#[derive(Debug, Clone, Copy)]
struct Tail {
    bytes: [u8; Tail::ROOM],
    len: usize,
    flags: Flags,
    age: Option<u32>,
}

impl Tail {
    const ROOM: usize = 192;
}

impl Default for Tail {
    fn default() -> Self {
        Tail { bytes: [0; Tail::ROOM], len: 0, flags: Flags::default(), age: None }
    }
}

/// Tells keys apart by their first four bytes, through a table: a jump through it costs a third of comparing with one after the other.
macro_rules! keys {
    ($($number:literal $name:ident $bytes:literal,)*) => {
        $(const $name: u8 = $number;)*
        static KEYS: [(u32, u8); 256] = {
            let mut table = [(0, 0); 256];
            $(
                let key = u32::from_le_bytes(*$bytes);
                assert!(table[hash(key)].1 == 0, "two keys share a place: choose another factor");
                table[hash(key)] = (key, $name);
            )*
            table
        };
    };
}

keys! {
    1 ADDR b"addr",
    2 TYPE b"type",
    3 SHAP b"shap",
    4 SLOT b"slot",
    5 CLAS b"clas",
    6 FROZ b"froz",
    7 EMBE b"embe",
    8 BROK b"brok",
    9 FSTR b"fstr",
    10 SHAR b"shar",
    11 ASSO b"asso",
    12 CHIL b"chil",
    13 SING b"sing",
    14 TOO b"too_",
    15 COMP b"comp",
    16 BYTE b"byte",
    17 CAPA b"capa",
    18 VALU b"valu",
    19 ENCO b"enco",
    20 CODE b"code",
    21 LENG b"leng",
    22 SIZE b"size",
    23 DEFA b"defa",
    24 IVAR b"ivar",
    25 NAME b"name",
    26 SUPE b"supe",
    27 REAL b"real",
    28 STRU b"stru",
    29 IMEM b"imem",
    30 ROOT b"root",
    31 REFE b"refe",
    32 FILE b"file",
    33 LINE b"line",
    34 METH b"meth",
    35 GENE b"gene",
    36 MEMS b"mems",
    37 FLAG b"flag",
    38 PARE b"pare",
    39 EDGE b"edge",
    40 ID b"id\":",
    41 FD b"fd\":",
    42 STAC b"stac",
    43 BLOC b"bloc",
    44 WAIT b"wait",
}

const fn hash(key: u32) -> usize {
    (key.wrapping_mul(FACTOR) >> 24) as usize
}

const FACTOR: u32 = 0xb9d1_79e1;

/// How far a scan went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes of the record, its newline included.
    pub bytes: usize,
    /// Newlines among them: 1, 0 at the end of the input, more where a file name holds some.
    pub newlines: u32,
}

impl Scanner {
    /// Reads the record at the start of `input`, which goes on to the end of its block, into `record` and puts its references at the
    /// end of `references`. `None`, with `references` as they were, where the line is not in Ruby's own form.
    pub fn scan<'a>(&mut self, input: &'a [u8], record: &mut Record<'a>, references: &mut Vec<u64>) -> Option<Scanned> {
        let before = references.len();
        *record = Record::default();
        let mut newlines = 0;
        let rest = self.fields(input, record, references, &mut newlines);
        let Some(rest) = rest.and_then(|rest| end_of_line(rest, &mut newlines)) else {
            references.truncate(before);
            return None;
        };
        record.reference_count = u32::try_from(references.len() - before).ok()?;
        Some(Scanned { bytes: input.len() - rest.len(), newlines })
    }

    /// Reads `{...}` and returns what follows.
    #[inline(always)]
    fn fields<'a>(
        &mut self,
        input: &'a [u8],
        record: &mut Record<'a>,
        references: &mut Vec<u64>,
        newlines: &mut u32,
    ) -> Option<&'a [u8]> {
        let before = references.len();
        let mut rest = input.strip_prefix(b"{\"")?;
        // The start that nearly every line has, in the order Ruby writes it.
        if let Some((address, after)) = rest.strip_prefix(b"address\":\"").and_then(address)
            && let Some(after) = after.strip_prefix(b", \"")
        {
            record.address = Some(address);
            rest = after;
        }
        loop {
            let key = u32::from_le_bytes(*rest.first_chunk::<4>()?);
            macro_rules! field {
                ($literal:literal, $parse:expr) => {{
                    let (value, after) = $parse(rest.strip_prefix($literal)?)?;
                    rest = after;
                    value
                }};
            }
            macro_rules! bit {
                ($literal:literal, $bit:expr) => {{
                    rest = rest.strip_prefix($literal)?;
                    record.flags.set($bit);
                }};
            }
            let (known, name) = KEYS[hash(key)];
            match if known == key { name } else { 0 } {
                ADDR => record.address = Some(field!(b"address\":\"", address)),
                TYPE => {
                    let text = field!(b"type\":\"", text);
                    record.type_name = text;
                    record.ty = if text.escaped { Type::from_name(&text.decode()) } else { type_of(text.raw) };
                }
                SHAP => {
                    if rest.starts_with(b"shape_id") {
                        record.shape_id = Some(field!(b"shape_id\":", small));
                    } else {
                        record.shape_type = Some(field!(b"shape_type\":\"", text));
                    }
                }
                SLOT => record.slot_size = Some(field!(b"slot_size\":", small)),
                CLAS => record.class = Some(field!(b"class\":\"", address)),
                FROZ => bit!(b"frozen\":true", Flags::FROZEN),
                EMBE => bit!(b"embedded\":true", Flags::EMBEDDED),
                BROK => bit!(b"broken\":true", Flags::BROKEN),
                FSTR => bit!(b"fstring\":true", Flags::FSTRING),
                SHAR => bit!(b"shared\":true", Flags::SHARED),
                ASSO => bit!(b"associated\":true", Flags::ASSOCIATED),
                CHIL => bit!(b"chilled\":true", Flags::CHILLED),
                SING => bit!(b"singleton\":true", Flags::SINGLETON),
                TOO => bit!(b"too_complex_shape\":true", Flags::COMPLEX_SHAPE),
                COMP => bit!(b"complex_shape\":true", Flags::COMPLEX_SHAPE),
                BYTE => record.bytesize = Some(field!(b"bytesize\":", number)),
                CAPA => record.capacity = Some(field!(b"capacity\":", number)),
                VALU => record.value = Some(field!(b"value\":\"", text)),
                ENCO => record.encoding = Some(field!(b"encoding\":\"", text)),
                CODE => record.coderange = Some(field!(b"coderange\":\"", text)),
                LENG => record.length = Some(field!(b"length\":", number)),
                SIZE => record.length = Some(field!(b"size\":", number)),
                DEFA => record.default = Some(field!(b"default\":\"", address)),
                IVAR => record.ivars = Some(field!(b"ivars\":", number)),
                NAME => {
                    if rest.starts_with(b"names") {
                        record.names = Some(field!(b"names\":[", names));
                    } else {
                        record.name = Some(field!(b"name\":\"", text));
                    }
                }
                SUPE => record.superclass = Some(field!(b"superclass\":\"", address)),
                REAL => record.real_class_name = Some(field!(b"real_class_name\":\"", text)),
                STRU => record.struct_name = Some(field!(b"struct\":\"", text)),
                IMEM => record.imemo_type = Some(field!(b"imemo_type\":\"", text)),
                ROOT => record.root = Some(field!(b"root\":\"", text)),
                REFE => {
                    if references.len() > before {
                        return None; // a second list: the last one counts, as in JSON
                    }
                    rest = addresses(rest.strip_prefix(b"references\":[")?, references)?;
                }
                FILE => {
                    let after = rest.strip_prefix(b"file\":\"")?;
                    let (text, after) = file(after, newlines)?;
                    record.file = Some(text);
                    rest = after;
                }
                LINE => record.line = Some(field!(b"line\":", small)),
                METH => record.method = Some(field!(b"method\":\"", text)),
                GENE => record.generation = Some(field!(b"generation\":", small)),
                BLOC => record.block = Some(field!(b"block\":\"", text)),
                WAIT => record.waits_in = Some(field!(b"waits_in\":\"", text)),
                STAC => record.stack = Some(field!(b"stack\":", small)),
                MEMS => record.memsize = field!(b"memsize\":", number),
                FLAG => {
                    if let Some(after) = self.known_tail(rest, record) {
                        return Some(after);
                    }
                    let after = flags(rest.strip_prefix(b"flags\":{")?, record)?;
                    if after.first() == Some(&b'}') {
                        self.remember_tail(rest, rest.len() - after.len() + 1, record);
                    }
                    rest = after;
                }
                ID => record.id = Some(field!(b"id\":", small)),
                PARE => record.parent_id = Some(field!(b"parent_id\":", small)),
                EDGE if rest.starts_with(b"edge_name") => {
                    record.edge_name = Some(field!(b"edge_name\":\"", text));
                }
                FD => record.fd = Some(field!(b"fd\":", signed)),
                _ => rest = unknown(rest)?,
            }
            rest = match rest {
                [b',', b' ', b'"', after @ ..] => after,
                [b',', b'"', after @ ..] => after, // before a SHAPE's edge_name
                [b'}', after @ ..] => return Some(after),
                _ => return None,
            };
        }
    }

    #[inline(always)]
    fn known_tail<'a>(&mut self, rest: &'a [u8], record: &mut Record<'_>) -> Option<&'a [u8]> {
        for step in 0..self.tails.len() {
            let at = (self.last + step) % self.tails.len();
            let tail = &self.tails[at];
            if tail.len > 0 && rest.starts_with(&tail.bytes[..tail.len]) {
                record.flags.set(tail.flags);
                record.age = tail.age;
                self.last = at;
                return Some(&rest[tail.len..]);
            }
        }
        None
    }

    /// Keeps the first `len` bytes of `rest`, `"flags":{...}}`. A line's own flags are told from the flags' by their keys.
    #[cold]
    fn remember_tail(&mut self, rest: &[u8], len: usize, record: &Record<'_>) {
        if len > Tail::ROOM {
            return;
        }
        let mut tail = Tail { len, age: record.age, ..Tail::default() };
        tail.flags = Flags(record.flags.0 & !Flags::OWN.0);
        tail.bytes[..len].copy_from_slice(&rest[..len]);
        self.next = (self.next + 1) % self.tails.len();
        self.tails[self.next] = tail;
    }
}

fn end_of_line<'a>(rest: &'a [u8], newlines: &mut u32) -> Option<&'a [u8]> {
    match rest {
        [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => {
            *newlines += 1;
            Some(after)
        }
        [] => Some(rest),
        _ => None,
    }
}

#[inline(always)]
fn type_of(name: &[u8]) -> Type {
    match name {
        b"STRING" => Type::String,
        b"ARRAY" => Type::Array,
        b"HASH" => Type::Hash,
        b"OBJECT" => Type::Object,
        b"IMEMO" => Type::Imemo,
        b"DATA" => Type::Data,
        _ => Type::from_name(name),
    }
}

/// Reads `0x7f…"`, the opening quote being passed. `"0x"` is how Ruby would print a null pointer.
#[inline(always)]
fn address(rest: &[u8]) -> Option<(u64, &[u8])> {
    if let Some(chunk) = rest.first_chunk::<15>()
        && chunk[14] == b'"'
        && chunk[0] == b'0'
        && chunk[1] == b'x'
        && let Some(value) = twelve_digits(chunk)
    {
        return Some((value, &rest[15..]));
    }
    address_any(rest)
}

#[inline(always)]
fn twelve_digits(chunk: &[u8; 15]) -> Option<u64> {
    let high = u64::from_be_bytes(*chunk[2..].first_chunk()?);
    let low = u64::from_be_bytes(*chunk[6..].first_chunk()?);
    if is_hex(high) && is_hex(low) { Some(eight_digits(high) << 16 | eight_digits(low) & 0xffff) } else { None }
}

/// Whether all eight bytes are lower-case hexadecimal digits. Sums stay within their bytes, but for bytes of 128 and more, which are
/// refused whatever they do to their neighbours.
#[inline(always)]
fn is_hex(bytes: u64) -> bool {
    const HIGH: u64 = 0x80 * ONES;
    let digit = bytes ^ (0x30 * ONES); // 0 to 9
    let letter = bytes ^ (0x60 * ONES); // 1 to 6
    let no_digit = digit.wrapping_add(0x76 * ONES);
    let no_letter = letter.wrapping_add(0x79 * ONES) | !letter.wrapping_add(0x7f * ONES);
    (bytes | no_digit & no_letter) & HIGH == 0
}

/// The value of eight digits, the first in the highest byte: their low halves, plus 9 for letters, pushed together.
#[inline(always)]
fn eight_digits(bytes: u64) -> u64 {
    let halves = (bytes & 0x0f0f_0f0f_0f0f_0f0f) + 9 * (bytes >> 6 & 0x0101_0101_0101_0101);
    let pairs = (halves | halves >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) & 0xffff_ffff
}

#[inline(never)]
fn address_any(rest: &[u8]) -> Option<(u64, &[u8])> {
    let digits = rest.strip_prefix(b"0x")?;
    let mut value = 0u64;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'"' => return Some((value, &digits[at + 1..])),
            _ if at < 16 => value = value << 4 | u64::from(char::from(*byte).to_digit(16)? as u8),
            _ => return None,
        }
    }
    None
}

/// Reads the addresses of `["0x1", "0x2"]`, the opening bracket being passed.
#[inline]
fn addresses<'a>(mut rest: &'a [u8], references: &mut Vec<u64>) -> Option<&'a [u8]> {
    if let [b']', after @ ..] = rest {
        return Some(after);
    }
    loop {
        let (value, after) = address(rest.strip_prefix(b"\"")?)?;
        references.push(value);
        rest = match after {
            [b',', b' ', after @ ..] => after,
            [b']', after @ ..] => return Some(after),
            _ => return None,
        };
    }
}

/// Reads `["@a",0,"@b"]`, the opening bracket being passed: what stands between the brackets, for [`each_name`].
fn names(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut after = rest;
    if let [b']', after @ ..] = after {
        return Some((&rest[..0], after));
    }
    loop {
        after = match after {
            [b'"', after @ ..] => text(after)?.1,
            [b'0', after @ ..] => after,
            _ => return None,
        };
        after = match after {
            [b',', after @ ..] => after,
            [b']', end @ ..] => return Some((&rest[..rest.len() - after.len()], end)),
            _ => return None,
        };
    }
}

/// The names of a list that the scanner took: none for each 0.
pub(super) fn each_name(list: &[u8]) -> impl Iterator<Item = Option<Text<'_>>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (name, after) = match rest {
            [b'"', after @ ..] => text(after).map(|(text, after)| (Some(text), after))?,
            [b'0', after @ ..] => (None, after),
            _ => return None,
        };
        rest = after.strip_prefix(b",").unwrap_or(after);
        Some(name)
    })
}

#[inline(always)]
fn number(rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut at = 0;
    while let Some(byte @ b'0'..=b'9') = rest.get(at) {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        at += 1;
    }
    // JSON has no numbers with leading zeros.
    if at == 1 || at > 1 && rest[0] != b'0' { Some((value, &rest[at..])) } else { None }
}

fn signed(rest: &[u8]) -> Option<(i64, &[u8])> {
    let negative = rest.first() == Some(&b'-');
    let (value, rest) = number(&rest[usize::from(negative)..])?;
    let value = i64::try_from(value).ok()?;
    Some((if negative { -value } else { value }, rest))
}

#[inline(always)]
fn small(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (value, rest) = number(rest)?;
    Some((u32::try_from(value).ok()?, rest))
}

/// Reads a string up to its closing quote, the opening one being passed.
#[inline]
fn text(rest: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let at = match short_end(rest) {
        Some(at) => at,
        None => memchr3(b'"', b'\\', b'\n', rest)?,
    };
    match rest[at] {
        b'"' => Some((Text { raw: &rest[..at], escaped: false }, &rest[at + 1..])),
        b'\\' => text_escaped(rest, at, None),
        _ => None,
    }
}

/// Where the first quote, backslash or newline is, if among the next 16 bytes, as in most texts: there a call of memchr costs more.
#[inline(always)]
fn short_end(rest: &[u8]) -> Option<usize> {
    let (chunks, _) = rest.first_chunk::<16>()?.as_chunks();
    chunks.iter().enumerate().find_map(|(at, chunk)| {
        let bytes = u64::from_le_bytes(*chunk);
        let ends = zeros(bytes ^ (ONES * 0x22)) | zeros(bytes ^ (ONES * 0x5c)) | zeros(bytes ^ (ONES * 0x0a));
        (ends != 0).then(|| at * 8 + ends.trailing_zeros() as usize / 8)
    })
}

/// The high bit of the lowest byte that is zero; above it others may be set too.
#[inline(always)]
fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(ONES) & !bytes & (ONES << 7)
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// As [`text`], but newlines are data, and counted.
#[inline]
fn file<'a>(rest: &'a [u8], newlines: &mut u32) -> Option<(Text<'a>, &'a [u8])> {
    let at = memchr3(b'"', b'\\', b'\n', rest)?;
    match rest[at] {
        b'"' => Some((Text { raw: &rest[..at], escaped: false }, &rest[at + 1..])),
        _ => text_escaped(rest, at, Some(newlines)),
    }
}

#[inline(never)]
fn text_escaped<'a>(rest: &'a [u8], mut at: usize, mut newlines: Option<&mut u32>) -> Option<(Text<'a>, &'a [u8])> {
    let mut escaped = false;
    loop {
        match rest[at] {
            b'"' => return Some((Text { raw: &rest[..at], escaped }, &rest[at + 1..])),
            b'\\' => {
                escaped = true;
                if *rest.get(at + 1)? == b'\n' {
                    return None;
                }
                at += 2;
            }
            _ => {
                // Only inside one record: what follows must not look like the start of the next.
                **newlines.as_mut()? += 1;
                at += 1;
                if rest.get(at..)?.starts_with(b"{\"") {
                    return None;
                }
            }
        }
        at += memchr3(b'"', b'\\', b'\n', rest.get(at..)?)?;
    }
}

/// Reads the members of `flags`, the opening brace being passed.
#[inline(never)]
fn flags<'a>(mut rest: &'a [u8], record: &mut Record<'_>) -> Option<&'a [u8]> {
    if let [b'}', after @ ..] = rest {
        return Some(after);
    }
    loop {
        rest = rest.strip_prefix(b"\"")?;
        let (key, after) = text(rest)?;
        rest = after.strip_prefix(b":")?;
        if let Some(after) = rest.strip_prefix(b"true") {
            if let Some(bit) = Flags::from_key(key.raw).filter(|bit| !Flags::OWN.has(*bit)) {
                record.flags.set(bit);
            }
            rest = after;
        } else if key.raw == b"age" {
            let (age, after) = small(rest)?;
            record.age = Some(age);
            rest = after;
        } else {
            rest = value(rest)?;
        }
        rest = match rest {
            [b',', b' ', after @ ..] => after,
            [b'}', after @ ..] => return Some(after),
            _ => return None,
        };
    }
}

/// Passes a member whose key we do not know, from its key on.
#[inline(never)]
fn unknown(rest: &[u8]) -> Option<&[u8]> {
    value(json_text(rest)?.strip_prefix(b":")?)
}

/// Passes a text that is JSON's. A key that nobody knows counts only where its value does too: else both stand inside a broken name.
fn json_text(rest: &[u8]) -> Option<&[u8]> {
    let (text, after) = text(rest)?;
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(&[b"\"", text.raw, b"\""].concat()).is_ok();
    (!text.escaped || is_json()).then_some(after)
}

/// Passes a value of any kind, nested ones too, without recursion.
fn value(mut rest: &[u8]) -> Option<&[u8]> {
    let mut depth = 0usize;
    loop {
        match rest.first()? {
            b'"' => rest = json_text(&rest[1..])?,
            b'[' | b'{' => {
                depth += 1;
                rest = &rest[1..];
                continue;
            }
            b']' | b'}' if depth > 0 => {
                depth -= 1;
                rest = &rest[1..];
            }
            b',' | b':' | b' ' if depth > 0 => {
                rest = &rest[1..];
                continue;
            }
            b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => {
                let end =
                    rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.'));
                rest = &rest[end?..];
            }
            _ => return None,
        }
        if depth == 0 {
            return Some(rest);
        }
    }
}

/// The line at the start of `input`: its bytes without the newline, and how many bytes it takes with it.
#[must_use]
pub fn line(input: &[u8]) -> (&[u8], usize) {
    match memchr(b'\n', input) {
        Some(at) => (input[..at].strip_suffix(b"\r").unwrap_or(&input[..at]), at + 1),
        None => (input, input.len()),
    }
}
