//! The stacks in which objects were allocated, as a tree of frames, where heap_inspector's own tracer took them.
//!
//! Frames stand in lines of their own, which other tools take for roots that hold nothing ([`crate::record::STACKS_ROOT`]). The value of
//! such a line is the JSON text of `{"first":N,"frames":[[parent,"file",line,"label"],...]}`: its frames are numbered N, N+1, ...; `parent`
//! is the number of the frame that called it, smaller than its own, or -1. An object's line names the innermost frame.
//!
//! Nothing of it is believed. Numbers may have gaps, stand twice (the first line of the file counts) or lead nowhere (such a frame is an
//! outermost one): that is counted, and told in one warning. Each thread numbers the sites of the lines it meets; when all are read the
//! frames get new numbers, 1, 2, ..., each behind that of its parent, so that no chain is endless, and equal frames under equal parents
//! become one. A frame costs 8 bytes.

use crate::arrays::{Parts, Reader};
use crate::diagnostics::{Warning, WarningKind};
use crate::memory::{STRIDE, list, map, room};
use crate::symbols::{SiteId, Sites, Symbols, bounded};
use crate::{Error, Result, sort};
use hashbrown::HashMap;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A frame's number in its [`Stacks`], which stands for the whole stack up from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u32);

impl FrameId {
    /// No frame: what called an outermost one, and the stack of an object without.
    pub const NONE: FrameId = FrameId(0);

    /// Whether there is a frame.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != FrameId::NONE
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Frame {
    parent: FrameId,
    site: SiteId,
}

/// All frames of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stacks {
    /// By number; the first is none.
    frames: Vec<Frame>,
}

impl Default for Stacks {
    fn default() -> Self {
        Stacks { frames: vec![Frame::default()] }
    }
}

impl Stacks {
    /// Whether the dump has no stacks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }

    /// How many numbers there are, "no frame" included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// File, line and label of a frame.
    #[must_use]
    pub fn site(&self, id: FrameId) -> SiteId {
        self.frames[id.0 as usize].site
    }

    /// The frame that called it; none of an outermost one.
    #[must_use]
    pub fn parent(&self, id: FrameId) -> FrameId {
        self.frames[id.0 as usize].parent
    }

    /// The frames of a stack, the innermost first.
    pub fn frames(&self, innermost: FrameId) -> impl Iterator<Item = FrameId> + '_ {
        std::iter::successors(Some(innermost), |id| Some(self.parent(*id))).take_while(|id| id.is_some())
    }

    /// By frame, the nearest of which this is so, from itself on outwards. Costs 4 bytes for each frame, and one look at each, however
    /// deep they stand.
    pub(crate) fn nearest(&self, mut is_so: impl FnMut(SiteId) -> bool) -> Vec<FrameId> {
        let mut nearest: Vec<FrameId> = Vec::with_capacity(self.len());
        nearest.push(FrameId::NONE);
        for (at, frame) in self.frames.iter().enumerate().skip(1) {
            nearest.push(if is_so(frame.site) { FrameId(at as u32) } else { nearest[frame.parent.0 as usize] });
        }
        nearest
    }

    /// By frame, how many frames its stack has. Costs what [`Stacks::nearest`] does.
    pub(crate) fn depths(&self) -> Vec<u32> {
        let mut depths: Vec<u32> = Vec::with_capacity(self.len());
        depths.push(0);
        for frame in self.frames.iter().skip(1) {
            depths.push(depths[frame.parent.0 as usize].saturating_add(1));
        }
        depths
    }

    /// About how many bytes of memory they take.
    pub(crate) fn footprint(&self) -> usize {
        self.frames.capacity() * size_of::<Frame>()
    }

    pub(crate) fn parts(&self, parts: &mut Parts<'_>) {
        let numbers = self.frames[1..].iter().flat_map(|frame| [frame.parent.0, frame.site.0]);
        parts.push(numbers.collect::<Vec<u32>>());
    }

    /// Whether others have the same numbers, whose sites `sites` maps to ours.
    pub(crate) fn is_same(&self, other: &Stacks, sites: &[SiteId]) -> bool {
        let is_same = |(one, other): (&Frame, &Frame)| {
            one.parent == other.parent && Some(&one.site) == sites.get(other.site.0 as usize)
        };
        self.len() == other.len() && self.frames.iter().zip(&other.frames).all(is_same)
    }

    /// The frames of so many sites.
    pub(crate) fn from_parts(reader: &mut Reader, sites: usize) -> Option<Stacks> {
        let numbers: Vec<u32> = reader.take()?;
        let (rows, []) = numbers.as_chunks() else { return None };
        let mut stacks = Stacks { frames: list(rows.len() + 1).ok()? };
        stacks.frames.push(Frame::default());
        for (at, [parent, site]) in rows.iter().enumerate() {
            // Its own number is `at + 1`.
            if *parent as usize > at || *site as usize >= sites {
                return None;
            }
            stacks.frames.push(Frame { parent: FrameId(*parent), site: SiteId(*site) });
        }
        Some(stacks)
    }
}

/// A frame as a line tells it.
#[derive(Clone, Copy, Debug)]
struct Told {
    number: u32,
    parent: Parent,
    site: SiteId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    None,
    Number(u32),
    Wrong,
}

/// The frames of the lines that one thread met, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Where each line begins in the dump, and its frames among `told`.
    lines: Vec<(u64, Range<usize>)>,
    told: Vec<Told>,
    broken: u64,
    /// There was no memory for a line.
    refused: Option<usize>,
}

impl Lines {
    /// Takes a line that begins at `offset`: the text of its value.
    pub(crate) fn take(&mut self, text: &[u8], offset: u64, symbols: &mut Symbols, sites: &mut Sites) {
        let before = self.told.len();
        let text = String::from_utf8_lossy(text);
        let mut reader = serde_json::Deserializer::from_str(&text);
        let mut line = Line { lines: self, symbols, sites };
        let is_read = de::Deserializer::deserialize_map(&mut reader, &mut line).is_ok() && reader.end().is_ok();
        if is_read {
            self.lines.push((offset, before..self.told.len()));
        } else {
            self.told.truncate(before);
            self.broken += 1;
        }
    }

    /// There was memory for all lines.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn check(&self) -> Result<()> {
        self.refused.map_or(Ok(()), |bytes| Err(Error::Memory { bytes }))
    }

    /// Takes in those of another thread, whose sites `map` turns into ours.
    pub(crate) fn append(&mut self, other: &Lines, map: &[SiteId]) -> Result<()> {
        room(&mut self.told, other.told.len())?;
        room(&mut self.lines, other.lines.len())?;
        let before = self.told.len();
        self.lines.extend(other.lines.iter().map(|(at, told)| (*at, told.start + before..told.end + before)));
        self.told.extend(other.told.iter().map(|told| Told { site: map[told.site.0 as usize], ..*told }));
        self.broken += other.broken;
        Ok(())
    }

    /// The tree of all frames, the numbers they had in the dump, and what was wrong with them.
    pub(crate) fn settled(self, check: &impl Fn(usize) -> Result<()>) -> Result<(Stacks, Numbered)> {
        let Lines { mut lines, told, broken, .. } = self;
        let mut numbered = Numbered { broken, ..Numbered::default() };
        if told.is_empty() {
            return Ok((Stacks::default(), numbered));
        }
        if u32::try_from(told.len()).is_err() {
            return Err(Error::format("more than 4,294,967,295 frames of stacks"));
        }
        // By number, of equal ones that of the earlier line first.
        sort::by_key(&mut lines, |(at, _)| *at);
        let mut order: Vec<u32> = list(told.len())?;
        lines.into_iter().for_each(|(_, told)| order.extend(told.map(|at| at as u32)));
        order.sort_by_key(|at| told[*at as usize].number);
        let all = order.len();
        order.dedup_by_key(|at| told[*at as usize].number);
        numbered.twice = (all - order.len()) as u64;
        let mut stacks = Stacks::default();
        let mut known: HashMap<Frame, FrameId> = HashMap::new();
        numbered.ids = list(order.len())?;
        for (step, at) in order.into_iter().enumerate() {
            if step.is_multiple_of(STRIDE) {
                check(step)?;
                room(&mut stacks.frames, STRIDE)?;
                map(&mut known, STRIDE)?;
            }
            let Told { number, parent, site } = told[at as usize];
            let parent = match parent {
                Parent::None => Some(FrameId::NONE),
                Parent::Number(parent) => numbered.find(parent),
                Parent::Wrong => None,
            };
            numbered.orphans += u64::from(parent.is_none());
            let frame = Frame { parent: parent.unwrap_or_default(), site };
            let id = *known.entry(frame).or_insert_with(|| {
                stacks.frames.push(frame);
                FrameId(stacks.frames.len() as u32 - 1)
            });
            numbered.ids.push((number, id));
        }
        stacks.frames.shrink_to_fit();
        Ok((stacks, numbered))
    }
}

/// The numbers that frames had in the dump, and what was wrong.
#[derive(Clone, Debug, Default)]
pub struct Numbered {
    /// Ascending.
    ids: Vec<(u32, FrameId)>,
    broken: u64,
    twice: u64,
    orphans: u64,
}

impl Numbered {
    fn find(&self, number: u32) -> Option<FrameId> {
        self.ids.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| self.ids[at].1)
    }

    /// The frame of an object's number plus 1, as records' properties have it; none for 0, and for what the dump does not have.
    #[must_use]
    pub fn frame(&self, stack: u32) -> FrameId {
        stack.checked_sub(1).and_then(|number| self.find(number)).unwrap_or_default()
    }

    /// What was wrong, where it was; `lost` objects name frames that are not there.
    pub(crate) fn warning(&self, lost: u64) -> Option<Warning> {
        let told = [
            (self.broken, "lines of frames cannot be read"),
            (self.twice, "frames have the number of another one"),
            (self.orphans, "frames do not say by what earlier frame they were called"),
            (lost, "objects name a frame that is not in the dump"),
        ];
        let told: Vec<String> =
            told.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        (!told.is_empty()).then(|| {
            let message = format!("stacks are not complete: {}", told.join(", "));
            Warning { kind: WarningKind::Stacks, position: None, message }
        })
    }
}

/// Reads a line's JSON.
struct Line<'a> {
    lines: &'a mut Lines,
    symbols: &'a mut Symbols,
    sites: &'a mut Sites,
}

impl<'de> Visitor<'de> for &mut Line<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("frames with the number of the first")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut first: Option<u32> = None;
        let mut is_read = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "first" => first = Some(map.next_value()?),
                "frames" if is_read => return Err(de::Error::custom("frames twice")),
                "frames" => {
                    let first = first.ok_or_else(|| de::Error::missing_field("first"))?;
                    map.next_value_seed(Frames { line: self, first })?;
                    is_read = true;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        if is_read { Ok(()) } else { Err(de::Error::missing_field("frames")) }
    }
}

/// The list of frames.
struct Frames<'a, 'b> {
    line: &'a mut Line<'b>,
    first: u32,
}

impl<'de> DeserializeSeed<'de> for Frames<'_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Frames<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of frames")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut frames: A) -> std::result::Result<(), A::Error> {
        let Frames { line: Line { lines, symbols, sites }, first } = self;
        let mut number = Some(first);
        let mut step = 0;
        while let Some(OneFrame { parent, file, line, label }) = frames.next_element()? {
            if usize::is_multiple_of(step, ROOM) {
                let made = sites.room(symbols, ROOM).and_then(|()| room(&mut lines.told, ROOM));
                if made.is_err() {
                    lines.refused = Some(ROOM * size_of::<Told>());
                    return Err(de::Error::custom("no memory"));
                }
            }
            step += 1;
            let own = number.ok_or_else(|| de::Error::custom("numbers beyond 2^32"))?;
            number = own.checked_add(1);
            let [file, label] = [&file, &label].map(|text| bounded(Cow::Borrowed(text.as_bytes())));
            let site = sites.intern(symbols, &file, line, &label);
            let parent = match parent {
                -1 => Parent::None,
                parent => {
                    u32::try_from(parent).ok().filter(|parent| *parent < own).map_or(Parent::Wrong, Parent::Number)
                }
            };
            lines.told.push(Told { number: own, parent, site });
        }
        Ok(())
    }
}

/// So many frames are made room for at a time.
const ROOM: usize = 1 << 10;

/// A frame in JSON: a list of four, behind which a later version may say more.
struct OneFrame<'a> {
    parent: i64,
    file: Cow<'a, str>,
    line: u32,
    label: Cow<'a, str>,
}

impl<'de> de::Deserialize<'de> for OneFrame<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = OneFrame<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parent, file, line and label")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<OneFrame<'de>, A::Error> {
                let parent = list.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let file: Option<Lent<'de>> =
                    list.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                let line: i64 = list.next_element()?.ok_or_else(|| de::Error::invalid_length(2, &self))?;
                let label: Option<Lent<'de>> =
                    list.next_element()?.ok_or_else(|| de::Error::invalid_length(3, &self))?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                let text = |text: Option<Lent<'de>>| text.map_or(Cow::Borrowed(""), |text| text.0);
                Ok(OneFrame { parent, file: text(file), line: u32::try_from(line).unwrap_or(0), label: text(label) })
            }
        }
        deserializer.deserialize_seq(Members)
    }
}

/// A text of the line itself, where it has no escapes.
#[derive(serde::Deserialize)]
struct Lent<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
