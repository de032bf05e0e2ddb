//! Rows of cells, packed: a report of a million rows takes a few dozen bytes for each, not a kilobyte of cells.
//!
//! A cell is a byte that says what it is, and numbers in as few bytes as they need; one that is as in the row before is that byte
//! alone. The bytes stand in blocks, so that what is there is never copied to make room.

use super::{Cell, TreeNode};
use std::fmt;

/// What a [`Rows`] holds.
pub trait Row: Clone + Default + PartialEq + fmt::Debug {
    /// Its cells.
    fn cells(&self) -> &[Cell];
    /// The same, to be changed.
    fn cells_mut(&mut self) -> &mut Vec<Cell>;
    /// What stands in front of the cells, as a number.
    fn head(&self) -> u64;
    /// Takes in what stands in front.
    fn set_head(&mut self, head: u64);
}

impl Row for Vec<Cell> {
    fn cells(&self) -> &[Cell] {
        self
    }

    fn cells_mut(&mut self) -> &mut Vec<Cell> {
        self
    }

    fn head(&self) -> u64 {
        0
    }

    fn set_head(&mut self, _: u64) {}
}

impl Row for TreeNode {
    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn cells_mut(&mut self) -> &mut Vec<Cell> {
        &mut self.cells
    }

    fn head(&self) -> u64 {
        (self.depth as u64) << 1 | u64::from(self.is_tracer)
    }

    fn set_head(&mut self, head: u64) {
        (self.depth, self.is_tracer) = ((head >> 1) as usize, head & 1 == 1);
    }
}

/// Rows that are read from the first to the last, as often as is wanted.
#[derive(Clone, PartialEq)]
pub struct Rows<R = Vec<Cell>> {
    blocks: Vec<Vec<u8>>,
    count: usize,
    /// Words of the program that cells hold, by number.
    words: Vec<&'static str>,
    /// The last row, which the next one is told by.
    last: R,
    /// Whether there was no memory for more rows.
    is_cut: bool,
}

/// What a cell is; behind it stands its value. Where a text is cut, or words are known, by the number of these.
mod tag {
    pub(super) const SAME: u8 = 0;
    pub(super) const MISSING: u8 = 1;
    pub(super) const NULL: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const CUT: u8 = 4;
    pub(super) const COUNT: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const CHANGE: u8 = 7;
    pub(super) const BYTES_CHANGE: u8 = 8;
    pub(super) const SHARE: u8 = 9;
    pub(super) const NUMBER: u8 = 10;
    pub(super) const NO: u8 = 11;
    pub(super) const YES: u8 = 12;
    pub(super) const TALLY: u8 = 13;
    pub(super) const MORE: u8 = 14;
    pub(super) const LIST: u8 = 15;
    pub(super) const BRIEF: u8 = 16;
    /// And the next three.
    pub(super) const ABOUT: u8 = 17;
    pub(super) const RATE: u8 = 21;
    pub(super) const BYTES_RATE: u8 = 22;
}

impl<R: Row> Default for Rows<R> {
    fn default() -> Self {
        Rows { blocks: Vec::new(), count: 0, words: Vec::new(), last: R::default(), is_cut: false }
    }
}

impl<R: Row> Rows<R> {
    /// The room of a block. It is full when a sixteenth is left, which most rows fit in.
    pub const BLOCK: usize = 1 << 20;

    /// Puts a row behind the others.
    pub fn push(&mut self, row: R) {
        if self.blocks.last().is_none_or(|block| block.len() >= Self::BLOCK / 16 * 15) {
            let room = if self.blocks.is_empty() { 0 } else { Self::BLOCK };
            let mut block = Vec::new();
            if self.is_cut || block.try_reserve_exact(room).is_err() {
                self.is_cut = true;
                return;
            }
            self.blocks.push(block);
        }
        let Rows { blocks, words, last, count, .. } = self;
        let Some(block) = blocks.last_mut() else { return };
        number(block, row.head());
        number(block, row.cells().len() as u64);
        for (at, cell) in row.cells().iter().enumerate() {
            match last.cells().get(at) {
                Some(before) if before == cell => block.push(tag::SAME),
                _ => put(block, words, cell),
            }
        }
        *last = row;
        *count += 1;
    }

    /// Whether rows are missing since there was no memory for them: nobody is shown what is left.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// About how many bytes of memory they take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    /// The rows one after another, each in the place of the one before.
    pub fn reader(&self) -> Reader<'_, R> {
        Reader { blocks: self.blocks.iter(), bytes: &[], words: &self.words, row: R::default() }
    }

    /// The rows, each whole in itself.
    pub fn iter(&self) -> impl Iterator<Item = R> + '_ {
        let mut reader = self.reader();
        std::iter::from_fn(move || reader.next_row().cloned())
    }
}

impl<R: Row> fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<R: Row> FromIterator<R> for Rows<R> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut packed = Rows::default();
        rows.into_iter().for_each(|row| packed.push(row));
        packed
    }
}

impl<R: Row> From<Vec<R>> for Rows<R> {
    fn from(rows: Vec<R>) -> Self {
        rows.into_iter().collect()
    }
}

/// Reads [`Rows`].
#[derive(Debug)]
pub struct Reader<'a, R> {
    blocks: std::slice::Iter<'a, Vec<u8>>,
    /// What is left of the block.
    bytes: &'a [u8],
    words: &'a [&'static str],
    row: R,
}

impl<R: Row> Reader<'_, R> {
    /// The next row, until another is asked for; none behind the last.
    pub fn next_row(&mut self) -> Option<&R> {
        while self.bytes.is_empty() {
            self.bytes = self.blocks.next()?;
        }
        let bytes = &mut self.bytes;
        self.row.set_head(take_number(bytes));
        let count = take_number(bytes) as usize;
        let cells = self.row.cells_mut();
        cells.resize(count, Cell::Missing);
        for cell in cells {
            take(bytes, self.words, cell);
        }
        Some(&self.row)
    }
}

/// Seven bits a byte, the low ones first; the highest bit says that there are more.
fn number(block: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        block.push(number as u8 | 0x80);
        number >>= 7;
    }
    block.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes);
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take_byte(bytes: &mut &[u8]) -> u8 {
    let (byte, rest) = bytes.split_first().expect("what is read was written by `put`");
    *bytes = rest;
    *byte
}

fn text(block: &mut Vec<u8>, text: &str) {
    number(block, text.len() as u64);
    block.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8], to: &mut String) {
    let length = take_number(bytes) as usize;
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    to.clear();
    to.push_str(std::str::from_utf8(text).expect("what is read was written by `put`"));
}

/// A change of the sign is a change of the lowest bit, so that small ones take few bytes.
fn signed(change: i64) -> u64 {
    (change << 1 ^ change >> 63).cast_unsigned()
}

fn take_signed(bytes: &mut &[u8]) -> i64 {
    let number = take_number(bytes);
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn word(block: &mut Vec<u8>, words: &mut Vec<&'static str>, word: &'static str) {
    let known = words.iter().position(|known| *known == word);
    number(block, known.unwrap_or(words.len()) as u64);
    if known.is_none() {
        words.push(word);
    }
}

fn put(block: &mut Vec<u8>, words: &mut Vec<&'static str>, cell: &Cell) {
    let mut tagged = |tag: u8, value: u64| {
        block.push(tag);
        number(block, value);
    };
    match cell {
        Cell::Count(count) => tagged(tag::COUNT, *count),
        Cell::Bytes(bytes) => tagged(tag::BYTES, *bytes),
        Cell::Number(number) => tagged(tag::NUMBER, *number),
        Cell::Change(change) => tagged(tag::CHANGE, signed(*change)),
        Cell::BytesChange(change) => tagged(tag::BYTES_CHANGE, signed(*change)),
        Cell::Missing => block.push(tag::MISSING),
        Cell::Flag(flag) => block.push(if *flag { tag::YES } else { tag::NO }),
        Cell::Null(why) => {
            block.push(tag::NULL);
            word(block, words, why);
        }
        Cell::Text(words) => {
            block.push(tag::TEXT);
            text(block, words);
        }
        Cell::Cut(words) => {
            block.push(tag::CUT);
            text(block, words);
        }
        Cell::Brief { text: whole, brief } => {
            block.push(tag::BRIEF);
            text(block, whole);
            text(block, brief);
        }
        Cell::About { amount, of_bytes, is_rough } => {
            tagged(tag::ABOUT + u8::from(*of_bytes) + 2 * u8::from(*is_rough), *amount);
        }
        Cell::Share(share) => {
            block.push(tag::SHARE);
            block.extend_from_slice(&share.to_bits().to_le_bytes());
        }
        Cell::Rate { each, of_bytes } => {
            block.push(tag::RATE + u8::from(*of_bytes));
            block.extend_from_slice(&each.to_bits().to_le_bytes());
        }
        Cell::Tally { name, value, count } => {
            block.push(tag::TALLY);
            word(block, words, name);
            number(block, *count);
            text(block, value);
        }
        Cell::More { count, what } => {
            block.push(tag::MORE);
            word(block, words, what);
            number(block, *count);
        }
        Cell::List(cells) => {
            block.push(tag::LIST);
            number(block, cells.len() as u64);
            cells.iter().for_each(|cell| put(block, words, cell));
        }
    }
}

const ABOUT_LAST: u8 = tag::ABOUT + 3;

/// Reads a cell into the place of the one above it, whose text's memory it takes.
fn take(bytes: &mut &[u8], words: &[&'static str], cell: &mut Cell) {
    let word = |bytes: &mut &[u8]| words[take_number(bytes) as usize];
    let mut words_in = |bytes: &mut &[u8]| {
        let mut text = match cell {
            Cell::Text(text) | Cell::Cut(text) | Cell::Tally { value: text, .. } => std::mem::take(text),
            _ => String::new(),
        };
        take_text(bytes, &mut text);
        text
    };
    *cell = match take_byte(bytes) {
        tag::SAME => return,
        tag::MISSING => Cell::Missing,
        tag::NULL => Cell::Null(word(bytes)),
        tag::TEXT => Cell::Text(words_in(bytes)),
        tag::CUT => Cell::Cut(words_in(bytes)),
        tag::BRIEF => {
            let text = words_in(bytes);
            let mut brief = String::new();
            take_text(bytes, &mut brief);
            Cell::Brief { text, brief }
        }
        about @ tag::ABOUT..=ABOUT_LAST => {
            let kind = about - tag::ABOUT;
            Cell::About { amount: take_number(bytes), of_bytes: kind & 1 == 1, is_rough: kind & 2 == 2 }
        }
        tag::COUNT => Cell::Count(take_number(bytes)),
        tag::BYTES => Cell::Bytes(take_number(bytes)),
        tag::CHANGE => Cell::Change(take_signed(bytes)),
        tag::BYTES_CHANGE => Cell::BytesChange(take_signed(bytes)),
        tag::SHARE => {
            let (bits, rest) = bytes.split_first_chunk().expect("what is read was written by `put`");
            *bytes = rest;
            Cell::Share(f64::from_bits(u64::from_le_bytes(*bits)))
        }
        rate @ (tag::RATE | tag::BYTES_RATE) => {
            let (bits, rest) = bytes.split_first_chunk().expect("what is read was written by `put`");
            *bytes = rest;
            Cell::Rate { each: f64::from_bits(u64::from_le_bytes(*bits)), of_bytes: rate == tag::BYTES_RATE }
        }
        tag::NUMBER => Cell::Number(take_number(bytes)),
        tag::NO => Cell::Flag(false),
        tag::YES => Cell::Flag(true),
        tag::TALLY => {
            let (name, count) = (word(bytes), take_number(bytes));
            Cell::Tally { name, count, value: words_in(bytes) }
        }
        tag::MORE => {
            let (what, count) = (word(bytes), take_number(bytes));
            Cell::More { count, what }
        }
        _ => {
            let mut cells = match cell {
                Cell::List(cells) => std::mem::take(cells),
                _ => Vec::new(),
            };
            cells.resize(take_number(bytes) as usize, Cell::Missing);
            cells.iter_mut().for_each(|cell| take(bytes, words, cell));
            Cell::List(cells)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Cell> {
        let plain = prop_oneof![
            Just(Cell::Missing),
            prop_oneof![Just("(untraced)"), Just("nothing")].prop_map(Cell::Null),
            ".{0,9}".prop_map(Cell::Text),
            ".{0,9}".prop_map(Cell::Cut),
            (".{0,9}", ".{0,9}").prop_map(|(text, brief)| Cell::Brief { text, brief }),
            any::<(u64, bool, bool)>().prop_map(|(amount, of_bytes, is_rough)| Cell::About {
                amount,
                of_bytes,
                is_rough
            }),
            any::<u64>().prop_map(Cell::Count),
            any::<u64>().prop_map(Cell::Bytes),
            any::<i64>().prop_map(Cell::Change),
            any::<i64>().prop_map(Cell::BytesChange),
            (-1.0..1.0).prop_map(Cell::Share),
            (-1e9..1e9, any::<bool>()).prop_map(|(each, of_bytes)| Cell::Rate { each, of_bytes }),
            (0..300_u64).prop_map(Cell::Number),
            any::<bool>().prop_map(Cell::Flag),
            (".{0,9}", any::<u64>()).prop_map(|(value, count)| Cell::Tally { name: "location", value, count }),
            any::<u64>().prop_map(|count| Cell::More { count, what: "sites" }),
        ];
        let list = proptest::collection::vec(plain.clone(), 0..4).prop_map(Cell::List);
        prop_oneof![4 => plain, 1 => list]
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(rows in proptest::collection::vec(proptest::collection::vec(cell(), 0..5), 0..20), depth in 0..usize::MAX >> 1) {
            prop_assert_eq!(Rows::from(rows.clone()).iter().collect::<Vec<_>>(), rows.clone());
            let nodes = rows.into_iter().enumerate().map(|(at, cells)| TreeNode { depth: depth.wrapping_mul(at) >> 1, cells, is_tracer: at % 3 == 1 });
            let nodes: Vec<TreeNode> = nodes.collect();
            let packed = Rows::from(nodes.clone());
            prop_assert_eq!(packed.len(), nodes.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), nodes);
        }
    }

    #[test]
    fn blocks_follow_each_other_and_like_rows_take_a_few_bytes() {
        let row = |at: u64| {
            vec![
                Cell::Bytes(40),
                Cell::Share(0.25),
                Cell::Text(format!("0x{at:x}")),
                Cell::Text("app/models/order.rb:12".into()),
            ]
        };
        let rows: Rows = (1 << 40..(1 << 40) + 100_000).map(row).collect();
        assert_eq!(rows.blocks.len(), 3);
        assert!(rows.footprint() < 35 * rows.len(), "{}", rows.footprint());
        assert!(rows.iter().eq((1 << 40..(1 << 40) + 100_000).map(row)));
    }
}
