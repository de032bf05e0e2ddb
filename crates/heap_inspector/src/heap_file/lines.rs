//! Records as lines, byte for byte as `ObjectSpace.dump_all` prints them.

use super::{Field, Fields, Kind, Name};

/// Writes records as lines into a buffer, which is handed on where it is full, in the middle of a line, too.
pub struct Lines<'o> {
    buffer: Vec<u8>,
    full: usize,
    /// Takes what is in the buffer and leaves it empty; false where nothing more is wanted.
    take: &'o mut dyn FnMut(&mut Vec<u8>) -> bool,
    is_over: bool,
    is_first: bool,
}

impl<'o> Lines<'o> {
    /// Lines whose bytes `take` gets at about `full` at a time. It leaves the buffer it is given empty and says whether to go on.
    pub fn new(full: usize, take: &'o mut dyn FnMut(&mut Vec<u8>) -> bool) -> Lines<'o> {
        Lines { buffer: Vec::with_capacity(2 * full), full, take, is_over: false, is_first: true }
    }

    /// Hands on what is left.
    pub fn flush(&mut self) {
        if !self.is_over && !self.buffer.is_empty() {
            self.is_over = !(self.take)(&mut self.buffer);
        }
        self.buffer.clear();
    }

    /// Whether nothing more is wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    #[inline]
    fn make_room(&mut self) {
        if self.buffer.len() >= self.full {
            self.flush();
        }
    }

    #[inline]
    fn key(&mut self, field: Field) {
        let separator: &[u8] = match field {
            _ if self.is_first => b"{",
            // So it is printed.
            Field::EdgeName => b",",
            _ => b", ",
        };
        self.is_first = false;
        self.buffer.extend_from_slice(separator);
        self.buffer.extend_from_slice(field.key().as_bytes());
    }

    fn separate(&mut self, separator: &[u8]) {
        if !self.is_first {
            self.buffer.extend_from_slice(separator);
        }
        self.is_first = false;
    }
}

impl std::fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl<'a> Fields<'a> for Lines<'_> {
    #[inline]
    fn address(&mut self, field: Field, address: u64) {
        self.key(field);
        put_address(&mut self.buffer, address);
    }

    #[inline]
    fn number(&mut self, field: Field, number: u64) {
        self.key(field);
        put_number(&mut self.buffer, number);
    }

    fn signed(&mut self, field: Field, number: i64) {
        self.key(field);
        put_signed(&mut self.buffer, number);
    }

    fn truth(&mut self, field: Field) {
        self.key(field);
        self.buffer.extend_from_slice(b"true");
    }

    #[inline]
    fn word(&mut self, field: Field, word: &'a [u8]) {
        let (open, close) = if field.kind() == Kind::Members { (b'{', b'}') } else { (b'"', b'"') };
        self.key(field);
        self.buffer.push(open);
        self.buffer.extend_from_slice(word);
        self.buffer.push(close);
    }

    fn text(&mut self, field: Field, text: &'a [u8]) {
        self.key(field);
        self.buffer.push(b'"');
        // In pieces, so that the buffer stays small.
        for piece in text.chunks(self.full.max(1)) {
            escape(&mut self.buffer, piece);
            self.make_room();
        }
        self.buffer.push(b'"');
    }

    fn line(&mut self, line: &'a [u8]) {
        self.buffer.extend_from_slice(line);
    }

    fn begin_references(&mut self) {
        self.key(Field::References);
        self.buffer.push(b'[');
        self.is_first = true;
    }

    #[inline]
    fn reference(&mut self, address: u64) {
        self.separate(b", ");
        put_address(&mut self.buffer, address);
        self.make_room();
    }

    fn end_references(&mut self) {
        self.buffer.push(b']');
        self.is_first = false;
    }

    fn begin_names(&mut self) {
        self.key(Field::Names);
        self.buffer.push(b'[');
        self.is_first = true;
    }

    #[inline]
    fn name(&mut self, name: Name<'a>) {
        self.separate(b",");
        name.write(&mut self.buffer);
        self.make_room();
    }

    fn end_names(&mut self) {
        self.end_references();
    }

    fn end(&mut self) {
        if !self.is_first {
            self.buffer.push(b'}');
        }
        self.buffer.push(b'\n');
        self.is_first = true;
        self.make_room();
    }
}

/// Appends a number.
pub fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number that may be negative.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `"0x7f…"`, of a null pointer `"0x"`.
pub fn put_address(out: &mut Vec<u8>, address: u64) {
    let mut text = [0; 20];
    let mut at = text.len() - 1;
    text[at] = b'"';
    let mut rest = address;
    while rest > 0 {
        at -= 1;
        text[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    at -= 3;
    text[at..at + 3].copy_from_slice(b"\"0x");
    out.extend_from_slice(&text[at..]);
}

/// Appends a text as Ruby escapes it from 3.0 on, without quotes.
pub fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| ESCAPED[usize::from(*byte)]) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Which bytes are escaped.
static ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped[0x7f] = true;
    escaped
};
