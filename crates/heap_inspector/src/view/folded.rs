//! Folded stacks, which flamegraph.pl, inferno and speedscope read: `frame;frame;frame amount`, a line for each row of the report's
//! trees that has an amount of its own.
//!
//! The amount is that of the tree's first column (bytes or a count) without what stands below. The first frame is the dump: so no line
//! begins with what a reader takes for a comment. Semicolons and hostile characters are written as Ruby does.

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
            stacks(tree, &frame(&report.dump), &mut out);
        }
    }
    out
}

fn stacks(tree: &Tree, root: &str, out: &mut String) {
    let amounts = own(tree);
    // Where each open frame's name begins in the stack.
    let mut stack = root.to_owned();
    let mut begins: Vec<usize> = Vec::new();
    for ((node, depth), amount) in tree.nodes.iter().zip(depths(&tree.nodes)).zip(amounts) {
        if depth > DEEPEST {
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
            out.push_str(&format!("{stack} {amount}\n"));
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

fn frame(text: &str) -> String {
    let text = escape::terminal(text).replace(';', "\\u{3b}");
    if text.trim().is_empty() { "-".into() } else { text.trim().to_owned() }
}
