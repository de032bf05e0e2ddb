//! Folded stacks, which flamegraph.pl, inferno and speedscope read: `frame;frame;frame amount`, a line for each row of the report's
//! trees that has an amount of its own.
//!
//! The amount is that of the tree's first column (bytes or a count) without what stands below. The first frame is the dump. Semicolons
//! and hostile characters are written as Ruby does.

use super::{Out, depths, escape, words};
use crate::report::{Report, Section, Tree};
use std::fmt::{self, Write as _};

/// Deeper rows count as their ancestor at this depth: each line names all its frames. Tracers take stacks of up to 256.
const DEEPEST: usize = 300;

/// Writes the report's trees as stacks.
pub(super) fn write(report: &Report, out: &mut Out<'_>) -> fmt::Result {
    for section in &report.sections {
        if let Section::Tree(tree) = section {
            stacks(tree, &frame(&report.dump), Tracer::Shown, |stack, amount| {
                out.step()?;
                writeln!(out, "{stack} {amount}")
            })?;
        }
    }
    Ok(())
}

/// Whether the allocation tracer's own store is among the rows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Tracer {
    Shown,
    LeftOut,
}

/// Hands out the stacks of the rows under `root`, each with the amount of its own, which is not 0.
pub(super) fn stacks(
    tree: &Tree,
    root: &str,
    tracer: Tracer,
    mut each: impl FnMut(&str, u64) -> fmt::Result,
) -> fmt::Result {
    let amounts = own(tree);
    // Where each open frame's name begins in the stack.
    let mut stack = root.to_owned();
    let mut begins: Vec<usize> = Vec::new();
    // The depth of a row that is left out with all below it.
    let mut left_out: Option<usize> = None;
    let mut nodes = tree.nodes.reader();
    for (depth, amount) in depths(&tree.nodes).into_iter().zip(amounts) {
        let (Some(node), depth) = (nodes.next_row(), depth as usize) else { break };
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
            each(&stack, amount)?;
        }
    }
    Ok(())
}

/// By node: its amount without those of its children that are written.
fn own(tree: &Tree) -> Vec<u64> {
    let depths = depths(&tree.nodes);
    let mut own: Vec<u64> = Vec::with_capacity(tree.nodes.len());
    let mut nodes = tree.nodes.reader();
    while let Some(node) = nodes.next_row() {
        own.push(super::measure(node));
    }
    let amounts = own.clone();
    let mut open: Vec<usize> = Vec::new();
    let depths = depths.into_iter().map(|depth| depth as usize).enumerate();
    for (at, depth) in depths.filter(|(_, depth)| *depth <= DEEPEST) {
        open.truncate(depth);
        if let Some(above) = open.last() {
            own[*above] = own[*above].saturating_sub(amounts[at]);
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
