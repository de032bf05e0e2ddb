//! What is written comes back, and what was not written is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::lines::Lines;
use super::rows::{Packed, Rows};
use super::write::{Block, Columns, Packer};
use super::*;
use proptest::prelude::*;

/// A record as values.
#[derive(Clone, Debug)]
enum Told {
    Address(Field, u64),
    Number(Field, u64),
    Signed(Field, i64),
    Truth(Field),
    Word(Field, Vec<u8>),
    Text(Field, Vec<u8>),
    References(Vec<u64>),
    Names(Vec<(u8, Vec<u8>)>),
    Line(Vec<u8>),
}

fn tell<'a>(records: &'a [Vec<Told>], to: &mut impl Fields<'a>) {
    for record in records {
        for field in record {
            match field {
                Told::Address(field, address) => to.address(*field, *address),
                Told::Number(field, number) => to.number(*field, *number),
                Told::Signed(field, number) => to.signed(*field, *number),
                Told::Truth(field) => to.truth(*field),
                Told::Word(field, word) => to.word(*field, word),
                Told::Text(field, text) => to.text(*field, text),
                Told::Line(line) => to.line(line),
                Told::References(references) => {
                    to.begin_references();
                    references.iter().for_each(|address| to.reference(*address));
                    to.end_references();
                }
                Told::Names(names) => {
                    to.begin_names();
                    for (sort, text) in names {
                        // Of a number the text is always the same.
                        to.name(match sort {
                            0 => Name::None,
                            1 => Name::Text(text),
                            number => Name::Known(u32::from(*number), &KNOWN[usize::from(*number)..]),
                        });
                    }
                    to.end_names();
                }
            }
        }
        to.end();
    }
}

const KNOWN: &[u8] = b"@some_instance_variable";

fn lines(records: &[Vec<Told>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut take = |buffer: &mut Vec<u8>| {
        out.append(buffer);
        true
    };
    let mut lines = Lines::new(16, &mut take);
    tell(records, &mut lines);
    lines.flush();
    out
}

/// The blocks that come of the records, packed.
pub(crate) fn packed(tell: impl FnOnce(&mut Columns<'_>)) -> Vec<Vec<u8>> {
    let (mut packer, mut blocks) = (Packer::new().unwrap(), Vec::new());
    let mut take = |block: &mut Block| {
        blocks.push(packer.pack(block).unwrap().0.to_vec());
        block.clear();
        true
    };
    let mut columns = Columns::new(&mut take);
    tell(&mut columns);
    columns.flush();
    blocks
}

fn unpacked(block: &[u8]) -> Rows {
    let Some(frame::Next::Block(head)) = frame::read_head(block.first_chunk().unwrap()) else { panic!("no head") };
    Packed { head, bytes: block[frame::HEAD..].to_vec() }.unpack().unwrap().unwrap()
}

fn lines_of(rows: &Rows) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut take = |buffer: &mut Vec<u8>| {
        out.append(buffer);
        true
    };
    let (mut lines, mut place) = (Lines::new(1 << 16, &mut take), rows.begin());
    let mut is_whole = true;
    loop {
        match rows.tell(&mut place, &mut lines) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                is_whole = false;
                break;
            }
        }
    }
    lines.flush();
    (out, is_whole)
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![(0..200u64).prop_map(|slot| 0x7f00_0000_0000 + slot * 40), any::<u64>(), Just(0)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![&b"STRING"[..], b"UTF-8", b"", b"a\"b\\c\nd"]).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..40)
    ]
}

fn field(field: Field) -> BoxedStrategy<Told> {
    match field.kind() {
        Kind::Own | Kind::Address => address().prop_map(move |address| Told::Address(field, address)).boxed(),
        Kind::Number => any::<u64>().prop_map(move |number| Told::Number(field, number)).boxed(),
        Kind::Signed => any::<i64>().prop_map(move |number| Told::Signed(field, number)).boxed(),
        Kind::Truth => Just(Told::Truth(field)).boxed(),
        Kind::Word | Kind::Members => bytes().prop_map(move |word| Told::Word(field, word)).boxed(),
        Kind::Text => bytes().prop_map(move |text| Told::Text(field, text)).boxed(),
        Kind::References => prop::collection::vec(address(), 0..20).prop_map(Told::References).boxed(),
        Kind::Names => prop::collection::vec((0..5u8, bytes()), 0..9).prop_map(Told::Names).boxed(),
        Kind::Line => bytes().prop_map(Told::Line).boxed(),
    }
}

fn record() -> impl Strategy<Value = Vec<Told>> {
    let fields: Vec<Field> = Field::ALL.iter().copied().filter(|field| *field != Field::Whole).collect();
    prop_oneof![
        9 => prop::sample::subsequence(fields, 1..12)
            .prop_shuffle()
            .prop_flat_map(|fields| fields.into_iter().map(field).collect::<Vec<_>>()),
        1 => bytes().prop_map(|line| vec![Told::Line(line)]),
    ]
}

proptest! {
    #[test]
    fn records_of_any_fields_come_back_as_the_lines_they_are(records in prop::collection::vec(record(), 1..40)) {
        let blocks = packed(|columns| tell(&records, columns));
        prop_assert_eq!(blocks.len(), 1);
        let (out, is_whole) = lines_of(&unpacked(&blocks[0]));
        prop_assert!(is_whole);
        prop_assert_eq!(out, lines(&records));
    }

    #[test]
    fn blocks_that_lie_end_early(records in prop::collection::vec(record(), 1..20), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let blocks = packed(|columns| tell(&records, columns));
        let Some(frame::Next::Block(head)) = frame::read_head(blocks[0].first_chunk().unwrap()) else { panic!("no head") };
        let raw = match head.packed == head.bytes {
            true => blocks[0][frame::HEAD..].to_vec(),
            false => zstd::bulk::decompress(&blocks[0][frame::HEAD..], head.bytes as usize).unwrap(),
        };
        let mut raw = raw;
        for (place, byte) in changes {
            let place = place.index(raw.len());
            raw[place] = byte;
        }
        let head = frame::Head { bytes: head.bytes, packed: head.bytes, checksum: twox_hash::XxHash3_64::oneshot(&raw), ..head };
        if let Ok(rows) = (Packed { head, bytes: raw }).unpack().unwrap() {
            lines_of(&rows);
            let mut told = records::Records::new();
            let mut place = rows.begin();
            while rows.tell(&mut place, &mut told) == Ok(true) {
                told.clear();
            }
        }
    }
}

#[test]
fn a_block_ends_when_it_is_full() {
    let record = vec![Told::Address(Field::Address, 8), Told::Text(Field::Value, vec![b'x'; 100])];
    let records = vec![record; 40_000];
    let blocks = packed(|columns| tell(&records, columns));
    assert!(blocks.len() > 2);
    let all: Vec<u8> = blocks.iter().flat_map(|block| lines_of(&unpacked(block)).0).collect();
    assert_eq!(all, lines(&records));
}

#[test]
fn what_packs_too_well_to_be_believed_is_not_packed() {
    let records = vec![vec![Told::Text(Field::Value, vec![b'x'; 40 << 20])]];
    let blocks = packed(|columns| tell(&records, columns));
    assert!(blocks[0].len() > 40 << 20);
    assert_eq!(lines_of(&unpacked(&blocks[0])).0.len(), (40 << 20) + 13);
}

#[test]
fn a_block_that_would_become_more_than_is_believed_is_refused() {
    let bytes = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let head = frame::Head {
        records: 1,
        bytes: 64 << 20,
        packed: bytes.len() as u32,
        checksum: twox_hash::XxHash3_64::oneshot(&bytes),
    };
    let refused = Packed { head, bytes }.unpack().unwrap();
    assert_eq!(refused.unwrap_err(), "it says it would become more than any block does");
}

#[test]
fn a_word_is_told_by_what_it_says_and_not_by_where_it_stood() {
    let mut text = *b"one";
    let blocks = packed(|columns| {
        for word in [*b"one", *b"two", *b"one"] {
            text = word;
            columns.word(Field::Type, &text);
            columns.end();
        }
    });
    assert_eq!(
        String::from_utf8(lines_of(&unpacked(&blocks[0])).0).unwrap(),
        "{\"type\":\"one\"}\n{\"type\":\"two\"}\n{\"type\":\"one\"}\n"
    );
}

/// A block of one record with many names, all of them one long word.
fn block_of_one_word(length: usize, names: usize) -> Packed {
    let put = |out: &mut Vec<u8>, number: usize| super::numbers::put(out, number as u64);
    let mut bytes = vec![1, 1, Field::Names as u8, 1];
    put(&mut bytes, length);
    bytes.resize(bytes.len() + length, b'x');
    let mut count = Vec::new();
    put(&mut count, names);
    bytes.extend([3, super::rows::FORMS as u8, 1, Field::Names as u8]);
    put(&mut bytes, count.len());
    bytes.push(super::rows::NAMES as u8);
    put(&mut bytes, names);
    bytes.push(0);
    bytes.extend(count);
    bytes.resize(bytes.len() + names, 2);
    let checksum = twox_hash::XxHash3_64::oneshot(&bytes);
    let count = bytes.len() as u32;
    Packed { head: frame::Head { records: 1, bytes: count, packed: count, checksum }, bytes }
}

#[test]
fn a_word_is_not_told_so_often_that_it_fills_the_memory() {
    let (text, damage) = lines_of(&block_of_one_word(3, 4).unpack().unwrap().unwrap());
    assert_eq!(
        (String::from_utf8(text).unwrap().as_str(), damage),
        ("{\"names\":[\"xxx\",\"xxx\",\"xxx\",\"xxx\"]}\n", true)
    );
    // 400 GB of text in a block of 1.4 MB.
    let rows = block_of_one_word(1 << 20, 400_000).unpack().unwrap().unwrap();
    assert_eq!(rows.tell(&mut rows.begin(), &mut super::rows::Passed), Err(super::rows::Damaged));
}
