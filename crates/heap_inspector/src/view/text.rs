//! Text for people: aligned columns that fit the terminal's width, colour only where asked for.
//!
//! No line is ever wider than asked. Labels are shortened first; where that is not enough bars go, then shares, then the further labels
//! of a table and all but the most telling columns of a tree or path, then what hangs over the edge. Widths are those of Unicode's East Asian Width, summed by character.

use super::{TOTAL_LABEL, TextStyle, depths, escape, human, label_column, rest_label, words};
use crate::report::{Cell, Column, Facts, Level, List, Note, Path, Report, Section, Table, Tree, edge_column};
use unicode_width::UnicodeWidthChar;

/// Between what holds an object and the object.
const ARROW: &str = " → ";
/// Spaces between columns.
const GAP: usize = 2;
/// Labels are not made narrower than this while there is something else to leave out.
const LABEL: usize = 16;
/// Bars have at least and at most so many columns.
const BAR: std::ops::RangeInclusive<usize> = 8..=40;
/// Guides and indents of trees and paths take no more than this part of the width.
const INDENTS: usize = 3;

/// Writes the report's sections, an empty line between them.
#[must_use]
pub fn render(report: &Report, style: &TextStyle) -> String {
    let mut page = Page { out: String::new(), style: TextStyle { width: style.width.max(1), ..*style } };
    page.line(&[(Paint::Heading, shorten(&escape::terminal(&report.dump), page.style.width))]);
    let mut was_note = false;
    for section in &report.sections {
        let is_note = matches!(section, Section::Note(_));
        if !(is_note && was_note) {
            page.out.push('\n');
        }
        was_note = is_note;
        match section {
            Section::Table(table) => page.table(table),
            Section::Facts(facts) => page.facts(facts),
            Section::List(list) => page.list(list),
            Section::Tree(tree) => page.tree(tree),
            Section::Path(path) => page.path(path),
            Section::Note(note) => page.note(note),
        }
    }
    page.out
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Heading,
    Dim,
    Bar,
    Warning,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Plain => "",
            Paint::Heading => "\u{1b}[1m",
            Paint::Dim => "\u{1b}[2m",
            Paint::Bar => "\u{1b}[36m",
            Paint::Warning => "\u{1b}[33m",
        }
    }
}

struct Page {
    out: String,
    style: TextStyle,
}

/// The columns of a table, tree or path, made ready to be set out.
struct Layout {
    widths: Vec<usize>,
    is_label: Vec<bool>,
    /// Columns that there is room for.
    shown: Vec<usize>,
    /// Whether the last column is the label of a tree or path.
    is_chart: bool,
}

impl Page {
    /// Writes pieces as one line: nothing over the edge, no spaces at the end.
    fn line(&mut self, pieces: &[(Paint, String)]) {
        let mut left = self.style.width;
        let mut cut: Vec<(Paint, String)> = Vec::with_capacity(pieces.len());
        for (paint, text) in pieces {
            let text = cut_end(text, left);
            left -= width(&text);
            cut.push((*paint, text));
        }
        while let Some((_, text)) = cut.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            cut.pop();
        }
        for (paint, text) in &cut {
            let code = if self.style.color && !text.trim().is_empty() { paint.code() } else { "" };
            self.out.push_str(code);
            self.out.push_str(text);
            if !code.is_empty() {
                self.out.push_str("\u{1b}[0m");
            }
        }
        self.out.push('\n');
    }

    fn heading(&mut self, title: &str) {
        if !title.is_empty() {
            let title = cut_end(&escape::terminal(title), self.style.width);
            self.line(&[(Paint::Heading, title)]);
        }
    }

    fn facts(&mut self, facts: &Facts) {
        self.heading(&facts.title);
        let values: Vec<String> = facts.facts.iter().map(|fact| words(&fact.cell)).collect();
        let title_width = facts.facts.iter().map(|fact| width(fact.title)).max().unwrap_or(0);
        // Numbers line up on the right; a long text does not push them there.
        let is_short = |value: &&String| width(value) <= LABEL;
        let value_width = values.iter().filter(is_short).map(|value| width(value)).max().unwrap_or(0);
        for (fact, value) in facts.facts.iter().zip(values) {
            let room = self.style.width.saturating_sub(title_width + GAP);
            let value = shorten(&value, room.max(1));
            let remark = if fact.remark.is_empty() { String::new() } else { gap() + &escape::terminal(&fact.remark) };
            self.line(&[
                (Paint::Plain, pad_end(fact.title, title_width) + &gap()),
                (Paint::Plain, pad_start(&value, value_width)),
                (Paint::Dim, remark),
            ]);
        }
    }

    /// Each thing under its headline; a list of texts, as a path is, takes a line for each.
    fn list(&mut self, list: &List) {
        self.heading(&list.title);
        for (number, facts) in list.items.iter().enumerate() {
            let Some((headline, facts)) = facts.split_first() else { continue };
            if number > 0 {
                self.out.push('\n');
            }
            let lead = format!("{}. ", number + 1);
            let indent = " ".repeat(lead.len());
            let room = self.style.width.saturating_sub(lead.len()).max(1);
            for (at, line) in wrap(&words(&headline.cell), room).into_iter().enumerate() {
                self.line(&[(Paint::Heading, format!("{}{line}", if at == 0 { &lead } else { &indent }))]);
            }
            let title_width = facts.iter().map(|fact| width(fact.title)).max().unwrap_or(0);
            let room = room.saturating_sub(title_width + GAP).max(1);
            for fact in facts.iter().filter(|fact| !fact.title.is_empty()) {
                let values: Vec<String> = match &fact.cell {
                    Cell::Missing => continue,
                    Cell::List(cells) if cells.iter().all(|cell| matches!(cell, Cell::Text(_))) => {
                        cells.iter().map(|cell| shorten(&words(cell), room)).collect()
                    }
                    cell if fact.remark.is_empty() => vec![shorten(&words(cell), room)],
                    cell => wrap(&format!("{}: {}", words(cell), escape::terminal(&fact.remark)), room),
                };
                for (at, value) in values.into_iter().enumerate() {
                    let title = if at == 0 { fact.title } else { "" };
                    self.line(&[
                        (Paint::Dim, indent.clone() + &pad_end(title, title_width) + &gap()),
                        (Paint::Plain, value),
                    ]);
                }
            }
        }
    }

    fn note(&mut self, note: &Note) {
        let (level, paint) = match note.level {
            Level::Info => ("note: ", Paint::Dim),
            Level::Warning => ("warning: ", Paint::Warning),
        };
        let indent = if self.style.width >= 4 * level.len() { level.len() } else { 0 };
        let room = if indent == 0 { self.style.width } else { self.style.width - indent };
        let text = escape::terminal(&note.text);
        let text = if indent == 0 { format!("{level}{text}") } else { text.into_owned() };
        for (at, line) in wrap(&text, room).into_iter().enumerate() {
            let lead = if at == 0 { &level[..indent] } else { &"         "[..indent] };
            self.line(&[(paint, lead.to_owned()), (if paint == Paint::Dim { Paint::Plain } else { paint }, line)]);
        }
    }

    fn table(&mut self, table: &Table) {
        self.heading(&table.title);
        let columns = &table.columns;
        let place = label_column(table);
        let labelled = |cells: &[Cell], label: String| -> Vec<String> {
            let words = |(at, cell): (usize, &Cell)| match cell {
                _ if at == place => label.clone(),
                Cell::Missing | Cell::Null(_) => String::new(),
                cell => words(cell),
            };
            cells.iter().enumerate().map(words).collect()
        };
        let rows: Vec<Vec<String>> = table.rows.iter().map(|row| row.iter().map(words).collect()).collect();
        let rest = table.rest.as_ref().map(|rest| labelled(&rest.cells, rest_label(rest)));
        let total = table.total.as_ref().map(|total| labelled(total, TOTAL_LABEL.to_owned()));
        let all = || rows.iter().chain(&rest).chain(&total);
        let texts = |at: usize| table.rows.iter().any(|row| row.get(at).is_some_and(Cell::is_text));
        let is_label: Vec<bool> = (0..columns.len()).map(|at| columns[at].shrinks || texts(at)).collect();
        let shares = |at: usize| table.rows.iter().any(|row| matches!(row.get(at), Some(Cell::Share(_))));
        let shares: Vec<bool> = (0..columns.len()).map(shares).collect();
        // Of many labels those that come first matter most.
        let labels = (0..columns.len()).filter(|at| columns[*at].shrinks);
        let dropped: Vec<usize> = (0..columns.len())
            .rev()
            .filter(|at| shares[*at])
            .chain(labels.skip(2).collect::<Vec<_>>().into_iter().rev())
            .collect();
        let layout = self.layout(columns, is_label, all(), &dropped, &[], None);

        let used = layout.width();
        let bar = table.bar.filter(|_| self.style.width >= used + GAP + BAR.start());
        let bar_width = (self.style.width.saturating_sub(used + GAP)).min(*BAR.end());
        // What has no place among the others (untraced objects) has no bar, and does not make theirs short.
        let amount = |row: &[Cell]| match bar.and_then(|bar| row.get(bar)) {
            Some(Cell::Count(amount) | Cell::Bytes(amount)) if !matches!(row.get(place), Some(Cell::Null(_))) => {
                *amount
            }
            _ => 0,
        };
        let most = table.rows.iter().map(|row| amount(row)).max().unwrap_or(0);

        self.line(&layout.header(columns));
        for (row, cells) in rows.iter().zip(&table.rows) {
            let mut pieces = layout.pieces(row, cells, &shares, "");
            if bar.is_some() {
                pieces.push((Paint::Bar, gap() + &self::bar(amount(cells), most, bar_width)));
            }
            self.line(&pieces);
        }
        if let (Some(row), Some(rest)) = (&rest, &table.rest) {
            self.line(&layout.pieces(row, &rest.cells, &shares, ""));
        }
        if let (Some(row), Some(cells)) = (&total, &table.total) {
            self.line(&[(Paint::Dim, "─".repeat(used.min(self.style.width)))]);
            self.line(&layout.pieces(row, cells, &shares, ""));
        }
    }

    fn tree(&mut self, tree: &Tree) {
        self.heading(&tree.title);
        let depths = depths(&tree.nodes);
        let is_last = last_children(&depths);
        let rows: Vec<Vec<Cell>> = tree.nodes.iter().map(|node| node.cells.clone()).collect();
        let most = (self.style.width / INDENTS / 3).max(1);
        // Whether the ancestor at each depth has children to come, for the lines that pass by.
        let mut goes_on: Vec<bool> = Vec::new();
        let prefixes = depths.iter().zip(&is_last).map(|(&depth, &is_last)| {
            goes_on.truncate(depth);
            goes_on.push(!is_last);
            if depth == 0 {
                return String::new();
            }
            let from = depth.saturating_sub(most).max(1);
            let mut prefix = if from > 1 { format!("+{} ", from - 1) } else { String::new() };
            prefix.extend(goes_on[from..depth].iter().map(|goes_on| if *goes_on { "│  " } else { "   " }));
            prefix + if is_last { "└─ " } else { "├─ " }
        });
        let prefixes = prefixes.collect();
        self.chart(&tree.columns, &rows, prefixes);
    }

    fn path(&mut self, path: &Path) {
        self.heading(&path.title);
        let most = (self.style.width / INDENTS / 2).max(1);
        let prefix = |step: usize| {
            if step == 0 { String::new() } else { "  ".repeat((step - 1).min(most)) + "└ " }
        };
        self.chart(&path.columns, &path.steps, (0..path.steps.len()).map(prefix).collect());
    }

    /// Rows whose last column, the label, stands behind a prefix of its own and by what the row is held.
    fn chart(&mut self, columns: &[Column], rows: &[Vec<Cell>], prefixes: Vec<String>) {
        let last = columns.len().saturating_sub(1);
        let edge = edge_column(columns);
        let texts: Vec<Vec<String>> = rows
            .iter()
            .zip(&prefixes)
            .map(|(row, prefix)| {
                let mut texts: Vec<String> = row.iter().map(words).collect();
                let edge = match edge.and_then(|edge| row.get(edge)) {
                    None | Some(Cell::Missing | Cell::Null(_)) => String::new(),
                    Some(edge) => words(edge) + ARROW,
                };
                if let Some(label) = texts.get_mut(last) {
                    label.insert_str(0, &format!("{prefix}{edge}"));
                }
                texts
            })
            .collect();
        let is_text = |at: usize| rows.iter().any(|row| row.get(at).is_some_and(Cell::is_text));
        let is_label: Vec<bool> = (0..columns.len()).map(|at| at == last || is_text(at)).collect();
        let shares = |at: usize| rows.iter().any(|row| matches!(row.get(at), Some(Cell::Share(_))));
        let shares: Vec<bool> = (0..columns.len()).map(shares).collect();
        // Shares go first, then the other labels, then numbers; what rows are measured by and their address stay.
        let places = || (1..last).rev();
        let others = || places().filter(|at| !shares[*at] && columns[*at].name != "address");
        let dropped: Vec<usize> = places()
            .filter(|at| shares[*at])
            .chain(others().filter(|at| columns[*at].shrinks))
            .chain(others().filter(|at| !columns[*at].shrinks))
            .collect();
        let layout = self.layout(columns, is_label, texts.iter(), &dropped, &[edge], Some(last));
        self.line(&layout.header(columns));
        for ((row, cells), prefix) in texts.iter().zip(rows).zip(&prefixes) {
            self.line(&layout.pieces(row, cells, &shares, prefix));
        }
    }

    /// Chooses the widths: what the texts need, labels less where it does not fit; where that is still too much, columns are left out
    /// in the order of `dropped`, those of `hidden` always. The `favoured` label is shortened last.
    fn layout<'a>(
        &self,
        columns: &[Column],
        is_label: Vec<bool>,
        rows: impl Iterator<Item = &'a Vec<String>>,
        dropped: &[usize],
        hidden: &[Option<usize>],
        favoured: Option<usize>,
    ) -> Layout {
        let mut widths: Vec<usize> = columns.iter().map(|column| width(column.title)).collect();
        for row in rows {
            for (known, text) in widths.iter_mut().zip(row) {
                *known = (*known).max(width(text));
            }
        }
        let shrinks = |at: usize| columns[at].shrinks || favoured == Some(at);
        let mut shown: Vec<usize> = (0..columns.len()).filter(|at| !hidden.contains(&Some(*at))).collect();
        // What the favoured one takes before columns are left out for it, and the others before they are.
        let enough = |at: usize| if favoured == Some(at) { (self.style.width / 2).max(LABEL) } else { LABEL };
        let wanted = |shown: &[usize], widths: &[usize]| -> usize {
            let needs = |at: usize| if shrinks(at) { widths[at].min(enough(at)) } else { widths[at] };
            shown.len().saturating_sub(1) * GAP + shown.iter().map(|at| needs(*at)).sum::<usize>()
        };
        for at in dropped {
            if wanted(&shown, &widths) <= self.style.width {
                break;
            }
            shown.retain(|known| known != at);
        }
        let gaps = shown.len().saturating_sub(1) * GAP;
        let fixed: usize = shown.iter().filter(|at| !shrinks(**at)).map(|at| widths[*at]).sum();
        let mut left = self.style.width.saturating_sub(gaps + fixed);
        let mut shrinking: Vec<usize> = shown.iter().copied().filter(|at| shrinks(*at)).collect();
        if let Some(favoured) = favoured {
            shrinking.retain(|at| *at != favoured);
            let others: usize = shrinking.iter().map(|at| widths[*at].min(LABEL)).sum();
            widths[favoured] = widths[favoured].min(left.saturating_sub(others).max(1));
            left = left.saturating_sub(widths[favoured]);
        }
        // The narrow ones first: what they leave over goes to the wide ones.
        shrinking.sort_by_key(|at| widths[*at]);
        for (done, at) in shrinking.iter().enumerate() {
            let part = left / (shrinking.len() - done);
            widths[*at] = widths[*at].min(part.max(1));
            left = left.saturating_sub(widths[*at]);
        }
        Layout { widths, is_label, shown, is_chart: favoured.is_some() }
    }
}

impl Layout {
    fn width(&self) -> usize {
        self.shown.iter().map(|at| self.widths[*at]).sum::<usize>() + self.shown.len().saturating_sub(1) * GAP
    }

    fn set(&self, at: usize, text: &str) -> String {
        if self.is_label[at] { pad_end(text, self.widths[at]) } else { pad_start(text, self.widths[at]) }
    }

    fn header(&self, columns: &[Column]) -> Vec<(Paint, String)> {
        let title = |(place, at): (usize, &usize)| {
            let gap = if place == 0 { String::new() } else { gap() };
            (Paint::Dim, gap + &self.set(*at, &cut_end(columns[*at].title, self.widths[*at])))
        };
        self.shown.iter().enumerate().map(title).collect()
    }

    /// A row; of the last column `prefix` is not shortened while it leaves room.
    fn pieces(&self, row: &[String], cells: &[Cell], shares: &[bool], prefix: &str) -> Vec<(Paint, String)> {
        let piece = |(place, &at): (usize, &usize)| {
            let text = row.get(at).map_or("", String::as_str);
            let text = match cells.get(at) {
                Some(Cell::List(items)) => shorten_list(items, self.widths[at]),
                _ if self.is_chart && at + 1 == row.len() => match text.strip_prefix(prefix) {
                    Some(rest) if width(prefix) + 4 < self.widths[at] => {
                        prefix.to_owned() + &shorten_held(rest, self.widths[at] - width(prefix))
                    }
                    _ => shorten_held(text, self.widths[at]),
                },
                _ => shorten(text, self.widths[at]),
            };
            let gap = if place == 0 { String::new() } else { gap() };
            (if shares[at] { Paint::Dim } else { Paint::Plain }, gap + &self.set(at, &text))
        };
        self.shown.iter().enumerate().map(piece).collect()
    }
}

/// For each node whether no sister comes after it.
fn last_children(depths: &[usize]) -> Vec<bool> {
    let mut is_last = vec![false; depths.len()];
    // From the end: the depths at which a node came since the last shallower one.
    let mut seen: Vec<bool> = Vec::new();
    for (at, depth) in depths.iter().enumerate().rev() {
        seen.resize(depth + 1, false);
        is_last[at] = !seen[*depth];
        seen[*depth] = true;
    }
    is_last
}

/// A bar in eighths of a column; what is not nothing shows.
fn bar(amount: u64, most: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if amount == 0 || most == 0 {
        return String::new();
    }
    let eighths = ((amount as f64 / most as f64) * (width * 8) as f64).round().max(1.0) as usize;
    "█".repeat((eighths / 8).min(width)) + if eighths / 8 < width { EIGHTHS[eighths % 8] } else { "" }
}

fn gap() -> String {
    " ".repeat(GAP)
}

/// Columns of a terminal that a text takes. Nothing in it may be a control character.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}

fn pad_end(text: &str, columns: usize) -> String {
    text.to_owned() + &" ".repeat(columns.saturating_sub(width(text)))
}

fn pad_start(text: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(width(text))) + text
}

/// The first letters, as many as fit.
fn head(text: &str, columns: usize) -> &str {
    let mut left = columns;
    for (at, letter) in text.char_indices() {
        match left.checked_sub(letter.width().unwrap_or(0)) {
            Some(less) => left = less,
            None => return &text[..at],
        }
    }
    text
}

/// The last letters, as many as fit.
fn tail(text: &str, columns: usize) -> &str {
    let mut left = columns;
    for (at, letter) in text.char_indices().rev() {
        match left.checked_sub(letter.width().unwrap_or(0)) {
            Some(less) => left = less,
            None => return &text[at + letter.len_utf8()..],
        }
    }
    text
}

fn cut_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 { String::new() } else { head(text, columns - 1).to_owned() + "…" }
}

/// A label made to fit: a path keeps its end, other text its start and end.
fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    if text.contains('/') && !text.starts_with('(') {
        return format!("…{}", tail(text, room));
    }
    let end = tail(text, room / 3);
    format!("{}…{end}", head(text, room - width(end)))
}

/// A label behind what holds it (`@name → label`) made to fit: both lose of what they have beyond their parts, the label less.
fn shorten_held(text: &str, columns: usize) -> String {
    match text.split_once(ARROW) {
        Some((edge, label)) if width(text) > columns && columns > 2 * LABEL => {
            let room = columns - width(ARROW);
            let edge = shorten(edge, room.saturating_sub(width(label)).max(room / 3));
            let label = shorten(label, room.saturating_sub(width(&edge)));
            format!("{edge}{ARROW}{label}")
        }
        _ => shorten(text, columns),
    }
}

/// As many whole values of a list as fit, and how many do not.
fn shorten_list(cells: &[Cell], columns: usize) -> String {
    let whole = cells.iter().map(super::plain_words).collect::<Vec<_>>().join(", ");
    let more = match cells.last() {
        Some(Cell::More { count, .. }) => *count,
        _ => 0,
    };
    let items: Vec<String> =
        cells.iter().filter(|cell| !matches!(cell, Cell::More { .. })).map(super::plain_words).collect();
    if width(&whole) <= columns || items.is_empty() || items.len() < 2 && more == 0 {
        return shorten(&whole, columns);
    }
    let left = |kept: usize| format!(", +{}", human::count(more + (items.len() - kept) as u64));
    for kept in (1..=items.len()).rev() {
        let text = items[..kept].join(", ") + &left(kept);
        if width(&text) <= columns {
            return text;
        }
    }
    let left = left(1);
    match columns.checked_sub(width(&left)) {
        Some(room) if room > 1 => shorten(&items[0], room) + &left,
        _ => shorten(&items[0], columns),
    }
}

/// Lines of at most so many columns, broken at spaces where there are any.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && width(line) + 1 + width(word) <= columns {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        let mut left = word;
        loop {
            let line = lines.last_mut().expect("there is always one");
            // A letter wider than the terminal takes its line alone, and is cut there.
            let letter = left.chars().next().map_or(0, char::len_utf8);
            let fits = head(left, columns).len().max(letter);
            line.push_str(&left[..fits]);
            left = &left[fits..];
            if left.is_empty() {
                break;
            }
            lines.push(String::new());
        }
    }
    lines
}
