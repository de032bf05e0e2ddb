//! Columns of a row group in Parquet's bytes, made of whole columns and on any thread: a page for each, and a dictionary before it where few
//! values stand for many rows.
//!
//! The crate's own column writers take values one by one: they hash each text of each row to find its place in the dictionary, and
//! compare it with the least and the greatest so far. Here a text is looked up by the number that the heap has for it and its place is
//! what a row keeps, so a row costs a few nanoseconds a column. What pages and their headers look like is the crate's.

use crate::Result;
use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use std::hash::Hash;
use std::path::Path;

mod packed;

/// Which rows have a value.
#[derive(Debug, Default)]
struct Presence {
    is_there: Vec<bool>,
    nulls: usize,
}

impl Presence {
    fn push(&mut self, is_there: bool) {
        self.is_there.push(is_there);
        self.nulls += usize::from(!is_there);
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
        self.presence.is_there.is_empty()
    }

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
}

/// A column of texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    dictionary: Dictionary,
    places: Vec<u32>,
    by_text: HashMap<Box<[u8]>, u32>,
    presence: Presence,
}

impl Texts {
    /// The place of a text in the dictionary. It is kept by the caller, who asks once for each that it knows to be another.
    pub(super) fn place(&mut self, text: &str) -> u32 {
        let text = super::columns::shortened(text);
        let bytes = text.as_bytes();
        if let Some(place) = self.by_text.get(bytes) {
            return *place;
        }
        let place = self.dictionary.add(&(bytes.len() as u32).to_le_bytes(), bytes);
        self.by_text.insert(bytes.into(), place);
        place
    }

    /// Adds a row with the text at that place.
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
        let mut bytes = Vec::new();
        let encoding = if numbers.values.is_empty() { Encoding::PLAIN } else { Encoding::DELTA_BINARY_PACKED };
        packed::differences(&numbers.values, &mut bytes);
        let values = Values { encoding, bytes: &bytes, dictionary: None, statistics: statistics(numbers) };
        self.chunk(column, &numbers.presence, &values)
    }

    /// Numbers of which few are different; by the differences where they are not.
    pub(super) fn few(&mut self, column: &ColumnDescPtr, numbers: &Numbers) -> Result<Chunk> {
        let mut known: HashMap<i64, u32> = HashMap::new();
        let (mut dictionary, mut places) = (Dictionary::default(), Vec::with_capacity(numbers.values.len()));
        for number in &numbers.values {
            let place = *known.entry(*number).or_insert_with(|| dictionary.add(&[], &number.to_le_bytes()));
            places.push(place);
            if known.len() > MOST_IN_DICTIONARY {
                return self.differences(column, numbers);
            }
        }
        self.by_dictionary(column, &numbers.presence, (&dictionary, &places), statistics(numbers))
    }

    /// Texts.
    pub(super) fn texts(&mut self, column: &ColumnDescPtr, texts: &Texts) -> Result<Chunk> {
        // No least and no greatest: hardly a group has no text that is before or behind one asked for.
        let nulls = Some(texts.presence.nulls as u64);
        let statistics = Statistics::new::<ByteArray>(None, None, None, nulls, false);
        self.by_dictionary(column, &texts.presence, (&texts.dictionary, &texts.places), statistics)
    }

    /// Yes or no, of each row.
    pub(super) fn flags(&mut self, column: &ColumnDescPtr, flags: &[bool]) -> Result<Chunk> {
        let mut bytes = vec![0u8; flags.len().div_ceil(8)];
        flags.iter().enumerate().for_each(|(at, flag)| bytes[at / 8] |= u8::from(*flag) << (at % 8));
        let (least, greatest) = (flags.iter().min().copied(), flags.iter().max().copied());
        let statistics = Statistics::new(least, greatest, None, Some(0), false);
        let values = Values { encoding: Encoding::PLAIN, bytes: &bytes, dictionary: None, statistics };
        self.chunk(column, &Presence { is_there: vec![true; flags.len()], nulls: 0 }, &values)
    }

    fn by_dictionary(
        &mut self,
        column: &ColumnDescPtr,
        presence: &Presence,
        (dictionary, places): (&Dictionary, &[u32]),
        statistics: Statistics,
    ) -> Result<Chunk> {
        if places.is_empty() {
            let values = Values { encoding: Encoding::PLAIN, bytes: &[], dictionary: None, statistics };
            return self.chunk(column, presence, &values);
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
        let (failed, rows) = (super::columns::failed(self.path), presence.is_there.len());
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
        levels(presence, &mut self.page);
        self.page.extend_from_slice(values.bytes);
        let page = Page::DataPage {
            buf: packed(&mut self.compressor, &self.page, &mut self.packed, self.path)?,
            num_values: rows as u32,
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
            .set_num_values(rows as i64)
            .set_total_compressed_size(sizes[0] as i64)
            .set_total_uncompressed_size(sizes[1] as i64)
            .set_dictionary_page_offset(dictionary_at)
            .set_data_page_offset(page_at)
            .set_statistics(values.statistics.clone())
            .build()
            .map_err(failed)?;
        let told = ColumnCloseResult {
            bytes_written: sizes[0] as u64,
            rows_written: rows as u64,
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

fn statistics(numbers: &Numbers) -> Statistics {
    let (least, greatest) = (numbers.values.iter().min().copied(), numbers.values.iter().max().copied());
    Statistics::new(least, greatest, None, Some(numbers.presence.nulls as u64), false)
}

/// Which rows have a value, before the values of a page.
fn levels(presence: &Presence, page: &mut Vec<u8>) {
    page.extend_from_slice(&[0; 4]);
    packed::levels(&presence.is_there, page);
    let length = (page.len() - 4) as u32;
    page[..4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests;
