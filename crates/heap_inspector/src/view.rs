//! Reports as people and programs read them: text for a terminal, JSON, Markdown, CSV; their trees and paths also as pictures.
//!
//! A [`Report`] goes in, a string comes out, or pieces of it one after another. Views know the few shapes a report is made of and
//! nothing of heaps. Whatever a dump's texts hold, no view lets a control character through, nor one that hides or reorders its
//! neighbours. No view recurses over a report's depth. Text, JSON, Markdown and CSV are made row by row and cost nothing beside what
//! is not yet handed on; the others cost the whole string.

mod csv;
mod dot;
pub mod escape;
mod flamegraph;
mod folded;
mod json;
mod markdown;
pub(crate) mod text;

use crate::control::Control;
use crate::error::named;
use crate::human;
use crate::report::{Cell, Report, Rest, Row, Rows, Shape, Table, TreeNode};
use crate::{Error, Result};
use std::fmt::{self, Write as _};
use std::io;
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
        named(&Format::NAMED, name, format_args!("unknown format {name:?}"))
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
    Out::string(|out| put(report, format, style, out))
}

/// Writes `report` as [`render`] does, in pieces.
///
/// # Errors
/// Those of `out`; inside of one of kind `Other` an [`Error::Interrupted`] when cancelled, or an [`Error::Memory`].
pub fn write(
    report: &Report,
    format: Format,
    style: &TextStyle,
    control: &Control<'_>,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut out = Out { text: String::new(), to: Some(out), control, failure: None, steps: 0 };
    let written = match whole(report, control) {
        Ok(()) => put(report, format, style, &mut out),
        Err(error) => out.fail(error),
    };
    out.finish(written.is_ok())
}

/// As [`render`], unless cancelled.
///
/// # Errors
/// [`Error::Interrupted`], [`Error::Memory`].
pub fn rendered(report: &Report, format: Format, style: &TextStyle, control: &Control<'_>) -> Result<String> {
    let mut out = Out { text: String::new(), to: None, control, failure: None, steps: 0 };
    whole(report, control)?;
    if put(report, format, style, &mut out).is_err() {
        let failure = out.failure.and_then(|failure| failure.into_inner()?.downcast().ok());
        return Err(failure.map_or(Error::Interrupted, |failure| *failure));
    }
    control.check()?;
    Ok(out.text)
}

/// Whether there was memory for all of a report, and nobody cancelled.
fn whole(report: &Report, control: &Control<'_>) -> Result<()> {
    control.check()?;
    if report.is_cut() { Err(Error::Memory { bytes: Rows::<Vec<Cell>>::BLOCK }) } else { Ok(()) }
}

fn put(report: &Report, format: Format, style: &TextStyle, out: &mut Out<'_>) -> fmt::Result {
    match format {
        Format::Text => text::write(report, style, out),
        Format::Json => json::write(report, out),
        Format::Markdown => markdown::write(report, out),
        Format::Csv => csv::write(report, out),
        Format::Dot => dot::write(report, out),
        Format::Folded => folded::write(report, out),
        Format::Flamegraph => out.write_str(&flamegraph::render(report)),
    }
}

/// Where views write to. An error of it is the stream's, which is kept, or that somebody cancelled: the view ends at once.
struct Out<'a> {
    /// What is not yet handed on.
    text: String,
    to: Option<&'a mut dyn io::Write>,
    control: &'a Control<'a>,
    failure: Option<io::Error>,
    steps: usize,
}

impl Out<'_> {
    /// So much is handed on at a time.
    const PIECE: usize = 1 << 16;

    /// What `put` writes.
    fn string(put: impl FnOnce(&mut Out<'_>) -> fmt::Result) -> String {
        let control = Control::default();
        let mut out = Out { text: String::new(), to: None, control: &control, failure: None, steps: 0 };
        put(&mut out).expect("nobody cancels, and writing to a string cannot fail");
        out.text
    }

    /// Does `each` with every row, looking at the cancel flag now and then.
    fn each<R: Row>(&mut self, rows: &Rows<R>, mut each: impl FnMut(&mut Self, &R) -> fmt::Result) -> fmt::Result {
        let mut reader = rows.reader();
        while let Some(row) = reader.next_row() {
            self.step()?;
            each(self, row)?;
        }
        Ok(())
    }

    /// A row is looked at.
    fn step(&mut self) -> fmt::Result {
        self.steps += 1;
        if self.steps.is_multiple_of(1 << 10)
            && let Err(error) = self.control.check()
        {
            return self.fail(error);
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> fmt::Result {
        self.failure = Some(io::Error::other(error));
        Err(fmt::Error)
    }

    fn hand_on(&mut self) -> fmt::Result {
        let Some(to) = &mut self.to else { return Ok(()) };
        let handed = to.write_all(self.text.as_bytes());
        self.text.clear();
        handed.map_err(|error| {
            self.failure = Some(error);
            fmt::Error
        })
    }

    fn finish(mut self, written: bool) -> io::Result<()> {
        let is_handed = written && self.hand_on().is_ok();
        match (is_handed, self.failure, self.to) {
            (true, _, Some(to)) => to.flush(),
            (true, ..) => Ok(()),
            (false, Some(failure), _) => Err(failure),
            (false, None, _) => Err(io::Error::other(Error::Interrupted)),
        }
    }
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        if self.text.len() >= Self::PIECE { self.hand_on() } else { Ok(()) }
    }
}

/// What there is among the cells of a column.
#[derive(Clone, Copy, Default)]
struct Seen {
    list: bool,
    text: bool,
    share: bool,
}

/// What there is in each of so many columns.
fn seen<R: Row>(rows: &Rows<R>, columns: usize, out: &mut Out<'_>) -> std::result::Result<Vec<Seen>, fmt::Error> {
    let mut seen = vec![Seen::default(); columns];
    out.each(rows, |_, row| {
        for (seen, cell) in seen.iter_mut().zip(row.cells()) {
            seen.list |= matches!(cell, Cell::List(_));
            seen.text |= cell.is_text();
            seen.share |= matches!(cell, Cell::Share(_));
        }
        Ok(())
    })?;
    Ok(seen)
}

/// A cell in words, escaped for a terminal.
fn words(cell: &Cell) -> String {
    match cell {
        Cell::Missing => "-".into(),
        Cell::Null(word) => (*word).into(),
        Cell::Text(text) if text.is_empty() => "\"\"".into(),
        Cell::Text(text) => escape::terminal(text).into_owned(),
        Cell::Cut(text) => format!("{}…", escape::terminal(text)),
        Cell::Brief { brief, .. } => escape::terminal(brief).into_owned(),
        Cell::Tally { value, count, .. } => format!("{} ({})", escape::terminal(value), human::count(*count)),
        Cell::More { count, what } => format!("({} more {what})", human::count(*count)),
        Cell::Count(count) => human::count(*count),
        Cell::Bytes(bytes) => human::bytes(*bytes),
        Cell::About { amount, of_bytes, is_rough } => {
            let amount = if *of_bytes { human::bytes(*amount) } else { human::count(*amount) };
            format!("~{amount}{}", if *is_rough { "?" } else { "" })
        }
        Cell::Change(0) | Cell::BytesChange(0) => "0".into(),
        Cell::Change(change) => format!("{}{}", sign(*change), human::count(change.unsigned_abs())),
        Cell::BytesChange(change) => format!("{}{}", sign(*change), human::bytes(change.unsigned_abs())),
        Cell::Share(share) => human::percent(*share),
        Cell::Rate { each, of_bytes: true } => human::bytes_each(*each),
        Cell::Rate { each, of_bytes: false } => human::rate(*each),
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
        word if stands_for_no_name(word) => "#d0d0d0",
        _ if is("String") || is("Symbol") => "#b8e0b0",
        _ if is("Array") || is("Hash") || is("Set") => "#b5d3f0",
        _ if is("Class") || is("Module") || is("class") || is("module") || is("singleton class") => "#d9c4ec",
        _ => "#f6cf9a",
    }
}

/// Whether words are such as analyses have where there is no name: `(IMEMO iseq)`, `(untraced)`, `(12 smaller)`. A colour may be mistaken.
fn stands_for_no_name(words: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["allocation tracer)", "class 0x", "no ", "none)", "untraced)"];
    let Some(inside) = words.strip_prefix('(') else { return false };
    let is_type = inside.trim_start_matches(|letter: char| letter.is_ascii_uppercase()).starts_with([' ', ')']);
    is_type || BEGINNINGS.iter().any(|known| inside.starts_with(known)) || inside.ends_with(" smaller)")
}

/// The nodes' depths, each at most one more than the one before, whatever the tree says.
fn depths(nodes: &Rows<TreeNode>) -> Vec<u32> {
    let mut next = 0;
    let mut depths = Vec::with_capacity(nodes.len());
    let mut reader = nodes.reader();
    while let Some(node) = reader.next_row() {
        let depth = u32::try_from(node.depth).map_or(next, |depth| depth.min(next));
        next = depth.saturating_add(1);
        depths.push(depth);
    }
    depths
}

#[cfg(test)]
mod tests;
