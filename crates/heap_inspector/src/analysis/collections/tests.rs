//! Bytes that Ruby's `ObjectSpace.memsize_of` told, and the real dumps.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::control::Control;
use crate::keys::Absent;
use crate::source::Source;
use std::io::Cursor;
use std::path::Path;

fn load(dump: &str) -> Heap {
    let source = Source::reader(Cursor::new(dump.to_owned()), "memory");
    Heap::load(&source, &Control { threads: 1, ..Control::default() }.into()).unwrap()
}

/// The rooms of a heap's arrays and hashes: form, capacity, wasted, exact.
fn rooms(dump: &str) -> Vec<(Form, Option<u64>, u64, bool)> {
    let heap = load(dump);
    let ruby_version = heap.totals().ruby_version;
    let room = |id| {
        let properties = heap.properties(id);
        matches!(properties.ty, Type::Array | Type::Hash).then(|| {
            let Room { form, capacity, wasted, is_exact } =
                room(&properties, u64::from(heap.length(id).unwrap()), heap.bytes(id), ruby_version);
            (form, capacity, wasted, is_exact)
        })
    };
    heap.nodes().filter_map(room).collect()
}

fn hashes(before: &str, slot: &str, sizes: &[(u64, u64)]) -> String {
    let mut dump = before.to_owned();
    for (at, (size, bytes)) in sizes.iter().enumerate() {
        let address = 0x7f00_0000_0000 + at * 160;
        dump += &format!(
            "{{\"address\":\"0x{address:x}\", \"type\":\"HASH\", {slot}\"size\":{size}, \"memsize\":{bytes}}}\n"
        );
    }
    dump
}

/// A line that only Ruby 3.1 writes.
const RUBY_3_1: &str =
    "{\"address\":\"0x7e0000000000\", \"type\":\"CLASS\", \"superclass\":\"0x7e0000000028\", \"memsize\":40}\n";
/// A line that only Ruby 4.1 writes.
const RUBY_4_1: &str = "{\"address\":\"0x7e0000000000\", \"type\":\"IMEMO\", \"slot_size\":32, \"imemo_type\":\"subclasses\", \
    \"memsize\":32, \"flags\":{\"age\":3}}\n";
/// A line that only a 32-bit Ruby writes.
const SMALL: &str = "{\"address\":\"0x1000\", \"type\":\"CLASS\", \"superclass\":\"0x1028\", \"memsize\":20}\n";

#[test]
fn knows_the_hashes_of_ruby_3_1() {
    // Of each the bytes that memsize_of told on 3.1.7; the last of all has an instance variable.
    let sizes = [(0, 40), (1, 168), (8, 168), (9, 928), (32, 928), (33, 1760), (65, 3424), (129, 7264), (257, 14_432)];
    use Form::{HashList, HashTable, HashWithoutTable};
    let expected = [
        (HashWithoutTable, None, 0, true),
        (HashList, Some(8), 7 * 16, true),
        (HashList, Some(8), 0, true),
        (HashTable, Some(32), 23 * 24, true),
        (HashTable, Some(32), 0, true),
        (HashTable, Some(64), 31 * 24, true),
        (HashTable, Some(128), 63 * 24, true),
        (HashTable, Some(256), 127 * 24, true),
        (HashTable, Some(512), 255 * 24, true),
    ];
    assert_eq!(rooms(&hashes(RUBY_3_1, "", &sizes)), expected);
    // 40,000 and 262,144 entries; 1,000 entries cleared to none, and all but one deleted; one with an instance variable.
    let sizes = [(40_000, 2_097_248), (262_144, 8_388_704), (0, 192), (1, 192), (0, 56)];
    let expected = [
        (HashTable, Some(65_536), 25_536 * 24, true),
        (HashTable, Some(262_144), 0, true),
        (HashTable, Some(4), 96, true),
        (HashTable, Some(4), 72, true),
        (HashWithoutTable, None, 0, false),
    ];
    assert_eq!(rooms(&hashes(RUBY_3_1, "", &sizes)), expected);
}

#[test]
fn knows_hashes_in_slots() {
    use Form::{HashListInSlot, HashTable};
    let dump = hashes("", "\"slot_size\":160, ", &[(0, 160), (5, 160), (2, 256), (20, 992)]);
    let expected = [
        (HashListInSlot, Some(8), 128, true),
        (HashListInSlot, Some(8), 48, true),
        (HashTable, Some(4), 48, true),
        (HashTable, Some(32), 288, true),
    ];
    assert_eq!(rooms(&dump), expected);
    assert_eq!(rooms(&hashes("", "\"slot_size\":80, ", &[(20, 912)])), [(HashTable, Some(32), 288, true)]);
    // With instance variables of its own.
    assert_eq!(rooms(&hashes("", "\"slot_size\":160, ", &[(1, 224)])), [(HashListInSlot, Some(8), 112, false)]);
}

#[test]
fn knows_lists_of_the_size_of_their_slot() {
    use Form::{HashListInSlot, HashTable, HashWithoutTable};
    let room =
        |slot: u64, length, bytes| rooms(&hashes(RUBY_4_1, &format!("\"slot_size\":{slot}, "), &[(length, bytes)]))[0];
    assert_eq!(room(32, 0, 32), (HashWithoutTable, None, 0, true));
    assert_eq!(room(64, 1, 64), (HashListInSlot, Some(2), 16, true));
    assert_eq!(room(80, 3, 80), (HashListInSlot, Some(3), 0, true));
    assert_eq!(room(128, 5, 128), (HashListInSlot, Some(6), 16, true));
    assert_eq!(room(160, 8, 160), (HashListInSlot, Some(8), 0, true));
    assert_eq!(room(80, 29, 912), (HashTable, Some(32), 72, true));
}

#[test]
fn knows_hashes_of_32_bits() {
    use Form::{HashList, HashListInSlot, HashTable, HashWithoutTable};
    let dump = hashes(SMALL, "\"slot_size\":20, ", &[(0, 20), (2, 52), (3, 100), (9, 244), (20, 500)]);
    let expected = [
        (HashWithoutTable, None, 0, true),
        (HashList, Some(4), 16, true),
        (HashTable, Some(4), 12, true),
        (HashTable, Some(16), 84, true),
        (HashTable, Some(32), 144, true),
    ];
    assert_eq!(rooms(&dump), expected);
    let dump = hashes(SMALL, "\"slot_size\":96, ", &[(1, 96), (1, 144)]);
    assert_eq!(rooms(&dump), [(HashListInSlot, Some(8), 56, true), (HashTable, Some(4), 36, true)]);
}

#[test]
fn says_where_it_does_not_know() {
    let old = "{\"address\":\"0x7e0000000000\", \"type\":\"CLASS\", \"memsize\":40}\n";
    assert_eq!(rooms(&hashes(old, "", &[(3, 400)])), [(Form::HashUnknown, None, 0, false)]);
    // Fewer bytes than its entries need.
    assert_eq!(rooms(&hashes(RUBY_3_1, "", &[(1000, 40)])), [(Form::HashUnknown, None, 0, false)]);
    assert_eq!(rooms(&hashes(RUBY_3_1, "", &[(4_294_967_294, 168)])), [(Form::HashUnknown, None, 0, false)]);
}

fn array(at: u64, rest: &str, length: u64, bytes: u64) -> String {
    let address = 0x7f00_0000_0000 + at * 40;
    format!("{{\"address\":\"0x{address:x}\", \"type\":\"ARRAY\", \"length\":{length}{rest}, \"memsize\":{bytes}}}\n")
}

#[test]
fn knows_arrays() {
    // On 3.1.7: three elements, four appended one by one, a thousand so, these cleared, a slice of another.
    let dump = [
        RUBY_3_1.to_owned(),
        array(0, ", \"embedded\":true", 3, 40),
        array(1, "", 4, 200),
        array(2, "", 1000, 11_840),
        array(3, "", 0, 40),
        array(4, ", \"shared\":true", 90, 40),
    ]
    .concat();
    let expected = [
        (Form::ArrayInSlot, None, 0, true),
        (Form::Array, Some(20), 128, true),
        (Form::Array, Some(1475), 3800, true),
        (Form::ArrayInSlot, None, 0, true),
        (Form::ArrayShared, None, 0, true),
    ];
    assert_eq!(rooms(&dump), expected);
    assert_eq!(rooms(&[SMALL.to_owned(), array(0, "", 5, 60)].concat()), [(Form::Array, Some(10), 20, true)]);
}

#[test]
fn sums_up_empty_and_sparse_ones_groups_and_lengths() {
    let traced = |line: u64| format!(", \"file\":\"/app/a.rb\", \"line\":{line}, \"generation\":1");
    let dump = [
        RUBY_3_1.to_owned(),
        array(0, &traced(1), 0, 40 + 160), // 20 free
        array(1, &traced(1), 4, 40 + 160), // 16 of 20 free: sparse
        array(2, &traced(2), 5, 40 + 160), // 15 of 20 free: a quarter
        array(3, &traced(2), 1, 40 + 64),  // 7 of 8 free: too small to be sparse
        hashes("", "", &[(100, 3424)]),    // 28 of 128 free
    ]
    .concat()
    .replace("0x7f0000000000\", \"type\":\"HASH\"", "0x7f0000001000\", \"type\":\"HASH\"");
    let heap = load(&dump);
    let found = collections(&heap, None, &[Key::Location], &Filter::default(), 1, &Control::default()).unwrap();
    assert_eq!((found.arrays.count, found.arrays.wasted), (4, (20 + 16 + 15 + 7) * 8));
    assert_eq!((found.arrays.elements, found.arrays.capacity, found.arrays.filled), (10, 68, 10));
    assert_eq!((found.hashes.count, found.hashes.wasted, found.hashes.elements), (1, 28 * 24, 100));
    assert_eq!((found.empty.count, found.empty.wasted), (1, 160));
    assert_eq!((found.sparse.count, found.sparse.wasted), (1, 128));
    assert_eq!(
        found.lengths.map(|(arrays, hashes)| (arrays.count, hashes.count))[..4],
        [(1, 0), (3, 0), (0, 0), (0, 1)]
    );
    assert_eq!(found.estimated, 0);
    assert_eq!(found.groups.len(), 1);
    assert_eq!(found.groups[0].key, [KeyValue::Absent(Absent::Untraced)]);
    assert_eq!(found.groups[0].fill.wasted, 28 * 24);
    assert_eq!((found.rest.0, found.rest.1.wasted), (2, (20 + 16 + 15 + 7) * 8));
    assert_eq!(found.biggest.iter().map(|found| found.memsize).collect::<Vec<_>>(), [3424]);
    assert_eq!(found.emptiest[0].room.capacity, Some(128));
}

#[test]
fn keeps_the_biggest_of_many() {
    let mut dump = RUBY_3_1.to_owned();
    for at in 0..10_000 {
        dump += &array(at, "", 0, 40 + (at * 7919 % 10_000) * 8);
    }
    let found = collections(&load(&dump), None, &[], &Filter::default(), 3, &Control::default()).unwrap();
    let wasted: Vec<u64> = found.emptiest.iter().map(|found| found.room.wasted).collect();
    assert_eq!(wasted, [9999 * 8, 9998 * 8, 9997 * 8]);
}

/// From Ruby 4.0 on it is no hash.
#[test]
fn a_set_stands_among_the_biggest_by_what_it_refers_to() {
    let heap = load(
        r#"{"address":"0x1000", "type":"DATA", "struct":"set", "references":["0x1028", "0x1050", "0x1078"], "memsize":20560}
{"address":"0x1028", "type":"IMEMO", "imemo_type":"fields", "memsize":40}
{"address":"0x1050", "type":"STRING", "memsize":40}
{"address":"0x1078", "type":"ARRAY", "length":0, "memsize":40}
"#,
    );
    let found = collections(&heap, None, &[], &Filter::default(), 10, &Control::default()).unwrap();
    assert_eq!((found.sets, found.sets_memsize, found.set_elements), (1, 20560, 2));
    let sizes: Vec<(u64, u64)> = found.biggest.iter().map(|one| (one.memsize, one.length)).collect();
    assert_eq!(sizes, [(20560, 2), (40, 0)]);
    assert_eq!(found.arrays.count + found.hashes.count, 1);
}

/// Whether objects of a shape (its number plus 1) have instance variables.
fn has_variables(heap: &Heap, shape: u32) -> bool {
    let mut next = shape.checked_sub(1);
    while let Some(found) = next.and_then(|id| heap.shapes().iter().find(|shape| shape.id == id)) {
        if found.shape_type == "IVAR" {
            return true;
        }
        next = found.parent_id.filter(|parent| *parent != found.id);
    }
    false
}

/// Up to Ruby 3.4 an array's or hash's own instance variables are among its bytes; nothing else is to be off by a byte. Which objects have
/// some the dump tells from 3.2 on.
#[test]
fn knows_all_of_eight_dumps_but_what_has_instance_variables() {
    let dumps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let mut estimated = Vec::new();
    for entry in std::fs::read_dir(dumps).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "zst") {
            continue;
        }
        let heap = Heap::load(&Source::path(&path), &Default::default()).unwrap();
        let found = collections(&heap, None, &[], &Filter::default(), 0, &Control::default()).unwrap();
        let count = found.arrays.count + found.hashes.count;
        assert_eq!(found.forms[Form::HashUnknown as usize].count, 0, "{}", path.display());
        assert!(count > 100, "{}: {count}", path.display());
        assert!(found.filled() <= found.capacity(), "{}", path.display());
        let ruby_version = heap.totals().ruby_version;
        let mut inexact = 0;
        for id in heap.nodes().filter(|id| matches!(heap.properties(*id).ty, Type::Array | Type::Hash)) {
            let (properties, length) = (heap.properties(id), u64::from(heap.length(id).unwrap_or(0)));
            let room = room(&properties, length, heap.bytes(id), ruby_version);
            if !room.is_exact {
                inexact += 1;
                let is_told = heap.shapes().is_empty() || has_variables(&heap, properties.shape);
                assert!(is_told, "{}: 0x{:x}: {room:?}", path.display(), heap.address(id));
            }
        }
        assert_eq!(found.estimated, inexact, "{}", path.display());
        estimated.push((path.file_name().unwrap().to_string_lossy().into_owned(), inexact));
    }
    estimated.sort();
    let estimated: Vec<(&str, u64)> = estimated.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(
        estimated,
        [
            ("ruby-2.7-x86_64.json.zst", 1), // 32 bytes more than a table: three instance variables
            ("ruby-3.1-x86_64.json.zst", 0),
            ("ruby-3.2-wasm32.json.zst", 0),
            ("ruby-3.3-x86_64.json.zst", 0),
            ("ruby-3.4-native-zoo.json.zst", 6), // five of a subclass and a Hash, all with an instance variable
            ("ruby-3.4-x86_64.json.zst", 0),
            ("ruby-4.0-wasm32.json.zst", 0),
            ("ruby-4.1-native-zoo.json.zst", 0),
        ]
    );
}

impl Collections {
    fn filled(&self) -> u64 {
        self.arrays.filled + self.hashes.filled
    }

    fn capacity(&self) -> u64 {
        self.arrays.capacity + self.hashes.capacity
    }
}
