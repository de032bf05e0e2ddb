//! The texts of strings, counted exactly in bounded memory.
//!
//! The plain version is a map from text and slot to a sum. A dump may hold more distinct texts than memory, so a thread's is emptied
//! into an anonymous temporary file (0600, gone with the process) whenever it is full, its entries in order of 256 parts by the hash of
//! the text, and at the end one part after the other is read back and summed: equal texts are always in the same part.
//! Texts are told apart by length and a 64-bit hash with a random key, which nobody can make collide on purpose; by chance two among ten
//! million texts do once in 400,000 dumps. Only the start of a text is kept, to show.

use crate::memory::{list, map, room};
use crate::names::{Numbers, Renumbering};
use crate::properties::ObjectProperties;
use crate::record::{Flags, Record, Text};
use crate::stacks::FrameId;
use crate::sums::{Sum, Sums};
use crate::symbols::{SiteId, Symbol, hash_of};
use crate::{Error, Result, sort};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::OnceLock;

/// Bytes of a text that are kept to show.
pub const SHOWN: usize = 160;

/// It is emptied when it holds so many entries or its texts so many bytes.
const ENTRIES: usize = 1 << 15;
const BYTES: usize = 4 << 20;
const PARTS: usize = 256;

/// A text in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: Identity,
    properties: ObjectProperties,
}

/// What tells texts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Identity {
    hash: u64,
    bytesize: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    sum: Sum,
    /// The bytes of the biggest one: that copy stays when the others go.
    biggest: u64,
    start: usize,
    length: usize,
}

/// Collects the texts that one thread meets.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// Each text in each slot once; a table of their places is small enough for a CPU's cache.
    entries: Vec<(Key, Held)>,
    places: HashTable<u32>,
    shown: Vec<u8>,
    file: Option<File>,
    written: u64,
    /// For each time the map was emptied where its parts begin in the file, and where the last ends.
    runs: Vec<[u64; PARTS + 1]>,
    without_text: Sums,
}

/// One key for all threads, so that their hashes agree.
fn hasher() -> &'static DefaultHashBuilder {
    static HASHER: OnceLock<DefaultHashBuilder> = OnceLock::new();
    HASHER.get_or_init(DefaultHashBuilder::default)
}

impl Collector {
    /// Counts a string. Shared and non-ASCII ones come without their text and are counted apart.
    pub(crate) fn take(&mut self, record: &Record<'_>, properties: ObjectProperties) {
        let sum = Sum { count: 1, memsize: record.memsize, references: 0 };
        let text = match record.value {
            Some(text) => text,
            // From Ruby 3.2 an empty value is left out.
            None if record.bytesize == Some(0) => Text::default(),
            None => return self.without_text.entry(properties).or_default().add(sum),
        };
        let bytesize = record.bytesize.unwrap_or(text.raw.len() as u64);
        let key = Key { text: Identity { hash: hash_of(hasher(), text.raw), bytesize }, properties };
        let (entries, shown) = (&mut self.entries, &mut self.shown);
        let hash = hash_of(hasher(), &key);
        let same = |at: &u32| entries[*at as usize].0 == key;
        let at = match self.places.find(hash, same) {
            Some(at) => *at as usize,
            None => {
                let (at, start) = (entries.len(), shown.len());
                shown.extend_from_slice(&text.decode_start(SHOWN));
                entries.push((key, Held { start, length: shown.len() - start, ..Held::default() }));
                // Emptied long before the entries of one block more are 2^32.
                self.places.insert_unique(hash, at as u32, |at| hasher().hash_one(entries[*at as usize].0));
                at
            }
        };
        let held = &mut entries[at].1;
        held.sum.add(sum);
        held.biggest = held.biggest.max(record.memsize);
    }

    /// Empties the map into the file where it is full.
    pub(crate) fn end_of_block(&mut self) -> Result<()> {
        if self.entries.len() < ENTRIES && self.shown.len() < BYTES {
            return Ok(());
        }
        self.spill().map_err(spill_error)
    }

    fn spill(&mut self) -> io::Result<()> {
        let entries = &mut self.entries;
        entries.sort_unstable_by_key(|(key, _)| part(key.text.hash));
        let mut bytes = Vec::with_capacity(entries.len() * 96 + self.shown.len());
        let mut begins = [0; PARTS + 1];
        let mut next = 0;
        for (key, held) in &*entries {
            while next <= part(key.text.hash) {
                begins[next] = self.written + bytes.len() as u64;
                next += 1;
            }
            write_entry(&mut bytes, key, held, &self.shown[held.start..held.start + held.length]);
        }
        begins[next..].fill(self.written + bytes.len() as u64);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(&bytes)?;
        self.written += bytes.len() as u64;
        self.runs.push(begins);
        self.entries.clear();
        self.places.clear();
        self.shown.clear();
        Ok(())
    }

    /// All entries of a part, from the file and from memory.
    fn read_part(&mut self, number: usize, mut each: impl FnMut(Key, Held, &[u8]) -> Result<()>) -> Result<()> {
        let mut bytes = Vec::new();
        for run in &self.runs {
            let Some(file) = &mut self.file else { break };
            bytes.clear();
            let length = run[number + 1] - run[number];
            room(&mut bytes, length as usize)?;
            file.seek(SeekFrom::Start(run[number])).map_err(spill_error)?;
            file.take(length).read_to_end(&mut bytes).map_err(spill_error)?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (key, held, shown) =
                    read_entry(&mut rest).ok_or_else(|| spill_error(io::ErrorKind::UnexpectedEof.into()))?;
                each(key, held, shown)?;
            }
        }
        // What never filled the map is not in parts: all of it counts as the first.
        if self.runs.is_empty() && number == 0 {
            for (key, held) in &self.entries {
                each(*key, *held, &self.shown[held.start..held.start + held.length])?;
            }
        }
        Ok(())
    }
}

fn spill_error(source: io::Error) -> Error {
    Error::File { path: std::env::temp_dir(), source }
}

fn part(hash: u64) -> usize {
    (hash >> 56) as usize
}

fn write_entry(out: &mut Vec<u8>, key: &Key, held: &Held, shown: &[u8]) {
    let ObjectProperties { names, generation, shape, slot_size, stack, flags, ty: _, traced, tracer: _ } =
        key.properties;
    for number in [key.text.hash, key.text.bytesize, held.sum.count, held.sum.memsize, held.biggest] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let numbers = [names.class.0, names.site.0, names.label.0, generation, shape, slot_size];
    for number in numbers.into_iter().chain([stack.0, flags.bits(), u32::from(traced)]) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(shown.len() as u8);
    out.extend_from_slice(shown);
}

fn read_entry<'a>(rest: &mut &'a [u8]) -> Option<(Key, Held, &'a [u8])> {
    let mut long = || {
        let (number, after) = rest.split_first_chunk()?;
        *rest = after;
        Some(u64::from_le_bytes(*number))
    };
    let text = Identity { hash: long()?, bytesize: long()? };
    let sum = Sum { count: long()?, memsize: long()?, references: 0 };
    let biggest = long()?;
    let mut short = || {
        let (number, after) = rest.split_first_chunk()?;
        *rest = after;
        Some(u32::from_le_bytes(*number))
    };
    let names = Numbers { class: crate::names::ClassId(short()?), site: SiteId(short()?), label: Symbol(short()?) };
    let properties = ObjectProperties {
        names,
        generation: short()?,
        shape: short()?,
        slot_size: short()?,
        stack: FrameId(short()?),
        flags: Flags::from_bits(short()?),
        traced: short()? != 0,
        ty: crate::record::Type::String,
        tracer: false,
    };
    let (length, after) = rest.split_first()?;
    let (shown, after) = after.split_at_checked(usize::from(*length))?;
    *rest = after;
    Some((Key { text, properties }, Held { sum, biggest, start: 0, length: shown.len() }, shown))
}

/// The texts that all threads met.
#[derive(Debug, Default)]
pub struct Texts {
    collectors: Vec<(Collector, Renumbering)>,
}

/// A text that several strings hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicate {
    /// The first [`SHOWN`] bytes of the text.
    pub text: Vec<u8>,
    /// Bytes of the whole text.
    pub bytesize: u64,
    /// The strings that hold it.
    pub sum: Sum,
    /// What they take beside the biggest of them.
    pub wasted: u64,
    /// The slots they are in.
    pub slots: Vec<(ObjectProperties, Sum)>,
}

/// What [`Texts::duplicates`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The texts that several strings hold, the first of the order asked for.
    pub duplicates: Vec<Duplicate>,
    /// How many such texts there are in all.
    pub texts: u64,
    /// The strings that hold them.
    pub strings: Sum,
    /// What those strings take beside one of each text.
    pub wasted: u64,
    /// All strings with a text in the dump, duplicate or not.
    pub with_text: Sum,
    /// Strings whose text is not in the dump: shared or not ASCII.
    pub without_text: Sum,
}

impl Texts {
    pub(crate) fn merge(&mut self, collector: Collector, renumbering: Renumbering) {
        self.collectors.push((collector, renumbering));
    }

    /// Sums up the texts of the strings in the slots that `pass`, and keeps the first `limit` in the order of `rank`, the highest
    /// first (equal ones by text).
    ///
    /// # Errors
    /// Where the temporary file cannot be written or read.
    pub fn duplicates(
        mut self,
        limit: usize,
        mut pass: impl FnMut(&ObjectProperties) -> bool,
        rank: impl Fn(&Duplicate) -> u64,
    ) -> Result<Found> {
        // All threads' entries must be in parts, or none's.
        if self.collectors.iter().any(|(collector, _)| !collector.runs.is_empty()) {
            for (collector, _) in &mut self.collectors {
                collector.spill().map_err(spill_error)?;
            }
        }
        let mut found = Found::default();
        for (collector, renumbering) in &self.collectors {
            for (properties, sum) in &collector.without_text {
                if pass(&properties.renumbered(renumbering)) {
                    found.without_text.add(*sum);
                }
            }
        }
        let (mut entries, mut shown): (Vec<(Identity, ObjectProperties, Held)>, Vec<u8>) = Default::default();
        let mut least = None;
        for number in 0..PARTS {
            entries.clear();
            shown.clear();
            for (collector, renumbering) in &mut self.collectors {
                let each = |key: Key, held: Held, text: &[u8]| {
                    let properties = key.properties.renumbered(renumbering);
                    if pass(&properties) {
                        room(&mut entries, 1)?;
                        room(&mut shown, text.len())?;
                        entries.push((key.text, properties, Held { start: shown.len(), ..held }));
                        shown.extend_from_slice(text);
                    }
                    Ok(())
                };
                collector.read_part(number, each)?;
            }
            // Most texts are of one string: in order they need no map, and nothing of their own.
            let mut order: Vec<(Identity, u32)> = list(entries.len())?;
            order.extend(entries.iter().map(|(text, ..)| *text).zip(0..));
            order.sort_unstable();
            for same in order.chunk_by(|(a, _), (b, _)| a == b) {
                let alike = same.iter().map(|(_, at)| &entries[*at as usize]);
                let mut text = Duplicate { bytesize: same[0].0.bytesize, ..Duplicate::default() };
                let mut biggest = 0;
                for (_, _, held) in alike.clone() {
                    text.sum.add(held.sum);
                    biggest = biggest.max(held.biggest);
                }
                found.with_text.add(text.sum);
                if text.sum.count < 2 {
                    continue;
                }
                text.wasted = text.sum.memsize.saturating_sub(biggest);
                found.texts += 1;
                found.strings.add(text.sum);
                found.wasted += text.wasted;
                if least.is_some_and(|least| rank(&text) < least) {
                    continue;
                }
                let held = &entries[same[0].1 as usize].2;
                text.text = shown[held.start..held.start + held.length].to_vec();
                // What several threads or runs found of one slot is one; a text may have many thousands of slots.
                let mut slots = Sums::new();
                for (_, properties, held) in alike {
                    map(&mut slots, 1)?;
                    slots.entry(*properties).or_default().add(held.sum);
                }
                text.slots = list(slots.len())?;
                text.slots.extend(slots);
                found.duplicates.push(text);
                if found.duplicates.len() >= limit.saturating_mul(2).max(256) {
                    least = shorten(&mut found.duplicates, limit, &rank);
                }
            }
        }
        shorten(&mut found.duplicates, limit, &rank);
        Ok(found)
    }
}

/// Keeps the first `limit`, and tells the rank that a further one must have.
fn shorten(duplicates: &mut Vec<Duplicate>, limit: usize, rank: &impl Fn(&Duplicate) -> u64) -> Option<u64> {
    sort::by(duplicates, |a, b| {
        rank(b).cmp(&rank(a)).then_with(|| a.text.cmp(&b.text)).then_with(|| a.bytesize.cmp(&b.bytesize))
    });
    duplicates.truncate(limit);
    (duplicates.len() == limit).then(|| duplicates.last().map_or(u64::MAX, rank))
}
