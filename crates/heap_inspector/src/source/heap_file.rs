//! Heap files as a source: blocks of columns for those who take them, lines for all others.

use super::Source;
use super::blocks::{Block, Blocks, Form};
use crate::heap_file::frame::{self, Next};
use crate::heap_file::lines::Lines;
use crate::heap_file::rows::{Packed, Passed, Place, Rows, UNREADABLE};
use crate::human;
use crate::{Error, Result};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// So many records at a time become lines.
const AT_ONCE: usize = 1 << 12;
/// So many bytes are read before more room is made.
const STEP: usize = 1 << 20;

/// How far a pass over a heap file is.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Blocks that were met.
    blocks: u64,
    records: u64,
    /// The place of the next block's first record: that of the last block and how many bytes it has, unpacked.
    place: u64,
    is_done: bool,
    /// The block that becomes lines.
    rows: Option<(Rows, Place)>,
}

/// What a scan takes at a time.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Lines.
    Lines(Block),
    /// A block of columns. The records' places ascend from `place` on by one.
    Rows { packed: Packed, place: u64 },
}

impl Blocks {
    /// The next lines, or the next block of columns of a heap file.
    ///
    /// # Errors
    /// Those of [`Blocks::next`].
    pub(crate) fn take(&mut self, recycled: Vec<u8>) -> Result<Option<Piece>> {
        self.detect()?;
        match self.form {
            Form::HeapFile(_) => {
                let taken = self.take_rows(recycled)?;
                Ok(taken.map(|(packed, place)| Piece::Rows { packed, place }))
            }
            _ => Ok(self.next_lines(recycled)?.map(Piece::Lines)),
        }
    }

    /// Whether it is a heap file that is read: what comes as lines was made so here.
    ///
    /// # Errors
    /// If it cannot be read, or is a heap file of another version.
    pub fn is_heap_file(&mut self) -> Result<bool> {
        self.detect()?;
        Ok(matches!(self.form, Form::HeapFile(_)))
    }

    /// Looks at the first bytes.
    pub(super) fn detect(&mut self) -> Result<()> {
        if !matches!(self.form, Form::Unknown) {
            return Ok(());
        }
        let mut header = [0; frame::HEADER];
        let (magic, rest) = header.split_at_mut(frame::MAGIC.len());
        let filled = self.fill(magic, 0)?;
        if *magic != frame::MAGIC {
            self.form = Form::Lines;
            let first = magic[..filled].to_vec();
            return self.carry_on(&first);
        }
        self.form = Form::HeapFile(Box::default());
        if self.fill(rest, 0)? == rest.len() {
            return frame::check_header(&header);
        }
        self.cut_off("it ends inside of its header".to_owned());
        Ok(())
    }

    fn state(&mut self) -> &mut State {
        if !matches!(self.form, Form::HeapFile(_)) {
            self.form = Form::HeapFile(Box::default());
        }
        match &mut self.form {
            Form::HeapFile(state) => state,
            _ => unreachable!("it was just made one"),
        }
    }

    /// Says why nothing more comes.
    fn cut_off(&mut self, reason: String) {
        self.state().is_done = true;
        self.damage.get_or_insert(format!("the heap file is not whole: {reason}"));
        self.end();
    }

    fn take_rows(&mut self, mut recycled: Vec<u8>) -> Result<Option<(Packed, u64)>> {
        let &mut State { blocks, records, place, is_done, .. } = self.state();
        if is_done {
            return Ok(None);
        }
        let behind = || format!("behind {} records; it was probably cut off", human::count(records));
        let mut head = [0; frame::HEAD];
        let filled = self.fill(&mut head, 0)?;
        if filled < head.len() {
            self.cut_off(format!("it ends {}", behind()));
            return Ok(None);
        }
        match frame::read_head(&head) {
            None => {
                let reason = format!("the head of block {} is damaged, and what follows cannot be read", blocks + 1);
                self.cut_off(reason);
                Ok(None)
            }
            Some(Next::End(all)) => {
                let mut more = [0];
                if all != records {
                    self.cut_off(format!(
                        "it should have {} records, and has {}",
                        human::count(all),
                        human::count(records)
                    ));
                } else if self.fill(&mut more, 0)? > 0 {
                    self.cut_off("something stands behind its end".to_owned());
                }
                self.state().is_done = true;
                Ok(None)
            }
            Some(Next::Block(head)) => {
                recycled.clear();
                if !self.read_bytes(&mut recycled, head.packed as usize)? {
                    self.cut_off(format!("it ends inside of block {}, {}", blocks + 1, behind()));
                    return Ok(None);
                }
                let state = self.state();
                state.blocks += 1;
                state.records += u64::from(head.records);
                state.place += u64::from(head.bytes);
                Ok(Some((Packed { head, bytes: recycled }, place)))
            }
        }
    }

    /// Reads so many bytes, making room as they come; false where there are fewer.
    fn read_bytes(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<bool> {
        let mut filled = 0;
        while filled < count {
            let room = count.min(filled + STEP.max(filled));
            self.grow(bytes, room)?;
            filled = self.fill(&mut bytes[..room], filled)?;
            if filled < room {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// [`Blocks::next`] of a heap file: its records as lines.
    pub(super) fn next_of_rows(&mut self, mut recycled: Vec<u8>) -> Result<Option<Block>> {
        loop {
            if let Some((rows, mut place)) = self.state().rows.take() {
                let (bytes, is_at_end) = lines_of(&rows, &mut place);
                match is_at_end {
                    Ok(true) => {}
                    Ok(false) => self.state().rows = Some((rows, place)),
                    Err(reason) => self.lose(reason),
                }
                if !bytes.is_empty() {
                    let offset = self.offset;
                    self.offset += bytes.len() as u64;
                    return Ok(Some(Block { bytes, offset, skipped: 0 }));
                }
            }
            let Some((packed, _)) = self.take_rows(recycled)? else { return Ok(None) };
            match packed.unpack()? {
                Ok(rows) => {
                    let place = rows.begin();
                    self.state().rows = Some((rows, place));
                }
                Err(reason) => self.lose(reason),
            }
            recycled = packed.bytes;
        }
    }

    fn lose(&mut self, reason: &str) {
        let block = self.state().blocks;
        self.damage
            .get_or_insert(format!("block {block} of the heap file is damaged ({reason}): records of it are missing"));
    }

    /// [`Blocks::pick`] of a heap file: `places` are those of its records.
    pub(super) fn pick_rows(mut self, places: &[u64], mut each: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let (mut at, mut recycled) = (0, Vec::new());
        while at < places.len() {
            let Some((packed, begin)) = self.take_rows(recycled)? else { break };
            let is_in = |place: u64| place.checked_sub(begin).is_some_and(|row| row < u64::from(packed.head.records));
            let end = at + places[at..].partition_point(|place| *place < begin || is_in(*place));
            if end > at
                && let Ok(rows) = packed.unpack()?
            {
                let mut place = rows.begin();
                while at < end {
                    let row = places[at].saturating_sub(begin);
                    while u64::from(place.told) < row && rows.tell(&mut place, &mut Passed) == Ok(true) {}
                    let mut line = Vec::new();
                    let mut take = |buffer: &mut Vec<u8>| {
                        line.append(buffer);
                        true
                    };
                    let mut lines = Lines::new(STEP, &mut take);
                    let told = rows.tell(&mut place, &mut lines);
                    lines.flush();
                    if told != Ok(true) {
                        break;
                    }
                    each(at, line.strip_suffix(b"\n").unwrap_or(&line))?;
                    at += 1;
                }
            }
            at = end;
            recycled = packed.bytes;
        }
        Ok(())
    }
}

/// What [`convert`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// Records that were written.
    pub records: u64,
    /// Bytes of their lines.
    pub bytes: u64,
    /// What was wrong with the heap file, where records are missing.
    pub damage: Option<String>,
}

/// Writes the lines of a heap file to `out`, whose name is for messages. Stops soon after `cancel` is raised.
///
/// # Errors
/// Those of the source; [`Error::Usage`] where it is no heap file; [`Error::Format`] where no record of it is whole;
/// [`Error::Interrupted`] when cancelled; if `out` cannot be written to.
pub fn convert(source: &Source, out: &mut dyn Write, name: &str, cancel: Option<&AtomicBool>) -> Result<Converted> {
    let mut blocks = source.open()?;
    if !blocks.is_heap_file()? {
        return Err(Error::usage(format!("{} is not a heap file; there is nothing to convert", source.name())));
    }
    let mut converted = Converted::default();
    let mut recycled = Vec::new();
    while let Some(block) = blocks.next(recycled)? {
        if cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Error::Interrupted);
        }
        out.write_all(&block.bytes).map_err(|source| Error::File { path: PathBuf::from(name), source })?;
        converted.records += memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        converted.bytes += block.bytes.len() as u64;
        recycled = block.bytes;
    }
    converted.damage = blocks.damage().map(str::to_owned);
    if converted.records == 0 {
        let reason = converted.damage.unwrap_or_else(|| "the heap file is empty".to_owned());
        return Err(Error::format(format!("{reason}; no record of it can be read")));
    }
    Ok(converted)
}

/// The next records as lines, and whether there are no more, or why.
fn lines_of(rows: &Rows, place: &mut Place) -> (Vec<u8>, std::result::Result<bool, &'static str>) {
    let mut bytes = Vec::new();
    let mut take = |buffer: &mut Vec<u8>| {
        if bytes.is_empty() {
            std::mem::swap(&mut bytes, buffer);
        } else {
            bytes.append(buffer);
        }
        true
    };
    let mut lines = Lines::new(STEP, &mut take);
    let mut told = Ok(false);
    for _ in 0..AT_ONCE {
        match rows.tell(place, &mut lines) {
            Ok(true) => {}
            Ok(false) => {
                told = Ok(true);
                break;
            }
            Err(_) => {
                told = Err(UNREADABLE);
                break;
            }
        }
    }
    lines.flush();
    if told.is_err() {
        // What was told of the record that broke off.
        bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1));
    }
    (bytes, told)
}
