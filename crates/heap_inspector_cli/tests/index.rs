//! An answer from the index file is that without one, letter by letter: the plain one of `retained`, which stands in the file, and others.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heap_inspector::view::Format;
use heap_inspector_cli::{SUCCESS, Terminal, run};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// What the command writes.
fn answer(words: &[&str]) -> String {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&words, Terminal::default(), &mut out, &mut err, &Default::default());
    assert_eq!(code, SUCCESS, "{words:?}: {}", String::from_utf8_lossy(&err));
    String::from_utf8(out).unwrap()
}

/// Compares the answers to some words without an index file, with the one that this makes, and from it.
fn compare(folder: &Path, words: &[&str]) {
    let dump = folder.join("heap.json");
    let words = [&words[..1], &[dump.to_str().unwrap()], &words[1..]].concat();
    let expected = answer(&[&words[..], &["--no-index"]].concat());
    assert_eq!(answer(&words), expected, "{words:?}");
    assert!(folder.join("heap.json.hidx").exists());
    assert_eq!(answer(&words), expected, "{words:?}, from the index file");
}

/// As many classes as the file keeps of the plain answer, and more.
fn many_classes(count: usize) -> String {
    let mut dump = String::new();
    let addresses: Vec<String> = (1..=count).map(|at| format!("\"{:#x}\"", at * 80)).collect();
    dump += &format!("{{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[{}]}}\n", addresses.join(","));
    for (at, address) in addresses.iter().enumerate() {
        // Some retain as much as others, so that names decide.
        let (held, bytes) = ((at + 1) * 80 + 40, 40 + at % 50 * 8);
        dump += &format!("{{\"address\":{address}, \"type\":\"CLASS\", \"name\":\"Row{at}\", \"memsize\":40}}\n");
        dump += &format!(
            "{{\"address\":\"{held:#x}\", \"type\":\"OBJECT\", \"class\":{address}, \"memsize\":{bytes}, \"references\":[{address}]}}\n"
        );
    }
    let held: Vec<String> = (1..=count).map(|at| format!("\"{:#x}\"", at * 80 + 40)).collect();
    dump + &format!("{{\"type\":\"ROOT\", \"root\":\"global_tbl\", \"references\":[{}]}}\n", held.join(","))
}

fn folder(dump: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("heap.json"), dump).unwrap();
    folder
}

fn real_dumps() -> Vec<tempfile::TempDir> {
    let dumps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../heap_inspector/tests/dumps");
    let paths = fs::read_dir(dumps).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "zst"))
        .map(|path| folder(&zstd::decode_all(fs::File::open(path).unwrap()).unwrap()))
        .collect()
}

#[test]
fn what_is_retained_is_the_same_in_every_format() {
    let plain = || Format::NAMED.into_iter().filter(|(format, _)| format.fits_all());
    for dump in real_dumps() {
        let mut count = 0;
        for (_, format) in plain() {
            compare(dump.path(), &["retained", "--format", format]);
            count += 1;
        }
        assert!(count >= 3);
    }
}

#[test]
fn what_is_retained_is_the_same_by_any_option() {
    let options: [&[&str]; 10] = [
        &["--lines", "1"],
        &["--lines", "0"],
        &["--lines", "199"],
        &["--lines", "201"],
        &["--lines", "all"],
        &["--by", "class"],
        &["--by", "class", "--lines", "3"],
        &["--by", "location"],
        &["--where", "type=STRING"],
        &["--where", "class=Array", "--by", "class"],
    ];
    for dump in real_dumps() {
        for words in options {
            compare(dump.path(), &[&["retained", "--format", "json"], words].concat());
        }
    }
}

#[test]
fn rows_that_the_file_keeps_end_where_they_end() {
    for count in [60, 199, 200, 201, 450] {
        let dump = folder(many_classes(count).as_bytes());
        for lines in ["1", "20", "198", "199", "200", "201", "202", "399", "400", "401", "all"] {
            compare(dump.path(), &["retained", "--format", "json", "--lines", lines]);
            compare(dump.path(), &["retained", "--format", "json", "--by", "class", "--lines", lines]);
        }
    }
}

#[test]
fn single_objects_are_the_same() {
    for dump in real_dumps() {
        let path = dump.path().join("heap.json");
        let found: serde_json::Value =
            serde_json::from_str(&answer(&["retained", path.to_str().unwrap(), "--format", "json"])).unwrap();
        let addresses = found["holders"]["rows"].as_array().unwrap().iter().map(|row| row["address"].as_str().unwrap());
        for address in addresses.take(3) {
            compare(dump.path(), &["show", address]);
            compare(dump.path(), &["path", address]);
        }
        compare(dump.path(), &["suspects"]);
    }
}

#[test]
fn no_file_is_begun_that_may_not_become_so_large() {
    let folder = folder(many_classes(3_000).as_bytes());
    let command = env!("CARGO_BIN_EXE_heap_inspector");
    // 512 bytes: beyond them the system would end the process.
    let limited = format!("ulimit -f 1; exec '{command}' retained heap.json --format json");
    let output = std::process::Command::new("sh").args(["-c", &limited]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["heap.json"]);
    let dump = folder.path().join("heap.json");
    let whole = answer(&["retained", dump.to_str().unwrap(), "--format", "json"]);
    let relative = whole.replace(dump.to_str().unwrap(), "heap.json");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), relative);
    assert!(folder.path().join("heap.json.hidx").exists());
}
