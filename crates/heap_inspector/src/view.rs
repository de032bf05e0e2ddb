//! Reports as people and programs read them: text for a terminal, JSON, Markdown, CSV; their trees and paths also as pictures.
//!
//! A [`Report`] goes in, a string comes out. Views know the few shapes a report is made of and nothing of heaps. Whatever a dump's
//! texts hold, no view lets a control character through, nor one that hides or reorders its neighbours. No view recurses over a
//! report's depth. Costs the string.

pub mod csv;
pub mod dot;
pub mod escape;
pub mod flamegraph;
pub mod folded;
pub mod json;
pub mod markdown;
pub mod text;

use crate::human;
use crate::report::{Cell, Report, Rest, Shape, Table, TreeNode};
use crate::{Error, Result};
use std::str::FromStr;

/// How to write a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a terminal.
    #[default]
    Text,
    /// An object for programs.
    Json,
    /// Tables for an issue or a pull request.
    Markdown,
    /// The tables alone, for a spreadsheet.
    Csv,
    /// Trees and paths as a graph, for Graphviz.
    Dot,
    /// Trees as folded stacks, for flamegraph.pl, inferno and speedscope.
    Folded,
    /// The first tree as an SVG.
    Flamegraph,
}

impl Format {
    /// Every format with its name.
    pub const NAMED: [(Format, &'static str); 7] = [
        (Format::Text, "text"),
        (Format::Json, "json"),
        (Format::Markdown, "markdown"),
        (Format::Csv, "csv"),
        (Format::Dot, "dot"),
        (Format::Folded, "folded"),
        (Format::Flamegraph, "flamegraph"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Format::NAMED.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// Whether any report can be written so, whatever its sections are.
    #[must_use]
    pub fn fits_all(self) -> bool {
        match self {
            Format::Text | Format::Json | Format::Markdown | Format::Csv => true,
            Format::Dot | Format::Folded | Format::Flamegraph => false,
        }
    }

    /// Whether it draws such a part of a report.
    #[must_use]
    pub fn draws(self, shape: Shape) -> bool {
        match self {
            Format::Text | Format::Json | Format::Markdown | Format::Csv => false,
            Format::Dot => true,
            Format::Folded | Format::Flamegraph => shape == Shape::Tree,
        }
    }

    /// Whether it shows frames under frames, where what is small takes little room.
    #[must_use]
    pub fn is_flame(self) -> bool {
        matches!(self, Format::Folded | Format::Flamegraph)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Format> {
        Format::NAMED.iter().find(|(_, known)| *known == name).map(|(format, _)| *format).ok_or_else(|| {
            Error::unknown(format!("unknown format {name:?}"), name, Format::NAMED.iter().map(|(_, name)| *name))
        })
    }
}

/// What text is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// Columns that no line exceeds.
    pub width: usize,
    /// Whether to colour headings, bars and warnings.
    pub color: bool,
}

impl Default for TextStyle {
    /// For a file or a pipe: 120 columns without colour.
    fn default() -> Self {
        TextStyle { width: 120, color: false }
    }
}

/// Writes `report` in `format`; the style matters to text alone. The string ends with a newline, unless it is empty.
///
/// ```
/// use heap_inspector::report::{Level, Note, Report, Section};
/// use heap_inspector::view::{Format, TextStyle, render};
///
/// let note = Section::Note(Note { level: Level::Info, text: "nothing \u{1b}[31mred".into() });
/// let report = Report { verb: "read", dump: "heap.json".into(), sections: vec![note] };
/// assert_eq!(render(&report, Format::Text, &TextStyle::default()), "heap.json\n\nnote: nothing \\e[31mred\n");
/// ```
#[must_use]
pub fn render(report: &Report, format: Format, style: &TextStyle) -> String {
    match format {
        Format::Text => text::render(report, style),
        Format::Json => json::render(report),
        Format::Markdown => markdown::render(report),
        Format::Csv => csv::render(report),
        Format::Dot => dot::render(report),
        Format::Folded => folded::render(report),
        Format::Flamegraph => flamegraph::render(report),
    }
}

/// A cell in words, escaped for a terminal.
fn words(cell: &Cell) -> String {
    match cell {
        Cell::Missing => "-".into(),
        Cell::Null(word) => (*word).into(),
        Cell::Text(text) if text.is_empty() => "\"\"".into(),
        Cell::Text(text) => escape::terminal(text).into_owned(),
        Cell::Cut(text) => format!("{}…", escape::terminal(text)),
        Cell::Tally { value, count, .. } => format!("{} ({})", escape::terminal(value), human::count(*count)),
        Cell::More { count, what } => format!("({} more {what})", human::count(*count)),
        Cell::Count(count) => human::count(*count),
        Cell::Bytes(bytes) => human::bytes(*bytes),
        Cell::Change(0) | Cell::BytesChange(0) => "0".into(),
        Cell::Change(change) => format!("{}{}", sign(*change), human::count(change.unsigned_abs())),
        Cell::BytesChange(change) => format!("{}{}", sign(*change), human::bytes(change.unsigned_abs())),
        Cell::Share(share) => human::percent(*share),
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => if *flag { "yes" } else { "no" }.into(),
        Cell::List(cells) => cells.iter().map(plain_words).collect::<Vec<_>>().join(", "),
    }
}

fn sign(change: i64) -> char {
    if change < 0 { '-' } else { '+' }
}

/// The words of a cell inside a list. Lists are of plain cells; one in a list is counted, so that nobody recurses.
fn plain_words(cell: &Cell) -> String {
    match cell {
        Cell::List(cells) => format!("({} values)", cells.len()),
        cell => words(cell),
    }
}

/// What the row that sums up the cut-off ones is called.
fn rest_label(rest: &Rest) -> String {
    format!("({} more)", human::count(rest.rows))
}

/// What the row that sums up all others is called.
const TOTAL_LABEL: &str = "(all)";

/// The column in which a table's rest and total rows say what they are.
fn label_column(table: &Table) -> usize {
    table.columns.iter().position(|column| column.shrinks).unwrap_or(0)
}

/// What a tree's row is measured by; nothing where that is no amount.
fn measure(node: &TreeNode) -> u64 {
    match node.cells.first() {
        Some(Cell::Bytes(amount) | Cell::Count(amount)) => *amount,
        _ => 0,
    }
}

/// A light colour that tells what kind of object a label names.
fn tint(label: &str) -> &'static str {
    let word = label.split_once(" × ").map_or(label, |(_, rest)| rest);
    let is = |name: &str| word.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
    match word {
        word if word.starts_with('(') => "#d0d0d0",
        _ if is("String") || is("Symbol") => "#b8e0b0",
        _ if is("Array") || is("Hash") || is("Set") => "#b5d3f0",
        _ if is("Class") || is("Module") || is("class") || is("module") || is("singleton class") => "#d9c4ec",
        _ => "#f6cf9a",
    }
}

/// The nodes' depths, each at most one more than the one before, whatever the tree says.
fn depths(nodes: &[TreeNode]) -> Vec<usize> {
    let mut next = 0;
    nodes
        .iter()
        .map(|node| {
            let depth = node.depth.min(next);
            next = depth + 1;
            depth
        })
        .collect()
}

#[cfg(test)]
mod tests;
