//! The report's trees as an SVG: a row's frame is as wide as its part of all, under the frame of the row that holds it.
//!
//! Self-contained: nothing is loaded, and the script in it only zooms to the frame that is clicked. Each frame's tooltip has all of its
//! row. Colours tell the kind: classes, strings, arrays and hashes, Ruby's own objects, and those of the app.

use super::{depths, escape, human, measure, tint, words};
use crate::report::{Cell, Column, Report, Section, Tree, TreeNode, edge_column};
use std::fmt::Write as _;

/// Pixels.
const WIDTH: f64 = 1200.0;
/// Of a frame and its gap.
const HEIGHT: usize = 18;
/// Of the heading.
const HEAD: usize = 44;
/// Of a letter of the monospace font.
const LETTER: f64 = 6.7;
/// Narrower frames are not drawn at all.
const NARROWEST: f64 = 0.1;
/// Deeper rows are not drawn.
const DEEPEST: usize = 200;
const SCRIPT: &str = include_str!("flamegraph.js");

/// Writes the first tree of the report; without one an empty picture.
#[must_use]
pub fn render(report: &Report) -> String {
    let tree = report.sections.iter().find_map(|section| match section {
        Section::Tree(tree) => Some(tree),
        _ => None,
    });
    let frames = tree.map(frames).unwrap_or_default();
    let deepest = frames.iter().map(|frame| frame.depth).max().unwrap_or(0);
    let height = HEAD + (deepest + 1) * HEIGHT + 10;
    let title = tree.map(|tree| tree.title.as_str()).unwrap_or_default();
    let total = frames.first().map_or_else(|| "nothing to show".to_owned(), |frame| frame.tip.clone());
    let total = total.lines().nth(1).unwrap_or(&total).to_owned();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"11\">\n"
    );
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "<title>{} {}</title>", text(report.verb), text(&report.dump));
    out.push_str("<style>.f{cursor:pointer}.f:hover rect{stroke:#000}.f text{pointer-events:none}</style>\n");
    let _ = writeln!(out, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>");
    let _ = writeln!(out, "<text x=\"4\" y=\"18\" font-size=\"14\">{} — {}</text>", text(title), text(&report.dump));
    let hint = "Click a frame to zoom, the top one to go back.";
    let _ = writeln!(out, "<text x=\"4\" y=\"35\" fill=\"#666\">{}. {hint}</text>", text(&total));
    frames.iter().for_each(|frame| frame.write(&mut out));
    let _ = write!(out, "<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>\n");
    out
}

struct Frame {
    depth: usize,
    /// Begin and width as parts of the whole.
    x: f64,
    w: f64,
    label: String,
    /// The tooltip: label, amount and share, the other columns.
    tip: String,
}

/// The frames of a tree, the first one for all of it, from left to right within each depth.
fn frames(tree: &Tree) -> Vec<Frame> {
    let depths = depths(&tree.nodes);
    let tops = || tree.nodes.iter().zip(&depths).filter(|(_, depth)| **depth == 0).map(|(node, _)| node);
    let all: f64 = tops().map(|node| measure(node) as f64).sum();
    if all <= 0.0 {
        return Vec::new();
    }
    let amount = |amount: f64| match tops().next().and_then(|node| node.cells.first()) {
        Some(Cell::Bytes(_)) => human::bytes(amount as u64),
        _ => human::count(amount as u64),
    };
    let whole = format!("(all)\n{}", amount(all));
    let mut frames = vec![Frame { depth: 0, x: 0.0, w: 1.0, label: "(all)".into(), tip: whole }];
    // By depth: where the next frame begins, and where the one above ends.
    let mut open: Vec<(f64, f64)> = vec![(0.0, 1.0)];
    for (node, depth) in tree.nodes.iter().zip(&depths).filter(|(_, depth)| **depth < DEEPEST) {
        open.truncate(depth + 1);
        let Some((next, end)) = open.last_mut() else { continue };
        let x = *next;
        let w = (measure(node) as f64 / all).min(*end - x);
        *next = x + w;
        open.push((x, x + w));
        if w * WIDTH >= NARROWEST {
            let label = node.cells.last().map(words).unwrap_or_default();
            let tip = tip(&tree.columns, node, &label);
            frames.push(Frame { depth: depth + 1, x, w, label, tip });
        }
    }
    frames
}

fn tip(columns: &[Column], node: &TreeNode, label: &str) -> String {
    let edge = edge_column(columns);
    let mut tip = label.to_owned();
    let last = node.cells.len().saturating_sub(1);
    for (at, (column, cell)) in columns.iter().zip(&node.cells).enumerate().take(last) {
        if matches!(cell, Cell::Missing) {
            continue;
        }
        let _ = match (column.title, at) {
            ("", 1) => write!(tip, " ({})", words(cell)),
            ("", _) => write!(tip, "\n{}", words(cell)),
            (_, at) if Some(at) == edge => write!(tip, "\nHeld by {}", words(cell)),
            (title, _) => write!(tip, "\n{title} {}", words(cell)),
        };
    }
    tip
}

impl Frame {
    fn write(&self, out: &mut String) {
        let (x, wide) = (self.x * WIDTH, self.w * WIDTH);
        let y = HEAD + self.depth * HEIGHT;
        let room = ((wide - 8.0) / LETTER).max(0.0) as usize;
        let label = match self.label.chars().count() {
            count if count <= room => self.label.clone(),
            _ if room < 3 => String::new(),
            _ => self.label.chars().take(room - 1).chain(['…']).collect(),
        };
        let _ = writeln!(
            out,
            "<g class=\"f\" data-x=\"{:.9}\" data-w=\"{:.9}\" data-d=\"{}\"><title>{}</title>\
             <rect x=\"{x:.2}\" y=\"{y}\" width=\"{:.2}\" height=\"{}\" rx=\"1\" fill=\"{}\"/>\
             <text x=\"{:.2}\" y=\"{}\">{}</text></g>",
            self.x,
            self.w,
            self.depth,
            lines(&self.tip),
            (wide - 0.5).max(0.2),
            HEIGHT - 1,
            tint(&self.label),
            x + 4.0,
            y + 12,
            text(&label),
        );
    }
}

/// Text of several lines, all of ours but for what is escaped within them.
fn lines(text: &str) -> String {
    text.split('\n').map(self::text).collect::<Vec<_>>().join("&#10;")
}

/// Text for XML.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in escape::terminal(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // No XML may hold these two, not even written out.
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}
