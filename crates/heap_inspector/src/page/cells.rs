//! Sections of reports as the page's script takes them: each cell with what it is, so that it can be sorted and written for people.

use crate::human;
use crate::report::{Cell, Column, Fact, Facts, Level, List, Path, Report, Rows, Section, Table, Tree};
use serde_json::{Value, json};

/// Letters of a name that the page holds. A dump may have names of many megabytes.
pub(super) const LONGEST: usize = 240;
/// Letters of a string's value.
pub(super) const VALUE: usize = 60;

/// The text, or its beginning and `…`.
pub(super) fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A name of the dump, as long as the page holds one.
pub(super) fn name(text: &str) -> Value {
    Value::String(cut(text, LONGEST))
}

/// The sections of an answer, its notes among them.
pub(super) fn sections(report: &Report) -> Value {
    report.sections.iter().map(section).collect()
}

/// The notes among sections.
pub(super) fn notes<'a>(sections: impl IntoIterator<Item = &'a Section>) -> Value {
    sections.into_iter().filter(|section| matches!(section, Section::Note(_))).map(section).collect()
}

pub(super) fn section(section: &Section) -> Value {
    match section {
        Section::Table(table) => self::table(table),
        Section::Facts(Facts { name, title, facts }) => {
            json!({"shape": "facts", "name": name, "title": cut(title, LONGEST), "facts": facts.iter().map(fact).collect::<Value>()})
        }
        Section::List(List { name, title, items }) => {
            let items: Value = items.iter().map(|facts| facts.iter().map(fact).collect::<Value>()).collect();
            json!({"shape": "list", "name": name, "title": cut(title, LONGEST), "items": items})
        }
        Section::Tree(Tree { name, title, columns, nodes }) => {
            let mut rows = Vec::new();
            let mut reader = nodes.reader();
            while let Some(node) = reader.next_row() {
                rows.push(json!([node.depth, row(columns, &node.cells)]));
            }
            json!({"shape": "tree", "name": name, "title": cut(title, LONGEST), "columns": headings(columns), "nodes": rows})
        }
        Section::Path(Path { name, title, columns, steps }) => {
            json!({"shape": "path", "name": name, "title": cut(title, LONGEST), "columns": headings(columns), "rows": rows(columns, steps)})
        }
        Section::Note(note) => {
            let level = if note.level == Level::Warning { "warning" } else { "info" };
            json!({"shape": "note", "level": level, "text": cut(&note.text, 4 * LONGEST)})
        }
    }
}

/// A table with its rest and total.
pub(super) fn table(table: &Table) -> Value {
    let Table { name, title, columns, rest, total, .. } = table;
    let rest = rest.as_ref().map(|rest| json!({"rows": rest.rows, "cells": row(columns, &rest.cells)}));
    json!({
        "shape": "table",
        "name": name,
        "title": cut(title, LONGEST),
        "columns": headings(columns),
        "rows": rows(columns, &table.rows),
        "rest": rest,
        "total": total.as_ref().map(|total| row(columns, total)),
    })
}

fn headings(columns: &[Column]) -> Value {
    columns.iter().map(|column| json!({"name": column.name, "title": column.title, "label": column.shrinks})).collect()
}

fn rows(columns: &[Column], rows: &Rows) -> Value {
    let mut values = Vec::new();
    let mut reader = rows.reader();
    while let Some(cells) = reader.next_row() {
        values.push(row(columns, cells));
    }
    Value::Array(values)
}

fn row(columns: &[Column], cells: &[Cell]) -> Value {
    let letters = |at: usize| match columns.get(at) {
        Some(column) if column.name == "value" => VALUE,
        _ => LONGEST,
    };
    cells.iter().enumerate().map(|(at, cell)| self::cell(cell, letters(at))).collect()
}

fn fact(fact: &Fact) -> Value {
    let Fact { name, title, cell, remark } = fact;
    json!({"name": name, "title": title, "cell": self::cell(cell, LONGEST), "remark": cut(remark, LONGEST)})
}

/// `[kind, value]`, or null for what is missing; texts of at most so many letters.
pub(super) fn cell(cell: &Cell, letters: usize) -> Value {
    match cell {
        Cell::Missing => Value::Null,
        Cell::Null(words) => json!(["none", words]),
        Cell::Text(text) => json!(["text", cut(text, letters)]),
        Cell::Cut(text) => json!(["text", format!("{}…", cut(text, letters).trim_end_matches('…'))]),
        Cell::Brief { text, brief } => json!(["text", cut(brief, letters), cut(text, 4 * letters)]),
        Cell::Count(count) => json!(["count", count]),
        Cell::Bytes(bytes) => json!(["bytes", bytes]),
        Cell::Change(change) => json!(["change", change]),
        Cell::BytesChange(change) => json!(["bytes_change", change]),
        Cell::About { amount, of_bytes, is_rough } => {
            json!([if *of_bytes { "about_bytes" } else { "about" }, amount, is_rough])
        }
        Cell::Rate { each, of_bytes: true } => json!(["text", human::bytes_each(*each)]),
        Cell::Rate { each, of_bytes: false } => json!(["text", human::rate(*each)]),
        Cell::Share(share) => json!(["share", Some((share * 1e6).round() / 1e6).filter(|share| share.is_finite())]),
        Cell::Number(number) => json!(["number", number]),
        Cell::Flag(flag) => json!(["flag", flag]),
        Cell::Tally { value, count, .. } => json!(["tally", cut(value, letters), count]),
        Cell::More { count, what } => json!(["more", count, what]),
        // A list in a list is made by no analysis.
        Cell::List(cells) => {
            let plain = cells.iter().filter(|cell| !matches!(cell, Cell::List(_)));
            json!(["list", plain.map(|cell| self::cell(cell, letters)).collect::<Value>()])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(cut("größer", 3), "grö…");
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cell(&Cell::Cut("a".repeat(100)), VALUE), json!(["text", format!("{}…", "a".repeat(60))]));
    }

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(cell(&Cell::Share(f64::NAN), 1), json!(["share", null]));
        assert_eq!(cell(&Cell::Bytes(u64::MAX), 1), json!(["bytes", u64::MAX]));
    }
}
