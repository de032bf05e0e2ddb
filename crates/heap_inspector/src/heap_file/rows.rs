//! The records of a block, told again field by field.
//!
//! What a block says is checked where it is used: lengths against the bytes that are left, numbers of forms and words against how many
//! there are, fields against those that are known, and words, which a byte can name again, against what a block's come to in all. So a block
//! that lies gives other records, or ends early; it never costs more than some times its bytes.

use super::numbers::{Recent, follow, take, unzigzag};
use super::{Field, Fields, Kind, Name, frame};
use crate::Result;
use crate::memory::{list, room};
use std::ops::Range;
use twox_hash::XxHash3_64;

/// The columns: by the number of their field, and these.
pub(super) const STREAMS: usize = 64;
/// The numbers of the records' forms.
pub(super) const FORMS: usize = 0;
/// The bytes of texts, whose lengths stand in their columns.
pub(super) const TEXTS: usize = 58;
/// References, each as the step from the one before it, the first from the object.
pub(super) const DELTAS: usize = 59;
/// Names: 0 for none, 1 for one that stands in the next column, else the number of a word plus 2.
pub(super) const NAMES: usize = 60;
/// The bytes of names; in the next column their lengths.
pub(super) const NAME_TEXTS: usize = 61;

/// Bytes that the words of a block's records, each as often as it is told, may always come to: 4 KiB for each of 16,384 ...
const WORDS: u64 = 64 << 20;
/// ... and so many more for each byte of the block.
const WORDS_RATIO: u64 = 64;

/// A block as it was read from the file.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) head: frame::Head,
    pub(crate) bytes: Vec<u8>,
}

/// A block that is unpacked.
#[derive(Debug)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    /// The fields of each form, one behind the other, and where each ends.
    forms: Vec<Field>,
    form_ends: Vec<u32>,
    words: Vec<Range<u32>>,
    streams: [Range<usize>; STREAMS],
    records: u32,
}

/// Where in a block its reader is.
#[derive(Debug)]
pub(crate) struct Place {
    at: [usize; STREAMS],
    own: u64,
    recent: Recent,
    /// Bytes of words that may still be told.
    words: u64,
    /// Records that were told.
    pub(crate) told: u32,
}

/// A block is not as anyone would write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Why a block cannot be read.
const CHECKSUM: &str = "its checksum is wrong";
const UNBELIEVED: &str = "it says it would become more than any block does";
pub(crate) const UNREADABLE: &str = "it is not in the form of a block";

impl Packed {
    /// Unpacks the block; else the reason why that cannot be, or the error that there is no memory.
    pub(crate) fn unpack(&self) -> Result<std::result::Result<Rows, &'static str>> {
        let frame::Head { records, bytes, packed, checksum } = self.head;
        if XxHash3_64::oneshot(&self.bytes) != checksum {
            return Ok(Err(CHECKSUM));
        }
        let mut raw = Vec::new();
        if packed == bytes {
            room(&mut raw, self.bytes.len())?;
            raw.extend_from_slice(&self.bytes);
        } else if frame::is_believed(bytes, self.bytes.len()) {
            room(&mut raw, bytes as usize)?;
            let unpacked =
                zstd::bulk::Decompressor::new().and_then(|mut zstd| zstd.decompress_to_buffer(&self.bytes, &mut raw));
            if unpacked.ok() != Some(bytes as usize) {
                return Ok(Err(UNREADABLE));
            }
        } else {
            return Ok(Err(UNBELIEVED));
        }
        Rows::new(raw, records).map(|rows| rows.ok_or(UNREADABLE))
    }
}

impl Rows {
    fn new(bytes: Vec<u8>, records: u32) -> Result<Option<Rows>> {
        let mut at = 0;
        let next = |at: &mut usize| take(&bytes, at).and_then(|number| usize::try_from(number).ok());
        macro_rules! some {
            ($value:expr) => {
                match $value {
                    Some(value) => value,
                    None => return Ok(None),
                }
            };
        }
        // Each takes a byte at least.
        let counted = |at: usize, count: usize| (count <= bytes.len() - at).then_some(count);
        let count = some!(next(&mut at).and_then(|count| counted(at, count)));
        let (mut forms, mut form_ends) = (Vec::new(), list(count)?);
        for _ in 0..count {
            let length = usize::from(*some!(bytes.get(at)));
            let form = some!(bytes.get(at + 1..at + 1 + length));
            at += 1 + length;
            let mut seen = 0u64;
            for number in form {
                let field = some!(Field::from_number(*number));
                // A record tells each once.
                if seen & 1 << number != 0 {
                    return Ok(None);
                }
                seen |= 1 << number;
                forms.push(field);
            }
            let is_sound = !form.is_empty() && (seen & 1 << Field::Whole as u8 == 0 || form.len() == 1);
            if !is_sound {
                return Ok(None);
            }
            form_ends.push(forms.len() as u32);
        }
        let count = some!(next(&mut at).and_then(|count| counted(at, count)));
        let mut words: Vec<Range<u32>> = list(count)?;
        let mut end = 0usize;
        for _ in 0..count {
            let length = some!(next(&mut at).filter(|length| *length <= bytes.len()));
            let begin = end;
            end += length;
            if end > bytes.len() {
                return Ok(None);
            }
            words.push(begin as u32..end as u32);
        }
        let begin = at as u32;
        if end > bytes.len() - at {
            return Ok(None);
        }
        words.iter_mut().for_each(|word| *word = word.start + begin..word.end + begin);
        at += end;
        let count = some!(bytes.get(at));
        at += 1;
        let mut lengths = [0usize; STREAMS];
        let mut last = None;
        for _ in 0..*count {
            let number = usize::from(*some!(bytes.get(at)));
            at += 1;
            let length = some!(next(&mut at).filter(|length| *length <= bytes.len()));
            // In order, so none twice.
            if number >= STREAMS || last >= Some(number) {
                return Ok(None);
            }
            (lengths[number], last) = (length, Some(number));
        }
        let mut streams = [const { 0..0 }; STREAMS];
        for (stream, length) in streams.iter_mut().zip(lengths) {
            if length > bytes.len() - at {
                return Ok(None);
            }
            *stream = at..at + length;
            at += length;
        }
        if at != bytes.len() {
            return Ok(None);
        }
        Ok(Some(Rows { bytes, forms, form_ends, words, streams, records }))
    }

    /// The place before the first record.
    pub(crate) fn begin(&self) -> Place {
        let words = WORDS + WORDS_RATIO * self.bytes.len() as u64;
        Place { at: self.streams.each_ref().map(|stream| stream.start), own: 0, recent: Recent::new(), words, told: 0 }
    }

    /// Tells the next record; false where there is none.
    pub(crate) fn tell<'a>(
        &'a self,
        place: &mut Place,
        to: &mut impl Fields<'a>,
    ) -> std::result::Result<bool, Damaged> {
        if place.told >= self.records {
            return Ok(false);
        }
        let form = self.take(place, FORMS)? as usize;
        let end = *self.form_ends.get(form).ok_or(Damaged)?;
        let begin = form.checked_sub(1).map_or(0, |before| self.form_ends[before]);
        for field in &self.forms[begin as usize..end as usize] {
            let stream = *field as usize;
            match field.kind() {
                Kind::Own => {
                    place.own = follow(self.take(place, stream)?, place.own);
                    to.address(*field, place.own);
                }
                Kind::Address => {
                    let bytes = &self.bytes[..self.streams[stream].end];
                    let address = place.recent.take(bytes, &mut place.at[stream], place.own).ok_or(Damaged)?;
                    to.address(*field, address);
                }
                Kind::Number => to.number(*field, self.take(place, stream)?),
                Kind::Signed => to.signed(*field, unzigzag(self.take(place, stream)?)),
                Kind::Truth => to.truth(*field),
                Kind::Word | Kind::Members => {
                    let number = self.take(place, stream)?;
                    to.word(*field, self.word(place, number)?);
                }
                Kind::Text => {
                    let length = self.take(place, stream)?;
                    to.text(*field, self.text(place, TEXTS, length)?);
                }
                Kind::Line => {
                    let length = self.take(place, stream)?;
                    to.line(self.text(place, TEXTS, length)?);
                }
                Kind::References => {
                    let count = self.take(place, stream)?;
                    let mut before = place.own;
                    to.begin_references();
                    for _ in 0..count {
                        before = follow(self.take(place, DELTAS)?, before);
                        to.reference(before);
                    }
                    to.end_references();
                }
                Kind::Names => {
                    let count = self.take(place, stream)?;
                    to.begin_names();
                    for _ in 0..count {
                        to.name(match self.take(place, NAMES)? {
                            0 => Name::None,
                            1 => {
                                let length = self.take(place, NAME_TEXTS + 1)?;
                                Name::Text(self.text(place, NAME_TEXTS, length)?)
                            }
                            word => Name::Text(self.word(place, word - 2)?),
                        });
                    }
                    to.end_names();
                }
            }
        }
        place.told += 1;
        to.end();
        Ok(true)
    }

    #[inline]
    fn take(&self, place: &mut Place, stream: usize) -> std::result::Result<u64, Damaged> {
        take(&self.bytes[..self.streams[stream].end], &mut place.at[stream]).ok_or(Damaged)
    }

    fn word(&self, place: &mut Place, number: u64) -> std::result::Result<&[u8], Damaged> {
        let word = usize::try_from(number).ok().and_then(|number| self.words.get(number)).ok_or(Damaged)?;
        place.words = place.words.checked_sub(u64::from(word.end - word.start)).ok_or(Damaged)?;
        Ok(&self.bytes[word.start as usize..word.end as usize])
    }

    fn text(&self, place: &mut Place, stream: usize, length: u64) -> std::result::Result<&[u8], Damaged> {
        let at = &mut place.at[stream];
        let left = &self.bytes[*at..self.streams[stream].end];
        let text = usize::try_from(length).ok().and_then(|length| left.get(..length)).ok_or(Damaged)?;
        *at += text.len();
        Ok(text)
    }
}

/// Records that are passed over.
pub(crate) struct Passed;

impl<'a> Fields<'a> for Passed {
    fn address(&mut self, _: Field, _: u64) {}
    fn number(&mut self, _: Field, _: u64) {}
    fn signed(&mut self, _: Field, _: i64) {}
    fn truth(&mut self, _: Field) {}
    fn word(&mut self, _: Field, _: &'a [u8]) {}
    fn text(&mut self, _: Field, _: &'a [u8]) {}
    fn line(&mut self, _: &'a [u8]) {}
    fn begin_references(&mut self) {}
    fn reference(&mut self, _: u64) {}
    fn end_references(&mut self) {}
    fn begin_names(&mut self) {}
    fn name(&mut self, _: Name<'a>) {}
    fn end_names(&mut self) {}
    fn end(&mut self) {}
}
