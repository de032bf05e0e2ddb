//! Every verb reads every real dump without a warning, also those of programs that hold objects of every kind (the zoos).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use heap_inspector::questions::{QUESTIONS, Question};
use std::process::Command;

/// What the command writes; a dump that `--strict` refuses ends the test.
fn answer(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
    let output = command.current_dir(dumps::folder()).args(words).arg("--strict").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words:?}: {message}");
    assert!(!message.contains("warning"), "{words:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_reads_each_dump_without_a_warning() {
    let mut names: Vec<String> = std::fs::read_dir(dumps::folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("ruby-") && name.ends_with(".json.zst"))
        .collect();
    names.sort();
    assert!(names.iter().any(|name| name.contains("zoo")) && names.len() >= 8, "{names:?}");
    for dump in &names {
        let found = answer(&["retained", dump, "--where", "type=OBJECT", "--lines", "1", "--format", "csv"]);
        let object = found.lines().nth(1).unwrap().split(',').find(|cell| cell.starts_with("0x")).unwrap();
        let plain = |question: &'static Question| match question.name {
            "path" | "show" => vec![question.name, dump, object],
            name => vec![name, dump],
        };
        let mut questions: Vec<Vec<&str>> = QUESTIONS
            .iter()
            .filter(|question| !["diff", "verify"].contains(&question.name) && !question.exports())
            .map(plain)
            .collect();
        questions.extend([
            vec!["read", dump, "all"],
            vec!["top", dump, "--by", "gem,class"],
            vec!["retained", dump, "--by", "location"],
            vec!["path", dump, "--class", "String"],
        ]);
        for question in questions {
            let text = answer(&question);
            assert!(text.lines().count() > 3, "{question:?}: {text}");
            assert!(!text.lines().any(|line| line.starts_with("warning:")), "{question:?}: {text}");
        }
    }
}
