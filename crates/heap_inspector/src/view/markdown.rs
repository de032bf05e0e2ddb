//! GitHub's Markdown for issues and pull requests.
//!
//! Texts of the dump stand in code, where nothing is markup, a mention or a link; our own sentences, which may quote such text, are
//! escaped mark by mark.

use super::{TOTAL_LABEL, depths, escape, label_column, rest_label, words};
use crate::human;
use crate::report::{Cell, Column, Facts, Level, List, Note, Path, Report, Section, Table, Tree, edge_column};
use std::fmt::Write as _;

/// Deeper levels of a tree are not indented further; Markdown renderers give up long before.
const NESTED: usize = 32;

/// Writes the report as a heading and its sections.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut parts = vec![format!("# {} {}\n", prose(report.verb), code(&report.dump))];
    for section in &report.sections {
        let part = match section {
            Section::Table(table) => self::table(table),
            Section::Facts(facts) => self::facts(facts),
            Section::List(list) => self::list(list),
            Section::Tree(tree) => self::tree(tree),
            Section::Path(path) => self::path(path),
            Section::Note(note) => self::note(note),
        };
        parts.push(part);
    }
    parts.join("\n")
}

fn heading(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("## {}\n\n", prose(title)) }
}

fn facts(facts: &Facts) -> String {
    let mut out = heading(&facts.title);
    for fact in &facts.facts {
        let remark = if fact.remark.is_empty() { String::new() } else { format!(" ({})", prose(&fact.remark)) };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "- {}: {}{remark}", prose(fact.title), cell(&fact.cell));
    }
    out
}

fn list(list: &List) -> String {
    let mut out = heading(&list.title);
    for (number, facts) in list.items.iter().enumerate() {
        for (at, fact) in facts.iter().enumerate() {
            let remark = if fact.remark.is_empty() { String::new() } else { format!(" ({})", prose(&fact.remark)) };
            let _ = match at {
                0 => writeln!(out, "{}. **{}**", number + 1, cell(&fact.cell)),
                _ if fact.title.is_empty() => Ok(()),
                _ => writeln!(out, "   - {}: {}{remark}", prose(fact.title), cell(&fact.cell)),
            };
        }
    }
    out
}

fn note(note: &Note) -> String {
    let level = match note.level {
        Level::Info => "Note",
        Level::Warning => "Warning",
    };
    format!("> **{level}:** {}\n", prose(&note.text))
}

fn table(table: &Table) -> String {
    let mut out = heading(&table.title);
    line(&mut out, table.columns.iter().map(|column| prose(column.title)));
    let is_label: Vec<bool> = (0..table.columns.len()).map(|at| is_label(&table.columns, &table.rows, at)).collect();
    line(&mut out, is_label.iter().map(|is_label| if *is_label { ":--" } else { "--:" }.to_owned()));
    for row in &table.rows {
        line(&mut out, row.iter().map(cell));
    }
    let labelled = |cells: &[Cell], label: &str| -> Vec<String> {
        let at = label_column(table);
        let words = |(place, value): (usize, &Cell)| match value {
            _ if place == at => label.to_owned(),
            Cell::Missing | Cell::Null(_) => String::new(),
            value => cell(value),
        };
        cells.iter().enumerate().map(words).collect()
    };
    if let Some(rest) = &table.rest {
        line(&mut out, labelled(&rest.cells, &rest_label(rest)).into_iter());
    }
    if let Some(total) = &table.total {
        let strong = |text: String| if text.is_empty() { text } else { format!("**{text}**") };
        line(&mut out, labelled(total, TOTAL_LABEL).into_iter().map(strong));
    }
    out
}

fn tree(tree: &Tree) -> String {
    let mut out = heading(&tree.title);
    for (node, depth) in tree.nodes.iter().zip(depths(&tree.nodes)) {
        let _ = writeln!(out, "{}- {}", "  ".repeat(depth.min(NESTED)), entry(&tree.columns, &node.cells));
    }
    out
}

fn path(path: &Path) -> String {
    let mut out = heading(&path.title);
    for (number, step) in (1u64..).zip(&path.steps) {
        let _ = writeln!(out, "{number}. {}", entry(&path.columns, step));
    }
    out
}

/// A node or step on one line: its label, then the other columns by name.
fn entry(columns: &[Column], cells: &[Cell]) -> String {
    let Some((label, others)) = cells.split_last() else { return String::new() };
    let is_said = |value: &Cell| !matches!(value, Cell::Missing | Cell::Null(_));
    let edge = edge_column(columns);
    let label = match edge.and_then(|edge| others.get(edge)).filter(|edge| is_said(edge)) {
        Some(edge) => format!("{} → {}", cell(edge), cell(label)),
        None => cell(label),
    };
    let others: Vec<String> = columns
        .iter()
        .zip(others)
        .enumerate()
        .filter(|(at, (_, value))| Some(*at) != edge && is_said(value))
        .map(|(_, (column, value))| match column.title {
            "" => cell(value),
            title => format!("{} {}", prose(&title.to_lowercase()), cell(value)),
        })
        .collect();
    if others.is_empty() { label } else { format!("{label} ({})", others.join(", ")) }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    out.push('|');
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
}

/// Whether a column holds labels, which are aligned to the left.
fn is_label(columns: &[Column], rows: &[Vec<Cell>], at: usize) -> bool {
    columns[at].shrinks || rows.iter().any(|row| row.get(at).is_some_and(Cell::is_text))
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Missing => "-".into(),
        Cell::Text(text) => code(text),
        Cell::Cut(text) => code(&format!("{text}…")),
        Cell::Tally { value, count, .. } => format!("{} ({})", code(value), human::count(*count)),
        Cell::Share(share) => prose(&human::percent(*share)),
        Cell::List(cells) => cells.iter().map(plain).collect::<Vec<_>>().join("<br>"),
        cell => words(cell),
    }
}

/// A cell inside a list.
fn plain(value: &Cell) -> String {
    match value {
        Cell::Tally { .. } | Cell::More { .. } => cell(value),
        value => code(&super::plain_words(value)),
    }
}

/// Text as code. What ends code or a table's cell even there is written as an HTML entity, for which the code must be an element.
fn code(text: &str) -> String {
    let text = escape::terminal(text);
    let is_plain = !text.contains(['`', '|', '\\']) && text.trim() == text;
    match &text[..] {
        "" => "`\"\"`".into(),
        text if is_plain => format!("`{text}`"),
        text => {
            let mut code = String::from("<code>");
            for letter in text.chars() {
                if letter.is_alphanumeric() {
                    code.push(letter);
                } else {
                    let _ = write!(code, "&#{};", u32::from(letter));
                }
            }
            code + "</code>"
        }
    }
}

/// Our own sentences, and what they quote.
fn prose(text: &str) -> String {
    let text = escape::terminal(text);
    let mut safe = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        match letter {
            // A comment parts the sign from the name that GitHub would notify, or the number it would link.
            '@' | '#' => {
                let _ = write!(safe, "{letter}<!-- -->");
            }
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            ':' if letters.peek() == Some(&'/') => safe.push_str("&#58;"),
            '_' if before.is_alphanumeric() && letters.peek().is_some_and(|next| next.is_alphanumeric()) => {
                safe.push('_')
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '!' => {
                safe.push('\\');
                safe.push(letter);
            }
            letter => safe.push(letter),
        }
        before = letter;
    }
    safe
}
