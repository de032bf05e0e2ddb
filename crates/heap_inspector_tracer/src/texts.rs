//! Texts kept once, by number.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// A text's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u32);

impl TextId {
    /// No text; its bytes are none.
    pub const NONE: TextId = TextId(0);
}

/// The texts: paths, labels, names of classes and methods. They are not given back, since a program has so many and no more; where code
/// is made without end, what comes beyond [`Texts::MOST`] bytes has no text.
#[derive(Debug)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { bytes: Vec::new(), ends: vec![0], numbers: HashTable::new(), hasher: RandomState::new() }
    }
}

impl Texts {
    /// Bytes of all texts together.
    pub const MOST: usize = 64 << 20;

    /// The number of a text; that of none where there is no room for it.
    pub fn intern(&mut self, text: &[u8]) -> TextId {
        if text.is_empty() {
            return TextId::NONE;
        }
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.numbers.find(hash, |number| self.get(TextId(*number)) == text) {
            return TextId(*known);
        }
        if self.bytes.len() + text.len() > Self::MOST || self.reserve(text.len()).is_err() {
            return TextId::NONE;
        }
        let Ok(number) = u32::try_from(self.ends.len()) else { return TextId::NONE };
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        let Texts { bytes, ends, numbers, hasher } = self;
        numbers.insert_unique(hash, number, |number| hasher.hash_one(slice(bytes, ends, TextId(*number))));
        TextId(number)
    }

    fn reserve(&mut self, more: usize) -> Result<(), ()> {
        self.bytes.try_reserve(more).map_err(drop)?;
        self.ends.try_reserve(1).map_err(drop)?;
        let Texts { bytes, ends, numbers, hasher } = self;
        numbers.try_reserve(1, |number| hasher.hash_one(slice(bytes, ends, TextId(*number)))).map_err(drop)
    }

    /// The bytes of a text.
    #[must_use]
    pub fn get(&self, id: TextId) -> &[u8] {
        slice(&self.bytes, &self.ends, id)
    }

    /// Bytes that the texts take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.numbers.capacity() * 5
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], id: TextId) -> &'a [u8] {
    let end = ends.get(id.0 as usize).copied().unwrap_or(0);
    let start = (id.0 as usize).checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number() {
        let mut texts = Texts::default();
        let (a, b) = (texts.intern(b"app/a.rb"), texts.intern(b"app/b.rb"));
        assert_ne!(a, b);
        assert_eq!(a, texts.intern(b"app/a.rb"));
        assert_eq!(texts.get(b), b"app/b.rb");
        assert_eq!(texts.intern(b""), TextId::NONE);
        assert_eq!(texts.get(TextId::NONE), b"");
        assert_eq!(texts.get(TextId(99)), b"");
    }

    #[test]
    fn what_has_no_room_has_no_text() {
        let mut texts = Texts::default();
        assert_ne!(texts.intern(&vec![b'a'; Texts::MOST]), TextId::NONE);
        assert_eq!(texts.intern(b"b"), TextId::NONE);
    }
}
