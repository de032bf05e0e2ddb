//! A finished answer, complete without the heap: sections of a few shapes (table, facts, tree, path, note) with typed cells.
//!
//! Analyses make reports, views render them, so N analyses and M formats cost N + M. A report is bounded
//! (what a limit cut off is summed in a `rest` row) and holds resolved names, never ids. Text in it is raw, straight from the
//! dump, and may hold anything: every view escapes it for where it goes.

mod rows;

pub use rows::{Reader, Row, Rows};
use serde::Serialize;

/// Version of the JSON that [`crate::view`] writes; raised whenever a key changes its name or meaning.
pub const SCHEMA_VERSION: u32 = 3;

/// One value of a report, typed so that each view can write it in its own way.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing to say here: `-` in text, `null` in JSON, empty in CSV.
    Missing,
    /// No value, for a reason that people want to read: `(untraced)` in text and Markdown, as [`Cell::Missing`] elsewhere.
    Null(&'static str),
    /// A name, path or value from the dump, unescaped.
    Text(String),
    /// The start of such a text that is longer: ends in `…` for people; in JSON `NAME_cut` stands beside it.
    Cut(String),
    /// A long text, for programs, and the words that people read in its place.
    Brief {
        /// The text, unescaped.
        text: String,
        /// What of it is read.
        brief: String,
    },
    /// How many.
    Count(u64),
    /// Bytes of memory: human in text (`1.5 MiB`), exact in JSON and CSV.
    Bytes(u64),
    /// By how many it is more or less: signed, grouped for people (`+1,200`), a number in JSON and CSV.
    Change(i64),
    /// By how many bytes it is more or less: `+1.5 MiB` for people, exact in JSON and CSV.
    BytesChange(i64),
    /// About so many, or so many bytes, reckoned from samples: `~1.5 MiB` for people, and `~1.5 MiB?` where these are few; a number in
    /// JSON and CSV.
    About {
        /// How many.
        amount: u64,
        /// Whether of bytes.
        of_bytes: bool,
        /// Whether the samples are few.
        is_rough: bool,
    },
    /// A part of the whole, 0.0 to 1.0: percent in text, the fraction in JSON and CSV.
    Share(f64),
    /// By how many, or how many bytes, it is more or less for each unit of work: `+1.02` or `913 B` for people, a number in JSON and CSV.
    Rate {
        /// By how many.
        each: f64,
        /// Whether of bytes.
        of_bytes: bool,
    },
    /// An identifying number (generation, line, slot size): never grouped by thousands.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A value and how often it occurs: `app/user.rb:12 (3)` for people, `{"location": ..., "count": 3}` in JSON.
    Tally {
        /// Key of the value in JSON, in snake case.
        name: &'static str,
        /// The value, unescaped.
        value: String,
        /// How often.
        count: u64,
    },
    /// The last of a [`Cell::List`]: how many more there are (`(3 more sites)`); in JSON `rest_NAME` stands beside the list.
    More {
        /// How many.
        count: u64,
        /// Of what, as a plural.
        what: &'static str,
    },
    /// Several values in one place (the sites of a duplicate string).
    List(Vec<Cell>),
}

impl Cell {
    /// Whether it is a text, which stands on the left.
    pub(crate) fn is_text(&self) -> bool {
        matches!(
            self,
            Cell::Text(_) | Cell::Cut(_) | Cell::Brief { .. } | Cell::Tally { .. } | Cell::More { .. } | Cell::List(_)
        )
    }
}

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Key in JSON and header in CSV, in snake case.
    pub name: &'static str,
    /// Header for people.
    pub title: &'static str,
    /// Whether this is a label: aligned to the left, shortened in text to fit the terminal. The first one of a table says what its
    /// rest and total rows are; without one the first column does.
    pub shrinks: bool,
}

/// Rows under columns; each row is as long as `columns`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Key in JSON, in snake case.
    pub name: &'static str,
    /// Heading for people.
    pub title: String,
    /// What stands in each place of a row.
    pub columns: Vec<Column>,
    /// The rows that are shown, in order.
    pub rows: Rows,
    /// The sum of the rows that the limit cut off.
    pub rest: Option<Rest>,
    /// The sum of all rows, shown and cut off; what is no sum is [`Cell::Missing`].
    pub total: Option<Vec<Cell>>,
    /// The column (by index, of `Count` or `Bytes`) to draw as bars in text, so that an outlier shows at a glance.
    pub bar: Option<usize>,
}

/// The rows of a [`Table`] that its limit cut off, as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    /// How many rows there are.
    pub rows: u64,
    /// Their sums; what is no sum is [`Cell::Missing`].
    pub cells: Vec<Cell>,
}

/// Rows that hold rows: a dominator tree, merged paths. A list in depth-first order, so that nobody recurses over a dump's depth.
///
/// The first column is what rows are measured by, and at least the sum of those below. A column `edge` says by what the row above holds
/// it: views for people write it in front of the label. A column `address` tells objects apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Key in JSON, in snake case.
    pub name: &'static str,
    /// Heading for people.
    pub title: String,
    /// What stands in each place of a node; the last is the label, which text draws under its parent's.
    pub columns: Vec<Column>,
    /// The nodes, each behind its parent.
    pub nodes: Rows<TreeNode>,
}

/// The place of the column that says by what a row of a [`Tree`] or [`Path`] is held.
pub(crate) fn edge_column(columns: &[Column]) -> Option<usize> {
    columns.iter().take(columns.len().saturating_sub(1)).position(|column| column.name == "edge")
}

/// A row of a [`Tree`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeNode {
    /// 0 for a top row; at most one more than the node's before.
    pub depth: usize,
    /// As many as the tree has columns.
    pub cells: Vec<Cell>,
    /// Whether it is the allocation tracer's own store, which is not the app's.
    pub is_tracer: bool,
}

/// A chain from a root to an object: each step is held by the one before. Columns `edge` and `address` mean what they do in a [`Tree`].
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Key in JSON, in snake case.
    pub name: &'static str,
    /// Heading for people.
    pub title: String,
    /// What stands in each place of a step; the last is the label.
    pub columns: Vec<Column>,
    /// The steps, the root first.
    pub steps: Rows,
}

/// Named single values (totals, the Ruby series, counts of roots): an object in JSON, aligned lines in text.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Key in JSON, in snake case.
    pub name: &'static str,
    /// Heading for people; empty for none.
    pub title: String,
    /// The facts, in order.
    pub facts: Vec<Fact>,
}

/// Several things of one kind, each told by the same named values, the first of them its headline: a list of objects in JSON. Others
/// without a title are for machines alone.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// Key in JSON, in snake case.
    pub name: &'static str,
    /// Heading for people.
    pub title: String,
    /// The things, in order.
    pub items: Vec<Vec<Fact>>,
}

/// One line of [`Facts`].
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Key in JSON, in snake case.
    pub name: &'static str,
    /// Label for people.
    pub title: &'static str,
    /// The value.
    pub cell: Cell,
    /// A few words behind the value for people (`34 % of all bytes`); empty for none, not in JSON.
    pub remark: String,
}

/// How much a [`Note`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Helps to read the numbers.
    Info,
    /// The numbers may be incomplete: input was lost or repaired.
    Warning,
    /// What was asked for to be an error is found: the command line's exit code says so, too.
    Failure,
    /// What to do next.
    Next,
}

/// A sentence or two for the reader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// How much it matters.
    pub level: Level,
    /// What to know; may hold raw text from the dump.
    pub text: String,
}

/// One part of a report.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Section {
    /// Rows under columns.
    Table(Table),
    /// Named single values.
    Facts(Facts),
    /// Several things of one kind.
    List(List),
    /// Rows that hold rows.
    Tree(Tree),
    /// A chain from a root to an object.
    Path(Path),
    /// A sentence for the reader.
    Note(Note),
}

/// What of a report can be drawn as a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A [`Tree`].
    Tree,
    /// A [`Path`].
    Path,
}

impl Section {
    /// What a picture of it would be of.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        match self {
            Section::Tree(_) => Some(Shape::Tree),
            Section::Path(_) => Some(Shape::Path),
            _ => None,
        }
    }
}

/// A finished answer to one question about one dump (or several).
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The question, as the command line names it (`read`, `top`).
    pub verb: &'static str,
    /// The dump, as the caller named it.
    pub dump: String,
    /// The parts, in reading order.
    pub sections: Vec<Section>,
}

impl Report {
    /// Whether it says that what was to be an error is found.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.sections.iter().any(|section| matches!(section, Section::Note(note) if note.level == Level::Failure))
    }

    /// Whether rows are missing, since there was no memory for them.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.sections.iter().any(|section| match section {
            Section::Table(table) => table.rows.is_cut(),
            Section::Tree(tree) => tree.nodes.is_cut(),
            Section::Path(path) => path.steps.is_cut(),
            Section::List(_) | Section::Facts(_) | Section::Note(_) => false,
        })
    }

    /// How many rows its tables, trees and paths have.
    #[must_use]
    pub fn row_count(&self) -> usize {
        let rows = self.sections.iter().map(|section| match section {
            Section::Table(table) => table.rows.len(),
            Section::Tree(tree) => tree.nodes.len(),
            Section::Path(path) => path.steps.len(),
            Section::List(list) => list.items.len(),
            Section::Facts(_) | Section::Note(_) => 0,
        });
        rows.sum()
    }
}
