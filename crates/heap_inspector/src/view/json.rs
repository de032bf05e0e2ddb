//! JSON for programs: one object, described in docs/json.md. Bytes and counts are exact, absent values `null`, a row takes a line.
//!
//! Written piece by piece instead of as a tree of values, whose printing and freeing would recurse over a report's depth.

use super::{Out, depths, escape};
use crate::report::{Cell, Column, Fact, Facts, List, Note, Path, Report, Rows, SCHEMA_VERSION, Section, Table, Tree};
use std::fmt::{self, Write as _};

/// Further levels of a tree are not indented further: the spaces of a deep one would outweigh it.
const INDENTED: usize = 32;

/// Writes the report as one object: `schema_version`, `verb`, `dump`, each section under its name, `notes`.
pub(super) fn write(report: &Report, out: &mut Out<'_>) -> fmt::Result {
    let mut notes: Vec<&Note> = Vec::new();
    let mut names: Vec<String> = ["schema_version", "verb", "dump"].map(str::to_owned).into();
    write!(out, "{{\n  \"schema_version\": {SCHEMA_VERSION},\n  \"verb\": {}", string(report.verb))?;
    write!(out, ",\n  \"dump\": {}", string(&report.dump))?;
    for section in &report.sections {
        let name = match section {
            Section::Table(Table { name, .. })
            | Section::Facts(Facts { name, .. })
            | Section::List(List { name, .. })
            | Section::Tree(Tree { name, .. })
            | Section::Path(Path { name, .. }) => unused(name, &names),
            Section::Note(note) => {
                notes.push(note);
                continue;
            }
        };
        write!(out, ",\n  {}: ", string(&name))?;
        names.push(name);
        match section {
            Section::Table(table) => self::table(table, out)?,
            Section::Facts(facts) => members_of(&facts.facts, 2, out)?,
            Section::List(list) => {
                let mut items = Items::new("[", "]", 2);
                for facts in &list.items {
                    items.next(out)?;
                    members_of(facts, 4, out)?;
                }
                items.end(out)?;
            }
            Section::Tree(tree) => self::tree(tree, out)?,
            Section::Path(path) => rows(&path.columns, &path.steps, 2, out)?,
            Section::Note(_) => {}
        }
    }
    out.write_str(",\n  \"notes\": ")?;
    let mut items = Items::new("[", "]", 2);
    for note in notes {
        items.next(out)?;
        let level = serde_json::to_string(&note.level).unwrap_or_default();
        write!(out, "{{\"level\": {level}, \"text\": {}}}", string(&note.text))?;
    }
    items.end(out)?;
    out.write_str("\n}\n")
}

fn members_of(facts: &[Fact], indent: usize, out: &mut Out<'_>) -> fmt::Result {
    let mut items = Items::new("{", "}", indent);
    for fact in facts {
        items.next(out)?;
        write!(out, "{}: {}", string(fact.name), cell(&fact.cell))?;
    }
    items.end(out)
}

/// The name, or `name_2` and so on where sections before have it.
fn unused(name: &str, names: &[String]) -> String {
    let is_used = |name: &str| name == "notes" || names.iter().any(|known| known == name);
    let mut candidate = name.to_owned();
    let mut number = 1;
    while is_used(&candidate) {
        number += 1;
        candidate = format!("{name}_{number}");
    }
    candidate
}

fn table(table: &Table, out: &mut Out<'_>) -> fmt::Result {
    out.write_str("{\n    \"rows\": ")?;
    rows(&table.columns, &table.rows, 4, out)?;
    let rest = table.rest.as_ref().map_or_else(
        || "null".into(),
        |rest| format!("{{\"rows\": {}, {}}}", rest.rows, members(&table.columns, &rest.cells)),
    );
    let total = table.total.as_ref().map_or_else(|| "null".into(), |total| object(&table.columns, total));
    write!(out, ",\n    \"rest\": {rest},\n    \"total\": {total}\n  }}")
}

fn rows(columns: &[Column], rows: &Rows, indent: usize, out: &mut Out<'_>) -> fmt::Result {
    let mut items = Items::new("[", "]", indent);
    out.each(rows, |out, row| {
        items.next(out)?;
        out.write_str(&object(columns, row))
    })?;
    items.end(out)
}

/// The top nodes as a list; each holds its own in `children`.
fn tree(tree: &Tree, out: &mut Out<'_>) -> fmt::Result {
    if tree.nodes.is_empty() {
        return out.write_str("[]");
    }
    let depths = depths(&tree.nodes);
    out.write_str("[")?;
    let indent = |out: &mut Out<'_>, depth: u32| {
        let spaces = 4 + 2 * (depth as usize).min(INDENTED);
        write!(out, "\n{:spaces$}", "")
    };
    let mut at = 0;
    out.each(&tree.nodes, |out, node| {
        let depth = depths[at];
        at += 1;
        indent(out, depth)?;
        let members = members(&tree.columns, &node.cells);
        write!(out, "{{{members}{}\"children\": [", if members.is_empty() { "" } else { ", " })?;
        let next = depths.get(at).copied();
        if next.is_some_and(|next| next > depth) {
            return Ok(());
        }
        out.write_str("]}")?;
        for closed in (next.unwrap_or(0)..depth).rev() {
            indent(out, closed)?;
            out.write_str("]}")?;
        }
        if next.is_some() { out.write_str(",") } else { Ok(()) }
    })?;
    out.write_str("\n  ]")
}

/// Items between brackets, one a line; the closing bracket stands at `indent`.
struct Items {
    open: &'static str,
    close: &'static str,
    indent: usize,
    is_empty: bool,
}

impl Items {
    fn new(open: &'static str, close: &'static str, indent: usize) -> Items {
        Items { open, close, indent, is_empty: true }
    }

    /// What is written then is an item.
    fn next(&mut self, out: &mut Out<'_>) -> fmt::Result {
        let before = if self.is_empty { self.open } else { "," };
        self.is_empty = false;
        write!(out, "{before}\n{:1$}", "", self.indent + 2)
    }

    fn end(self, out: &mut Out<'_>) -> fmt::Result {
        match self.is_empty {
            true => write!(out, "{}{}", self.open, self.close),
            false => write!(out, "\n{:1$}{2}", "", self.indent, self.close),
        }
    }
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
        Cell::Text(text) | Cell::Cut(text) | Cell::Brief { text, .. } => string(text),
        Cell::Tally { name, value, count } => {
            format!("{{{}: {}, \"count\": {count}}}", string(name), string(value))
        }
        Cell::Count(number) | Cell::Bytes(number) | Cell::Number(number) | Cell::About { amount: number, .. } => {
            number.to_string()
        }
        Cell::Change(change) | Cell::BytesChange(change) => change.to_string(),
        Cell::Share(share) | Cell::Rate { each: share, .. } => serde_json::Value::from(fraction(*share)).to_string(),
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
