//! CSV for spreadsheets: the rows of the report's tables, trees and paths, without facts, notes, rest and total rows.
//!
//! As RFC 4180 has it, with `\n` at the end of lines. Every table has its header; several stand apart by an empty line. Trees and paths
//! begin with a column `depth`. Bytes and counts are exact; absent values are empty; the values of a list stand apart by `; `. Control
//! characters are written out, so a row is a line; a text that a spreadsheet would take for a formula gets a `'` in front.

use super::{Out, depths, escape, json};
use crate::report::{Cell, Column, Report, Row, Rows, Section};
use std::fmt::{self, Write as _};

/// Writes the report's tables.
pub(super) fn write(report: &Report, out: &mut Out<'_>) -> fmt::Result {
    let mut is_first = true;
    for section in &report.sections {
        let has_rows = match section {
            Section::Table(_) | Section::Tree(_) | Section::Path(_) => true,
            Section::List(list) => !list.items.is_empty(),
            Section::Facts(_) | Section::Note(_) => false,
        };
        if has_rows && !std::mem::take(&mut is_first) {
            out.write_str("\n")?;
        }
        match section {
            Section::Table(table) => rows(&table.columns, None::<std::iter::Empty<u32>>, &table.rows, out)?,
            Section::Tree(tree) => rows(&tree.columns, Some(depths(&tree.nodes).into_iter()), &tree.nodes, out)?,
            Section::Path(path) => rows(&path.columns, Some(0_u32..), &path.steps, out)?,
            Section::List(list) if has_rows => {
                let facts = list.items.first().map_or(&[][..], |facts| &facts[..]);
                let columns: Vec<Column> =
                    facts.iter().map(|fact| Column { name: fact.name, title: fact.title, shrinks: false }).collect();
                let items = list.items.iter().map(|facts| facts.iter().map(|fact| fact.cell.clone()).collect());
                rows(&columns, None::<std::iter::Empty<u32>>, &items.collect::<Rows>(), out)?;
            }
            Section::List(_) | Section::Facts(_) | Section::Note(_) => {}
        }
    }
    Ok(())
}

fn rows<R: Row>(
    columns: &[Column],
    mut depths: Option<impl Iterator<Item = u32>>,
    rows: &Rows<R>,
    out: &mut Out<'_>,
) -> fmt::Result {
    let depth = depths.is_some().then(|| "depth".to_owned());
    record(depth.into_iter().chain(columns.iter().map(|column| column.name.to_owned())), out)?;
    out.each(rows, |out, row| {
        let depth = depths.as_mut().and_then(Iterator::next).map(|depth| depth.to_string());
        let cells = (0..columns.len()).map(|column| row.cells().get(column).map_or_else(String::new, field));
        record(depth.into_iter().chain(cells), out)
    })
}

fn record(fields: impl Iterator<Item = String>, out: &mut Out<'_>) -> fmt::Result {
    let fields: Vec<String> = fields.collect();
    let is_alone = fields.len() == 1;
    for (at, field) in fields.iter().enumerate() {
        write!(out, "{}{}", if at > 0 { "," } else { "" }, quoted(field, is_alone))?;
    }
    out.write_str("\n")
}

/// A field in quotes where it needs them: for what separates here, or where a spreadsheet separates by `;`; and for a record of nothing.
fn quoted(field: &str, is_alone: bool) -> String {
    let needs = field.contains([',', ';', '"', '\n', '\r']) || is_alone && field.is_empty();
    if needs { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Missing | Cell::Null(_) => String::new(),
        Cell::Text(text) | Cell::Brief { text, .. } => harmless(text),
        Cell::Cut(_) | Cell::Tally { .. } | Cell::More { .. } => harmless(&super::words(cell)),
        Cell::Count(number) | Cell::Bytes(number) | Cell::Number(number) | Cell::About { amount: number, .. } => {
            number.to_string()
        }
        Cell::Change(change) | Cell::BytesChange(change) => change.to_string(),
        Cell::Share(share) | Cell::Rate { each: share, .. } => {
            json::fraction(*share).map_or_else(String::new, |fraction| fraction.to_string())
        }
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
