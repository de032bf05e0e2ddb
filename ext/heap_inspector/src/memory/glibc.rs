//! What glibc's malloc holds and how much of that is free, found without a lock of its.
//!
//! `malloc_info` and `mallinfo2` visit every free chunk while they hold the arena's lock: 440 ms were measured for a million, in which
//! nobody else gets memory. So the arenas are looked at from outside. The main one is what the kernel calls `[heap]`; the others begin at
//! multiples of 64 MiB with a `heap_info`; blocks that have a mapping of their own begin with a word that says so. How much of an
//! arena is free is read off its chunks: all of a small one's, of a large one's those in windows spread evenly. A chunk begins with its
//! size, and the next one says whether it is in use; where a window begins within a chunk the longest chain of sizes that fit is the true
//! one. What a thread keeps for itself (its tcache) and fast bins count as in use.

use super::claims::Free;
use super::maps::{Area, PAGE};
use super::own::Own;
use heap_inspector::sort;

/// Non-main arenas are made of heaps that begin at multiples of it.
const HEAP: u64 = 64 << 20;
/// Bytes of a window.
const WINDOW: u64 = 1 << 16;
/// Arenas of so many windows together are read whole: what was freed in them long ago and is now within a block in use may look like chunks.
const WHOLE: u64 = 768;
/// Windows that are read of larger ones.
const MOST: u64 = 192;
/// Chunks that must follow each other before a chain is believed.
const BELIEVED: u32 = 6;
/// Windows in a row without a chunk's beginning, as in a block of 4 MiB, that are looked at.
const MOST_MISSES: u32 = 64;
/// Beginnings of chains in a window that are tried.
const CANDIDATES: usize = 16;
/// Looks for blocks of their own.
const PROBES: usize = 1 << 15;

/// A part of an arena: `[heap]`, or one of the others' heaps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_main: bool,
    /// The address of what it belongs to.
    pub(super) arena: u64,
    /// Place of its mapping.
    pub(super) area: usize,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
}

/// The parts of all arenas.
pub(super) fn parts(own: &Own, areas: &[Area]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, area) in areas.iter().enumerate().filter(|(_, area)| area.is_anonymous() && area.may(b'w')) {
        if area.name == b"[heap]" {
            parts.push(Part { start: area.start, end: area.end, is_main: true, arena: 0, area: at });
            continue;
        }
        let mut start = area.start.next_multiple_of(HEAP);
        while start < area.end {
            // `struct _heap_info`: the arena, the heap before, bytes, bytes that may be used.
            if let Some([arena, before, bytes, usable]) = own.words::<4>(area, start)
                && bytes <= usable
                && (PAGE..=HEAP).contains(&bytes)
                && bytes % PAGE == 0
                && usable % PAGE == 0
                && before % HEAP == 0
                && arena & (HEAP - 1) < PAGE
                && (before == 0) == (arena & !(HEAP - 1) == start)
            {
                parts.push(Part { start, end: (start + bytes).min(area.end), is_main: false, arena, area: at });
            }
            start += HEAP;
        }
    }
    parts
}

/// What of the resident bytes of `parts` was seen to be free and in use, by part.
pub(super) fn sample(own: &Own, areas: &[Area], parts: &[Part]) -> Vec<Seen> {
    let windows = |part: &Part| (part.end - part.start).div_ceil(WINDOW);
    let all = parts.iter().map(windows).sum::<u64>();
    let stride = if all <= WHOLE { WINDOW } else { all.div_ceil(MOST) * WINDOW };
    parts.iter().map(|part| Walk::new(own, &areas[part.area], *part).run(stride)).collect()
}

/// Bytes that were seen to be free, and to be in use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) free: u64,
    pub(super) used: u64,
}

impl Seen {
    fn add(&mut self, is_used: bool, bytes: u64) {
        if is_used {
            self.used += bytes;
        } else {
            self.free += bytes;
        }
    }
}

/// A walk over the chunks of a part.
struct Walk<'a> {
    own: &'a Own,
    area: &'a Area,
    part: Part,
    /// The window that was read last, and where it begins.
    window: Vec<u8>,
    at: u64,
    /// Where the next chunk begins that is known, and whether what lies before it is in use.
    next: Option<(u64, bool)>,
    seen: Seen,
}

impl<'a> Walk<'a> {
    fn new(own: &'a Own, area: &'a Area, part: Part) -> Walk<'a> {
        // The main arena's first chunk is where it begins.
        let next = part.is_main.then_some((part.start, true));
        Walk { own, area, part, window: Vec::new(), at: part.start, next, seen: Seen::default() }
    }

    fn run(mut self, stride: u64) -> Seen {
        let mut at = self.part.start;
        let mut misses = 0;
        // What was passed without knowing whose it is.
        let mut open = 0;
        while at < self.part.end {
            let end = (at + WINDOW).min(self.part.end);
            let resident = self.area.resident_in(at, end);
            if resident == 0 {
                // Given back, or never touched.
                at = end;
                continue;
            }
            if self.next.is_none_or(|(next, _)| next < at) {
                self.next = if resident == end - at { self.find(at, end) } else { None };
            }
            if self.next.is_some() {
                if let Some((_, is_used)) = self.next {
                    self.seen.add(is_used, open);
                    open = 0;
                    misses = 0;
                }
                self.count(at, end, resident);
                at += stride;
            } else {
                open += resident;
                misses += 1;
                at = end;
                if misses > MOST_MISSES {
                    self.seen.add(true, open);
                    open = 0;
                    misses = 0;
                    at += stride;
                }
            }
        }
        // Behind the last chunk lies what was not handed out yet.
        self.seen.add(false, open);
        self.seen
    }

    /// Tells the bytes from `at` to `end` apart, beginning with a chunk that is known.
    fn count(&mut self, mut at: u64, end: u64, resident: u64) {
        if let Some((next, is_used)) = self.next
            && next >= end
        {
            return self.seen.add(is_used, resident);
        }
        while at < end {
            let Some((next, is_used)) = self.next else {
                // The chain broke: somebody changed it meanwhile.
                self.seen.add(true, end - at);
                return;
            };
            let to = next.min(end);
            if at < to {
                self.seen.add(is_used, to - at);
                at = to;
            }
            if next < end {
                self.next = self.step(next);
            }
        }
    }

    /// Where the chunk ends that begins at an address, and whether it is in use. The last one of a part never is.
    fn step(&mut self, at: u64) -> Option<(u64, bool)> {
        let (_, size) = self.header(at)?;
        let next = at + self.size(size)?;
        if next + 32 > self.part.end {
            return Some((self.part.end, next + 32 < self.part.end));
        }
        let (before, following) = self.header(next)?;
        self.size(following)?;
        let is_used = following & 1 != 0;
        (is_used || before == next - at).then_some((next, is_used))
    }

    /// The two words that a chunk begins with: the size of a free one before it, and its own with flags.
    fn header(&mut self, at: u64) -> Option<(u64, u64)> {
        if at < self.at || at + 16 > self.at + self.window.len() as u64 {
            let bytes = WINDOW.min(self.part.end.checked_sub(at)?);
            self.window.resize(usize::try_from(bytes).ok()?, 0);
            self.at = at;
            if bytes < 16 || !self.own.read(self.area, at, &mut self.window) {
                self.window.clear();
                return self.own.words::<2>(self.area, at).map(|[before, size]| (before, size));
            }
        }
        let place = usize::try_from(at - self.at).ok()?;
        Some((word(&self.window, place), word(&self.window, place + 8)))
    }

    /// A chunk's bytes, if this may be the word that tells them.
    fn size(&self, word: u64) -> Option<u64> {
        let (bytes, flags) = (word & !7, word & 7);
        // A free one does not say that its arena is not the main one.
        let is_one = flags & 2 == 0 && (flags & 4 == 0 || !self.part.is_main) && bytes >= 32 && bytes % 16 == 0;
        (is_one && bytes <= self.part.end - self.part.start).then_some(bytes)
    }

    /// The first chunk in a window, by the chain of sizes that goes on for longest, and whether what lies before it is in use.
    fn find(&mut self, at: u64, end: u64) -> Option<(u64, bool)> {
        self.at = at;
        self.window.resize(usize::try_from(end - at).ok()?, 0);
        if !self.own.read(self.area, at, &mut self.window) {
            self.window.clear();
            return None;
        }
        let places = self.window.len() / 16;
        let mut chains = vec![0_u32; places];
        for place in (0..places).rev() {
            let Some(size) = self.size(word(&self.window, place * 16 + 8)) else { continue };
            let next = place + usize::try_from(size / 16).ok()?;
            if next >= places {
                chains[place] = 1;
            } else if chains[next] > 0
                && (word(&self.window, next * 16 + 8) & 1 != 0 || word(&self.window, next * 16) == size)
            {
                chains[place] = chains[next] + 1;
            }
        }
        let mut heads: Vec<usize> = (0..places).filter(|place| chains[*place] > 0).collect();
        sort::by_key(&mut heads, |place| std::cmp::Reverse(chains[*place]));
        let first = |place: usize| (at + place as u64 * 16, word(&self.window, place * 16 + 8) & 1 != 0);
        let heads: Vec<(u64, bool)> = heads.into_iter().take(CANDIDATES).map(first).collect();
        heads.into_iter().find_map(|first| self.follow(at, end, first))
    }

    /// Follows a chain out of the window, and for so long that it is no chance. What was freed and joined with others keeps the sizes
    /// it had: such a chain ends where a chunk begins that knows of a larger free one before it, which then covers the window.
    fn follow(&mut self, start: u64, end: u64, first: (u64, bool)) -> Option<(u64, bool)> {
        let mut at = first.0;
        let mut steps = 0;
        while at < end || steps < BELIEVED {
            if let Some((next, _)) = self.step(at) {
                if next == self.part.end {
                    break;
                }
                (at, steps) = (next, steps + 1);
                continue;
            }
            let (_, size) = self.header(at)?;
            let next = at + self.size(size)?;
            let (before, following) = self.header(next)?;
            let from = next.checked_sub(before).filter(|from| *from >= self.part.start)?;
            let is_covered = following & 1 == 0 && self.size(following).is_some() && from <= start;
            let (_, size) = self.header(from)?;
            return (is_covered && self.size(size) == Some(before)).then_some((next, false));
        }
        Some(first)
    }
}

/// The bytes of the mapping of a block with this size; none where that is no size of one. From glibc 2.43 on the two words before the block
/// are not in it.
fn block_bytes(size: u64) -> Option<u64> {
    [size, size + 16].into_iter().find(|bytes| bytes % PAGE == 0 && *bytes > PAGE)
}

/// Blocks that have a mapping of their own, in what is nobody's yet: `start..end` of each.
pub(super) fn blocks(own: &Own, areas: &[Area], left: &[Free]) -> Vec<(u64, u64)> {
    let mut blocks = Vec::new();
    let mut probes = 0;
    for free in left.iter().filter(|free| areas[free.area].may(b'w')) {
        let mut at = free.start;
        while at < free.end && probes < PROBES {
            let area = &areas[free.area];
            if area.resident_in(at, at + PAGE) == 0 {
                at += PAGE;
                continue;
            }
            probes += 1;
            // How far its beginning was moved for an alignment, and its bytes.
            let bytes = match own.words::<2>(area, at) {
                Some([0, size]) if size & 7 == 2 => block_bytes(size & !7).filter(|bytes| at + bytes <= free.end),
                _ => None,
            };
            blocks.extend(bytes.map(|bytes| (at, at + bytes)));
            at += bytes.unwrap_or(PAGE);
        }
    }
    blocks
}
