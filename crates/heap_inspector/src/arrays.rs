//! A file of arrays of numbers, of which any piece may be read alone: each has a checksum.
//!
//! Layout, all of it 64-bit words in the machine's byte order but for the arrays themselves: the magic number, how many words the caller
//! adds, where the table begins, how many arrays and pieces it has, the caller's words and a checksum of all that; the arrays, each begun
//! at a multiple of 8 bytes; the table: for each array its group, the width of a number in bytes and its length in bytes, then for each
//! piece (32 KiB of an array, or what is left of it) its checksum (XXH3), and a checksum of the table. What is asked for together is a
//! group; the groups stand behind one another, and each is read when somebody asks for it.

use crate::memory::zeroed;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};
use twox_hash::XxHash3_64;

/// An array that is written or was read.
#[derive(Clone, Debug)]
pub(crate) enum Part<'a> {
    U8(Cow<'a, [u8]>),
    U16(Cow<'a, [u16]>),
    U32(Cow<'a, [u32]>),
    U64(Cow<'a, [u64]>),
}

macro_rules! from {
    ($($number:ty, $variant:ident;)*) => {
        $(
            impl<'a> From<&'a [$number]> for Part<'a> {
                fn from(numbers: &'a [$number]) -> Self {
                    Part::$variant(Cow::Borrowed(numbers))
                }
            }
            impl From<Vec<$number>> for Part<'_> {
                fn from(numbers: Vec<$number>) -> Self {
                    Part::$variant(Cow::Owned(numbers))
                }
            }
            impl TryFrom<Part<'_>> for Vec<$number> {
                type Error = ();
                fn try_from(part: Part<'_>) -> Result<Self, ()> {
                    match part {
                        Part::$variant(numbers) => Ok(numbers.into_owned()),
                        _ => Err(()),
                    }
                }
            }
        )*
    };
}

from! { u8, U8; u16, U16; u32, U32; u64, U64; }

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Part::U8(numbers) => numbers,
            Part::U16(numbers) => bytemuck::cast_slice(numbers),
            Part::U32(numbers) => bytemuck::cast_slice(numbers),
            Part::U64(numbers) => bytemuck::cast_slice(numbers),
        }
    }

    fn width(&self) -> u64 {
        match self {
            Part::U8(_) => 1,
            Part::U16(_) => 2,
            Part::U32(_) => 4,
            Part::U64(_) => 8,
        }
    }

    /// Reads an array of a known width and length.
    fn read(table: &Table, section: &Section) -> Option<Part<'static>> {
        macro_rules! read {
            ($number:ty) => {{
                let count = section.length / size_of::<$number>();
                // An index file is never an error.
                let mut numbers: Vec<$number> = zeroed(count).ok()?;
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut numbers);
                if bytes.len() != section.length {
                    return None;
                }
                let mut checksums = table.checksums[section.pieces.clone()].iter();
                // Some at a time, so that what was just read is hashed before it leaves the cache.
                for (at, pieces) in bytes.chunks_mut(PIECES).enumerate() {
                    table.file.read_exact_at(pieces, (section.begin + at * PIECES) as u64).ok()?;
                    if !pieces.chunks(PIECE).all(|piece| checksums.next() == Some(&XxHash3_64::oneshot(piece))) {
                        return None;
                    }
                }
                Some(numbers.into())
            }};
        }
        match section.width {
            1 => read!(u8),
            2 => read!(u16),
            4 => read!(u32),
            8 => read!(u64),
            _ => None,
        }
    }
}

/// So many bytes of an array are checked together: what is read for a single number, 10 µs.
const PIECE: usize = 32 << 10;
/// So many are read and written at a time.
const PIECES: usize = 8 * PIECE;

/// The arrays of a file that is written, each with its group.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    group: u64,
    all: Vec<(u64, Part<'a>)>,
}

impl<'a> Parts<'a> {
    pub(crate) fn push(&mut self, part: impl Into<Part<'a>>) {
        self.all.push((self.group, part.into()));
    }

    /// What is pushed from now on is another group.
    pub(crate) fn end_group(&mut self) {
        self.group += 1;
    }

    /// The bytes of the arrays that were pushed.
    pub(crate) fn bytes(&self) -> u64 {
        self.all.iter().map(|(_, part)| part.bytes().len() as u64).sum()
    }

    /// Begins to write the arrays, for a caller with so many words.
    pub(crate) fn begin<'f>(self, file: &'f mut File, words: usize) -> io::Result<Writing<'a, 'f>> {
        let first = (FIRST + words + 1) * 8;
        file.write_all(&vec![0; first])?;
        let (sections, checksums) = Default::default();
        Ok(Writing { parts: self, out: BufWriter::with_capacity(PIECES, file), begin: first, sections, checksums })
    }
}

/// Words before the caller's.
const FIRST: usize = 5;

/// A file that is being written.
pub(crate) struct Writing<'a, 'f> {
    parts: Parts<'a>,
    out: BufWriter<&'f mut File>,
    /// Where the next array begins.
    begin: usize,
    sections: Vec<u64>,
    checksums: Vec<u64>,
}

impl Writing<'_, '_> {
    /// Writes the arrays that were there at the beginning.
    pub(crate) fn put_all(&mut self) -> io::Result<()> {
        for (group, part) in std::mem::take(&mut self.parts.all) {
            self.put(group, &part)?;
        }
        Ok(())
    }

    fn put(&mut self, group: u64, part: &Part<'_>) -> io::Result<()> {
        let bytes = part.bytes();
        let padding = bytes.len().next_multiple_of(8) - bytes.len();
        self.sections.extend([group, part.width(), bytes.len() as u64]);
        for pieces in bytes.chunks(PIECES) {
            self.checksums.extend(pieces.chunks(PIECE).map(XxHash3_64::oneshot));
            self.out.write_all(pieces)?;
        }
        self.begin += bytes.len() + padding;
        self.out.write_all(&[0; 8][..padding])
    }

    /// Writes an array that belongs to the last group, and what tells where all are.
    pub(crate) fn end(mut self, last: Vec<u8>, magic: u64, words: &[u64]) -> io::Result<()> {
        self.put(self.parts.group, &last.into())?;
        let Writing { mut out, begin, sections, checksums, .. } = self;
        let counts = [begin, sections.len() / 3, checksums.len()].map(|number| number as u64);
        let mut table = [sections, checksums].concat();
        table.push(XxHash3_64::oneshot(bytemuck::cast_slice(&table)));
        out.write_all(bytemuck::cast_slice(&table))?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut head = vec![magic, words.len() as u64];
        head.extend(counts);
        head.extend_from_slice(words);
        head.push(XxHash3_64::oneshot(bytemuck::cast_slice(&head)));
        file.write_all_at(bytemuck::cast_slice(&head), 0)
    }
}

/// Where an array is, and which checksums are those of its pieces.
#[derive(Clone, Debug)]
struct Section {
    width: u64,
    length: usize,
    begin: usize,
    pieces: Range<usize>,
}

/// No file of ours has more arrays.
const MOST: u64 = 1 << 12;

/// A file, and the checksums of all pieces.
#[derive(Debug)]
struct Table {
    file: File,
    checksums: Vec<u64>,
}

/// A file whose arrays are where it says, and may be read group by group.
#[derive(Debug)]
pub(crate) struct Groups {
    table: Arc<Table>,
    groups: std::vec::IntoIter<Vec<Section>>,
}

impl Groups {
    /// The groups of a file; none where its first words are not as they were written, or it is not as long as they say.
    pub(crate) fn of(file: File, magic: u64, words: &[u64]) -> Option<Groups> {
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let mut head = vec![0u64; FIRST + words.len() + 1];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut head), 0).ok()?;
        let (checksum, known) = head.split_last()?;
        let [first, count, begin_of_table, arrays, pieces] = known[..FIRST].try_into().ok()?;
        let is_ours = [first, count] == [magic, words.len() as u64] && known[FIRST..] == *words;
        if !is_ours || arrays > MOST || XxHash3_64::oneshot(bytemuck::cast_slice(known)) != *checksum {
            return None;
        }
        let begin_of_table = usize::try_from(begin_of_table).ok()?;
        let pieces = usize::try_from(pieces).ok().filter(|pieces| *pieces <= size / 8)?;
        let numbers = arrays as usize * 3 + pieces + 1;
        if begin_of_table.checked_add(numbers * 8)? != size {
            return None;
        }
        let mut table: Vec<u64> = zeroed(numbers).ok()?;
        file.read_exact_at(bytemuck::cast_slice_mut(&mut table), begin_of_table as u64).ok()?;
        let checksum = table.pop()?;
        if XxHash3_64::oneshot(bytemuck::cast_slice(&table)) != checksum {
            return None;
        }
        let (mut begin, mut piece) = (head.len() * 8, 0);
        let mut groups: Vec<Vec<Section>> = Vec::new();
        for section in table[..arrays as usize * 3].chunks_exact(3) {
            let [group, width, length] = section.try_into().ok()?;
            let length = usize::try_from(length).ok().filter(|length| *length <= size)?;
            let pieces = piece..piece + length.div_ceil(PIECE);
            piece = pieces.end;
            if group >= groups.len() as u64 {
                groups.push(Vec::new());
            }
            groups.get_mut(usize::try_from(group).ok()?)?.push(Section { width, length, begin, pieces });
            begin = begin.checked_add(length.next_multiple_of(8))?;
        }
        let checksums = table.split_off(arrays as usize * 3);
        let is_whole = begin == begin_of_table && piece == checksums.len();
        is_whole.then(|| Groups { table: Arc::new(Table { file, checksums }), groups: groups.into_iter() })
    }

    /// The next group.
    pub(crate) fn group(&mut self) -> Option<Group> {
        Some(Group { table: Arc::clone(&self.table), sections: self.groups.next()? })
    }

    /// Whether there is none left.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.as_slice().is_empty()
    }
}

/// Arrays of a file that may be read later. The file stays open: another that gets its name is not it.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    table: Arc<Table>,
    sections: Vec<Section>,
}

impl Group {
    /// Reads and checks its arrays; none where anything is not as it was written.
    pub(crate) fn read(&self) -> Option<Reader> {
        let parts: Vec<_> =
            self.sections.iter().map(|section| Part::read(&self.table, section)).collect::<Option<_>>()?;
        Some(Reader(parts.into_iter()))
    }

    /// Reads and checks one of its arrays, which must be of such numbers.
    pub(crate) fn array<T>(&self, place: usize) -> Option<Vec<T>>
    where
        Vec<T>: TryFrom<Part<'static>>,
    {
        Part::read(&self.table, self.sections.get(place)?)?.try_into().ok()
    }

    /// One of its arrays, of which few numbers will be asked for.
    pub(crate) fn few(&self, place: usize) -> Option<Few> {
        let section = self.sections.get(place)?.clone();
        let places = || section.pieces.clone().map(|_| OnceLock::new()).collect();
        Some(Few { table: Arc::clone(&self.table), read: places(), pairs: places(), section })
    }
}

/// A piece as words, whatever its numbers are.
type Words = Box<[u64]>;

/// An array of which those pieces are read that somebody asks for.
#[derive(Debug)]
pub(crate) struct Few {
    table: Arc<Table>,
    section: Section,
    read: Box<[OnceLock<Words>]>,
    /// Pieces with the ones behind them, for numbers on both sides.
    pairs: Box<[OnceLock<Words>]>,
}

impl Few {
    /// The bytes of a piece; none where they are not as they were written.
    fn piece(&self, number: usize) -> Option<&[u8]> {
        let place = self.read.get(number)?;
        let length = PIECE.min(self.section.length - number * PIECE);
        let words = match place.get() {
            Some(words) => words,
            // Not within the lock: a process that is forked meanwhile must not wait for a thread that it lacks.
            None => {
                let mut words: Vec<u64> = zeroed(length.div_ceil(8)).ok()?;
                let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..length];
                self.table.file.read_exact_at(bytes, (self.section.begin + number * PIECE) as u64).ok()?;
                if self.table.checksums[self.section.pieces.start + number] != XxHash3_64::oneshot(bytes) {
                    return None;
                }
                place.get_or_init(|| words.into_boxed_slice())
            }
        };
        Some(&bytemuck::cast_slice(words)[..length])
    }

    /// How many numbers of so many bytes it has; none where its numbers are of others.
    pub(crate) fn count_of(&self, width: u64) -> Option<usize> {
        (self.section.width == width).then(|| self.section.length / width as usize)
    }

    /// A number.
    pub(crate) fn number(&self, at: usize) -> Option<u64> {
        let width = self.section.width as usize;
        let byte = at.checked_mul(width)?;
        let bytes = self.piece(byte / PIECE)?.get(byte % PIECE..byte % PIECE + width)?;
        let mut number = [0; 8];
        if cfg!(target_endian = "little") {
            number.get_mut(..width)?.copy_from_slice(bytes);
        } else {
            number.get_mut(8usize.checked_sub(width)?..)?.copy_from_slice(bytes);
        }
        Some(u64::from_ne_bytes(number))
    }

    /// Some of its numbers of 4 bytes, where they stand in one piece or two.
    pub(crate) fn numbers(&self, places: Range<usize>) -> Option<&[u32]> {
        if self.section.width != 4 || places.is_empty() {
            return places.is_empty().then_some(&[]);
        }
        let first = places.start * 4 / PIECE;
        let before = first * PIECE / 4;
        let bytes = if (places.end - before) * 4 <= PIECE { self.piece(first)? } else { self.pair(first)? };
        bytemuck::try_cast_slice(bytes).ok()?.get(places.start - before..places.end - before)
    }

    /// The bytes of a piece, all of it, and the one behind it.
    fn pair(&self, first: usize) -> Option<&[u8]> {
        let place = self.pairs.get(first)?;
        if place.get().is_none() {
            let (one, other) = (self.piece(first)?, self.piece(first + 1)?);
            let mut words: Vec<u64> = zeroed((PIECE + other.len()).div_ceil(8)).ok()?;
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            bytes[..PIECE].copy_from_slice(one);
            bytes[PIECE..PIECE + other.len()].copy_from_slice(other);
            place.get_or_init(|| words.into_boxed_slice());
        }
        place.get().map(|words| bytemuck::cast_slice(words))
    }
}

/// The arrays of a group that was read, handed out in order.
#[derive(Debug)]
pub(crate) struct Reader(std::vec::IntoIter<Part<'static>>);

impl Reader {
    /// The next array, which must be of such numbers.
    pub(crate) fn take<T>(&mut self) -> Option<Vec<T>>
    where
        Vec<T>: TryFrom<Part<'static>>,
    {
        self.0.next()?.try_into().ok()
    }

    /// The next array, of whichever numbers.
    pub(crate) fn part(&mut self) -> Option<Part<'static>> {
        self.0.next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}
