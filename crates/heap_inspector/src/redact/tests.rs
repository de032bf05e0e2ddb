#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::analysis::{Order, strings};
use crate::heap::Heap;
use crate::scan;
use proptest::prelude::*;
use std::collections::HashSet;
use std::io::Cursor;

fn redacted(dump: &str) -> (String, Redacted) {
    let mut out = Vec::new();
    let sum = redact(&Source::reader(Cursor::new(dump.to_owned()), "test"), &mut out, "out", None).unwrap();
    (String::from_utf8(out).unwrap(), sum)
}

fn string(address: u64, value: &str) -> String {
    let (bytes, value) = (value.len(), serde_json::to_string(value).unwrap());
    format!(
        "{{\"address\":\"{address:#x}\", \"type\":\"STRING\", \"bytesize\":{bytes}, \"value\":{value}, \
         \"encoding\":\"UTF-8\", \"memsize\":40}}\n"
    )
}

fn values(dump: &str) -> Vec<String> {
    let lines = dump.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["type"] != "ROOT").filter_map(|line| line["value"].as_str().map(str::to_owned)).collect()
}

#[test]
fn no_secret_survives_and_names_do() {
    let dump = concat!(
        "{\"type\":\"ROOT\", \"root\":\"vm\", \"references\":[\"0x28\"]}\n",
        "{\"address\":\"0x28\", \"type\":\"STRING\", \"value\":\"s3cret-token\", \"memsize\":40}\n",
        "{\"address\":\"0x50\", \"type\":\"FLOAT\", \"value\":\"31415.9\", \"memsize\":40}\n",
        "{\"address\":\"0x78\", \"type\":\"SYMBOL\", \"value\":\"kept_symbol\", \"memsize\":40}\n",
        "{\"address\":\"0xa0\", \"type\":\"CLASS\", \"name\":\"KeptClass\", \"file\":\"kept.rb\", \"line\":3, \"method\":\"kept\"}\n",
        // A newer Ruby's type, another program's spacing, a name that Ruby does not escape, two values, a key in a name.
        "{\"address\":\"0xc8\", \"type\":\"NOVEL\", \"value\":\"s3cret-novel\", \"memsize\":40}\n",
        "{ \"type\" : \"STRING\", \"address\" : \"0xf0\", \"value\" : \"s3cret-spaced\" }\n",
        "{\"address\":\"0x118\", \"type\":\"STRING\", \"value\":\"s3cret-quote\", \"file\":\"a\"b.rb\", \"line\":1, \"memsize\":40}\n",
        "{\"address\":\"0x140\", \"type\":\"STRING\", \"value\":\"s3cret-one\", \"value\":\"s3cret-two\", \"memsize\":40}\n",
        "{\"address\":\"0x168\", \"type\":\"STRING\", \"value\":\"\\\"value\\\":\\\"s3cret-inside\", \"memsize\":40}\n",
        "{\"address\":\"0x190\", \"type\":\"STRING\", \"value\":\"s3cret-cut",
    );
    let (out, sum) = redacted(dump);
    assert!(!out.contains("s3cret"), "{out}");
    assert!(!out.contains("31415"), "{out}");
    for kept in ["kept_symbol", "KeptClass", "kept.rb", "\"kept\"", "\"references\":[\"0x28\"]"] {
        assert!(out.contains(kept), "{kept}: {out}");
    }
    assert_eq!(sum, Redacted { records: 10, values: 7, lost: 1, truncated: true }, "{out}");
    assert_eq!(out.lines().count(), 11, "one is ours");
}

#[test]
fn the_line_that_tells_how_the_dump_was_taken_says_that_it_is_redacted() {
    let line = "{\"type\":\"ROOT\", \"root\":\"heap_inspector\", \"value\":\"{\\\"pid\\\":42}\", \"references\":[]}\n";
    let told = line.replace("42", "42,\\\"redacted\\\":true");
    assert_eq!(redacted(line).0, told);
    assert_eq!(redacted(&told.replace("true", "false")).0, told);
    let left = line.replace("42", r#"42,\"uncollected\":[{\"reason\":\"the secret\",\"count\":3}, 7]"#);
    let copy = redacted(&left).0;
    assert!(!copy.contains("secret") && copy.contains(r#"\"count\":3"#), "{copy}");
    let plain = string(0x28, "a secret");
    let copy = redacted(&plain).0;
    let heap = Heap::load(&Source::reader(Cursor::new(copy), "test"), &scan::Options::default()).unwrap();
    assert!(heap.totals().is_redacted());
    assert_eq!(heap.object_count(), 1);
    // One that cannot be read is left out: a secret may be in it.
    let broken = line.replace("42", "s3cret");
    assert_eq!(redacted(&(broken + &plain)).1, Redacted { records: 1, values: 1, lost: 1, truncated: false });
    let posing = line.replace("heap_inspector", "vm");
    assert!(!redacted(&posing).0.contains("42"));
}

#[test]
fn each_dump_gets_a_key_of_its_own() {
    let dump = string(0x28, "the same in every dump");
    assert_ne!(redacted(&dump).0, redacted(&dump).0);
}

#[test]
fn what_is_no_dump_is_refused() {
    let error =
        redact(&Source::reader(Cursor::new("secret\n".repeat(3)), "test"), &mut Vec::new(), "out", None).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Format);
}

#[test]
fn short_values_are_permuted() {
    for (first, radix) in [(b' ', 95_u8), (0, 128)] {
        let letters = || (0..radix).map(|digit| first + digit);
        let one: Vec<Vec<u8>> = letters().map(|a| vec![a]).collect();
        let two: Vec<Vec<u8>> = letters().flat_map(|a| letters().map(move |b| vec![a, b])).collect();
        for texts in [one, two] {
            let key = Key::random().unwrap();
            let becomes = |text: &Vec<u8>| {
                let mut out = Vec::from(*b"\"");
                key.replace(text, &mut out);
                out.push(b'"');
                serde_json::from_slice::<String>(&out).unwrap()
            };
            let images: HashSet<String> = texts.iter().map(becomes).collect();
            assert_eq!(images.len(), texts.len());
            assert!(images.iter().all(|image| image.len() == texts[0].len()));
            assert!(texts.iter().filter(|text| becomes(text).as_bytes() == &text[..]).count() < texts.len() / 4);
        }
    }
}

/// The real dumps: everything but the texts is counted as before.
#[test]
fn a_redacted_dump_is_counted_like_its_origin() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let mut dumps = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "zst") {
            continue;
        }
        dumps += 1;
        let origin = Source::path(&path);
        let mut out = Vec::new();
        let sum = redact(&origin, &mut out, "out", None).unwrap();
        let redacted = Source::reader(Cursor::new(out), "redacted").spooled();
        let options = scan::Options::default();
        let (before, after) = (Heap::load(&origin, &options).unwrap(), Heap::load(&redacted, &options).unwrap());
        assert_eq!(before.object_count(), after.object_count());
        assert_eq!(before.memsize(), after.memsize());
        assert_eq!(after.diagnostics().lost, 0);
        assert_eq!(sum.lost, 0);
        let texts = |source: &Source| {
            let (found, _) =
                strings::read(source, &crate::select::Filter::default(), Order::Count, usize::MAX, &options).unwrap();
            let mut rows: Vec<(u64, u64)> = found.duplicates.iter().map(|row| (row.count, row.bytesize)).collect();
            rows.sort_unstable();
            rows
        };
        let rows = texts(&origin);
        assert!(!rows.is_empty());
        assert_eq!(rows, texts(&redacted), "{}", path.display());
    }
    assert_eq!(dumps, 8);
}

proptest! {
    #[test]
    fn length_and_equality_survive(texts in prop::collection::vec("[ -~]{0,30}|[\\x00-\\x7f]{0,12}|\\PC{0,5}", 1..40)) {
        let dump: String = texts.iter().enumerate().map(|(at, text)| string(0x28 * (at as u64 + 1), text)).collect();
        let (out, sum) = redacted(&dump);
        let images = values(&out);
        prop_assert_eq!(sum.values as usize, texts.len());
        for (text, image) in texts.iter().zip(&images) {
            prop_assert_eq!(text.len(), image.len());
            for (other, other_image) in texts.iter().zip(&images) {
                prop_assert_eq!(text == other, image == other_image);
            }
        }
    }
}

#[test]
fn leaves_out_keys_of_hashes_that_are_texts() {
    let line = r#"{"address":"0x1", "type":"HASH", "references":["0x2", "0x3", "0x4"], "names":["(key)","[\"secret\"]","[:symbol]"], "memsize":40}"#;
    let expected = line.replace(r#""[\"secret\"]""#, r#""(value)""#);
    assert_eq!(redacted(line).0.lines().nth(1), Some(&*expected), "behind the line that is ours");
    // A second list would hide the first.
    let twice = line.replace(r#", "memsize""#, r#", "names":[0], "memsize""#);
    assert!(!redacted(&twice).0.contains("secret"));
}
