//! Runs through a dump once: blocks from the source to scanning threads, records to their visitors.
//!
//! Threads are made for the call and gone when it returns (a pool would not survive a fork). They take blocks from the source in turn,
//! under a lock, which for a plain file costs a fifth of the scan. What cannot be read is told in the [`Diagnostics`], never skipped in
//! silence. Memory: a block (1 MiB, or the longest line) for each thread, and what the visitors keep.

use crate::control::Control;
use crate::diagnostics::{Diagnostics, Warning, WarningKind};
use crate::gems::App;
use crate::heap_file::records::Records;
use crate::heap_file::rows::Packed;
use crate::memory::room;
use crate::record::repair::{Repair, repair};
use crate::record::scan::{Scanner, line};
use crate::record::{Record, Type};
use crate::source::{Blocks, Piece, Source};
use crate::{Error, Position, Result, sort, threads};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How to run through a dump.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Whether the first thing that would be a warning is an error.
    pub strict: bool,
    /// Which files are the app's; by default those that are no gem's and not Ruby's own.
    pub app: Option<&'a App>,
    /// Threads, the cancel flag, and who is told how far it came.
    pub control: Control<'a>,
}

impl<'a> From<Control<'a>> for Options<'a> {
    fn from(control: Control<'a>) -> Options<'a> {
        Options { control, ..Options::default() }
    }
}

/// What a thread does with the records it scans.
pub trait Visitor: Send {
    /// Whether it asks for [`Record::edge_names`]; else a record of a heap file has none.
    const TAKES_NAMES: bool = false;
    /// Where the scanner appends the references of the next record.
    fn references(&mut self) -> &mut Vec<u64>;
    /// Takes a record; its references are the last `record.reference_count` of [`Visitor::references`]. `offset` is where its line
    /// begins in the decoded stream, or its place in a heap file.
    fn record(&mut self, record: &Record<'_>, offset: u64);
    /// All records of the block with this number are taken.
    fn end_of_block(&mut self, number: u64) -> Result<()> {
        let _ = number;
        Ok(())
    }
}

/// Runs through `source` with a visitor for each thread. The visitors come back in no order.
///
/// # Errors
/// Those of the source; [`Error::Format`] where nothing in it is a record, and, if `strict`, at the first warning;
/// [`Error::Interrupted`] when cancelled.
pub fn scan<V: Visitor>(source: &Source, options: &Options<'_>, make: impl Fn() -> V) -> Result<(Vec<V>, Diagnostics)> {
    options.control.check()?;
    let blocks = source.open()?;
    let raw_bytes = blocks.raw_bytes_read();
    let shared = Shared {
        raw_len: blocks.raw_len(),
        raw_bytes: &raw_bytes,
        blocks: Mutex::new((blocks, 0)),
        records: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        options,
    };
    let threads = options.control.thread_count();
    let mut workers: Vec<Worker<V>> = (0..threads).map(|_| Worker::new(make())).collect();
    threads::all(workers.iter_mut().map(|worker| || worker.run(&shared)).collect());
    let (blocks, _) = shared.blocks.into_inner().unwrap_or_else(PoisonError::into_inner);
    finish(workers, &blocks, options)
}

struct Shared<'a> {
    blocks: Mutex<(Blocks, u64)>,
    raw_bytes: &'a AtomicU64,
    raw_len: Option<u64>,
    records: AtomicU64,
    stop: AtomicBool,
    options: &'a Options<'a>,
}

/// A dump may begin with some broken blocks; after so many without one record it is none.
const BLOCKS_WITHOUT_RECORDS: u64 = 64;

/// The bytes of a block that holds what is usual.
const LONG: usize = 4 << 20;

struct Worker<V> {
    visitor: V,
    scanner: Scanner,
    records: u64,
    bytes: u64,
    /// Lines of each block this worker took, by the block's number.
    lines: Vec<(u64, u64)>,
    found: Vec<Found>,
    lost: u64,
    repaired: u64,
    error: Option<Error>,
}

/// A warning before the line numbers of earlier blocks are known.
struct Found {
    block: u64,
    line: u64,
    byte: u64,
    kind: WarningKind,
    message: String,
    at_end: bool,
}

impl<V: Visitor> Worker<V> {
    fn new(visitor: V) -> Self {
        Worker {
            visitor,
            scanner: Scanner::default(),
            records: 0,
            bytes: 0,
            lines: Vec::new(),
            found: Vec::new(),
            lost: 0,
            repaired: 0,
            error: None,
        }
    }

    fn run(&mut self, shared: &Shared<'_>) {
        let mut buffer = Vec::new();
        while !shared.stop.load(Ordering::Relaxed) {
            match self.step(shared, buffer) {
                Ok(Some(recycled)) => buffer = recycled,
                Ok(None) => return,
                Err(error) => {
                    self.error = Some(error);
                    shared.stop.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    /// Takes one block; `None` at the end of the input.
    fn step(&mut self, shared: &Shared<'_>, recycled: Vec<u8>) -> Result<Option<Vec<u8>>> {
        shared.options.control.check()?;
        let (piece, number) = {
            let mut guard: MutexGuard<'_, (Blocks, u64)> = shared.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            let (blocks, count) = &mut *guard;
            let Some(piece) = blocks.take(recycled)? else { return Ok(None) };
            *count += 1;
            (piece, *count - 1)
        };
        let records = self.records;
        let recycled = match piece {
            Piece::Lines(block) => {
                self.room(&block.bytes)?;
                let lines = self.block(&block.bytes, block.offset, number);
                self.lines.push((number, lines));
                self.bytes += block.bytes.len() as u64 + block.skipped;
                block.bytes
            }
            Piece::Rows { packed, place } => {
                self.rows(&packed, place, number)?;
                self.lines.push((number, packed.head.records.into()));
                self.bytes += u64::from(packed.head.bytes);
                packed.bytes
            }
        };
        self.visitor.end_of_block(number)?;
        if shared.options.strict && !self.found.is_empty() {
            shared.stop.store(true, Ordering::Relaxed); // earlier blocks are all taken, their threads finish them
        }
        let all = shared.records.fetch_add(self.records - records, Ordering::Relaxed) + self.records - records;
        if all == 0 && number >= BLOCKS_WITHOUT_RECORDS {
            return Err(not_a_dump(&self.found));
        }
        if let Some(progress) = shared.options.control.progress {
            progress(shared.raw_bytes.load(Ordering::Relaxed), shared.raw_len);
        }
        Ok(Some(recycled))
    }

    /// Takes the records of a block of a heap file, and tells what of it cannot be read.
    fn rows(&mut self, packed: &Packed, begin: u64, number: u64) -> Result<()> {
        let count = packed.head.records;
        let found = |row: u32, message: String| Found {
            block: number,
            line: row.into(),
            byte: begin + u64::from(row),
            kind: WarningKind::Lost,
            message,
            at_end: false,
        };
        let rows = match packed.unpack()? {
            Ok(rows) => rows,
            Err(reason) => {
                self.lost += u64::from(count);
                let message = format!("block {} is damaged ({reason}); its {count} records are missing", number + 1);
                self.note(found(0, message));
                return Ok(());
            }
        };
        let (mut at, mut told) = (rows.begin(), if V::TAKES_NAMES { Records::with_names() } else { Records::new() });
        loop {
            let row = at.told;
            let place = begin + u64::from(row);
            // The references go where the visitor wants them.
            std::mem::swap(&mut told.references, self.visitor.references());
            told.clear();
            let is_told = rows.tell(&mut at, &mut told);
            let wrong = match is_told {
                Ok(true) if told.line.is_none() => complaint(&told.record),
                _ => None,
            };
            if wrong.is_some() || is_told.is_err() {
                told.take_back();
            }
            std::mem::swap(&mut told.references, self.visitor.references());
            match (is_told, wrong) {
                (Ok(false), _) => return Ok(()),
                (Err(_), _) => {
                    let left = count - row;
                    self.lost += u64::from(left);
                    let message = format!("the block is not in the form of one; {left} records of it are missing");
                    self.note(found(row, message));
                    return Ok(());
                }
                (Ok(true), Some(wrong)) => {
                    self.lost += 1;
                    self.note(found(row, wrong.to_owned()));
                }
                (Ok(true), None) => match told.line {
                    Some(line) => self.whole_line(line, place, |message| found(row, message)),
                    None => {
                        match V::TAKES_NAMES {
                            true => self.visitor.record(&told.named(), place),
                            false => self.visitor.record(&told.record, place),
                        }
                        self.records += 1;
                    }
                },
            }
        }
    }

    /// Takes a record that stands in a heap file as a line.
    fn whole_line(&mut self, line: &[u8], place: u64, found: impl Fn(String) -> Found) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let mut record = Record::default();
        let before = self.visitor.references().len();
        if let Some(scanned) = self.scanner.scan(line, &mut record, self.visitor.references())
            && scanned.bytes == line.len()
            && complaint(&record).is_none()
        {
            self.visitor.record(&record, place);
            self.records += 1;
            return;
        }
        self.visitor.references().truncate(before);
        match self.reread(line, place) {
            Ok(None) => {}
            Ok(Some(message)) => {
                self.repaired += 1;
                self.note(Found { kind: WarningKind::Repaired, ..found(message) });
            }
            Err(message) => {
                self.lost += 1;
                self.note(found(message));
            }
        }
    }

    /// Room for the references of a block that is longer than others: it is a single record, whose length the file decides. Behind
    /// each reference but the last comes a comma.
    fn room(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() <= LONG {
            return Ok(());
        }
        room(self.visitor.references(), memchr::memchr_iter(b',', bytes).count() + 1)
    }

    /// Scans a block and returns its number of lines.
    fn block(&mut self, bytes: &[u8], offset: u64, number: u64) -> u64 {
        let mut rest = bytes;
        let mut lines = 0;
        let mut record = Record::default();
        while !rest.is_empty() {
            let before = self.visitor.references().len();
            if let Some(scanned) = self.scanner.scan(rest, &mut record, self.visitor.references())
                && complaint(&record).is_none()
            {
                self.visitor.record(&record, offset + (bytes.len() - rest.len()) as u64);
                self.records += 1;
                lines += u64::from(scanned.newlines);
                rest = &rest[scanned.bytes..];
            } else {
                self.visitor.references().truncate(before);
                let place = Found {
                    block: number,
                    line: lines,
                    byte: offset + (bytes.len() - rest.len()) as u64,
                    kind: WarningKind::Lost,
                    message: String::new(),
                    at_end: false,
                };
                let (taken, newlines) = self.refused(rest, place);
                lines += newlines;
                rest = &rest[taken..];
            }
        }
        lines
    }

    /// Reads a line the scanner did not take, with those that follow it in the same record; returns its bytes and newlines.
    #[cold]
    fn refused(&mut self, rest: &[u8], place: Found) -> (usize, u64) {
        let (mut text, mut taken) = line(rest);
        let mut newlines = 0;
        let blank = text.iter().all(u8::is_ascii_whitespace);
        if !blank {
            while !text.ends_with(b"}") && taken < rest.len() && !rest[taken..].starts_with(b"{\"") {
                taken += line(&rest[taken..]).1;
                text = trim_newline(&rest[..taken]);
                newlines += 1;
            }
        }
        let ended = rest[..taken].ends_with(b"\n");
        newlines += u64::from(ended);
        if blank {
            return (taken, newlines);
        }
        match self.reread(text, place.byte) {
            Ok(None) => {}
            Ok(Some(message)) => {
                self.repaired += 1;
                self.note(Found { kind: WarningKind::Repaired, message, ..place });
            }
            Err(message) => {
                self.lost += 1;
                self.note(Found { message, at_end: !ended, ..place });
            }
        }
        (taken, newlines)
    }

    /// Repairs and scans a line. `Ok` with a message where it was broken, `Err` with the reason where it is lost.
    fn reread(&mut self, text: &[u8], offset: u64) -> std::result::Result<Option<String>, String> {
        let (line, message) = match repair(text) {
            Repair::Normalized(line) => (line, None),
            Repair::Repaired(line) => {
                (line, Some("a name that Ruby prints unescaped broke the line; repaired".to_owned()))
            }
            Repair::Lost(reason) => return Err(reason),
        };
        let mut record = Record::default();
        let before = self.visitor.references().len();
        let Some(_) = self.scanner.scan(&line, &mut record, self.visitor.references()) else {
            return Err("not in the form of a record".into());
        };
        if let Some(reason) = complaint(&record) {
            self.visitor.references().truncate(before);
            return Err(reason.into());
        }
        self.visitor.record(&record, offset);
        self.records += 1;
        Ok(message)
    }

    /// Keeps a warning; blocks come to a thread in order, so its first ones are its earliest.
    fn note(&mut self, found: Found) {
        let same = self.found.iter().filter(|other| other.kind == found.kind).count();
        // The end of the input is always told.
        if same < Diagnostics::KEPT || found.at_end {
            self.found.push(found);
        }
    }
}

fn trim_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Why a well-formed line is no record.
fn complaint(record: &Record<'_>) -> Option<&'static str> {
    if record.type_name.raw.is_empty() {
        Some("not a record: no \"type\"")
    } else if record.address.is_none() && record.ty != Type::Root {
        Some("not a record: no \"address\"")
    } else {
        None
    }
}

fn not_a_dump(found: &[Found]) -> Error {
    let reason = found.first().map_or_else(String::new, |first| format!(" (the first line: {})", first.message));
    Error::format(format!("not a heap dump of Ruby's ObjectSpace.dump_all{reason}"))
}

fn finish<V>(workers: Vec<Worker<V>>, blocks: &Blocks, options: &Options<'_>) -> Result<(Vec<V>, Diagnostics)> {
    let mut diagnostics = Diagnostics::default();
    let mut visitors = Vec::new();
    let (mut found, mut lines, mut records, mut error) = (Vec::new(), Vec::new(), 0, None);
    for worker in workers {
        // An interruption is what the user asked for; it comes before what it may have caused.
        if error.is_none() || matches!(worker.error, Some(Error::Interrupted)) {
            error = worker.error.or(error);
        }
        diagnostics.bytes += worker.bytes;
        diagnostics.lost += worker.lost;
        diagnostics.repaired += worker.repaired;
        records += worker.records;
        found.extend(worker.found);
        lines.extend(worker.lines);
        visitors.push(worker.visitor);
    }
    if let Some(error) = error {
        return Err(error);
    }
    sort::by(&mut lines, Ord::cmp);
    let lines_before: Vec<u64> = lines
        .iter()
        .map(|(_, count)| {
            diagnostics.lines += count;
            diagnostics.lines - count
        })
        .collect();
    sort::by_key(&mut found, |found| found.byte);
    if records == 0 {
        return Err(match blocks.damage() {
            Some(damage) => Error::Compression { message: format!("{damage}, before the first record") },
            None if diagnostics.bytes == 0 => Error::format("the dump is empty"),
            None => not_a_dump(&found),
        });
    }
    let mut kept = [0usize; 2];
    for Found { block, line, byte, kind, message, at_end } in found {
        let seen = &mut kept[usize::from(kind == WarningKind::Repaired)];
        *seen += 1;
        if *seen > Diagnostics::KEPT && !at_end {
            continue;
        }
        let (kind, message) = if at_end {
            diagnostics.truncated = true;
            (WarningKind::Truncated, format!("the dump ends inside a record ({message}); it was probably cut off"))
        } else {
            (kind, message)
        };
        let line = lines_before.get(block as usize).copied().unwrap_or(0) + line + 1;
        diagnostics.warnings.push(Warning { kind, position: Some(Position { line, byte }), message });
    }
    if let Some(damage) = blocks.damage() {
        diagnostics.truncated = true;
        let message = damage.to_owned();
        diagnostics.warnings.push(Warning { kind: WarningKind::Truncated, position: None, message });
    }
    match diagnostics.warnings.first() {
        Some(first) if options.strict => {
            Err(Error::Format { position: first.position, message: first.message.clone() })
        }
        _ => Ok((visitors, diagnostics)),
    }
}
