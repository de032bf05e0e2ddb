//! A heap file says what the lines of the same heap say, whole, cut and damaged.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod written;

use heap_inspector::ErrorKind;
use heap_inspector::control::Control;
use heap_inspector::diagnostics::WarningKind;
use heap_inspector::export::{self, FileFormat, export};
use heap_inspector::heap::Heap;
use heap_inspector::snapshot::{Index, Named, Snapshot};
use heap_inspector::source::{Converted, Source, convert};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use written::heap_file;

fn dumps() -> impl Iterator<Item = PathBuf> {
    let mut dumps: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dumps"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "zst")) // index files may lie beside them
        .collect();
    dumps.sort();
    assert!(dumps.len() >= 8);
    dumps.into_iter()
}

fn lines(source: &Source) -> Vec<u8> {
    let mut blocks = source.open().unwrap();
    let mut lines = Vec::new();
    while let Some(block) = blocks.next(Vec::new()).unwrap() {
        assert_eq!(block.offset, lines.len() as u64);
        lines.extend(block.bytes);
    }
    lines
}

fn saved(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// All that a heap says, as text.
fn told(heap: &Heap) -> String {
    let mut told = format!("{:?} {:?} {:?} {:?}\n", heap.totals(), heap.roots(), heap.shapes(), heap.pages());
    for id in heap.nodes() {
        let references: Vec<_> = heap.references(id).collect();
        told += &format!(
            "{:x} {} {:?} {:?} {:?} {references:?} {:?}\n",
            heap.address(id),
            heap.bytes(id),
            heap.properties(id),
            heap.length(id),
            heap.class(id),
            heap.names().class_name(heap.address(id))
        );
    }
    told
}

fn load(source: &Source) -> Heap {
    // One thread numbers names in the order of the file.
    let control = Control { threads: 1, ..Control::default() };
    Heap::load(source, &control.into()).unwrap()
}

#[test]
fn says_what_the_lines_of_each_real_dump_say() {
    for path in dumps() {
        let plain = lines(&Source::path(&path));
        let file = saved(&heap_file(&plain));
        let source = Source::path(file.path());
        assert!(lines(&source) == plain, "{}", path.display());
        let (of_lines, of_file) = (load(&Source::path(&path)), load(&source));
        assert_eq!(of_file.diagnostics().warnings.len(), of_lines.diagnostics().warnings.len(), "{}", path.display());
        assert!(told(&of_file) == told(&of_lines), "{}", path.display());
        let ids: Vec<_> = of_file.nodes().step_by(97).collect();
        let read = |heap: &Heap, source: &Source| {
            let mut lines = Vec::new();
            heap.records(source, &ids, |_, _, line| {
                lines.push(line.to_vec());
                Ok(())
            })
            .unwrap();
            lines
        };
        assert!(read(&of_file, &source) == read(&of_lines, &Source::path(&path)), "{}", path.display());
    }
}

#[test]
fn is_smaller_than_the_same_lines_packed() {
    for path in dumps() {
        let plain = lines(&Source::path(&path));
        let packed = zstd::encode_all(&plain[..], 3).unwrap().len();
        let file = heap_file(&plain).len();
        assert!(file < packed * 2 / 3, "{}: {file} bytes, packed lines {packed}", path.display());
    }
}

#[test]
fn is_read_from_a_pipe_and_packed_again() {
    let path = dumps().nth(1).unwrap();
    let plain = lines(&Source::path(&path));
    let file = heap_file(&plain);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&file).unwrap();
        encoder.finish().unwrap()
    };
    for bytes in [file, gzip] {
        let source = Source::reader(std::io::Cursor::new(bytes), "-").spooled();
        let heap = load(&source);
        assert_eq!(told(&heap), told(&load(&Source::path(&path))));
        assert!(heap.diagnostics().warnings.is_empty());
        assert_eq!(lines(&source), plain);
    }
}

#[test]
fn cut_anywhere_it_says_so_and_what_is_whole_is_read() {
    let plain = lines(&Source::path(dumps().nth(3).unwrap()));
    let file = heap_file(&plain);
    let whole = load(&Source::reader(std::io::Cursor::new(file.clone()), "whole")).object_count();
    let mut counts = Vec::new();
    for part in 1..40 {
        let cut = file.len() * part / 40;
        let source = Source::reader(std::io::Cursor::new(file[..cut].to_vec()), "cut");
        match Heap::load(&source, &Default::default()) {
            Ok(heap) => {
                assert!(heap.diagnostics().truncated);
                let warning = heap.diagnostics().warnings.iter().find(|warning| warning.kind == WarningKind::Truncated);
                assert!(warning.unwrap().message.contains("the heap file is not whole: it ends"));
                counts.push(heap.object_count());
            }
            Err(error) => assert!(error.to_string().contains("before the first record"), "{error}"),
        }
    }
    assert!(counts.is_sorted() && counts.iter().all(|count| *count < whole));
    let without_end = Source::reader(std::io::Cursor::new(file[..file.len() - 32].to_vec()), "cut");
    let heap = load(&without_end);
    assert_eq!(heap.object_count(), whole);
    assert!(heap.diagnostics().truncated);
}

#[test]
fn a_damaged_block_is_lost_alone() {
    let mut plain = Vec::new();
    for number in 1..40_000u64 {
        plain.extend(
            format!("{{\"address\":\"0x{:x}\", \"type\":\"OBJECT\", \"memsize\":40}}\n", number * 40).into_bytes(),
        );
    }
    let mut file = heap_file(&plain);
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let heap = load(&Source::reader(std::io::Cursor::new(file), "damaged"));
    assert_eq!(heap.object_count(), 39_999 - (1 << 14));
    let warnings = &heap.diagnostics().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].kind, WarningKind::Lost);
    assert_eq!(warnings[0].message, "block 2 is damaged (its checksum is wrong); its 16384 records are missing");
    assert_eq!(heap.diagnostics().lost, 1 << 14);
}

#[test]
fn another_version_is_refused() {
    let mut file = heap_file(b"{\"address\":\"0x8\", \"type\":\"OBJECT\", \"memsize\":40}\n");
    file[8] = 2;
    let error = Heap::load(&Source::reader(std::io::Cursor::new(file), "newer"), &Default::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert_eq!(
        error.to_string(),
        "the heap file is of version 2, and this heap_inspector reads version 1; read it with a newer one"
    );
}

#[test]
fn becomes_lines_and_says_what_is_missing() {
    let plain = lines(&Source::path(dumps().next().unwrap()));
    let file = heap_file(&plain);
    let converted = |bytes: &[u8]| {
        let mut out = Vec::new();
        let source = Source::reader(std::io::Cursor::new(bytes.to_vec()), "app.heap");
        (convert(&source, &mut out, "out", None), out)
    };
    let (whole, out) = converted(&file);
    assert!(out == plain);
    let count = plain.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(whole.unwrap(), Converted { records: count, bytes: plain.len() as u64, damage: None });
    let (cut, out) = converted(&file[..file.len() - 100]);
    assert!(plain.starts_with(&out) && out.ends_with(b"}\n"));
    assert!(cut.unwrap().damage.unwrap().starts_with("the heap file is not whole: it ends inside of block"));
    assert_eq!(
        converted(&plain).0.unwrap_err().to_string(),
        "app.heap is not a heap file; there is nothing to convert"
    );
    let (nothing, _) = converted(&file[..40]);
    assert!(nothing.unwrap_err().to_string().ends_with("no record of it can be read"));
}

#[test]
fn lines_that_stand_in_it_as_they_are_need_not_be_records() {
    let plain = b"{\"address\":\"0x8\", \"type\":\"OBJECT\", \"memsize\":40}\nno record\n{\"type\":\"ROOT\",  \"root\":\"vm\"}\n";
    let heap = load(&Source::reader(std::io::Cursor::new(heap_file(plain)), "lines"));
    assert_eq!((heap.object_count(), heap.roots().len()), (1, 1));
    assert_eq!(heap.diagnostics().lost, 1);
}

/// The bytes of the file that is made of a dump.
fn exported(dump: Vec<u8>, format: FileFormat, confidential: bool) -> Vec<u8> {
    let source = Source::reader(std::io::Cursor::new(dump), "app.heap");
    let snapshot = Snapshot::load(source, Index::Ignored, &Control::default().into()).unwrap();
    let tables = (format == FileFormat::Parquet).then(|| "edges".parse().unwrap());
    let options = export::Options { format, confidential, tables, ..export::Options::default() };
    let folder = tempfile::tempdir().unwrap();
    let made = std::cell::RefCell::new(Vec::new());
    let save =
        |_: &Path, fill: &mut dyn FnMut(&mut dyn Write) -> heap_inspector::Result<()>| fill(&mut *made.borrow_mut());
    export(
        &[Named { name: "app", snapshot: &snapshot }],
        &options,
        &folder.path().join("out"),
        &save,
        &Control::default(),
    )
    .unwrap();
    made.into_inner()
}

fn has(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn exports_call_references_what_the_dump_calls_them_of_lines_and_columns() {
    let plain = br#"{"type":"ROOT", "root":"heap_inspector", "value":"{\"version\":2,\"dumper\":\"native\"}", "references":[]}
{"type":"ROOT", "root":"vm", "references":["0x1000"]}
{"address":"0x1000", "type":"CLASS", "name":"Catalog", "references":["0x1028"], "names":["LISTENERS"], "memsize":40}
{"address":"0x1028", "type":"HASH", "length":2, "references":["0x1050", "0x1050"], "names":["[:key]","[\"card 4111\"]"], "memsize":40}
{"address":"0x1050", "type":"OBJECT", "references":["0x1028", "0x1028"], "names":[0,"@session"], "memsize":40}
"#;
    for format in [FileFormat::Parquet, FileFormat::HeapSnapshot] {
        for confidential in [false, true] {
            let of_lines = exported(plain.to_vec(), format, confidential);
            assert!(of_lines == exported(heap_file(plain), format, confidential), "{format:?}");
            if format == FileFormat::HeapSnapshot {
                let told = ["LISTENERS", "[:key]", "@session"].map(|name| has(&of_lines, name));
                assert_eq!(told, [true; 3]);
                assert_eq!(has(&of_lines, "card 4111"), !confidential, "a key that is a text");
            }
        }
    }
}
