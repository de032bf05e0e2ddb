//! Numbers as text, quickly: a heap snapshot has ten for each object and its references.

use crate::{Error, Result};
use std::io::{self, Write};
use std::path::Path;

/// So much is handed on at a time.
const PIECE: usize = 1 << 16;

pub(super) struct Text<'a> {
    buffer: Vec<u8>,
    out: &'a mut dyn Write,
    path: &'a Path,
}

impl<'a> Text<'a> {
    pub(super) fn new(out: &'a mut dyn Write, path: &'a Path) -> Text<'a> {
        Text { buffer: Vec::with_capacity(PIECE + 1024), out, path }
    }

    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        self.buffer.extend_from_slice(text.as_bytes());
        self.hand_on(PIECE)
    }

    /// A line of numbers, behind a comma where it is not the first.
    pub(super) fn numbers(&mut self, is_first: bool, numbers: &[u64]) -> Result<()> {
        let mut format = itoa::Buffer::new();
        for (at, number) in numbers.iter().enumerate() {
            match (at, is_first) {
                (0, true) => {}
                (0, false) => self.buffer.extend_from_slice(b"\n,"),
                _ => self.buffer.push(b','),
            }
            self.buffer.extend_from_slice(format.format(*number).as_bytes());
        }
        self.hand_on(PIECE)
    }

    fn hand_on(&mut self, most: usize) -> Result<()> {
        if self.buffer.len() < most {
            return Ok(());
        }
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File { path: self.path.to_owned(), source }
    }

    /// What is written to, behind all that was.
    pub(super) fn out(&mut self) -> Result<&mut dyn Write> {
        self.hand_on(0)?;
        Ok(self.out)
    }
}
