//! Parts of any size make the rows that a plain loop over the heap makes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::scan;
use crate::snapshot::{Index, Snapshot};
use crate::source::Source;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};

fn dump(name: &str) -> Snapshot {
    let path = format!("{}/tests/dumps/{name}.json.zst", env!("CARGO_MANIFEST_DIR"));
    Snapshot::load(Source::path(path), Index::Ignored, &scan::Options::default()).unwrap()
}

/// The rows of a file of these parts.
fn rows(snapshot: &Snapshot, table: &'static Table, parts: &[Part]) -> Vec<Row> {
    let (named, control, path) = (Named { name: "x", snapshot }, Control::default(), Path::new("x.parquet"));
    let written = WrittenNames::read(snapshot.heap(), &snapshot.source().again(), &control).unwrap();
    let mut bytes = Vec::new();
    let mut out = Writer::new(table, path, &mut bytes).unwrap();
    let mut maker = Maker::new(&named, written.as_ref(), &Voted::default(), path, &control).unwrap();
    parts.iter().for_each(|part| out.group(maker.make(part).unwrap()).unwrap());
    let count = out.finish().unwrap();
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let rows: Vec<Row> = file.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len() as u64, count);
    rows
}

#[test]
fn references_are_those_of_the_heap_wherever_parts_end() {
    for name in ["ruby-3.1-x86_64", "ruby-3.4-x86_64"] {
        let snapshot = dump(name);
        let heap = snapshot.heap();
        let labels = Labels::new(heap);
        let mut expected: Vec<(u64, u64, Option<String>)> = Vec::new();
        for id in heap.nodes() {
            for (place, target) in heap.references(id).enumerate() {
                let name = Some(labels.reference(id, place).to_string()).filter(|name| !name.is_empty());
                expected.extend(target.node().map(|to| (heap.address(id), heap.address(to), name)));
            }
            expected.extend(heap.class(id).map(|of| (heap.address(id), heap.address(of), Some("class".to_owned()))));
        }
        let longest = heap.nodes().map(|id| heap.references(id).len()).max().unwrap();
        assert!(longest > 300 && expected.len() > 10_000, "{longest} {}", expected.len());
        for most in [97, 1000, GROUP] {
            let parts = edge_parts(heap, heap.nodes().len() as u32, most);
            assert!(parts.len() >= expected.len() / most, "{}", parts.len());
            let found: Vec<(u64, u64, Option<String>)> = rows(&snapshot, &EDGES, &parts)
                .iter()
                .map(|row| {
                    let address = |at: usize| row.get_long(at).unwrap().cast_unsigned();
                    (address(0), address(1), row.get_string(2).ok().cloned())
                })
                .collect();
            assert!(found == expected, "{name}, {most}: {} rows, not {}", found.len(), expected.len());
        }
    }
}

#[test]
fn no_part_has_more_references_than_are_asked_for() {
    let snapshot = dump("ruby-3.4-x86_64");
    let heap = snapshot.heap();
    for most in [1, 2, 50] {
        for part in edge_parts(heap, 3000.min(heap.nodes().len() as u32), most) {
            let Part::Edges([begin, end]) = part else { panic!("{part:?}") };
            let all: usize = (begin.0..end.0).map(|id| heap.references(NodeId(id)).len() + 1).sum();
            assert!((1..=most).contains(&(all + end.1 - begin.1)), "{begin:?} {end:?}");
        }
    }
}

#[test]
fn objects_are_those_of_the_heap_wherever_parts_end() {
    for name in ["ruby-3.1-x86_64", "ruby-3.4-x86_64"] {
        let snapshot = dump(name);
        let (heap, tree) = (snapshot.heap(), snapshot.tree(&Control::default()).unwrap());
        let mut values = Values::new(heap.names());
        let newest = heap.newest_generation();
        let count = heap.nodes().len() as u32;
        let parts: Vec<Part> = (0..count).step_by(700).map(|at| Part::Objects(at..count.min(at + 700))).collect();
        let rows = rows(&snapshot, &OBJECTS, &parts);
        assert_eq!(rows.len(), heap.nodes().len());
        for (id, row) in heap.nodes().zip(&rows) {
            let properties = heap.properties(id);
            // The words for none are no site.
            let site = match values.value(Key::Location, &properties) {
                text @ keys::Value::Text(_) => values.outside(text).words().map(str::to_owned),
                _ => None,
            };
            let mut text = |key: Key| {
                let value = values.value(key, &properties);
                values.outside(value).words().map(str::to_owned)
            };
            let number = |name: &str| row.get_long(OBJECTS.place(name).unwrap()).ok();
            let told = |name: &str| row.get_string(OBJECTS.place(name).unwrap()).ok().cloned();
            let generation = properties.generation.checked_sub(1);
            let is_reachable = tree.is_reachable(id);
            let dominator = match tree.dominator(id) {
                Dominator::Node(by) => Some(heap.address(by).cast_signed()),
                _ => None,
            };
            assert_eq!(number("address"), Some(heap.address(id).cast_signed()));
            assert_eq!((told("type"), told("class")), (text(Key::Type), text(Key::Class)));
            assert_eq!(told("site"), site);
            assert_eq!(number("memsize"), Some(heap.bytes(id) as i64));
            assert_eq!(number("retained"), is_reachable.then(|| tree.retained(id) as i64));
            assert_eq!(number("length"), heap.length(id).map(i64::from));
            assert_eq!(number("generation"), generation.map(i64::from));
            assert_eq!(number("age"), generation.map(|_| i64::from(newest - properties.generation)));
            assert_eq!(number("stack"), heap.stack(id).is_some().then(|| i64::from(heap.stack(id).0)));
            assert_eq!(number("dominator"), dominator);
            assert_eq!(row.get_bool(OBJECTS.place("reachable").unwrap()).ok(), Some(is_reachable));
            let flags = told("flags").unwrap();
            let set: Vec<&str> = flags.split(',').filter(|name| !name.is_empty()).collect();
            assert!(
                Flags::NAMED.iter().all(|(flag, name)| properties.flags.has(*flag) == set.contains(name)),
                "{flags}"
            );
        }
    }
}

/// A dump that names what it holds, and no row with a word where it does.
#[test]
fn references_are_called_what_the_dump_calls_them() {
    let lines = [
        r#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}"#,
        r#"{"address":"0x1000", "type":"CLASS", "name":"Catalog", "references":["0x1028"], "names":["LISTENERS"], "memsize":40}"#,
        r#"{"address":"0x1028", "type":"ARRAY", "length":1, "references":["0x1050"], "memsize":40}"#,
        r#"{"address":"0x1050", "type":"OBJECT", "class":"0x1000", "references":["0x1078"], "names":["@session"], "memsize":40}"#,
        r#"{"address":"0x1078", "type":"HASH", "length":2, "references":["0x10a0", "0x10c8", "0x10c8"], "names":["(key)","[\"card\"]","[:key]"], "memsize":40}"#,
        r#"{"address":"0x10a0", "type":"STRING", "value":"card", "memsize":40}"#,
        r#"{"address":"0x10c8", "type":"IMEMO", "imemo_type":"env", "references":["0x1050", "0x1028"], "names":["request",0], "memsize":40}"#,
    ];
    let source = Source::reader(std::io::Cursor::new(lines.join("\n")), "memory");
    let snapshot = Snapshot::load(source, Index::Ignored, &scan::Options::default()).unwrap();
    let parts = edge_parts(snapshot.heap(), snapshot.heap().nodes().len() as u32, 2);
    let found = rows(&snapshot, &EDGES, &parts);
    let names: Vec<&str> = found.iter().map(|row| row.get_string(2).map_or("", |name| name)).collect();
    let expected = [
        "::LISTENERS",
        "[0]",
        "@session",
        "class",
        "key",
        "[\"card\"]",
        "[:key]",
        "local variable request",
        "local variable or self",
    ];
    assert_eq!(names, expected);
}
