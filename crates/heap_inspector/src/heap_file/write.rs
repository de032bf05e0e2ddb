//! Records into blocks of columns, and blocks into the bytes of a file.
//!
//! The plain way is a column for each field, in which the values stand in the order of the records, and for each record the list of its
//! fields. Few lists of fields are different, so a record has the number of one, its form. Words stand once in a block. What repeats
//! beyond that is left to zstd.

use super::numbers::{Recent, put, step, zigzag};
use super::rows::{DELTAS, FORMS, NAME_TEXTS, NAMES, STREAMS, TEXTS};
use super::{Field, Fields, Name, frame};
use hashbrown::HashTable;
use std::io;
use twox_hash::XxHash3_64;

/// About so many bytes are in a block before it is packed.
pub const FULL: usize = 1 << 20;
/// At most so many records.
pub const MOST: u32 = 1 << 14;
/// zstd's quickest level but for those that hardly pack.
const LEVEL: i32 = 1;

/// Some records as columns.
#[derive(Debug)]
pub struct Block {
    records: u32,
    streams: Box<[Vec<u8>; STREAMS]>,
    /// The lists of fields, each behind its length.
    forms: Vec<u8>,
    form_count: u32,
    words: Vec<u8>,
    word_ends: Vec<u32>,
}

impl Default for Block {
    fn default() -> Block {
        Block {
            records: 0,
            streams: Box::new([const { Vec::new() }; STREAMS]),
            forms: Vec::new(),
            form_count: 0,
            words: Vec::new(),
            word_ends: Vec::new(),
        }
    }
}

impl Block {
    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Makes it empty; the room stays, but for what a long record took.
    pub fn clear(&mut self) {
        self.records = 0;
        self.form_count = 0;
        for bytes in self.streams.iter_mut().chain([&mut self.forms, &mut self.words]) {
            bytes.clear();
            bytes.shrink_to(2 * FULL);
        }
        self.word_ends.clear();
    }

    fn word(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let begin = number.checked_sub(1).map_or(0, |before| self.word_ends[before]);
        &self.words[begin as usize..self.word_ends[number] as usize]
    }

    fn form(&self, place: u32) -> &[u8] {
        let place = place as usize;
        &self.forms[place + 1..][..usize::from(self.forms[place])]
    }

    /// The bytes to be packed.
    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.form_count.into());
        out.extend_from_slice(&self.forms);
        put(out, self.word_ends.len() as u64);
        let mut begin = 0;
        for end in &self.word_ends {
            put(out, u64::from(end - begin));
            begin = *end;
        }
        out.extend_from_slice(&self.words);
        let streams = || self.streams.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty());
        out.push(streams().count() as u8);
        for (number, bytes) in streams() {
            out.push(number as u8);
            put(out, bytes.len() as u64);
        }
        streams().for_each(|(_, bytes)| out.extend_from_slice(bytes));
    }
}

/// Turns blocks into bytes of the file.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    out: Vec<u8>,
}

impl Packer {
    /// One with memory of its own.
    ///
    /// # Errors
    /// If there is none.
    pub fn new() -> io::Result<Packer> {
        Ok(Packer { compressor: zstd::bulk::Compressor::new(LEVEL)?, raw: Vec::new(), out: Vec::new() })
    }

    /// The bytes of a block, and how many it has unpacked.
    ///
    /// # Errors
    /// If a record is too long for the format (4 GiB), or there is no memory.
    pub fn pack(&mut self, block: &Block) -> io::Result<(&[u8], u64)> {
        self.raw.clear();
        self.raw.shrink_to(2 * FULL);
        block.write(&mut self.raw);
        let too_long = || io::Error::other("an object is too large for a heap file; take the dump as ndjson");
        let bytes = u32::try_from(self.raw.len()).map_err(|_| too_long())?;
        self.out.clear();
        self.out.resize(frame::HEAD, 0);
        let packed = self.compressor.compress(&self.raw)?;
        // What packs better than a reader would believe stays as it is.
        let payload =
            if frame::is_believed(bytes, packed.len()) && packed.len() < self.raw.len() { &packed } else { &self.raw };
        self.out.extend_from_slice(payload);
        let packed = u32::try_from(payload.len()).map_err(|_| too_long())?;
        let checksum = XxHash3_64::oneshot(payload);
        let head = frame::Head { records: block.records, bytes, packed, checksum };
        self.out[..frame::HEAD].copy_from_slice(&head.to_bytes());
        Ok((&self.out, u64::from(bytes)))
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

/// Puts records into blocks, which are handed on when they are full.
pub struct Columns<'o> {
    block: Block,
    take: &'o mut dyn FnMut(&mut Block) -> bool,
    is_over: bool,
    form: Form,
    /// The address of the record.
    own: u64,
    /// Where the last record's list of references begins and how many it has.
    before: u64,
    count: u64,
    recent: Recent,
    form_table: HashTable<(u32, u32)>,
    last_forms: [LastForm; CACHE],
    word_table: HashTable<u32>,
    last_words: Vec<LastWord>,
    /// By a writer's number for a name: the block in which it was met and the number of the word plus 1.
    known: Vec<(u32, u32)>,
    number: u32,
}

/// The fields of the record that is being told.
struct Form {
    /// As bits, of those that came in the order of their numbers, as nearly all do.
    set: u64,
    /// Where one came that stands before: the bits of those that came first.
    before: u64,
    /// All in the order in which they came, where that was so twice; both sets are [`Form::LISTED`] then.
    list: [u8; Form::FIELDS],
    length: usize,
}

impl Form {
    /// More than any record has: one of ours has none twice, and what had would be cut and told by no reader.
    const FIELDS: usize = 128;
    const LISTED: u64 = u64::MAX;

    fn new() -> Form {
        Form { set: 0, before: 0, list: [0; Form::FIELDS], length: 0 }
    }

    #[inline(always)]
    fn push(&mut self, field: Field) {
        let bit = 1 << field as u8;
        if bit > self.set {
            self.set |= bit;
        } else if self.before == 0 {
            (self.before, self.set) = (self.set, bit);
        } else {
            self.push_to_list(field);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_to_list(&mut self, field: Field) {
        self.make_list();
        (self.before, self.set) = (Form::LISTED, Form::LISTED);
        if let Some(free) = self.list.get_mut(self.length) {
            *free = field as u8;
            self.length += 1;
        }
    }

    fn make_list(&mut self) {
        if self.set == Form::LISTED {
            return;
        }
        self.length = 0;
        for set in [self.before, self.set] {
            for number in (0..64).filter(|number| set & 1 << number != 0) {
                self.list[self.length] = number;
                self.length += 1;
            }
        }
    }

    fn clear(&mut self) {
        (self.set, self.before) = (0, 0);
    }
}

/// 2^64 by the golden ratio: what is multiplied by it has its highest bits mixed.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const CACHE: usize = 64;
const LAST_WORDS: usize = 1 << 10;

/// A form, by its sets of fields.
#[derive(Clone, Copy, Debug, Default)]
struct LastForm {
    block: u32,
    number: u32,
    sets: (u64, u64),
}

/// A word, by where it stood in the memory.
#[derive(Clone, Copy, Debug, Default)]
struct LastWord {
    address: usize,
    length: usize,
    block: u32,
    word: u32,
}

impl<'o> Columns<'o> {
    /// Columns whose full blocks `take` gets; it leaves an empty one and says whether to go on.
    pub fn new(take: &'o mut dyn FnMut(&mut Block) -> bool) -> Columns<'o> {
        Columns {
            block: Block::default(),
            take,
            is_over: false,
            form: Form::new(),
            own: 0,
            before: 0,
            count: 0,
            recent: Recent::new(),
            form_table: HashTable::new(),
            last_forms: [LastForm::default(); CACHE],
            word_table: HashTable::new(),
            last_words: vec![LastWord::default(); LAST_WORDS],
            known: Vec::new(),
            number: 1,
        }
    }

    /// Hands on what is left.
    pub fn flush(&mut self) {
        if !self.is_over && self.block.records > 0 {
            self.is_over = !(self.take)(&mut self.block);
        }
        self.block.clear();
        self.number += 1;
        self.own = 0;
        self.recent.clear();
        self.form_table.clear();
        self.word_table.clear();
    }

    /// Whether nothing more is wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    #[inline(always)]
    fn field(&mut self, field: Field) -> &mut Vec<u8> {
        self.form.push(field);
        &mut self.block.streams[field as usize]
    }

    /// The number of a word in the block. Where it is not fixed another word may stand there by now.
    #[inline]
    fn word_number(&mut self, word: &[u8], is_fixed: bool) -> u32 {
        let (address, length) = (word.as_ptr().addr(), word.len());
        let place =
            (((address ^ length << 48) as u64).wrapping_mul(GOLDEN) >> (u64::BITS - LAST_WORDS.ilog2())) as usize;
        let last = self.last_words[place];
        if last.address == address
            && last.length == length
            && last.block == self.number
            && (is_fixed || self.block.word(last.word) == word)
        {
            return last.word;
        }
        let word = self.intern(word);
        self.last_words[place] = LastWord { address, length, block: self.number, word };
        word
    }

    fn intern(&mut self, word: &[u8]) -> u32 {
        let block = &mut self.block;
        let hash = XxHash3_64::oneshot(word);
        if let Some(number) = self.word_table.find(hash, |number| block.word(*number) == word) {
            return *number;
        }
        let number = block.word_ends.len() as u32;
        block.words.extend_from_slice(word);
        block.word_ends.push(block.words.len() as u32);
        self.word_table.insert_unique(hash, number, |number| XxHash3_64::oneshot(block.word(*number)));
        number
    }

    /// The number in the block of a word that the writer has a number for.
    #[inline]
    fn known_number(&mut self, number: u32, word: &[u8]) -> u32 {
        let place = number as usize;
        match self.known.get(place) {
            Some((block, word)) if *block == self.number => *word,
            _ => self.learn(place, word),
        }
    }

    #[inline(never)]
    fn learn(&mut self, place: usize, word: &[u8]) -> u32 {
        let word = self.intern(word);
        if self.known.len() <= place {
            self.known.resize(place + 1, (0, 0));
        }
        self.known[place] = (self.number, word);
        word
    }

    /// The number of the record's form.
    #[inline]
    fn form_number(&mut self) -> u32 {
        let sets = (self.form.before, self.form.set);
        let place = ((sets.0 ^ sets.1).wrapping_mul(GOLDEN) >> (u64::BITS - CACHE.ilog2())) as usize;
        let last = self.last_forms[place];
        if last.sets == sets && last.block == self.number && sets.1 != Form::LISTED {
            return last.number;
        }
        let number = self.intern_form();
        self.last_forms[place] = LastForm { block: self.number, number, sets };
        number
    }

    #[inline(never)]
    fn intern_form(&mut self) -> u32 {
        self.form.make_list();
        let form = &self.form.list[..self.form.length];
        let hash = XxHash3_64::oneshot(form);
        let block = &mut self.block;
        if let Some((_, number)) = self.form_table.find(hash, |(begin, _)| block.form(*begin) == form) {
            return *number;
        }
        let (begin, number) = (block.forms.len() as u32, block.form_count);
        block.forms.push(form.len() as u8);
        block.forms.extend_from_slice(form);
        block.form_count += 1;
        self.form_table.insert_unique(hash, (begin, number), |(begin, _)| XxHash3_64::oneshot(block.form(*begin)));
        number
    }
}

impl std::fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Columns").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl<'a> Fields<'a> for Columns<'_> {
    #[inline]
    fn address(&mut self, field: Field, address: u64) {
        let own = self.own;
        if field == Field::Address {
            put(self.field(field), step(address, own));
            self.own = address;
        } else {
            self.field(field);
            self.recent.put(&mut self.block.streams[field as usize], address, own);
        }
    }

    #[inline]
    fn number(&mut self, field: Field, number: u64) {
        put(self.field(field), number);
    }

    #[inline]
    fn signed(&mut self, field: Field, number: i64) {
        put(self.field(field), zigzag(number));
    }

    #[inline]
    fn truth(&mut self, field: Field) {
        self.field(field);
    }

    #[inline]
    fn word(&mut self, field: Field, word: &'a [u8]) {
        let number = self.word_number(word, false);
        put(self.field(field), number.into());
    }

    #[inline]
    fn fixed_word(&mut self, field: Field, word: &'a [u8]) {
        let number = self.word_number(word, true);
        put(self.field(field), number.into());
    }

    #[inline]
    fn known_word(&mut self, field: Field, number: u32, word: &'a [u8]) {
        let number = self.known_number(number, word);
        put(self.field(field), number.into());
    }

    #[inline]
    fn text(&mut self, field: Field, text: &'a [u8]) {
        put(self.field(field), text.len() as u64);
        self.block.streams[TEXTS].extend_from_slice(text);
    }

    fn line(&mut self, line: &'a [u8]) {
        self.text(Field::Whole, line);
    }

    #[inline]
    fn begin_references(&mut self) {
        self.field(Field::References);
        (self.before, self.count) = (self.own, 0);
    }

    #[inline]
    fn reference(&mut self, address: u64) {
        put(&mut self.block.streams[DELTAS], step(address, self.before));
        self.before = address;
        self.count += 1;
    }

    #[inline]
    fn end_references(&mut self) {
        put(&mut self.block.streams[Field::References as usize], self.count);
    }

    #[inline]
    fn begin_names(&mut self) {
        self.field(Field::Names);
        self.count = 0;
    }

    #[inline]
    fn name(&mut self, name: Name<'a>) {
        self.count += 1;
        let code = match name {
            Name::None => 0,
            Name::Text(text) => {
                put(&mut self.block.streams[NAME_TEXTS + 1], text.len() as u64);
                self.block.streams[NAME_TEXTS].extend_from_slice(text);
                1
            }
            Name::Known(number, text) => u64::from(self.known_number(number, text)) + 2,
        };
        put(&mut self.block.streams[NAMES], code);
    }

    #[inline]
    fn end_names(&mut self) {
        put(&mut self.block.streams[Field::Names as usize], self.count);
    }

    #[inline]
    fn end(&mut self) {
        let form = self.form_number();
        put(&mut self.block.streams[FORMS], form.into());
        self.form.clear();
        self.block.records += 1;
        let streams = &self.block.streams;
        let bytes = streams[TEXTS].len() + streams[DELTAS].len() + streams[NAMES].len() + streams[NAME_TEXTS].len();
        if self.block.records >= MOST || bytes >= FULL || self.block.words.len() >= FULL {
            self.flush();
        }
    }
}
