//! What a tracer knows, put into the lines that `ObjectSpace.dump_all` writes.
//!
//! An object that was traced gets the keys that Ruby's own tracer would have brought (`file`, `line`, `method`, `generation`), and `stack`:
//! the number of a frame. The frames stand before the objects, in lines of a root that holds nothing, so other tools read on.

use crate::stacks::{NO_NODE, NodeId};
use crate::texts::TextId;
use crate::tracer::{Traced, Tracer};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// The root's category of lines with frames.
pub const ROOT: &str = "heap_inspector_stacks";

/// Bytes of a line with frames, more or less.
const LINE: usize = 1 << 15;
/// The end of a line in which its last keys stand: `memsize` and `flags`.
const TAIL: usize = 4096;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// The numbers that the nodes of living objects' stacks have in a dump, by their own: callers first, without a gap.
#[derive(Debug)]
pub struct Numbering(Vec<NodeId>);

/// Copies a dump from `input`, with what `tracer` knows put in.
#[derive(Debug)]
pub struct Annotated<'a, R> {
    input: R,
    tracer: &'a Tracer,
    numbering: Arc<Numbering>,
    /// What was read and not yet written out.
    pending: Vec<u8>,
    /// Whether the beginning of the line in `pending` went out before.
    is_within: bool,
    /// What is known of the object of the line in `pending`.
    traced: Option<Traced>,
    out: Vec<u8>,
    at: usize,
    is_done: bool,
}

impl Numbering {
    /// That of what lives now.
    #[must_use]
    pub fn new(tracer: &Tracer) -> Numbering {
        let mut used = vec![false; tracer.stacks.nodes().len()];
        for (_, sample) in tracer.samples.iter() {
            let mut node = sample.stack;
            while let Some(seen) = used.get_mut(node as usize).filter(|seen| !**seen) {
                *seen = true;
                node = tracer.stacks.get(node).map_or(NO_NODE, |node| node.parent);
            }
        }
        let mut next = 0;
        let numbers = used.iter().map(|used| {
            let number = if *used { next } else { NO_NODE };
            next += NodeId::from(*used);
            number
        });
        Numbering(numbers.collect())
    }

    /// The number of a node; none where no living object has it.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<NodeId> {
        self.0.get(node as usize).copied().filter(|number| *number != NO_NODE)
    }

    /// Writes the frames that have a number.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_frames(&self, tracer: &Tracer, out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        let mut first = 0;
        let mut count = 0;
        for (node, _) in tracer.stacks.nodes().iter().zip(&self.0).filter(|(_, number)| **number != NO_NODE) {
            let parent = self.get(node.parent).map_or(-1, i64::from);
            let frame = tracer.frames.get(node.frame);
            if !line.is_empty() {
                line.push(',');
            }
            let (path, label) = (json(tracer, frame.path), json(tracer, frame.label));
            line += &format!("[{parent},{path},{},{label}]", node.line);
            count += 1;
            if line.len() > LINE {
                write_line(out, first, &line)?;
                first = count;
                line.clear();
            }
        }
        if line.is_empty() { Ok(()) } else { write_line(out, first, &line) }
    }
}

impl<'a, R: Read> Annotated<'a, R> {
    /// The lines of `input`.
    pub fn new(input: R, tracer: &'a Tracer, numbering: Arc<Numbering>) -> Annotated<'a, R> {
        Annotated {
            input,
            tracer,
            numbering,
            pending: Vec::new(),
            is_within: false,
            traced: None,
            out: Vec::new(),
            at: 0,
            is_done: false,
        }
    }

    /// Moves whole lines from `pending` to `out`.
    fn take_lines(&mut self) {
        let mut start = 0;
        let pending = std::mem::take(&mut self.pending);
        while let Some(length) = memchr::memchr(b'\n', &pending[start..]) {
            let line = &pending[start..=start + length];
            if !self.is_within {
                self.traced = address_of(line).and_then(|address| self.tracer.get(address));
            }
            self.put(line);
            (self.is_within, self.traced) = (false, None);
            start += length + 1;
        }
        let rest = &pending[start..];
        if rest.len() > 2 * TAIL {
            // A long text: all but its end can go.
            if !self.is_within {
                self.traced = address_of(rest).and_then(|address| self.tracer.get(address));
                self.is_within = true;
            }
            let cut = rest.len() - TAIL;
            self.out.extend_from_slice(&rest[..cut]);
            start += cut;
        }
        self.pending = pending;
        self.pending.drain(..start);
    }

    /// Writes the line, or what is left of it, with what is known.
    fn put(&mut self, line: &[u8]) {
        let Some(traced) = self.traced else {
            self.out.extend_from_slice(line);
            return;
        };
        let tail = line.len().saturating_sub(TAIL);
        let find = |key: &[u8]| memchr::memmem::rfind(&line[tail..], key).map(|at| tail + at);
        // A text in the line cannot hold a quote that is not escaped, so these are keys.
        let Some(end) = find(b", \"memsize\":").or_else(|| find(b", \"flags\":")).or_else(|| find(b"}")) else {
            self.out.extend_from_slice(line);
            return;
        };
        self.out.extend_from_slice(&line[..end]);
        // What Ruby's own tracer said stands.
        if find(b", \"generation\":").is_none() {
            self.put_site(&traced);
        }
        if let Some(number) = traced.stack.and_then(|stack| self.numbering.get(stack)) {
            self.out.extend_from_slice(format!(", \"stack\":{number}").as_bytes());
        }
        self.out.extend_from_slice(&line[end..]);
    }

    fn put_site(&mut self, traced: &Traced) {
        let text = |id: TextId| json(self.tracer, id);
        let mut keys = String::new();
        if let Some(site) = traced.site {
            if site.path != TextId::NONE {
                keys += &format!(", \"file\":{}", text(site.path));
            }
            if site.line > 0 {
                keys += &format!(", \"line\":{}", site.line);
            }
            if site.method != TextId::NONE {
                keys += &format!(", \"method\":{}", text(site.method));
            }
        }
        keys += &format!(", \"generation\":{}", traced.generation);
        self.out.extend_from_slice(keys.as_bytes());
    }
}

/// A text as JSON, as it stands in the lines.
#[must_use]
pub fn json(tracer: &Tracer, id: TextId) -> serde_json::Value {
    String::from_utf8_lossy(tracer.texts.get(id)).into()
}

fn write_line(out: &mut impl Write, first: NodeId, frames: &str) -> io::Result<()> {
    let value = serde_json::Value::from(format!("{{\"first\":{first},\"frames\":[{frames}]}}"));
    writeln!(out, "{{\"type\":\"ROOT\", \"root\":\"{ROOT}\", \"value\":{value}, \"references\":[]}}")
}

/// The address of the object that a line begins with.
fn address_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"address\":\"0x")?;
    let digits = rest.get(..16)?.split(|byte| *byte == b'"').next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

impl<R: Read> Read for Annotated<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() && !self.is_done {
            (self.at, self.out) = (0, Vec::new());
            let before = self.pending.len();
            self.pending.resize(before + CHUNK, 0);
            let read = self.input.read(&mut self.pending[before..]);
            self.pending.truncate(before + read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => {
                    self.is_done = true;
                    let rest = std::mem::take(&mut self.pending);
                    self.out.extend_from_slice(&rest);
                }
                Ok(_) => self.take_lines(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let count = buffer.len().min(self.out.len() - self.at);
        buffer[..count].copy_from_slice(&self.out[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sites::Key;
    use crate::stacks::Frame;
    use crate::tracer::Sample;

    /// A tracer that knows an object at 0x1000: allocated in b.rb, called from a.rb.
    fn tracer() -> Tracer {
        let mut tracer = Tracer::default();
        let key = Key { path: 8, line: 7, method: 1, class: 0 };
        let site = tracer.learn_site(key, b"load", |texts, _| texts.intern(b"b \"x\".rb")).unwrap_or(9);
        let frames = [(8, "a.rb", "main"), (16, "b \"x\".rb", "block in load")].map(|(address, path, label)| {
            let frame = Frame {
                path: tracer.texts.intern(path.as_bytes()),
                label: tracer.texts.intern(label.as_bytes()),
                first_line: 1,
            };
            tracer.frames.learn(address, frame).unwrap_or(9)
        });
        tracer.stacks.intern([(frames[0], 99)].into_iter()); // of no living object
        let stack = tracer.stacks.intern([(frames[0], 3), (frames[1], 7)].into_iter());
        tracer.sample(0x1000, 40, Sample { site, stack, generation: 5, weight: 1.0, serial: 0 });
        tracer
    }

    fn annotated(input: &str, tracer: &Tracer) -> String {
        let mut out = String::new();
        Annotated::new(input.as_bytes(), tracer, Arc::new(Numbering::new(tracer)))
            .read_to_string(&mut out)
            .map_or_else(|error| error.to_string(), |_| out)
    }

    #[test]
    fn a_traced_object_says_where_it_comes_from() {
        let tracer = tracer();
        let line = |more: &str, tail: &str| format!("{{\"address\":\"0x1000\", \"type\":\"OBJECT\"{more}{tail}}}\n");
        let site = ", \"file\":\"b \\\"x\\\".rb\", \"line\":7, \"method\":\"load\", \"generation\":5, \"stack\":1";
        for tail in [", \"memsize\":40, \"flags\":{\"old\":true}", ", \"flags\":{}", ""] {
            assert_eq!(annotated(&line("", tail), &tracer), line(site, tail));
        }
        let ruby = ", \"file\":\"c.rb\", \"line\":1, \"generation\":2";
        assert_eq!(
            annotated(&line(ruby, ", \"memsize\":40"), &tracer),
            line(&format!("{ruby}, \"stack\":1"), ", \"memsize\":40")
        );
    }

    #[test]
    fn all_else_stays_byte_for_byte() {
        let tracer = tracer();
        let long = "x".repeat(3 * CHUNK);
        for text in [
            "",
            "\n\n",
            "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[]}\n{\"address\":\"0x2000\", \"type\":\"STRING\"}\n",
            "{\"address\":\"0x",
            "{\"address\":\"0x1000\", \"type\":\"STR",
            "{\"address\":\"0xzz\"}\n",
            "{\"address\":\"0x10000000000000000000\"}\n",
            &format!("{{\"address\":\"0x2000\", \"value\":\"{long}\"}}\n{{}}\n"),
        ] {
            assert_eq!(annotated(text, &tracer), text);
        }
    }

    #[test]
    fn a_long_text_is_not_held() {
        let tracer = tracer();
        let (head, tail) = ("{\"address\":\"0x1000\", \"value\":\"", "\", \"memsize\":40}\n");
        let text = format!("{head}{}{tail}{{}}\n", "x, \\\"memsize\\\":".repeat(CHUNK));
        let mut input = Annotated::new(text.as_bytes(), &tracer, Arc::new(Numbering::new(&tracer)));
        let mut out = Vec::new();
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = input.read(&mut buffer).unwrap_or(0);
            if count == 0 {
                break;
            }
            out.extend_from_slice(&buffer[..count]);
            assert!(input.pending.capacity() < 8 * CHUNK);
        }
        let site = ", \"file\":\"b \\\"x\\\".rb\", \"line\":7, \"method\":\"load\", \"generation\":5, \"stack\":1";
        assert_eq!(String::from_utf8_lossy(&out), text.replace("\", \"memsize\"", &format!("\"{site}, \"memsize\"")));
    }

    #[test]
    fn frames_stand_before_their_callees_and_only_where_something_lives() {
        let tracer = tracer();
        let mut out = Vec::new();
        assert!(Numbering::new(&tracer).write_frames(&tracer, &mut out).is_ok());
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(line["value"].as_str().unwrap_or("")).unwrap_or_default();
        let expected =
            serde_json::json!({"first": 0, "frames": [[-1, "a.rb", 3, "main"], [0, "b \"x\".rb", 7, "block in load"]]});
        assert_eq!((line["root"].as_str(), value), (Some(ROOT), expected));
        let mut none = Vec::new();
        let empty = Tracer::default();
        assert!(Numbering::new(&empty).write_frames(&empty, &mut none).is_ok());
        assert!(none.is_empty());
    }
}
