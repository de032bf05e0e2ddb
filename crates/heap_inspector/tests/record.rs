//! The record scanner against its slow twin: serde_json's tree.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod twin;

use heap_inspector::record::repair::{Repair, repair};
use heap_inspector::record::scan::Scanner;
use heap_inspector::record::{Flags, Record, Type};
use proptest::prelude::*;
use twin::{Plain, plain, twin};

/// What the scanner makes of a line by itself.
fn scanned(line: &[u8]) -> Option<Plain> {
    let (mut record, mut references) = (Record::default(), Vec::new());
    let scanned = Scanner::default().scan(line, &mut record, &mut references)?;
    (scanned.bytes == line.len()).then(|| plain(&record, &references))
}

/// What the scanner makes of a line with the help of repair.
fn read(line: &[u8]) -> Option<Plain> {
    scanned(line).or_else(|| match repair(line) {
        Repair::Normalized(line) | Repair::Repaired(line) => scanned(&line),
        Repair::Lost(_) => None,
    })
}

/// Texts that could fool a scanner: they look like the end of a text, like keys, like records.
fn text() -> impl Strategy<Value = String> {
    let tricky = prop::sample::select(vec![
        "\"references\":[",
        "\", \"type\":\"ROOT\"",
        "\\",
        "\\\"",
        "\"}\n{\"address\":\"0x1\"",
        "\u{1b}[31m",
        "\u{2028}é😀",
        "\u{0}\t\r\n",
        "{}[],:",
        "a b",
    ]);
    prop::collection::vec(prop_oneof![tricky.prop_map(str::to_owned), any::<String>()], 0..4)
        .prop_map(|parts| parts.concat())
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        (0x7f00_0000_0000u64..0x7fff_ffff_ffff).prop_map(|address| format!("0x{address:x}")),
        any::<u64>().prop_map(|address| format!("0x{address:x}")),
        any::<u32>().prop_map(|address| format!("0x{address:x}")),
        Just("0x".to_owned()),
    ]
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A member as Ruby prints it: key, colon, value.
fn member() -> impl Strategy<Value = (String, String)> {
    let texts = [
        "value",
        "encoding",
        "coderange",
        "name",
        "real_class_name",
        "struct",
        "imemo_type",
        "file",
        "method",
        "edge_name",
        "block",
        "waits_in",
        "novel",
    ];
    let numbers = ["bytesize", "capacity", "length", "size", "ivars", "memsize", "depth", "variation_count"];
    let smalls = ["shape_id", "slot_size", "line", "generation", "stack", "id", "parent_id"];
    let bits: Vec<&str> = Flags::NAMED
        .iter()
        .filter(|(bit, _)| Flags::OWN.has(*bit))
        .map(|(_, key)| *key)
        .chain(["too_complex_shape"])
        .collect();
    let types: Vec<&str> = Type::NAMED.iter().map(|(_, name)| *name).chain(["FANCY"]).collect();
    prop_oneof![
        (prop::sample::select(texts.to_vec()), text()).prop_map(|(key, text)| (key.to_owned(), quoted(&text))),
        (prop::sample::select(numbers.to_vec()), any::<u64>())
            .prop_map(|(key, number)| (key.to_owned(), number.to_string())),
        (prop::sample::select(smalls.to_vec()), any::<u32>())
            .prop_map(|(key, number)| (key.to_owned(), number.to_string())),
        any::<i64>().prop_map(|fd| ("fd".to_owned(), fd.to_string())),
        prop::sample::select(bits).prop_map(|key| (key.to_owned(), "true".to_owned())),
        prop::sample::select(types).prop_map(|name| ("type".to_owned(), quoted(name))),
        (prop::sample::select(vec!["address", "class", "superclass", "default", "receiver_class"]), address())
            .prop_map(|(key, address)| (key.to_owned(), quoted(&address))),
        prop::collection::vec(address(), 0..5).prop_map(|list| {
            let list: Vec<String> = list.iter().map(|address| quoted(address)).collect();
            ("references".to_owned(), format!("[{}]", list.join(", ")))
        }),
        (
            prop::collection::vec(prop::sample::select(vec!["old", "marked", "wb_protected", "pinned", "novel"]), 0..4),
            any::<Option<u8>>()
        )
            .prop_map(|(mut keys, age)| {
                keys.sort_unstable();
                keys.dedup();
                let keys = keys.iter().map(|key| format!("\"{key}\":true"));
                let all: Vec<String> = keys.chain(age.map(|age| format!("\"age\":{age}"))).collect();
                ("flags".to_owned(), format!("{{{}}}", all.join(", ")))
            }),
        prop::collection::vec(prop::option::of(text()), 0..5).prop_map(|list| {
            let list: Vec<String> =
                list.iter().map(|name| name.as_ref().map_or("0".to_owned(), |name| quoted(name))).collect();
            ("names".to_owned(), format!("[{}]", list.join(",")))
        }),
        Just(("novel_tree".to_owned(), r#"{"a":[1, {"b":"}]\""}], "c":null}"#.to_owned())),
    ]
}

/// Members in any order, each key once (JSON leaves open what a repeated key means). `size` and `length` are one to us.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(member(), 1..14).prop_map(|members| {
        let mut seen = std::collections::HashSet::new();
        members
            .into_iter()
            .filter(|(key, _)| seen.insert(if key == "size" { "length".to_owned() } else { key.clone() }))
            .collect()
    })
}

fn line(members: &[(String, String)], colon: &str, comma: &str) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
    format!("{{{}}}", members.join(comma))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scans_what_ruby_writes_as_serde_json_does(members in members()) {
        let line = line(&members, ":", ", ");
        let expected = twin(line.as_bytes()).expect("a valid line");
        prop_assert_eq!(scanned(line.as_bytes()), Some(expected), "{}", line);
    }

    #[test]
    fn reads_other_dress_as_serde_json_does(members in members(), colon in " {0,2}:[ \t]{0,2}", comma in " ?, {0,3}") {
        let line = line(&members, &colon, &comma);
        let expected = twin(line.as_bytes()).expect("a valid line");
        prop_assume!(expected != twin(b"{}").expect("a valid line"));
        prop_assert_eq!(read(line.as_bytes()), Some(expected), "{}", line);
    }

    #[test]
    fn never_reads_a_cut_line(mut members in members(), cut in any::<prop::sample::Index>()) {
        // A text with a closing brace may be cut into what looks like a whole record.
        members.retain(|(key, value)| key == "flags" || !value.contains('}'));
        let line = line(&members, ":", ", ");
        let cut = cut.index(line.len());
        prop_assert_eq!(read(&line.as_bytes()[..cut]), None, "{}", &line.as_bytes()[..cut].escape_ascii());
    }

    #[test]
    fn never_fails_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn keeps_to_serde_json_where_a_byte_is_changed(members in members(), at in any::<prop::sample::Index>(), byte in 0x20u8..0x7f) {
        let mut line = line(&members, ":", ", ").into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        // A repeated key is the one thing on which the two may differ.
        if let (Some(expected), Some(found)) = (twin(&line), scanned(&line)) && !repeats_a_key(&line) {
            prop_assert_eq!(found, expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn mends_unescaped_file_names(path in r#"[a-z"\\/ ,:{}]{0,20}"#) {
        // A name that holds what looks like another key with its value cannot be told from one.
        prop_assume!(!path.contains("\":"));
        let line = format!(r#"{{"address":"0x7f56a7c5d0f0", "type":"OBJECT", "file":"{path}", "line":3, "generation":7, "memsize":40}}"#);
        let found = read(line.as_bytes());
        // What happens to be valid JSON is read as such.
        let expected = twin(line.as_bytes()).map_or(path.into_bytes(), |plain| plain.texts[8].clone().unwrap());
        let found = found.expect(&line);
        prop_assert_eq!(found.texts[8].as_deref(), Some(&expected[..]), "{}", line);
        prop_assert_eq!(found.memsize, 40);
    }
}

fn repeats_a_key(line: &[u8]) -> bool {
    struct Keys(bool);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut seen = std::collections::HashSet::new();
                    let mut repeated = false;
                    while let Some(key) = map.next_key::<String>()? {
                        map.next_value::<serde::de::IgnoredAny>()?;
                        repeated |= !seen.insert(match &key[..] {
                            "size" => "length".to_owned(),
                            "too_complex_shape" => "complex_shape".to_owned(),
                            _ => key,
                        });
                    }
                    Ok(Keys(repeated))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_slice::<Keys>(line).is_ok_and(|keys| keys.0)
}

#[test]
fn a_value_fools_nobody() {
    let line = br#"{"address":"0x1", "type":"STRING", "value":"\"references\":[\"0x2\"], \"type\":\"ROOT\"}\\", "memsize":40}"#;
    let found = scanned(line).unwrap();
    assert_eq!(found.ty, Type::String);
    assert!(found.references.is_empty());
    assert_eq!(found.texts[0].as_deref(), Some(&br#""references":["0x2"], "type":"ROOT"}\"#[..]));
}

#[test]
fn invalid_utf8_is_data() {
    let line = b"{\"address\":\"0x1\", \"type\":\"STRING\", \"value\":\"\xff\xfe\", \"memsize\":40}";
    assert_eq!(scanned(line).unwrap().texts[0].as_deref(), Some(&b"\xff\xfe"[..]));
}

#[test]
fn an_address_of_other_bytes_is_refused() {
    // Found by fuzzing: a byte above 127 overflowed the sums that tell digits.
    let line = b"{\"address\":\"0x\x90f7f2ac00050\", \"type\":\"SHAPE\", \"id\":2}";
    assert_eq!(scanned(line), None);
}

#[test]
fn a_file_name_may_hold_a_newline() {
    let line =
        b"{\"address\":\"0x1\", \"type\":\"STRING\", \"file\":\"a\nb.rb\", \"line\":2, \"memsize\":40}\n{\"address\"";
    let (mut record, mut references) = (Record::default(), Vec::new());
    let scanned = Scanner::default().scan(line, &mut record, &mut references).unwrap();
    assert_eq!((scanned.newlines, scanned.bytes), (2, line.len() - 10));
    assert_eq!(record.file.unwrap().raw, b"a\nb.rb");
}

#[test]
fn a_file_name_that_looks_like_an_unknown_key_is_repaired() {
    let line = br#"{"address":"0x1", "type":"OBJECT", "file":"","":"\}", "line":3, "memsize":40}"#;
    let found = read(line).expect("it can be repaired");
    assert_eq!(found.texts[8].as_deref(), Some(&br#"","":"\}"#[..]));
    let unknown = br#"{"address":"0x1", "type":"OBJECT", "new":"\u0041\"", "memsize":40}"#;
    assert_eq!(read(unknown).expect("it is JSON").memsize, 40);
}

#[test]
fn a_truncated_file_name_does_not_take_in_the_next_record() {
    let line = b"{\"address\":\"0x1\", \"type\":\"STRING\", \"file\":\"a\n{\"address\":\"0x2\", \"type\":\"STRING\", \"memsize\":40}\n";
    let (mut record, mut references) = (Record::default(), Vec::new());
    assert_eq!(Scanner::default().scan(line, &mut record, &mut references), None);
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    for line in [
        r#"{"address":"0x1", "type":"STRING", "memsize":18446744073709551616}"#,
        r#"{"address":"0x1", "type":"STRING", "generation":4294967296}"#,
        r#"{"address":"0x11111111111111111", "type":"STRING"}"#,
        r#"{"address":"0x1", "type":"STRING", "memsize":-1}"#,
        r#"{"address":"0x1", "type":"STRING", "memsize":1.5}"#,
        r#"{"address":1, "type":"STRING"}"#,
    ] {
        assert_eq!(read(line.as_bytes()), None, "{line}");
    }
}
