//! A file of arrays of numbers, each with a checksum.
//!
//! Layout, all of it 64-bit words in the machine's byte order but for the arrays themselves: the magic number, how many words the caller
//! adds and how many arrays there are, the caller's words, for each array its group, the width of a number in bytes, its length in bytes
//! and its checksum (XXH3), and a checksum of all that; then the arrays, each begun at a multiple of 8 bytes. What is asked for
//! together is a group; the groups stand behind one another, and each is read when somebody asks for it.

use crate::memory::zeroed;
use crate::sort;
use crate::threads;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    fn read(file: &File, section: Section) -> Option<Part<'static>> {
        macro_rules! read {
            ($number:ty) => {{
                let count = section.length / size_of::<$number>();
                // An index file is never an error.
                let mut numbers: Vec<$number> = zeroed(count).ok()?;
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut numbers);
                if bytes.len() != section.length {
                    return None;
                }
                // Piece by piece, so that what was just read is hashed before it leaves the cache.
                let mut hasher = XxHash3_64::new();
                for (at, piece) in bytes.chunks_mut(PIECE).enumerate() {
                    file.read_exact_at(piece, (section.begin + at * PIECE) as u64).ok()?;
                    std::hash::Hasher::write(&mut hasher, piece);
                }
                (std::hash::Hasher::finish(&hasher) == section.checksum).then(|| numbers.into())
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

const PIECE: usize = 256 << 10;

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

    pub(crate) fn write(&self, file: &mut File, magic: u64, words: &[u64]) -> io::Result<()> {
        let mut head = vec![magic, words.len() as u64, self.all.len() as u64];
        head.extend_from_slice(words);
        for (group, part) in &self.all {
            let bytes = part.bytes();
            head.extend([*group, part.width(), bytes.len() as u64, XxHash3_64::oneshot(bytes)]);
        }
        head.push(XxHash3_64::oneshot(bytemuck::cast_slice(&head)));
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(bytemuck::cast_slice(&head))?;
        for (_, part) in &self.all {
            let bytes = part.bytes();
            out.write_all(bytes)?;
            out.write_all(&[0; 8][..bytes.len().next_multiple_of(8) - bytes.len()])?;
        }
        out.flush()
    }
}

#[derive(Clone, Copy, Debug)]
struct Section {
    width: u64,
    length: usize,
    checksum: u64,
    begin: usize,
}

/// No file of ours has more arrays.
const MOST: u64 = 1 << 12;

/// A file whose arrays are where it says, and may be read group by group.
#[derive(Debug)]
pub(crate) struct Groups {
    file: Arc<File>,
    groups: std::vec::IntoIter<Vec<Section>>,
}

impl Groups {
    /// The groups of a file; none where its first words are not as they were written, or it is not as long as they say.
    pub(crate) fn of(file: File, magic: u64, words: &[u64]) -> Option<Groups> {
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let mut first = [0u64; 3];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut first), 0).ok()?;
        let [_, _, count] = first;
        if first != [magic, words.len() as u64, count] || count > MOST {
            return None;
        }
        let mut head = vec![0u64; 3 + words.len() + count as usize * 4 + 1];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut head), 0).ok()?;
        let (checksum, known) = head.split_last()?;
        if XxHash3_64::oneshot(bytemuck::cast_slice(known)) != *checksum || known[3..3 + words.len()] != *words {
            return None;
        }
        let mut begin = head.len() * 8;
        let mut groups: Vec<Vec<Section>> = Vec::new();
        for section in known[3 + words.len()..].chunks_exact(4) {
            let [group, width, length, checksum] = section.try_into().ok()?;
            let length = usize::try_from(length).ok().filter(|length| *length <= size)?;
            if group >= groups.len() as u64 {
                groups.push(Vec::new());
            }
            groups.get_mut(usize::try_from(group).ok()?)?.push(Section { width, length, checksum, begin });
            begin = begin.checked_add(length.next_multiple_of(8))?;
        }
        (begin == size).then(|| Groups { file: Arc::new(file), groups: groups.into_iter() })
    }

    /// The next group.
    pub(crate) fn group(&mut self) -> Option<Group> {
        Some(Group { file: Arc::clone(&self.file), sections: self.groups.next()? })
    }

    /// Whether there is none left.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.as_slice().is_empty()
    }
}

/// Arrays of a file that may be read later. The file stays open: another that gets its name is not it.
#[derive(Debug)]
pub(crate) struct Group {
    file: Arc<File>,
    sections: Vec<Section>,
}

impl Group {
    /// Reads and checks several groups at once; none where anything is not as it was written.
    pub(crate) fn read_all<const N: usize>(groups: [&Group; N], threads: usize) -> Option<[Reader; N]> {
        let mut sections: Vec<(usize, &Group, Section)> = Vec::new();
        for group in groups {
            for section in &group.sections {
                sections.push((sections.len(), group, *section));
            }
        }
        // The biggest first, so that no thread is left with one at the end.
        sort::by_key(&mut sections, |(_, _, section)| std::cmp::Reverse(section.length));
        let next = AtomicUsize::new(0);
        let read = || {
            let mut parts = Vec::new();
            while let Some((at, group, section)) = sections.get(next.fetch_add(1, Ordering::Relaxed)) {
                parts.push((*at, Part::read(&group.file, *section)));
            }
            parts
        };
        let mut parts: Vec<_> = threads::all(vec![read; threads.clamp(1, 4)]).into_iter().flatten().collect();
        sort::by_key(&mut parts, |(at, _)| *at);
        let mut parts = parts.into_iter().map(|(_, part)| part).collect::<Option<Vec<_>>>()?.into_iter();
        Some(groups.map(|group| Reader(parts.by_ref().take(group.sections.len()).collect::<Vec<_>>().into_iter())))
    }

    /// Reads and checks its arrays; none where anything is not as it was written.
    pub(crate) fn read(&self) -> Option<Reader> {
        let [reader] = Group::read_all([self], 1)?;
        Some(reader)
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
