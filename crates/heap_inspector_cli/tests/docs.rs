//! What is written of the questions elsewhere is what their list and their answers say: `UPDATE_DOCS=1 cargo test --test docs` writes it anew.
//! That is lib/heap_inspector/questions.rb, in docs/json.md the table and the examples, and in docs/fleet.md the columns.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dumps;

use heap_inspector::export::parquet::schema::{Field, GEMS, TABLES, WORK};
use heap_inspector::questions::{Answer, Choice, Kind, Place, QUESTIONS, Question};
use heap_inspector::view::Format;
use std::fs;
use std::process::Command;

const JSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");
const FLEET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fleet.md");
const RUBY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lib/heap_inspector/questions.rb");

/// Holds a file to what it should be, or writes it.
fn hold(path: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, expected).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == expected, "{path} is out of date, write it anew with UPDATE_DOCS=1");
}

/// One test, since it may write.
#[test]
fn docs_are_true() {
    let (head, rest) = with_table(&fs::read_to_string(JSON).unwrap());
    hold(JSON, &(head + &with_answers(&rest)));
    hold(RUBY, &ruby());
    hold(FLEET, &with_tables(&fs::read_to_string(FLEET).unwrap()));
}

/// The tables of Parquet files with their columns, which stand at the end.
fn with_tables(text: &str) -> String {
    const BEGIN: &str = "<!-- These are made of the schema. -->\n";
    let (before, _) = text.split_once(BEGIN).unwrap();
    let mut expected = format!("{before}{BEGIN}");
    // Gems and work are in the dump's row alone.
    for table in [&TABLES[..], &[&GEMS, &WORK]].concat() {
        expected +=
            &format!("\n### {}\n\nA row is {}.\n\n| column | type | |\n| --- | --- | --- |\n", table.name, table.about);
        for Field { name, kind, about } in table.fields {
            expected += &format!("| `{name}` | {} | {about} |\n", kind.sql());
        }
        for list in table.lists {
            expected += &format!("| `{name}` | list | rows of [{name}](#{name}) |\n", name = list.name);
        }
    }
    expected
}

/// What stands before the examples with the table of the questions in it, and the rest.
fn with_table(text: &str) -> (String, String) {
    const BEGIN: &str = "<!-- The table is made of the list of questions. -->\n";
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let mut table =
        String::from("| | | in Ruby | formats beside text, json, markdown, csv |\n| --- | --- | --- | --- |\n");
    for question in QUESTIONS {
        let Question { name, about, ruby, .. } = question;
        let ruby: Vec<String> = ruby.iter().map(|method| format!("`{method}`")).collect();
        let drawn: Vec<&str> = question.formats().filter(|format| !format.fits_all()).map(Format::name).collect();
        let place = if question.exports() { "exports.md".to_owned() } else { format!("#{name}") };
        table += &format!("| [{name}]({place}) | {about} | {} | {} |\n", ruby.join(", "), drawn.join(", "));
    }
    (format!("{before}{BEGIN}{table}\n"), after.to_owned())
}

/// The examples with true answers. Each question whose answer is a report has one.
fn with_answers(text: &str) -> String {
    let mut pieces = text.split("```console\n$ heap_inspector ");
    let mut expected = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (words, rest) = piece.split_once("\n```\n\n```json\n").unwrap();
        let (_, text) = rest.split_once("```\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_heap_inspector"));
        let output =
            command.env_remove("COLUMNS").current_dir(dumps::folder()).args(words.split(' ')).output().unwrap();
        // An answer may have a code of its own.
        assert!(output.stderr.is_empty(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap();
        expected += &format!("```console\n$ heap_inspector {words}\n```\n\n```json\n{answer}```\n{text}");
    }
    for Question { name, .. } in QUESTIONS.iter().filter(|question| !question.exports()) {
        let section = expected.split(&format!("\n## {name}\n")).nth(1).unwrap_or_else(|| panic!("no section {name}"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains(&format!("$ heap_inspector {name} ")), "no example of {name}");
    }
    expected
}

/// The list for Ruby.
fn ruby() -> String {
    let questions: String = QUESTIONS.iter().map(entry).collect();
    format!(
        "# frozen_string_literal: true

module HeapInspector
  # The list of what may be asked of dumps, for the Rake tasks, the console's help, defaults and the specs. `UPDATE_DOCS=1 cargo test
  # --test docs` writes this file from crates/heap_inspector/src/questions, so that nothing needs the extension to know it.
  #
  # Of each: the methods that ask it, the least and greatest number of dumps, the word that may stand behind the dump (`value` in usage,
  # `instead` the options that stand in its place), what the dumps behind `--` are called, the options with their defaults, as Ruby has
  # them, and the formats.
  #
  # @api private
  module Questions
    # All of them, what a person needs first standing first.
    LIST = [
{questions}    ].freeze
    Ractor.make_shareable(LIST)
  end

  private_constant :Questions
end
"
    )
}

fn entry(question: &Question) -> String {
    let Question { name, about, ruby, .. } = question;
    let dumps = match question.answer {
        Answer::Heaps { least, .. } => format!("({least}..)"),
        _ => "(1..1)".into(),
    };
    let choices = question.choices();
    let word = choices.iter().find_map(|choice| match choice.place {
        Place::Word(instead) if choice.name != "dump" && !matches!(choice.kind, Kind::Files) => {
            Some((choice, true, instead))
        }
        Place::Spare if !matches!(choice.kind, Kind::Files) => Some((choice, false, &[][..])),
        _ => None,
    });
    let word = word.map_or("nil".to_owned(), |(choice, needed, instead)| {
        format!("{{ value: \"{}\", needed: {needed}, instead: {} }}", choice.value, strings(instead))
    });
    let behind = choices.iter().find(|choice| choice.place == Place::Behind);
    let behind = behind.map_or("nil".to_owned(), |choice| format!("\"{}\"", choice.value));
    let options: Vec<String> = choices
        .iter()
        .filter(|choice| matches!(choice.place, Place::Option(_)))
        .filter(|choice| !["threads", "strict", "no-index", "app"].contains(&choice.name))
        .map(|choice| match choice.name.contains('-') {
            true => format!("\"{}\": {}", choice.name, value(choice)),
            false => format!("{}: {}", choice.name, value(choice)),
        })
        .collect();
    let formats: Vec<&str> = question.formats().map(Format::name).collect();
    format!(
        "      {{
        name: \"{name}\",
        about: \"{about}\",
        methods: {},
        dumps: {dumps},
        word: {word},
        behind: {behind},
        options: {{ {} }},
        formats: {}
      }}{}\n",
        strings(ruby),
        options.join(", "),
        strings(&formats),
        if *name == QUESTIONS[QUESTIONS.len() - 1].name { "" } else { "," }
    )
}

fn strings(words: &[&str]) -> String {
    if words.is_empty() { "[]".into() } else { format!("%w[{}]", words.join(" ")) }
}

/// The default as Ruby has it: keys and orders are Symbols, no limit is nil.
fn value(choice: &Choice) -> String {
    let Some(default) = &choice.default else {
        return if matches!(choice.kind, Kind::Flag) { "false".into() } else { "nil".into() };
    };
    match choice.kind {
        Kind::SomeOf(_) if default.contains(',') => format!("%i[{}]", default.replace(',', " ")),
        Kind::SomeOf(_) | Kind::OneOf(_) => format!(":{default}"),
        _ if default == "all" => "nil".into(),
        _ => default.clone(),
    }
}

/// What `docs/reliability.md` says of tests: each is there under its name.
#[test]
fn the_tests_that_are_promised_are_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let page = fs::read_to_string(format!("{root}docs/reliability.md")).unwrap();
    let named: Vec<(&str, &str)> = page
        .split('`')
        .filter(|words| words.starts_with("spec/") || words.starts_with("crates/"))
        .map(|words| words.split_once(": ").unwrap_or((words, "")))
        .collect();
    assert!(named.len() > 30, "{named:?}");
    for (path, name) in named {
        let tests = fs::read_to_string(format!("{root}{path}")).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(tests.contains(name), "{path} has no test of the name {name:?}");
    }
    for point in 1..=17 {
        let number = |cell: &str| cell.split(',').any(|word| word.trim() == point.to_string());
        assert!(page.lines().any(|line| line.split('|').nth(1).is_some_and(number)), "point {point} is not told of");
    }
}
