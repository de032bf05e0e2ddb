//! GitHub's Markdown for issues and pull requests.
//!
//! Texts of the dump stand in code, where nothing is markup, a mention or a link; our own sentences, which may quote such text, are
//! escaped mark by mark.

use super::{Out, TOTAL_LABEL, depths, escape, label_column, rest_label, seen, words};
use crate::human;
use crate::report::{Cell, Column, Fact, Facts, Level, List, Note, Path, Report, Section, Table, Tree, edge_column};
use std::fmt::{self, Write as _};

/// Deeper levels of a tree are not indented further; Markdown renderers give up long before.
const NESTED: usize = 32;

/// Writes the report as a heading and its sections.
pub(super) fn write(report: &Report, out: &mut Out<'_>) -> fmt::Result {
    writeln!(out, "# {} {}", prose(report.verb), code(&report.dump))?;
    for section in &report.sections {
        out.write_str("\n")?;
        match section {
            Section::Table(table) => self::table(table, out),
            Section::Facts(facts) => self::facts(facts, out),
            Section::List(list) => self::list(list, out),
            Section::Tree(tree) => self::tree(tree, out),
            Section::Path(path) => self::path(path, out),
            Section::Note(note) => self::note(note, out),
        }?;
    }
    Ok(())
}

fn heading(title: &str, out: &mut Out<'_>) -> fmt::Result {
    if title.is_empty() { Ok(()) } else { write!(out, "## {}\n\n", prose(title)) }
}

fn remark(fact: &Fact) -> String {
    if fact.remark.is_empty() { String::new() } else { format!(" ({})", prose(&fact.remark)) }
}

fn facts(facts: &Facts, out: &mut Out<'_>) -> fmt::Result {
    heading(&facts.title, out)?;
    for fact in &facts.facts {
        writeln!(out, "- {}: {}{}", prose(fact.title), cell(&fact.cell), remark(fact))?;
    }
    Ok(())
}

fn list(list: &List, out: &mut Out<'_>) -> fmt::Result {
    heading(&list.title, out)?;
    for (number, facts) in list.items.iter().enumerate() {
        out.step()?;
        for (at, fact) in facts.iter().enumerate() {
            match at {
                0 => writeln!(out, "{}. **{}**", number + 1, cell(&fact.cell)),
                _ if fact.title.is_empty() => Ok(()),
                _ => writeln!(out, "   - {}: {}{}", prose(fact.title), cell(&fact.cell), remark(fact)),
            }?;
        }
    }
    Ok(())
}

fn note(note: &Note, out: &mut Out<'_>) -> fmt::Result {
    let level = match note.level {
        Level::Info => "Note",
        Level::Warning => "Warning",
        Level::Failure => "Failure",
        Level::Next => "Next",
    };
    writeln!(out, "> **{level}:** {}", prose(&note.text))
}

fn table(table: &Table, out: &mut Out<'_>) -> fmt::Result {
    heading(&table.title, out)?;
    line(out, table.columns.iter().map(|column| prose(column.title)))?;
    let seen = seen(&table.rows, table.columns.len(), out)?;
    // Labels are aligned to the left.
    let is_label = table.columns.iter().zip(seen).map(|(column, seen)| column.shrinks || seen.text);
    line(out, is_label.map(|is_label| if is_label { ":--" } else { "--:" }.to_owned()))?;
    out.each(&table.rows, |out, row| line(out, row.iter().map(cell)))?;
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
        line(out, labelled(&rest.cells, &rest_label(rest)).into_iter())?;
    }
    if let Some(total) = &table.total {
        let strong = |text: String| if text.is_empty() { text } else { format!("**{text}**") };
        line(out, labelled(total, TOTAL_LABEL).into_iter().map(strong))?;
    }
    Ok(())
}

fn tree(tree: &Tree, out: &mut Out<'_>) -> fmt::Result {
    heading(&tree.title, out)?;
    let mut depths = depths(&tree.nodes).into_iter();
    out.each(&tree.nodes, |out, node| {
        let indent = 2 * (depths.next().unwrap_or_default() as usize).min(NESTED);
        writeln!(out, "{:indent$}- {}", "", entry(&tree.columns, &node.cells))
    })
}

fn path(path: &Path, out: &mut Out<'_>) -> fmt::Result {
    heading(&path.title, out)?;
    let mut number = 0;
    out.each(&path.steps, |out, step| {
        number += 1;
        writeln!(out, "{number}. {}", entry(&path.columns, step))
    })
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

fn line(out: &mut Out<'_>, cells: impl Iterator<Item = String>) -> fmt::Result {
    out.write_str("|")?;
    for cell in cells {
        write!(out, " {cell} |")?;
    }
    out.write_str("\n")
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Missing => "-".into(),
        Cell::Text(text) | Cell::Brief { brief: text, .. } => code(text),
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
