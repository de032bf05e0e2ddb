//! CSV for spreadsheets: the rows of the report's tables, trees and paths, without facts, notes, rest and total rows.
//!
//! As RFC 4180 has it, with `\n` at the end of lines. Every table has its header; several stand apart by an empty line. Trees and paths
//! begin with a column `depth`. Bytes and counts are exact; absent values are empty; the values of a list stand apart by `; `. Control
//! characters are written out, so a row is a line; a text that a spreadsheet would take for a formula gets a `'` in front.

use super::{depths, escape, json};
use crate::report::{Cell, Column, Report, Section};
use std::fmt::Write as _;

/// Writes the report's tables.
#[must_use]
pub fn render(report: &Report) -> String {
    let tables: Vec<String> = report
        .sections
        .iter()
        .filter_map(|section| match section {
            Section::Table(table) => Some(write(&table.columns, None, table.rows.iter())),
            Section::Tree(tree) => {
                Some(write(&tree.columns, Some(depths(&tree.nodes)), tree.nodes.iter().map(|node| &node.cells)))
            }
            Section::Path(path) => Some(write(&path.columns, Some((0..path.steps.len()).collect()), path.steps.iter())),
            Section::List(list) => {
                let facts = list.items.first().map_or(&[][..], |facts| &facts[..]);
                let columns: Vec<Column> =
                    facts.iter().map(|fact| Column { name: fact.name, title: fact.title, shrinks: false }).collect();
                let rows: Vec<Vec<Cell>> =
                    list.items.iter().map(|facts| facts.iter().map(|fact| fact.cell.clone()).collect()).collect();
                (!rows.is_empty()).then(|| write(&columns, None, rows.iter()))
            }
            Section::Facts(_) | Section::Note(_) => None,
        })
        .collect();
    tables.join("\n")
}

fn write<'a>(columns: &[Column], depths: Option<Vec<usize>>, rows: impl Iterator<Item = &'a Vec<Cell>>) -> String {
    let mut text = String::new();
    let depth = depths.is_some().then(|| "depth".to_owned());
    let mut records = vec![depth.into_iter().chain(columns.iter().map(|column| column.name.to_owned())).collect()];
    records.extend(rows.enumerate().map(|(at, row)| {
        let depth = depths.as_ref().and_then(|depths| depths.get(at)).map(usize::to_string);
        let cells = (0..columns.len()).map(|column| row.get(column).map_or_else(String::new, field));
        depth.into_iter().chain(cells).collect::<Vec<String>>()
    }));
    for record in records {
        let fields: Vec<String> = record.iter().map(|field| quoted(field, record.len() == 1)).collect();
        text += &fields.join(",");
        text.push('\n');
    }
    text
}

/// A field in quotes where it needs them: for what separates here, or where a spreadsheet separates by `;`; and for a record of nothing.
fn quoted(field: &str, is_alone: bool) -> String {
    let needs = field.contains([',', ';', '"', '\n', '\r']) || is_alone && field.is_empty();
    if needs { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Missing | Cell::Null(_) => String::new(),
        Cell::Text(text) => harmless(text),
        Cell::Cut(_) | Cell::Tally { .. } | Cell::More { .. } => harmless(&super::words(cell)),
        Cell::Count(number) | Cell::Bytes(number) | Cell::Number(number) => number.to_string(),
        Cell::Change(change) | Cell::BytesChange(change) => change.to_string(),
        Cell::Share(share) => json::fraction(*share).map_or_else(String::new, |fraction| fraction.to_string()),
        Cell::Flag(flag) => flag.to_string(),
        Cell::List(cells) => {
            let mut list = String::new();
            for (at, cell) in cells.iter().enumerate() {
                // Writing to a string cannot fail.
                let text = match cell {
                    Cell::Bytes(number) | Cell::Count(number) => number.to_string(),
                    cell => super::plain_words(cell),
                };
                let _ = write!(list, "{}{text}", if at > 0 { "; " } else { "" });
            }
            harmless(&list)
        }
    }
}

/// No control characters, and no formula: spreadsheets run what begins so, some also behind spaces; and where they separate by `;`, which
/// quotes in the middle of a line do not keep them from, behind each of those. (A tab or carriage return in front, which would do
/// too, is written out.)
fn harmless(text: &str) -> String {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    let text = escape::terminal(text);
    let defused = |part: &str| if part.trim_start().starts_with(SIGNS) { format!("'{part}") } else { part.to_owned() };
    text.split(';').map(defused).collect::<Vec<_>>().join(";")
}
