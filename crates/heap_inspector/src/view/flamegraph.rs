//! The report's first tree as a flame graph, an SVG: a row's frame is as wide as its part of all, under the frame of the row that holds it.
//!
//! Made by inferno of the [folded] stacks, in the order of the report: self-contained, with zoom, search and a way back.
//! Colours tell the kind: classes, strings, arrays and hashes, Ruby's own objects, and those of the app. A frame that is too narrow for
//! its name shows the end of a path, and the start of any other. The allocation tracer's own store is left out: it goes with tracing.

use super::folded::{self, Tracer};
use super::{escape, tint};
use crate::report::{Cell, Report, Section, Tree};
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap, parse_hex_color};
use inferno::flamegraph::{self, Direction, Options, TextTruncateDirection};

/// Amounts are counted as floating point numbers too, and summed up in a `u64`: greater ones are drawn by their upper bits.
const MOST: u128 = 1 << 53;

/// Writes the first tree of the report; without one, or one of nothing, a picture that says so.
#[must_use]
pub(super) fn render(report: &Report) -> String {
    let tree = report.sections.iter().find_map(|section| match section {
        Section::Tree(tree) => Some(tree),
        _ => None,
    });
    tree.and_then(|tree| draw(report, tree)).unwrap_or_else(|| nothing(report))
}

fn draw(report: &Report, tree: &Tree) -> Option<String> {
    let root = folded::frame(&report.dump);
    let mut total = 0u128;
    let counted = folded::stacks(tree, &root, Tracer::LeftOut, |_, amount| {
        total += u128::from(amount);
        Ok(())
    });
    let shift = (0..u128::BITS).find(|shift| total >> shift <= MOST).unwrap_or_default();
    let mut lines = Lines::default();
    let told = folded::stacks(tree, &root, Tracer::LeftOut, |stack, amount| {
        lines.push(format!("{} {}", xml(stack), amount >> shift));
        Ok(())
    });
    counted.and(told).ok()?;
    let lines = lines.finish();
    let mut palette = palette(&lines);
    let mut options = Options::default();
    options.title = xml(&escape::terminal(&tree.title));
    options.subtitle = Some(xml(&format!("{} {}", report.verb, escape::terminal(&report.dump))));
    options.count_name = match tree.nodes.iter().next()?.cells.first() {
        Some(Cell::Bytes(_)) => "bytes",
        _ => "objects",
    }
    .into();
    options.name_type = "Object:".into();
    options.factor = (1u128 << shift) as f64;
    options.direction = Direction::Inverted;
    options.bgcolors = Some(BackgroundColor::Flat(WHITE));
    options.palette_map = Some(&mut palette);
    options.flame_chart = true; // the order is ours; it takes them from the last
    options.text_truncate_direction = match tree.columns.last()?.name {
        "file" | "directory" | "location" => TextTruncateDirection::Left,
        _ => TextTruncateDirection::Right,
    };
    // A list, as for the flame graphs of profiles: the code is there once.
    let drawn: Vec<&str> = lines.iter().rev().map(String::as_str).collect();
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, drawn, &mut svg).ok()?;
    svg.push(b'\n');
    String::from_utf8(svg).ok()
}

/// Lines in the order of the report, but what a row has of its own behind what stands below it: so it is drawn to the right of that.
#[derive(Default)]
struct Lines {
    ordered: Vec<String>,
    /// With their depths, each below the one before.
    open: Vec<(usize, String)>,
}

impl Lines {
    fn push(&mut self, line: String) {
        let depth = line.matches(';').count();
        while let Some((_, line)) = self.open.pop_if(|(above, _)| *above >= depth) {
            self.ordered.push(line);
        }
        self.open.push((depth, line));
    }

    fn finish(mut self) -> Vec<String> {
        self.ordered.extend(self.open.into_iter().rev().map(|(_, line)| line));
        self.ordered
    }
}

const WHITE: Color = Color { r: 255, g: 255, b: 255 };

/// The colours of the frames' names. Without a name is the frame of all.
fn palette(lines: &[String]) -> PaletteMap {
    let mut palette = PaletteMap::default();
    palette.insert("", parse_hex_color(ALL).unwrap_or(WHITE));
    for line in lines {
        let stack = line.rsplit_once(' ').map_or(line.as_str(), |(stack, _)| stack);
        for (depth, name) in stack.split(';').enumerate() {
            if palette.get(name).is_none() {
                let color = if depth == 0 { ALL } else { tint(name) };
                palette.insert(name, parse_hex_color(color).unwrap_or(WHITE));
            }
        }
    }
    palette
}

const ALL: &str = "#e8e8e8";

/// An empty picture.
fn nothing(report: &Report) -> String {
    let mut dump = String::new();
    for letter in xml(&escape::terminal(&report.dump)).chars() {
        match letter {
            '&' => dump.push_str("&amp;"),
            '<' => dump.push_str("&lt;"),
            '>' => dump.push_str("&gt;"),
            letter => dump.push(letter),
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"40\" font-family=\"monospace\" font-size=\"12\">\n\
         <text x=\"10\" y=\"24\">{} {dump}: nothing to show</text>\n</svg>\n",
        report.verb
    )
}

/// No XML may hold these two letters, not even written out.
fn xml(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
