//! A graph for Graphviz: the objects of the report's trees and paths, an arrow from each to what it holds.
//!
//! Rows with the same address are one object, so several paths meet where they share one. Tables and facts are left out. Texts of the
//! dump are quoted, and stand for themselves: neither Graphviz's escapes nor its entities work in them.

use super::{Out, depths, escape, tint, words};
use crate::report::{Cell, Column, Report, Section, edge_column};
use hashbrown::{HashMap, HashSet};
use std::fmt::{self, Write as _};

/// A label is not longer than this, in letters.
const LABEL: usize = 60;

/// Writes the report's trees and paths as one graph.
pub(super) fn write(report: &Report, out: &mut Out<'_>) -> fmt::Result {
    let mut graph = Graph::default();
    for section in &report.sections {
        match section {
            Section::Tree(tree) => {
                let mut above: Vec<String> = Vec::new();
                let mut depths = depths(&tree.nodes).into_iter();
                out.each(&tree.nodes, |_, node| {
                    above.truncate(depths.next().unwrap_or_default() as usize);
                    let id = graph.row(&tree.columns, &node.cells, above.last().map(String::as_str));
                    above.push(id);
                    Ok(())
                })?;
            }
            Section::Path(path) => {
                let mut before: Option<String> = None;
                out.each(&path.steps, |_, step| {
                    before = Some(graph.row(&path.columns, step, before.as_deref()));
                    Ok(())
                })?;
            }
            Section::Table(_) | Section::Facts(_) | Section::List(_) | Section::Note(_) => {}
        }
    }
    out.write_str("digraph heap {\n")?;
    writeln!(out, "  graph [label={}, labelloc=t, rankdir=LR, fontname=\"Helvetica\"];", quote(&report.dump))?;
    out.write_str(
        "  node [shape=box, style=\"rounded,filled\", color=\"#00000055\", fontname=\"Helvetica\", fontsize=11];\n",
    )?;
    out.write_str("  edge [color=\"#00000088\", fontname=\"Helvetica\", fontsize=10];\n")?;
    for line in &graph.lines {
        out.step()?;
        out.write_str(line)?;
    }
    out.write_str("}\n")
}

/// What is written of the graph.
#[derive(Default)]
struct Graph {
    lines: Vec<String>,
    /// Names in the file by address, and by category of root.
    objects: HashMap<String, String>,
    roots: HashMap<String, String>,
    arrows: HashSet<String>,
    count: usize,
}

impl Graph {
    /// Writes a row, if its object is not there yet, and the arrow to it; tells its name in the file.
    fn row(&mut self, columns: &[Column], cells: &[Cell], above: Option<&str>) -> String {
        let address = columns.iter().zip(cells).find(|(column, _)| column.name == "address").map(|(_, cell)| cell);
        let address = match address {
            Some(Cell::Text(address)) => Some(address),
            _ => None,
        };
        let id = match address.and_then(|address| self.objects.get(address)) {
            Some(id) => id.clone(),
            None => {
                let id = self.name();
                let label = cells.last().map(words).unwrap_or_default();
                let mut text = quote(&short(&label));
                let measures: Vec<String> = columns
                    .iter()
                    .zip(cells)
                    .filter(|(_, cell)| matches!(cell, Cell::Bytes(_)))
                    .map(|(column, cell)| format!("{} {}", column.title.to_lowercase(), words(cell)))
                    .collect();
                text.pop();
                // Writing to a string cannot fail, here and below.
                if let Some(address) = address {
                    let _ = write!(text, "\\n{}", inside(address));
                }
                let _ = write!(text, "\\n{}\"", inside(&measures.join(", ")));
                self.lines.push(format!("  {id} [label={text}, fillcolor=\"{}\"];\n", tint(&label)));
                if let Some(address) = address {
                    self.objects.insert(address.clone(), id.clone());
                }
                id
            }
        };
        let edge = match edge_column(columns).and_then(|at| cells.get(at)) {
            None | Some(Cell::Missing | Cell::Null(_)) => None,
            Some(edge) => Some(words(edge)),
        };
        let (from, label) = match (above, edge) {
            (Some(above), edge) => (above.to_owned(), edge),
            (None, Some(root)) => (self.root(&root), None),
            (None, None) => return id,
        };
        let label = label.map_or(String::new(), |label| format!(" [label={}]", quote(&short(&label))));
        let arrow = format!("  {from} -> {id}{label};\n");
        if self.arrows.insert(arrow.clone()) {
            self.lines.push(arrow);
        }
        id
    }

    fn root(&mut self, words: &str) -> String {
        if let Some(id) = self.roots.get(words) {
            return id.clone();
        }
        let id = self.name();
        self.lines.push(format!("  {id} [label={}, shape=ellipse, fillcolor=\"#ffffff\"];\n", quote(&short(words))));
        self.roots.insert(words.to_owned(), id.clone());
        id
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("n{}", self.count)
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LABEL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", inside(text))
}

/// What stands between quotes.
fn inside(text: &str) -> String {
    escape::terminal(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}
