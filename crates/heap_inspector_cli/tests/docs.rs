//! The examples in docs/json.md are what the command line answers: `UPDATE_DOCS=1 cargo test --test docs` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use std::fs;
use std::process::Command;

const JSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");

#[test]
fn examples_are_true() {
    let written = fs::read_to_string(JSON).unwrap();
    let mut pieces = written.split("```console\n$ heap_inspector ");
    let mut expected = pieces.next().unwrap().to_owned();
    let mut examples = 0;
    for piece in pieces {
        let (words, rest) = piece.split_once("\n```\n\n```json\n").unwrap();
        let (_, text) = rest.split_once("```\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
        let output =
            command.env_remove("COLUMNS").current_dir(dumps::folder()).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap();
        expected += &format!("```console\n$ heap_inspector {words}\n```\n\n```json\n{answer}```\n{text}");
        examples += 1;
    }
    assert_eq!(examples, 17);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(JSON, expected).unwrap();
    } else {
        assert!(written == expected, "docs/json.md is out of date, write it anew with UPDATE_DOCS=1");
    }
}
