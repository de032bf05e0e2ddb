//! Columns of a row group in Parquet's bytes, made of whole columns and on any thread: a page for each, and a dictionary before it where few
//! values stand for many rows.
//!
//! The crate's own column writers take values one by one: they hash each text of each row to find its place in the dictionary, and
//! compare it with the least and the greatest so far. Here a text is looked up by the number that the heap has for it and its place is
//! what a row keeps, so a row costs a few nanoseconds a column. The crate's are one for each type that Parquet has, too, with all encodings:
//! half a megabyte of code. What pages and their headers look like is the crate's.

use super::columns::Value;
use super::schema::{Field, Kind};
use crate::Result;
use bytes::Bytes;
use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use std::hash::{BuildHasher, Hash};
use std::path::Path;

mod packed;

/// Where values are: which rows have one, or which elements of the rows' lists.
#[derive(Debug, Default)]
struct Presence {
    /// 1 for a value, else 0; of lists 2 for a value, 1 for an element without one, 0 for a list without an element.
    definitions: Vec<u8>,
    /// Of lists: 0 where a row's list begins, else 1.
    repetitions: Option<Vec<u8>>,
    rows: usize,
    nulls: usize,
}

impl Presence {
    fn of_lists() -> Presence {
        Presence { repetitions: Some(Vec::new()), ..Presence::default() }
    }

    /// Adds a row of a column without lists.
    #[inline(always)]
    fn push(&mut self, is_there: bool) {
        self.definitions.push(u8::from(is_there));
        self.nulls += usize::from(!is_there);
        self.rows += 1;
    }

    /// Adds a row, or an element of a list, the first of its row or not.
    fn push_element(&mut self, is_there: bool, is_first: bool) {
        self.put(u8::from(self.repetitions.is_some()) + u8::from(is_there), is_first);
    }

    /// Adds a row whose list has no element.
    fn push_empty(&mut self) {
        self.put(0, true);
    }

    fn put(&mut self, definition: u8, is_first: bool) {
        self.nulls += usize::from(definition < self.most());
        self.definitions.push(definition);
        self.rows += usize::from(is_first);
        if let Some(repetitions) = &mut self.repetitions {
            repetitions.push(u8::from(!is_first));
        }
    }

    /// What a value's definition is.
    fn most(&self) -> u8 {
        1 + u8::from(self.repetitions.is_some())
    }

    /// The levels, before the values of a page, each kind behind its length.
    fn levels(&self, page: &mut Vec<u8>) {
        let repetitions = self.repetitions.as_ref().map(|repetitions| (repetitions, 1));
        for (levels, most) in repetitions.into_iter().chain([(&self.definitions, self.most())]) {
            let begin = page.len();
            page.extend_from_slice(&[0; 4]);
            packed::levels(levels, most, page);
            let length = (page.len() - begin - 4) as u32;
            page[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// A column of numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    values: Vec<i64>,
    presence: Presence,
}

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.presence.definitions.is_empty()
    }

    #[inline(always)]
    pub(super) fn push(&mut self, number: Option<i64>) {
        self.values.extend(number);
        self.presence.push(number.is_some());
    }
}

impl FromIterator<Option<i64>> for Numbers {
    fn from_iter<I: IntoIterator<Item = Option<i64>>>(numbers: I) -> Numbers {
        let mut column = Numbers::default();
        numbers.into_iter().for_each(|number| column.push(number));
        column
    }
}

/// Different values by their places in a dictionary.
#[derive(Debug, Default)]
struct Dictionary {
    /// The values as a page of them has them.
    bytes: Vec<u8>,
    count: u32,
}

impl Dictionary {
    fn add(&mut self, prefix: &[u8], value: &[u8]) -> u32 {
        self.bytes.extend_from_slice(prefix);
        self.bytes.extend_from_slice(value);
        self.count += 1;
        self.count - 1
    }

    /// The text at a place, without the four bytes of its length.
    fn text(&self, ends: &[usize], place: u32) -> &[u8] {
        let begin = place.checked_sub(1).map_or(0, |before| ends[before as usize]);
        &self.bytes[begin + 4..ends[place as usize]]
    }
}

/// A column of texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    dictionary: Dictionary,
    places: Vec<u32>,
    /// Where the text at each place ends among the dictionary's bytes.
    ends: Vec<usize>,
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
    presence: Presence,
}

impl Texts {
    /// The place of a text in the dictionary. It is kept by the caller, who asks once for each that it knows to be another.
    pub(super) fn place(&mut self, text: &str) -> u32 {
        self.place_of(super::columns::shortened(text).as_bytes())
    }

    /// The same of the bytes that are written.
    fn place_of(&mut self, bytes: &[u8]) -> u32 {
        let Texts { dictionary, ends, by_text, hasher, .. } = self;
        let hash = hasher.hash_one(bytes);
        if let Some(place) = by_text.find(hash, |place| dictionary.text(ends, *place) == bytes) {
            return *place;
        }
        let place = dictionary.add(&(bytes.len() as u32).to_le_bytes(), bytes);
        ends.push(dictionary.bytes.len());
        by_text.insert_unique(hash, place, |place| hasher.hash_one(dictionary.text(ends, *place)));
        place
    }

    /// Adds a row with the text at that place.
    #[inline(always)]
    pub(super) fn push(&mut self, place: Option<u32>) {
        self.places.extend(place);
        self.presence.push(place.is_some());
    }
}

/// The places of texts by what they stand for, each asked for once.
#[derive(Debug)]
pub(super) struct Known<K>(HashMap<K, Option<u32>>);

impl<K> Default for Known<K> {
    fn default() -> Self {
        Known(HashMap::new())
    }
}

impl<K: Hash + Eq> Known<K> {
    pub(super) fn place(&mut self, texts: &mut Texts, key: K, text: impl FnOnce(&K) -> Option<String>) -> Option<u32> {
        match self.0.entry(key) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let place = text(new.key()).map(|text| texts.place(&text));
                *new.insert(place)
            }
        }
    }
}

/// A column as it will stand in the file, and what the file's end says of it.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) told: ColumnCloseResult,
}

impl std::fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Encodes columns, one at a time.
pub(super) struct Encoder<'a> {
    compressor: zstd::bulk::Compressor<'static>,
    /// The page in work, not packed.
    page: Vec<u8>,
    /// And packed.
    packed: Vec<u8>,
    path: &'a Path,
}

/// A column of whatever a table's description says, value by value.
#[derive(Debug)]
pub(super) struct Column {
    cells: Cells,
    presence: Presence,
    /// Whether it is of addresses.
    is_near: bool,
}

#[derive(Debug)]
enum Cells {
    Numbers(Vec<i64>),
    Reals(Vec<f64>),
    Flags(Vec<bool>),
    Texts(Texts),
}

impl Column {
    pub(super) fn new(field: &Field, is_listed: bool) -> Column {
        let cells = match field.kind {
            Kind::Number | Kind::Time => Cells::Numbers(Vec::new()),
            Kind::Real => Cells::Reals(Vec::new()),
            Kind::Flag => Cells::Flags(Vec::new()),
            Kind::Text => Cells::Texts(Texts::default()),
        };
        let presence = if is_listed { Presence::of_lists() } else { Presence::default() };
        // Addresses are nearly all different, and near one another.
        Column { cells, presence, is_near: field.name == "address" && !is_listed }
    }

    /// Adds a value of a row, or of an element of its list. A value of another kind than the column's is none.
    pub(super) fn push(&mut self, value: Value, is_first: bool) {
        let before = self.len();
        match (&mut self.cells, value) {
            (Cells::Numbers(cells), Value::Number(number)) => cells.push(number),
            (Cells::Reals(cells), Value::Real(real)) => cells.push(real),
            (Cells::Flags(cells), Value::Flag(flag)) => cells.push(flag),
            (Cells::Texts(cells), Value::Text(text)) => {
                let place = cells.place_of(text.data());
                cells.places.push(place);
            }
            _ => {}
        }
        self.presence.push_element(self.len() > before, is_first);
    }

    /// Adds the list of a row that has no element.
    pub(super) fn push_empty(&mut self) {
        self.presence.push_empty();
    }

    fn len(&self) -> usize {
        match &self.cells {
            Cells::Numbers(cells) => cells.len(),
            Cells::Reals(cells) => cells.len(),
            Cells::Flags(cells) => cells.len(),
            Cells::Texts(cells) => cells.places.len(),
        }
    }
}

/// What a page is made of beside its levels.
struct Values<'v> {
    encoding: Encoding,
    bytes: &'v [u8],
    dictionary: Option<&'v Dictionary>,
    statistics: Statistics,
}

/// zstd's, the fastest that packs by more than the columns' own encodings do.
const LEVEL: i32 = 1;
/// More different numbers than this make their dictionary longer than what it saves.
const MOST_IN_DICTIONARY: usize = 1 << 12;

impl<'a> Encoder<'a> {
    /// For the file at a path, which errors name.
    pub(super) fn new(path: &'a Path) -> Result<Encoder<'a>> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(super::super::failed(path))?;
        Ok(Encoder { compressor, page: Vec::new(), packed: Vec::new(), path })
    }

    /// Numbers near those before them, as addresses: by the differences.
    pub(super) fn differences(&mut self, column: &ColumnDescPtr, numbers: &Numbers) -> Result<Chunk> {
        self.near(column, &numbers.values, &numbers.presence)
    }

    /// Numbers of which few are different; by the differences where they are not.
    pub(super) fn few(&mut self, column: &ColumnDescPtr, numbers: &Numbers) -> Result<Chunk> {
        self.repeated(column, &numbers.values, &numbers.presence)
    }

    /// Texts.
    pub(super) fn texts(&mut self, column: &ColumnDescPtr, texts: &Texts) -> Result<Chunk> {
        self.words(column, texts, &texts.presence)
    }

    /// Yes or no, of each row.
    pub(super) fn flags(&mut self, column: &ColumnDescPtr, flags: &[bool]) -> Result<Chunk> {
        let rows = flags.len();
        self.bits(column, flags, &Presence { definitions: vec![1; rows], rows, ..Presence::default() })
    }

    /// A column as its table describes it.
    pub(super) fn column(&mut self, description: &ColumnDescPtr, column: &Column) -> Result<Chunk> {
        let presence = &column.presence;
        match &column.cells {
            Cells::Numbers(numbers) if column.is_near => self.near(description, numbers, presence),
            Cells::Numbers(numbers) => self.repeated(description, numbers, presence),
            Cells::Reals(reals) => self.reals(description, reals, presence),
            Cells::Flags(flags) => self.bits(description, flags, presence),
            Cells::Texts(texts) => self.words(description, texts, presence),
        }
    }

    fn near(&mut self, column: &ColumnDescPtr, numbers: &[i64], presence: &Presence) -> Result<Chunk> {
        let mut bytes = Vec::new();
        let encoding = if numbers.is_empty() { Encoding::PLAIN } else { Encoding::DELTA_BINARY_PACKED };
        packed::differences(numbers, &mut bytes);
        let values = Values { encoding, bytes: &bytes, dictionary: None, statistics: statistics(numbers, presence) };
        self.chunk(column, presence, &values)
    }

    fn repeated(&mut self, column: &ColumnDescPtr, numbers: &[i64], presence: &Presence) -> Result<Chunk> {
        let mut known: HashMap<i64, u32> = HashMap::new();
        let (mut dictionary, mut places) = (Dictionary::default(), Vec::with_capacity(numbers.len()));
        for number in numbers {
            let place = *known.entry(*number).or_insert_with(|| dictionary.add(&[], &number.to_le_bytes()));
            places.push(place);
            if known.len() > MOST_IN_DICTIONARY {
                return self.near(column, numbers, presence);
            }
        }
        self.by_dictionary(column, presence, (&dictionary, &places), statistics(numbers, presence))
    }

    fn words(&mut self, column: &ColumnDescPtr, texts: &Texts, presence: &Presence) -> Result<Chunk> {
        // No least and no greatest: hardly a group has no text that is before or behind one asked for.
        let statistics = Statistics::new::<ByteArray>(None, None, None, Some(presence.nulls as u64), false);
        self.by_dictionary(column, presence, (&texts.dictionary, &texts.places), statistics)
    }

    fn bits(&mut self, column: &ColumnDescPtr, flags: &[bool], presence: &Presence) -> Result<Chunk> {
        let mut bytes = vec![0u8; flags.len().div_ceil(8)];
        flags.iter().enumerate().for_each(|(at, flag)| bytes[at / 8] |= u8::from(*flag) << (at % 8));
        let (least, greatest) = (flags.iter().min().copied(), flags.iter().max().copied());
        let statistics = Statistics::new(least, greatest, None, Some(presence.nulls as u64), false);
        self.plain(column, presence, &bytes, statistics)
    }

    fn reals(&mut self, column: &ColumnDescPtr, reals: &[f64], presence: &Presence) -> Result<Chunk> {
        let bytes: Vec<u8> = reals.iter().flat_map(|real| real.to_le_bytes()).collect();
        let statistics = Statistics::new::<f64>(None, None, None, Some(presence.nulls as u64), false);
        self.plain(column, presence, &bytes, statistics)
    }

    fn plain(
        &mut self,
        column: &ColumnDescPtr,
        presence: &Presence,
        bytes: &[u8],
        statistics: Statistics,
    ) -> Result<Chunk> {
        self.chunk(column, presence, &Values { encoding: Encoding::PLAIN, bytes, dictionary: None, statistics })
    }

    fn by_dictionary(
        &mut self,
        column: &ColumnDescPtr,
        presence: &Presence,
        (dictionary, places): (&Dictionary, &[u32]),
        statistics: Statistics,
    ) -> Result<Chunk> {
        if places.is_empty() {
            return self.plain(column, presence, &[], statistics);
        }
        let mut bytes = Vec::new();
        packed::places(places, dictionary.count, &mut bytes);
        let values =
            Values { encoding: Encoding::RLE_DICTIONARY, bytes: &bytes, dictionary: Some(dictionary), statistics };
        self.chunk(column, presence, &values)
    }

    fn chunk(&mut self, column: &ColumnDescPtr, presence: &Presence, values: &Values<'_>) -> Result<Chunk> {
        let mut out = TrackedWrite::new(Vec::new());
        let (mut writer, mut sizes) = (SerializedPageWriter::new(&mut out), [0; 2]);
        let mut pages = Vec::new();
        let (failed, count) = (super::columns::failed(self.path), presence.definitions.len());
        let mut put = |page: Page, unpacked: usize| -> Result<u64> {
            let written = writer.write_page(CompressedPage::new(page, unpacked)).map_err(failed)?;
            sizes = [sizes[0] + written.compressed_size, sizes[1] + written.uncompressed_size];
            Ok(written.offset)
        };
        let mut dictionary_at = None;
        if let Some(dictionary) = values.dictionary {
            let page = Page::DictionaryPage {
                buf: packed(&mut self.compressor, &dictionary.bytes, &mut self.packed, self.path)?,
                num_values: dictionary.count,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            dictionary_at = Some(put(page, dictionary.bytes.len())? as i64);
            pages.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 });
        }
        self.page.clear();
        presence.levels(&mut self.page);
        self.page.extend_from_slice(values.bytes);
        let page = Page::DataPage {
            buf: packed(&mut self.compressor, &self.page, &mut self.packed, self.path)?,
            num_values: count as u32,
            encoding: values.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let page_at = put(page, self.page.len())? as i64;
        pages.push(PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: values.encoding, count: 1 });
        let mut encodings = vec![Encoding::RLE, values.encoding];
        encodings.extend(values.dictionary.map(|_| Encoding::PLAIN));
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(encodings)
            .set_page_encoding_stats(pages)
            .set_num_values(count as i64)
            .set_total_compressed_size(sizes[0] as i64)
            .set_total_uncompressed_size(sizes[1] as i64)
            .set_dictionary_page_offset(dictionary_at)
            .set_data_page_offset(page_at)
            .set_statistics(values.statistics.clone())
            .build()
            .map_err(failed)?;
        let told = ColumnCloseResult {
            bytes_written: sizes[0] as u64,
            rows_written: presence.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        let bytes = out.into_inner().map_err(failed)?.into();
        Ok(Chunk { bytes, told })
    }
}

/// A page's bytes packed. `room` is kept for the next one: a page of that size of its own would be asked of the system each time.
fn packed(compressor: &mut zstd::bulk::Compressor<'_>, page: &[u8], room: &mut Vec<u8>, path: &Path) -> Result<Bytes> {
    room.clear();
    room.reserve(zstd::zstd_safe::compress_bound(page.len()));
    compressor.compress_to_buffer(page, room).map_err(super::super::failed(path))?;
    Ok(Bytes::copy_from_slice(room))
}

fn statistics(numbers: &[i64], presence: &Presence) -> Statistics {
    let (least, greatest) = (numbers.iter().min().copied(), numbers.iter().max().copied());
    Statistics::new(least, greatest, None, Some(presence.nulls as u64), false)
}

#[cfg(test)]
mod tests;
