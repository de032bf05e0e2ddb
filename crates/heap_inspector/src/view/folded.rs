//! Folded stacks, which flamegraph.pl, inferno and speedscope read: `frame;frame;frame amount`, a line for each row of the report's
//! trees that has an amount of its own.
//!
//! The amount is that of the tree's first column (bytes or a count) without what stands below. The first frame is the dump. Semicolons
//! and hostile characters are written as Ruby does.

use super::{depths, escape, words};
use crate::report::{Report, Section, Tree};

/// Deeper rows count as their ancestor at this depth: each line names all its frames.
const DEEPEST: usize = 200;

/// Writes the report's trees as stacks.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    for section in &report.sections {
        if let Section::Tree(tree) = section {
            stacks(tree, &frame(&report.dump), Tracer::Shown, |stack, amount| {
                out.push_str(&format!("{stack} {amount}\n"));
            });
        }
    }
    out
}

/// Whether the allocation tracer's own store is among the rows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Tracer {
    Shown,
    LeftOut,
}

/// Hands out the stacks of the rows under `root`, each with the amount of its own, which is not 0.
pub(super) fn stacks(tree: &Tree, root: &str, tracer: Tracer, mut each: impl FnMut(&str, u64)) {
    let amounts = own(tree);
    // Where each open frame's name begins in the stack.
    let mut stack = root.to_owned();
    let mut begins: Vec<usize> = Vec::new();
    // The depth of a row that is left out with all below it.
    let mut left_out: Option<usize> = None;
    for ((node, depth), amount) in tree.nodes.iter().zip(depths(&tree.nodes)).zip(amounts) {
        if depth > DEEPEST {
            continue;
        }
        if left_out.is_some_and(|above| depth > above) {
            continue;
        }
        left_out = (tracer == Tracer::LeftOut && node.is_tracer).then_some(depth);
        if left_out.is_some() {
            continue;
        }
        if let Some(begin) = begins.get(depth) {
            stack.truncate(*begin);
            begins.truncate(depth);
        }
        begins.push(stack.len());
        stack.push(';');
        stack.push_str(&frame(&node.cells.last().map(words).unwrap_or_default()));
        if amount > 0 {
            each(&stack, amount);
        }
    }
}

/// By node: its amount without those of its children that are written.
fn own(tree: &Tree) -> Vec<u64> {
    let depths = depths(&tree.nodes);
    let mut own: Vec<u64> = tree.nodes.iter().map(super::measure).collect();
    let mut open: Vec<usize> = Vec::new();
    for (at, depth) in depths.into_iter().enumerate().filter(|(_, depth)| *depth <= DEEPEST) {
        open.truncate(depth);
        let amount = super::measure(&tree.nodes[at]);
        if let Some(above) = open.last() {
            own[*above] = own[*above].saturating_sub(amount);
        }
        open.push(at);
    }
    own
}

/// A frame's name. Readers take two numbers at a line's end for amounts of two profiles, and what begins with a number sign for a comment.
pub(super) fn frame(text: &str) -> String {
    let text = escape::terminal(text).replace(';', "\\u{3b}");
    let text = match text.trim() {
        "" => "-",
        text => text,
    };
    let text = match text.rsplit_once(' ') {
        Some((start, end)) if end.chars().all(|letter| letter.is_ascii_digit() || letter == '.') => {
            format!("{start}\u{a0}{end}")
        }
        _ => text.to_owned(),
    };
    match text.strip_prefix('#') {
        Some(rest) => format!("\\u{{23}}{rest}"),
        None => text,
    }
}
