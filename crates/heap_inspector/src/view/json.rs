//! JSON for programs: one object, described in docs/json.md. Bytes and counts are exact, absent values `null`, a row takes a line.
//!
//! Written piece by piece instead of as a tree of values, whose printing and freeing would recurse over a report's depth.

use super::{depths, escape};
use crate::report::{Cell, Column, Fact, Note, Report, SCHEMA_VERSION, Section, Table, Tree};
use std::fmt::Write as _;

/// Further levels of a tree are not indented further: the spaces of a deep one would outweigh it.
const INDENTED: usize = 32;

/// Writes the report as one object: `schema_version`, `verb`, `dump`, each section under its name, `notes`.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut notes: Vec<&Note> = Vec::new();
    let mut entries: Vec<(String, String)> = vec![
        ("schema_version".into(), SCHEMA_VERSION.to_string()),
        ("verb".into(), string(report.verb)),
        ("dump".into(), string(&report.dump)),
    ];
    for section in &report.sections {
        let (name, body) = match section {
            Section::Table(table) => (table.name, self::table(table)),
            Section::Facts(facts) => {
                let name = facts.name;
                let facts: Vec<String> =
                    facts.facts.iter().map(|fact| format!("{}: {}", string(fact.name), cell(&fact.cell))).collect();
                (name, lines("{", &facts, "}", 2))
            }
            Section::List(list) => {
                let member = |fact: &Fact| format!("{}: {}", string(fact.name), cell(&fact.cell));
                let item = |facts: &Vec<Fact>| lines("{", &facts.iter().map(member).collect::<Vec<_>>(), "}", 4);
                (list.name, lines("[", &list.items.iter().map(item).collect::<Vec<_>>(), "]", 2))
            }
            Section::Tree(tree) => (tree.name, self::tree(tree)),
            Section::Path(path) => {
                let steps: Vec<String> = path.steps.iter().map(|step| object(&path.columns, step)).collect();
                (path.name, lines("[", &steps, "]", 2))
            }
            Section::Note(note) => {
                notes.push(note);
                continue;
            }
        };
        entries.push((unused(name, &entries), body));
    }
    let notes: Vec<String> = notes
        .iter()
        .map(|note| {
            let level = serde_json::to_string(&note.level).unwrap_or_default();
            format!("{{\"level\": {level}, \"text\": {}}}", string(&note.text))
        })
        .collect();
    entries.push(("notes".into(), lines("[", &notes, "]", 2)));
    let entries: Vec<String> = entries.iter().map(|(name, body)| format!("{}: {body}", string(name))).collect();
    lines("{", &entries, "}", 0) + "\n"
}

/// The name, or `name_2` and so on where sections before have it.
fn unused(name: &str, entries: &[(String, String)]) -> String {
    let is_used = |name: &str| name == "notes" || entries.iter().any(|(known, _)| known == name);
    let mut candidate = name.to_owned();
    let mut number = 1;
    while is_used(&candidate) {
        number += 1;
        candidate = format!("{name}_{number}");
    }
    candidate
}

fn table(table: &Table) -> String {
    let rows: Vec<String> = table.rows.iter().map(|row| object(&table.columns, row)).collect();
    let rest = table.rest.as_ref().map_or_else(
        || "null".into(),
        |rest| format!("{{\"rows\": {}, {}}}", rest.rows, members(&table.columns, &rest.cells)),
    );
    let total = table.total.as_ref().map_or_else(|| "null".into(), |total| object(&table.columns, total));
    let parts = [
        format!("\"rows\": {}", lines("[", &rows, "]", 4)),
        format!("\"rest\": {rest}"),
        format!("\"total\": {total}"),
    ];
    lines("{", &parts, "}", 2)
}

/// The top nodes as a list; each holds its own in `children`.
fn tree(tree: &Tree) -> String {
    if tree.nodes.is_empty() {
        return "[]".into();
    }
    let depths = depths(&tree.nodes);
    let mut out = String::from("[");
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', 4 + 2 * depth.min(INDENTED)));
    };
    for (at, node) in tree.nodes.iter().enumerate() {
        let depth = depths[at];
        indent(&mut out, depth);
        let members = members(&tree.columns, &node.cells);
        // Writing to a string cannot fail.
        let _ = write!(out, "{{{members}{}\"children\": [", if members.is_empty() { "" } else { ", " });
        let next = depths.get(at + 1).copied();
        if next.is_some_and(|next| next > depth) {
            continue;
        }
        out.push_str("]}");
        for closed in (next.unwrap_or(0)..depth).rev() {
            indent(&mut out, closed);
            out.push_str("]}");
        }
        if next.is_some() {
            out.push(',');
        }
    }
    out.push_str("\n  ]");
    out
}

/// Items between brackets, one a line; the closing bracket stands at `indent`.
fn lines(open: &str, items: &[String], close: &str, indent: usize) -> String {
    if items.is_empty() {
        return format!("{open}{close}");
    }
    let space = " ".repeat(indent);
    format!("{open}\n{space}  {}\n{space}{close}", items.join(&format!(",\n{space}  ")))
}

fn object(columns: &[Column], cells: &[Cell]) -> String {
    format!("{{{}}}", members(columns, cells))
}

fn members(columns: &[Column], cells: &[Cell]) -> String {
    let member = |(column, value): (&Column, &Cell)| {
        let cut = match value {
            Cell::Cut(_) => format!(", {}: true", string(&format!("{}_cut", column.name))),
            Cell::List(cells) => match cells.last() {
                Some(Cell::More { count, .. }) => format!(", {}: {count}", string(&format!("rest_{}", column.name))),
                _ => String::new(),
            },
            _ => String::new(),
        };
        format!("{}: {}{cut}", string(column.name), cell(value))
    };
    columns.iter().zip(cells).map(member).collect::<Vec<String>>().join(", ")
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::List(cells) => {
            let cells = cells.iter().filter(|cell| !matches!(cell, Cell::More { .. }));
            format!("[{}]", cells.map(plain).collect::<Vec<_>>().join(", "))
        }
        cell => plain(cell),
    }
}

/// A cell that holds no others; a list within a list, which no analysis makes, is `null`.
fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Missing | Cell::Null(_) | Cell::More { .. } | Cell::List(_) => "null".into(),
        Cell::Text(text) | Cell::Cut(text) => string(text),
        Cell::Tally { name, value, count } => {
            format!("{{{}: {}, \"count\": {count}}}", string(name), string(value))
        }
        Cell::Count(number) | Cell::Bytes(number) | Cell::Number(number) => number.to_string(),
        Cell::Change(change) | Cell::BytesChange(change) => change.to_string(),
        Cell::Share(share) => serde_json::Value::from(fraction(*share)).to_string(),
        Cell::Flag(flag) => flag.to_string(),
    }
}

/// A share to six places, more than anybody's question needs; none if it is not a number.
pub(super) fn fraction(share: f64) -> Option<f64> {
    Some((share * 1e6).round() / 1e6).filter(|share| share.is_finite())
}

/// A JSON string in which also what is hostile beyond ASCII is written as `\u....`.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for letter in serde_json::Value::from(text).to_string().chars() {
        if escape::is_hostile(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{unit:04x}");
            }
        } else {
            quoted.push(letter);
        }
    }
    quoted
}
