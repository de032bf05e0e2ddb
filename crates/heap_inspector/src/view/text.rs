//! Text for people: aligned columns that fit the terminal's width, colour only where asked for.
//!
//! No line is ever wider than asked. Where room is short bars go first, then shares, addresses and the columns with a value of each
//! dump: what is the answer itself (a class, a holder, `file:line`) stays. Paths lose their start up to the file's name, texts of strings
//! their middle, and other labels go on in the next line; further labels and numbers are left out last. Widths are those of Unicode's
//! East Asian Width, summed by character.

use super::{Out, Seen, TOTAL_LABEL, TextStyle, depths, escape, label_column, rest_label, seen, words};
use crate::human;
use crate::report::{
    Cell, Column, Facts, Level, List, Note, Path, Report, Row, Rows, Section, Table, Tree, edge_column,
};
use crate::sort;
use std::fmt::{self, Write as _};
use textwrap::WordSeparator;
use textwrap::core::Word;
use unicode_width::UnicodeWidthChar;

/// Between what holds an object and the object.
const ARROW: &str = " → ";
/// Spaces between columns.
const GAP: usize = 2;
/// Values are not made narrower than this while there is something else to leave out.
const LABEL: usize = 16;
/// A name has so many columns, if it needs them, before it goes on in the next line.
const NAME: usize = 40;
/// What is asked for the label of a tree or path where it needs that much, in a narrow terminal too.
const BRANCH: usize = 52;
/// A name that takes more lines than this loses its middle: only one that means harm is so long.
const LINES: usize = 8;
/// Bars have at least and at most so many columns.
const BAR: std::ops::RangeInclusive<usize> = 8..=40;
/// Guides and indents of trees and paths take no more than this part of the width.
const INDENTS: usize = 3;

/// Writes the report's sections, an empty line between them. Rows are looked at twice: for the columns' widths, and to be written.
pub(super) fn write(report: &Report, style: &TextStyle, out: &mut Out<'_>) -> fmt::Result {
    let mut page = Page { out, style: TextStyle { width: style.width.max(1), ..*style } };
    page.heading(&report.dump)?;
    let mut was_note = false;
    for section in &report.sections {
        let is_note = matches!(section, Section::Note(_));
        if !(is_note && was_note) {
            page.out.write_str("\n")?;
        }
        was_note = is_note;
        match section {
            Section::Table(table) => page.table(table),
            Section::Facts(facts) => page.facts(facts),
            Section::List(list) => page.list(list),
            Section::Tree(tree) => page.tree(tree),
            Section::Path(path) => page.path(path),
            Section::Note(note) => page.note(note),
        }?;
    }
    Ok(())
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

struct Page<'a, 'b> {
    out: &'a mut Out<'b>,
    style: TextStyle,
}

/// What the texts of columns take.
struct Measured {
    widths: Vec<usize>,
    /// The same at least, while there is something else to leave out.
    needs: Vec<usize>,
}

impl Measured {
    fn of(columns: &[Column]) -> Measured {
        let widths: Vec<usize> = columns.iter().map(|column| width(column.title)).collect();
        Measured { needs: widths.clone(), widths }
    }

    fn row(&mut self, kinds: &[Kind], row: &[String]) {
        for (at, (kind, text)) in kinds.iter().zip(row).enumerate() {
            self.widths[at] = self.widths[at].max(width(text));
            self.needs[at] = self.needs[at].max(kind.needs(text));
        }
    }
}

/// The columns of a table, tree or path, made ready to be set out.
struct Layout {
    widths: Vec<usize>,
    kinds: Vec<Kind>,
    /// Columns that there is room for.
    shown: Vec<usize>,
}

/// What becomes of a column's texts where there is too little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number, on the right, shown whole or not at all.
    Number,
    /// A word, on the left, shown whole or not at all.
    Word,
    /// A text of the app's, which says enough without its middle.
    Value,
    /// Several texts, of which some say enough.
    Values,
    /// A number of each dump, of which none is left out.
    Each,
    /// What the reader asked for: a path loses its start, and what still does not fit goes on in the next line.
    Name,
    /// The label of a tree or path behind its guides, else as a name.
    Branch,
}

impl Kind {
    fn of(column: &Column, seen: Seen) -> Kind {
        match column.shrinks {
            true if seen.list => Kind::Values,
            true if matches!(column.name, "value" | "text") => Kind::Value,
            true => Kind::Name,
            false if seen.list => Kind::Each,
            false if seen.text => Kind::Word,
            false => Kind::Number,
        }
    }

    fn is_flexible(self) -> bool {
        !matches!(self, Kind::Number | Kind::Word)
    }

    /// The columns that a text takes at least while there is something else to leave out.
    fn needs(self, text: &str) -> usize {
        match self {
            Kind::Number | Kind::Word => width(text),
            Kind::Value => width(text).min(LABEL),
            Kind::Values => width(&shortest(text.split(", ").next().unwrap_or(text))).min(NAME) + ", +10".len(),
            Kind::Name => width(&shortest(text)).min(NAME),
            Kind::Each => width(text).min(NAME),
            Kind::Branch => width(text),
        }
        .min(width(text))
    }
}

impl Page<'_, '_> {
    /// Writes pieces as one line: nothing over the edge, no spaces at the end.
    fn line(&mut self, pieces: &[(Paint, String)]) -> fmt::Result {
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
            self.out.write_str(code)?;
            self.out.write_str(text)?;
            if !code.is_empty() {
                self.out.write_str("\u{1b}[0m")?;
            }
        }
        self.out.write_str("\n")
    }

    fn heading(&mut self, title: &str) -> fmt::Result {
        if !title.is_empty() {
            for line in wrap(&escape::terminal(title), self.style.width) {
                self.line(&[(Paint::Heading, line)])?;
            }
        }
        Ok(())
    }

    /// A title on the left and lines beside it, of which the first has the title.
    fn beside(
        &mut self,
        title: &str,
        title_width: usize,
        lines: Vec<Vec<(Paint, String)>>,
        paint: Paint,
    ) -> fmt::Result {
        for (at, mut line) in lines.into_iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            line.insert(0, (paint, pad_end(title, title_width) + &gap()));
            self.line(&line)?;
        }
        Ok(())
    }

    fn facts(&mut self, facts: &Facts) -> fmt::Result {
        self.heading(&facts.title)?;
        let values: Vec<String> = facts.facts.iter().map(|fact| words(&fact.cell)).collect();
        let title_width = facts.facts.iter().map(|fact| width(fact.title)).max().unwrap_or(0);
        // Numbers line up on the right; a long text does not push them there.
        let is_short = |value: &&String| width(value) <= LABEL;
        let value_width = values.iter().filter(is_short).map(|value| width(value)).max().unwrap_or(0);
        let room = self.style.width.saturating_sub(title_width + GAP).max(1);
        for (fact, value) in facts.facts.iter().zip(values) {
            let mut lines: Vec<Vec<(Paint, String)>> =
                fit(&value, room).into_iter().map(|line| vec![(Paint::Plain, pad_start(&line, value_width))]).collect();
            if !fact.remark.is_empty() {
                let remark = escape::terminal(&fact.remark);
                let used = if lines.len() > 1 { room } else { width(&value).max(value_width) + GAP };
                let (indent, left) = match room.saturating_sub(used) {
                    left if width(&remark).min(2 * LABEL) <= left => (used, left),
                    _ => (GAP.min(room - 1), room.saturating_sub(GAP).max(1)),
                };
                for (at, line) in wrap(&remark, left).into_iter().enumerate() {
                    match lines.last_mut() {
                        Some(beside) if at == 0 && indent == used => beside.push((Paint::Dim, gap() + &line)),
                        _ => lines.push(vec![(Paint::Dim, " ".repeat(indent) + &line)]),
                    }
                }
            }
            self.beside(fact.title, title_width, lines, Paint::Plain)?;
        }
        Ok(())
    }

    /// Each thing under its headline; a list of texts, as a path is, takes a line for each.
    fn list(&mut self, list: &List) -> fmt::Result {
        self.heading(&list.title)?;
        for (number, facts) in list.items.iter().enumerate() {
            let Some((headline, facts)) = facts.split_first() else { continue };
            self.out.step()?;
            if number > 0 {
                self.out.write_str("\n")?;
            }
            let lead = format!("{}. ", number + 1);
            let indent = " ".repeat(lead.len());
            let room = self.style.width.saturating_sub(lead.len()).max(1);
            for (at, line) in wrap(&words(&headline.cell), room).into_iter().enumerate() {
                self.line(&[(Paint::Heading, format!("{}{line}", if at == 0 { &lead } else { &indent }))])?;
            }
            let title_width = facts.iter().map(|fact| width(fact.title)).max().unwrap_or(0);
            let room = room.saturating_sub(title_width + GAP).max(1);
            for fact in facts.iter().filter(|fact| !fact.title.is_empty()) {
                let values: Vec<String> = match &fact.cell {
                    Cell::Missing => continue,
                    Cell::List(cells)
                        if cells.iter().all(|cell| matches!(cell, Cell::Text(_) | Cell::Brief { .. })) =>
                    {
                        let step = |cell: &Cell| {
                            let lines = fit(&words(cell), room.saturating_sub(GAP).max(1)).into_iter();
                            lines
                                .enumerate()
                                .map(|(at, line)| if at == 0 { line } else { gap() + &line })
                                .collect::<Vec<_>>()
                        };
                        cells.iter().flat_map(step).collect()
                    }
                    cell if fact.remark.is_empty() => fit(&words(cell), room),
                    cell => wrap(&format!("{}: {}", words(cell), escape::terminal(&fact.remark)), room),
                };
                let lines = values.into_iter().map(|value| vec![(Paint::Plain, value)]).collect();
                self.beside(&(indent.clone() + fact.title), indent.len() + title_width, lines, Paint::Dim)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, note: &Note) -> fmt::Result {
        let (level, paint) = match note.level {
            Level::Info => ("note: ", Paint::Dim),
            Level::Warning => ("warning: ", Paint::Warning),
            Level::Failure => ("failure: ", Paint::Warning),
            Level::Next => ("next: ", Paint::Dim),
        };
        let indent = if self.style.width >= 4 * level.len() { level.len() } else { 0 };
        let room = if indent == 0 { self.style.width } else { self.style.width - indent };
        let text = escape::terminal(&note.text);
        let text = if indent == 0 { format!("{level}{text}") } else { text.into_owned() };
        for (at, line) in wrap(&text, room).into_iter().enumerate() {
            let lead = if at == 0 { &level[..indent] } else { &"         "[..indent] };
            self.line(&[(paint, lead.to_owned()), (if paint == Paint::Dim { Paint::Plain } else { paint }, line)])?;
        }
        Ok(())
    }

    fn table(&mut self, table: &Table) -> fmt::Result {
        self.heading(&table.title)?;
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
        let rest = table.rest.as_ref().map(|rest| labelled(&rest.cells, rest_label(rest)));
        let total = table.total.as_ref().map(|total| labelled(total, TOTAL_LABEL.to_owned()));
        let seen = seen(&table.rows, columns.len(), self.out)?;
        let kinds: Vec<Kind> = columns.iter().zip(&seen).map(|(column, seen)| Kind::of(column, *seen)).collect();
        let shares: Vec<bool> = seen.iter().map(|seen| seen.share).collect();
        // Growth and trend say most of what there is of each dump, the first two of many labels.
        let each = (0..columns.len()).filter(|at| kinds[*at] == Kind::Each);
        let labels = (0..columns.len()).filter(|at| columns[*at].shrinks).skip(2);
        let dropped: Vec<usize> = (0..columns.len())
            .rev()
            .filter(|at| shares[*at])
            .chain((0..columns.len()).filter(|at| columns[*at].name == "address"))
            .chain(each)
            .chain(labels.collect::<Vec<_>>().into_iter().rev())
            .collect();
        // What has no place among the others (untraced objects) has no bar, and does not make theirs short.
        let amount = |row: &[Cell]| match table.bar.and_then(|bar| row.get(bar)) {
            Some(Cell::Count(amount) | Cell::Bytes(amount) | Cell::About { amount, .. })
                if !matches!(row.get(place), Some(Cell::Null(_))) =>
            {
                *amount
            }
            _ => 0,
        };
        let (mut measured, mut most) = (Measured::of(columns), 0);
        self.out.each(&table.rows, |_, row| {
            most = most.max(amount(row));
            measured.row(&kinds, &row.iter().map(words).collect::<Vec<_>>());
            Ok(())
        })?;
        rest.iter().chain(&total).for_each(|row| measured.row(&kinds, row));
        let layout = self.layout(columns, kinds, measured, &dropped, None);

        let used = layout.width();
        let has_bar = table.bar.is_some() && self.style.width >= used + GAP + BAR.start();
        let bar_width = (self.style.width.saturating_sub(used + GAP)).min(*BAR.end());

        self.line(&layout.header(columns))?;
        let mut rows = table.rows.reader();
        while let Some(cells) = rows.next_row() {
            self.out.step()?;
            let row: Vec<String> = cells.iter().map(words).collect();
            let mut lines = layout.lines(&row, cells, &shares, "");
            if has_bar {
                lines[0].push((Paint::Bar, gap() + &self::bar(amount(cells), most, bar_width)));
            }
            self.lines(&lines)?;
        }
        if let (Some(row), Some(rest)) = (&rest, &table.rest) {
            self.lines(&layout.lines(row, &rest.cells, &shares, ""))?;
        }
        if let (Some(row), Some(cells)) = (&total, &table.total) {
            self.line(&[(Paint::Dim, "─".repeat(used.min(self.style.width)))])?;
            self.lines(&layout.lines(row, cells, &shares, ""))?;
        }
        Ok(())
    }

    fn lines(&mut self, lines: &[Vec<(Paint, String)>]) -> fmt::Result {
        lines.iter().try_for_each(|line| self.line(line))
    }

    fn tree(&mut self, tree: &Tree) -> fmt::Result {
        self.heading(&tree.title)?;
        let depths = depths(&tree.nodes);
        let is_last = last_children(&depths);
        let most = (self.style.width / INDENTS / 3).max(1);
        let prefixes = || {
            // Whether the ancestor at each depth has children to come, for the lines that pass by.
            let mut goes_on: Vec<bool> = Vec::new();
            depths.iter().zip(&is_last).map(move |(&depth, &is_last)| {
                let depth = depth as usize;
                goes_on.truncate(depth);
                goes_on.push(!is_last);
                if depth == 0 {
                    return String::new();
                }
                let from = depth.saturating_sub(most).max(1);
                let mut prefix = if from > 1 { format!("+{} ", from - 1) } else { String::new() };
                prefix.extend(goes_on[from..depth].iter().map(|goes_on| if *goes_on { "│  " } else { "   " }));
                prefix + if is_last { "└─ " } else { "├─ " }
            })
        };
        self.chart(&tree.columns, &tree.nodes, prefixes)
    }

    fn path(&mut self, path: &Path) -> fmt::Result {
        self.heading(&path.title)?;
        let most = (self.style.width / INDENTS / 2).max(1);
        let prefix = move |step: usize| {
            if step == 0 { String::new() } else { "  ".repeat((step - 1).min(most)) + "└ " }
        };
        self.chart(&path.columns, &path.steps, || (0..).map(prefix))
    }

    /// Rows whose last column, the label, stands behind a prefix of its own and by what the row is held.
    fn chart<R: Row, P: Iterator<Item = String>>(
        &mut self,
        columns: &[Column],
        rows: &Rows<R>,
        prefixes: impl Fn() -> P,
    ) -> fmt::Result {
        let last = columns.len().saturating_sub(1);
        let edge = edge_column(columns);
        let texts = |cells: &[Cell], prefix: &str| {
            let mut texts: Vec<String> = cells.iter().map(words).collect();
            let edge = match edge.and_then(|edge| cells.get(edge)) {
                None | Some(Cell::Missing | Cell::Null(_)) => String::new(),
                Some(edge) => words(edge) + ARROW,
            };
            if let Some(label) = texts.get_mut(last) {
                label.insert_str(0, &format!("{prefix}{edge}"));
            }
            texts
        };
        let seen = seen(rows, columns.len(), self.out)?;
        let mut kinds: Vec<Kind> = columns.iter().zip(&seen).map(|(column, seen)| Kind::of(column, *seen)).collect();
        if let Some(label) = kinds.last_mut() {
            *label = Kind::Branch;
        }
        let shares: Vec<bool> = seen.iter().map(|seen| seen.share).collect();
        // Shares go first, then reasons, addresses, the other labels, numbers; what rows are measured by stays.
        let places = || (1..last).rev();
        let is_reason = |at: usize| columns[at].name == "reason";
        let others = || places().filter(|at| !shares[*at] && columns[*at].name != "address" && !is_reason(*at));
        let dropped: Vec<usize> = places()
            .filter(|at| shares[*at])
            .chain(places().filter(|at| is_reason(*at)))
            .chain((0..last).filter(|at| columns[*at].name == "address"))
            .chain(others().filter(|at| columns[*at].shrinks))
            .chain(others().filter(|at| !columns[*at].shrinks))
            .collect();
        let mut measured = Measured::of(columns);
        let mut before = prefixes();
        self.out.each(rows, |_, row| {
            measured.row(&kinds, &texts(row.cells(), &before.next().unwrap_or_default()));
            Ok(())
        })?;
        let layout = self.layout(columns, kinds, measured, &dropped, edge);
        self.line(&layout.header(columns))?;
        let (mut rows, mut before) = (rows.reader(), prefixes());
        while let Some(row) = rows.next_row() {
            self.out.step()?;
            let prefix = before.next().unwrap_or_default();
            self.lines(&layout.lines(&texts(row.cells(), &prefix), row.cells(), &shares, &prefix))?;
        }
        Ok(())
    }

    /// Chooses the widths: what the texts need; where that is too much, columns are left out in the order of `dropped`, `hidden` always.
    /// What is left over goes to those that would like more.
    fn layout(
        &self,
        columns: &[Column],
        kinds: Vec<Kind>,
        measured: Measured,
        dropped: &[usize],
        hidden: Option<usize>,
    ) -> Layout {
        let Measured { mut widths, mut needs } = measured;
        // One deep or long branch does not cost all rows their numbers.
        for (needs, kind) in needs.iter_mut().zip(&kinds) {
            if *kind == Kind::Branch {
                *needs = (*needs).min((self.style.width / 2).max(BRANCH));
            }
        }
        let mut shown: Vec<usize> = (0..columns.len()).filter(|at| hidden != Some(*at)).collect();
        for at in dropped {
            let needed = shown.iter().map(|at| needs[*at] + GAP).sum::<usize>().saturating_sub(GAP);
            if needed <= self.style.width {
                break;
            }
            shown.retain(|known| known != at);
        }
        // Two numbers and a few letters are more than many numbers.
        let is_crowded = |shown: &[usize]| {
            let least = |at: &usize| if kinds[*at].is_flexible() { needs[*at].min(LABEL) } else { needs[*at] };
            shown.iter().map(|at| least(at) + GAP).sum::<usize>() > self.style.width + GAP
        };
        let numbers: Vec<usize> = shown.iter().copied().skip(2).filter(|at| !kinds[*at].is_flexible()).collect();
        for number in numbers.into_iter().rev() {
            if !is_crowded(&shown) {
                break;
            }
            shown.retain(|known| *known != number);
        }
        let gaps = shown.len().saturating_sub(1) * GAP;
        let fixed: usize = shown.iter().filter(|at| !kinds[**at].is_flexible()).map(|at| widths[*at]).sum();
        let left = self.style.width.saturating_sub(gaps + fixed);
        let flexible: Vec<usize> = shown.iter().copied().filter(|at| kinds[*at].is_flexible()).collect();
        let needed: usize = flexible.iter().map(|at| needs[*at]).sum();
        let (least, most): (Vec<usize>, Vec<usize>) = match left.checked_sub(needed) {
            Some(_) => flexible.iter().map(|at| (needs[*at], widths[*at])).unzip(),
            None => flexible.iter().map(|at| (0, needs[*at])).unzip(),
        };
        let mut left = left - least.iter().sum::<usize>();
        // Those that want little come first: what they leave over goes to the others.
        let mut order: Vec<usize> = (0..flexible.len()).collect();
        sort::by_key(&mut order, |at| most[*at] - least[*at]);
        for (done, &at) in order.iter().enumerate() {
            let more = (most[at] - least[at]).min(left / (order.len() - done));
            left -= more;
            widths[flexible[at]] = (least[at] + more).max(1);
        }
        Layout { widths, kinds, shown }
    }
}

impl Layout {
    fn width(&self) -> usize {
        self.shown.iter().map(|at| self.widths[*at]).sum::<usize>() + self.shown.len().saturating_sub(1) * GAP
    }

    fn set(&self, at: usize, text: &str) -> String {
        match self.kinds[at] {
            Kind::Number => pad_start(text, self.widths[at]),
            _ => pad_end(text, self.widths[at]),
        }
    }

    fn header(&self, columns: &[Column]) -> Vec<(Paint, String)> {
        let title = |(place, at): (usize, &usize)| {
            let gap = if place == 0 { String::new() } else { gap() };
            (Paint::Dim, gap + &self.set(*at, &cut_end(columns[*at].title, self.widths[*at])))
        };
        self.shown.iter().enumerate().map(title).collect()
    }

    /// A row: a line, and more for names that go on. The last column of a tree or path begins with `prefix`.
    fn lines(&self, row: &[String], cells: &[Cell], shares: &[bool], prefix: &str) -> Vec<Vec<(Paint, String)>> {
        let texts: Vec<Vec<String>> = self
            .shown
            .iter()
            .map(|&at| {
                let (text, columns) = (row.get(at).map_or("", String::as_str), self.widths[at]);
                match (self.kinds[at], cells.get(at)) {
                    (Kind::Values, Some(Cell::List(items))) => vec![shorten_list(items, columns)],
                    (Kind::Name | Kind::Values, _) => fit(text, columns),
                    (Kind::Each, _) => lines(text, columns, WordSeparator::Custom(|line| joined(line, is_between))),
                    (Kind::Branch, _) => branch(text, prefix, columns),
                    _ => vec![shorten(text, columns)],
                }
            })
            .collect();
        let count = texts.iter().map(Vec::len).max().unwrap_or(1);
        let line = |line: usize| {
            let piece = |(place, &at): (usize, &usize)| {
                let text = texts[place].get(line).map_or("", String::as_str);
                let gap = if place == 0 { String::new() } else { gap() };
                (if shares[at] { Paint::Dim } else { Paint::Plain }, gap + &self.set(at, text))
            };
            self.shown.iter().enumerate().map(piece).collect()
        };
        (0..count.max(1)).map(line).collect()
    }
}

/// A label behind its guides; where it goes on, those that pass by do too.
fn branch(text: &str, prefix: &str, columns: usize) -> Vec<String> {
    let Some(label) = text.strip_prefix(prefix).filter(|_| width(prefix) + LABEL <= columns) else {
        return vec![shorten(text, columns)];
    };
    let passing: String = prefix.chars().map(|letter| if matches!(letter, '│' | '├') { '│' } else { ' ' }).collect();
    let lines = match width(text) <= columns {
        true => vec![label.to_owned()],
        false => fit(label, columns - width(prefix) - GAP),
    };
    let line = |(at, line): (usize, String)| {
        if at == 0 { prefix.to_owned() + &line } else { passing.clone() + &gap() + &line }
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// For each node whether no sister comes after it.
fn last_children(depths: &[u32]) -> Vec<bool> {
    let mut is_last = vec![false; depths.len()];
    // From the end: the depths at which a node came since the last shallower one.
    let mut seen: Vec<bool> = Vec::new();
    for (at, depth) in depths.iter().enumerate().rev() {
        let depth = *depth as usize;
        seen.resize(depth + 1, false);
        is_last[at] = !seen[depth];
        seen[depth] = true;
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

/// A text made to fit: it keeps its start and end.
fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let end = tail(text, room / 3);
    format!("{}…{end}", head(text, room - width(end)))
}

/// The end of a path that begins with its last slash. What has a space before is a sentence that has a path in it, or a command.
fn file(text: &str) -> Option<&str> {
    let slash = text.rfind('/').filter(|slash| *slash > 0)?;
    let (folders, file) = text.split_at(slash);
    (!folders.contains(' ')).then_some(file)
}

/// What a path cannot be made shorter than; another text is as long as it is.
fn shortest(text: &str) -> String {
    match file(text) {
        Some(file) if width(file) + 1 < width(text) => format!("…{file}"),
        _ => text.to_owned(),
    }
}

/// A path without as many folders at its start as must go, down to the file's name.
fn shorten_path(text: &str, columns: usize) -> String {
    if width(text) <= columns || file(text).is_none() {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let fits = text.match_indices('/').map(|(at, _)| &text[at..]).skip(1).find(|end| width(end) <= room);
    fits.map_or_else(|| shortest(text), |end| format!("…{end}"))
}

/// A name in as many lines as it needs, a path without its start.
fn fit(text: &str, columns: usize) -> Vec<String> {
    let text = shorten(&shorten_path(text, columns), columns.saturating_mul(LINES));
    // Names have no spaces, but joints.
    lines(&text, columns, WordSeparator::Custom(|line| joined(line, is_joint)))
}

/// Whether a name may be broken here.
fn is_joint(before: &str, after: &str) -> bool {
    (before.ends_with("::") || before.ends_with(['/', ' '])) && !after.starts_with([' ', ':', '/'])
}

/// Whether one value of a list ends here.
fn is_between(before: &str, _: &str) -> bool {
    before.ends_with(", ")
}

/// The pieces of a text that may stand on different lines.
fn joined<'a>(line: &'a str, is_end: fn(&str, &str) -> bool) -> Box<dyn Iterator<Item = Word<'a>> + 'a> {
    let mut left = line;
    Box::new(std::iter::from_fn(move || {
        let mut ends = left.char_indices().map(|(at, letter)| at + letter.len_utf8());
        let end = ends.find(|at| is_end(&left[..*at], &left[*at..])).unwrap_or(left.len());
        let (piece, rest) = left.split_at(end);
        left = rest;
        (!piece.is_empty()).then(|| Word::from(piece))
    }))
}

/// A value of a list made to fit, its count behind it kept.
fn shorten_item(text: &str, columns: usize) -> String {
    let (value, count) = match text.rfind(" (").filter(|_| text.ends_with(')')) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let room = columns.saturating_sub(width(count));
    let value = shorten_path(value, room);
    shorten(&(value + count), columns)
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
        return shorten_item(&whole, columns);
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
        Some(room) if room > 1 => shorten_item(&items[0], room) + &left,
        _ => shorten_item(&items[0], columns),
    }
}

/// Lines of at most so many columns, broken at spaces where there are any.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    lines(text, columns, WordSeparator::AsciiSpace)
}

/// The lines of a text, at least one.
fn lines(text: &str, columns: usize, separator: WordSeparator) -> Vec<String> {
    let columns = columns.max(1);
    let options = textwrap::Options::new(columns)
        .word_separator(separator)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    let mut lines: Vec<String> = textwrap::wrap(text, options).into_iter().map(|line| line.trim().to_owned()).collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}
