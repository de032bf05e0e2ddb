//! Decoded bytes in, blocks of whole records out.
//!
//! The plain way is to split at every newline. Two things forbid it: Ruby never escapes file names, so a newline in one splits a
//! record over two lines, and a worker must get whole records. A block is therefore cut after the last `}` newline `{`. Such a
//! triple could stand inside a file name too; then one record is lost and counted, nothing else. When a buffer holds no such place
//! it doubles, and only the new half is searched: each byte is searched once and copied at most a constant number of times, so a
//! record of 50 MB takes linear time. What cannot be a record (the zeros behind a crash, gigabytes of them) is not held, but for its
//! start, by which it is told as a lost line.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memchr::{memchr, memrchr};

use super::Limits;
use super::decode::Decoder;
use super::heap_file::State;
use super::raw::{Gauge, Raw};
use super::spool::Spool;
use crate::{Error, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Some whole records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The records with their newlines; the last one of the input may lack its own.
    pub bytes: Vec<u8>,
    /// The place of the first byte in the decoded stream.
    pub offset: u64,
    /// So many bytes behind these are left out: the rest of a line that is no record.
    pub skipped: u64,
}

/// One pass over a source; see [`Source::open`](super::Source::open).
pub struct Blocks {
    decoder: Decoder,
    name: String,
    gauge: Arc<Gauge>,
    copy: Option<Arc<Spool>>,
    raw_len: Option<u64>,
    /// The file, where its bytes are the stream's, and where in it the stream begins.
    plain: Option<(Arc<File>, u64)>,
    limits: Limits,
    /// What the last block left over: the start of a record.
    carry: Vec<u8>,
    /// Where the next block begins in the decoded stream.
    pub(super) offset: u64,
    /// Bytes decoded so far.
    decoded: u64,
    begun: bool,
    ended: bool,
    pub(super) damage: Option<String>,
    cancel: Option<Arc<AtomicBool>>,
    pub(super) form: Form,
}

/// What the decoded bytes are.
#[derive(Debug)]
pub(super) enum Form {
    /// Nobody has looked yet.
    Unknown,
    Lines,
    HeapFile(Box<State>),
}

/// So much is kept of a line that is skipped.
pub(super) const TOLD: usize = 1 << 10;

/// A record is read alone in the time that so many bytes take in a row.
const SEEK: u64 = 8 << 10;

impl Blocks {
    pub(super) fn new(raw: Raw, limits: Limits) -> Result<Blocks> {
        let (name, gauge, copy, raw_len) = (raw.name.clone(), raw.gauge.clone(), raw.copy.clone(), raw.bytes);
        let (file, cancel) = (raw.file(), raw.cancel.clone());
        let decoder = Decoder::new(raw)?;
        Ok(Blocks {
            plain: file.filter(|_| matches!(decoder, Decoder::Plain(_))),
            decoder,
            name,
            gauge,
            copy,
            raw_len,
            limits,
            carry: Vec::new(),
            offset: 0,
            decoded: 0,
            begun: false,
            ended: false,
            damage: None,
            cancel,
            form: Form::Unknown,
        })
    }

    /// The next block, in the buffer of `recycled` (any vector; that of a block no longer needed saves an allocation). `None` at
    /// the end; see then [`Blocks::damage`].
    ///
    /// # Errors
    /// If reading fails, if the start is no dump, or if a compressed stream decodes to more than any dump would.
    pub fn next(&mut self, recycled: Vec<u8>) -> Result<Option<Block>> {
        self.detect()?;
        match self.form {
            Form::HeapFile(_) => self.next_of_rows(recycled),
            _ => self.next_lines(recycled),
        }
    }

    /// [`Blocks::next`] of lines.
    pub(super) fn next_lines(&mut self, recycled: Vec<u8>) -> Result<Option<Block>> {
        let mut filled = self.carry.len();
        // A byte order mark at least must fit, whatever the tests make of the block size.
        let room = self.limits.block.max(filled * 2).max(4);
        // One long record must not leave every buffer of a pool as long as itself.
        let mut bytes = if recycled.capacity() > room.saturating_mul(2) { Vec::new() } else { recycled };
        self.grow(&mut bytes, room)?;
        bytes[..filled].copy_from_slice(&self.carry);
        let mut searched = if self.begun { undecided(filled) } else { 0 };
        let cut = loop {
            filled = self.fill(&mut bytes, filled)?;
            if self.ended {
                break filled;
            }
            if let Some(cut) = last_boundary(&bytes[..filled], searched).or_else(|| self.last_resort(&bytes[..filled]))
            {
                break cut;
            }
            if let Some(begin) = self.hopeless(&bytes[..filled], searched) {
                match begin {
                    0 => return self.skip(bytes, filled).map(Some),
                    begin => break begin,
                }
            }
            if !self.begun && filled >= self.limits.search && bytes[0] != b'{' {
                return Err(Error::format(format!("not a heap dump: its first {filled} bytes hold no record")));
            }
            if filled >= self.limits.record {
                return Err(Error::format(format!("byte {}: a record longer than {filled} bytes", self.offset)));
            }
            searched = undecided(filled);
            self.grow(&mut bytes, filled.saturating_mul(2).min(self.limits.record))?;
        };
        self.carry.clear();
        self.carry.shrink_to(self.limits.block);
        if cut == 0 {
            return Ok(None);
        }
        self.carry_on(&bytes[cut..filled])?;
        bytes.truncate(cut);
        let offset = self.offset;
        self.offset += cut as u64;
        self.begun = true;
        Ok(Some(Block { bytes, offset, skipped: 0 }))
    }

    pub(super) fn carry_on(&mut self, bytes: &[u8]) -> Result<()> {
        self.carry.try_reserve_exact(bytes.len()).map_err(|_| self.no_memory(bytes.len()))?;
        self.carry.extend_from_slice(bytes);
        Ok(())
    }

    /// Where the last line begins, if it is so long already that it is asked and cannot be a record any more. What lies before `from`
    /// was asked before.
    fn hopeless(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let dump = self.begun || bytes.first() == Some(&b'{');
        let begin = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let line = &bytes[begin..];
        if !dump || line.len() < self.limits.search / 64 {
            return None;
        }
        let last = memrchr(b'"', line).unwrap_or(0);
        let run = line.len() - last;
        // A text is opened behind a key and its colon, or has a quote in it; lists have quotes every few bytes.
        let is_text = line[..last].ends_with(b"\":") || line[..last].ends_with(b"\\");
        let longest = if is_text { self.limits.text } else { line.len() / 2 };
        let is_record = line.starts_with(b"{\"") && run <= longest && memchr(0, &bytes[from.max(begin)..]).is_none();
        (!is_record).then_some(begin)
    }

    /// Reads on to the end of the line that the buffer begins with, and keeps its start alone.
    fn skip(&mut self, mut bytes: Vec<u8>, mut filled: usize) -> Result<Block> {
        let (offset, head) = (self.offset, bytes[..filled.min(TOLD)].to_vec());
        let mut length = 0;
        let newline = loop {
            if let Some(at) = memchr(b'\n', &bytes[..filled]) {
                break Some(at);
            }
            length += filled as u64;
            if self.ended {
                break None;
            }
            bytes.truncate(self.limits.block);
            filled = self.fill(&mut bytes, 0)?;
        };
        self.carry.clear();
        let mut told = head;
        if let Some(at) = newline {
            length += at as u64 + 1;
            self.carry_on(&bytes[at + 1..filled])?;
            told.push(b'\n');
        }
        self.offset += length;
        self.begun = true;
        let skipped = length.saturating_sub(told.len() as u64);
        Ok(Block { bytes: told, offset, skipped })
    }

    fn no_memory(&self, bytes: usize) -> Error {
        let source = io::Error::other(format!("no memory for a record of more than {bytes} bytes"));
        Error::File { path: self.name.clone().into(), source }
    }

    /// Hands over the records that begin at these offsets of the decoded stream, which ascend; each with its place among them. What
    /// lies far apart in a plain file is read alone; else all is read up to the last one.
    ///
    /// # Errors
    /// If reading fails, or what `each` returns.
    pub fn pick(mut self, offsets: &[u64], mut each: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        if self.is_heap_file()? {
            return self.pick_rows(offsets, each);
        }
        let are_far_apart = offsets.last().is_some_and(|last| offsets.len() as u64 * SEEK < *last);
        if let Some((file, start)) = self.plain.take().filter(|_| are_far_apart) {
            let mut bytes = Vec::new();
            for (at, offset) in offsets.iter().enumerate() {
                let record = read_record(&file, start + offset, &mut bytes);
                each(at, record.map_err(|source| Error::File { path: PathBuf::from(&self.name), source })?)?;
            }
            return Ok(());
        }
        let (mut at, mut recycled) = (0, Vec::new());
        while at < offsets.len() {
            let Some(block) = self.next(recycled)? else { break };
            let end = block.offset + block.bytes.len() as u64;
            while let Some(offset) = offsets.get(at).filter(|offset| **offset < end) {
                each(at, first_record(&block.bytes[offset.saturating_sub(block.offset) as usize..]).0)?;
                at += 1;
            }
            recycled = block.bytes;
        }
        Ok(())
    }

    /// After the end: what was wrong with the compressed stream. All that could be decoded has been delivered.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The input's own bytes read so far (compressed ones), for a progress bar.
    #[must_use]
    pub fn raw_bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.gauge.bytes)
    }

    /// How many of these there are, if it is known.
    #[must_use]
    pub fn raw_len(&self) -> Option<u64> {
        self.raw_len
    }

    /// Reads until the buffer is full or the input ends; takes off a byte order mark.
    pub(super) fn fill(&mut self, bytes: &mut [u8], mut filled: usize) -> Result<usize> {
        let first = self.decoded == 0;
        while filled < bytes.len() && !self.ended {
            if self.cancel.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                return Err(Error::Interrupted);
            }
            match self.decoder.read(&mut bytes[filled..]) {
                Ok(0) => self.end(),
                Ok(count) => {
                    filled += count;
                    self.decoded += count as u64;
                    self.check_growth()?;
                }
                Err(error) => {
                    if let Some(failure) = self.gauge.failure() {
                        return Err(failure);
                    }
                    self.damage = Some(self.decoder.damage(&error, self.decoded));
                    self.end();
                }
            }
        }
        if first && bytes[..filled].starts_with(BYTE_ORDER_MARK) {
            bytes.copy_within(BYTE_ORDER_MARK.len()..filled, 0);
            filled -= BYTE_ORDER_MARK.len();
            self.offset += BYTE_ORDER_MARK.len() as u64;
        }
        Ok(filled)
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        if let Some(copy) = &self.copy {
            copy.complete();
        }
    }

    fn check_growth(&self) -> Result<()> {
        let raw = self.gauge.bytes.load(Ordering::Relaxed).max(1);
        if self.decoded <= self.limits.decoded || self.decoded / raw <= self.limits.ratio {
            return Ok(());
        }
        let (decoded, ratio) = (self.decoded, self.limits.ratio);
        Err(Error::Compression {
            message: format!(
                "{raw} compressed bytes became {decoded}, more than {ratio} times as many; no heap dump does that, \
                 decompress it yourself if you trust it"
            ),
        })
    }

    /// Where to cut when there is no end of a record as far as we are willing to look: after any line.
    fn last_resort(&self, bytes: &[u8]) -> Option<usize> {
        let dump = self.begun || bytes.first() == Some(&b'{');
        if dump && bytes.len() >= self.limits.search { Some(memrchr(b'\n', bytes)? + 1) } else { None }
    }

    /// Makes the buffer so long. A recycled one keeps its length but for the last cut, so that only its tail is zeroed.
    pub(super) fn grow(&self, bytes: &mut Vec<u8>, room: usize) -> Result<()> {
        if room > bytes.len() {
            bytes.try_reserve_exact(room - bytes.len()).map_err(|_| self.no_memory(bytes.len()))?;
            bytes.resize(room, 0);
        }
        Ok(())
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("name", &self.name).field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// Reads the record at an offset of a file.
fn read_record<'a>(file: &File, offset: u64, bytes: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    let mut filled = 0;
    bytes.clear();
    loop {
        let room = (filled * 2).max(8 << 10);
        bytes.try_reserve_exact(room - bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        bytes.resize(room, 0);
        let ended = loop {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break filled < bytes.len(),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if ended || first_record(&bytes[..filled]).1 {
            return Ok(first_record(&bytes[..filled]).0);
        }
    }
}

/// The first record without its newline, and whether its end was met.
fn first_record(bytes: &[u8]) -> (&[u8], bool) {
    let mut newlines = memchr::memchr_iter(b'\n', bytes);
    let end = newlines.find(|at| bytes.get(at + 1) == Some(&b'{') && closes(&bytes[..*at]));
    let record = &bytes[..end.unwrap_or(bytes.len())];
    (record.strip_suffix(b"\n").unwrap_or(record), end.is_some())
}

/// How far a search without result needs no repeating: a newline at the very end waits for the byte behind it.
fn undecided(filled: usize) -> usize {
    filled.saturating_sub(1)
}

/// The last place behind a `}` newline and before a `{`, with its newline at `from` or later.
fn last_boundary(bytes: &[u8], from: usize) -> Option<usize> {
    let mut end = bytes.len();
    while let Some(at) = memrchr(b'\n', &bytes[from..end]) {
        let newline = from + at;
        if bytes.get(newline + 1) == Some(&b'{') && closes(&bytes[..newline]) {
            return Some(newline + 1);
        }
        end = newline;
    }
    None
}

/// Whether a line ends in `}`, carriage returns aside.
fn closes(line: &[u8]) -> bool {
    line.iter().rev().find(|byte| **byte != b'\r') == Some(&b'}')
}
