//! What is alive by the stack that allocated it, as a tree: the outermost frames on top, as flame graphs want it.
//!
//! Only objects whose stack is known are in it. Where stacks were sampled each stands for `every` objects, so the tree is an estimate of
//! all. Costs a few numbers for each frame of the dump and each distinct slot.

use super::groups::{self, times};
use super::{Context, Order, column, titled};
use crate::Result;
use crate::aggregate::{self, Aggregate};
use crate::control::Control;
use crate::keys::{Key, Value, Values};
use crate::memory::{STRIDE, filled, list, map, room};
use crate::names::Names;
use crate::report::{Cell, Column, Report, Section, Tree, TreeNode};
use crate::scan;
use crate::source::Source;
use crate::stacks::FrameId;
use crate::sums::{Sum, Sums};
use hashbrown::HashMap;
use std::cmp::Reverse;

/// Runs once through `source`. Of the keys beside the stack each makes a row below the innermost frame.
///
/// # Errors
/// Those of [`scan::scan`].
pub fn read(source: &Source, options: &groups::Options, dump: &str, scanning: &scan::Options<'_>) -> Result<Report> {
    let wants = aggregate::Options {
        parts: options.parts(),
        summing: true,
        memsize: options.filter.memsize(),
        ..aggregate::Options::default()
    };
    let aggregate = Aggregate::take(source, &wants, scanning)?;
    let context = Context { totals: aggregate.totals, diagnostics: aggregate.diagnostics };
    report(&aggregate.names, &aggregate.sums, options, dump, &context, &scanning.control)
}

/// The answer of `top --by stack` as a tree, from sums by the parts of slots that the options need.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn report(
    names: &Names,
    sums: &Sums,
    options: &groups::Options,
    dump: &str,
    context: &Context,
    control: &Control<'_>,
) -> Result<Report> {
    let tree = tree(names, sums, options, control)?;
    let mut sections = context.head();
    sections.push(Section::Tree(tree));
    sections.extend(context.notes());
    Ok(Report { verb: "top", dump: dump.to_owned(), sections })
}

/// Rows below a frame: the values of the other keys, and what they come to.
type Leaves = HashMap<FrameId, HashMap<Vec<Value>, Sum>>;

fn tree(names: &Names, sums: &Sums, options: &groups::Options, control: &Control<'_>) -> Result<Tree> {
    let mut values = Values::new(names);
    let stacks = &names.tables.stacks;
    let others: Vec<Key> = options.by.iter().copied().filter(|key| *key != Key::Stack).collect();
    let mut totals: Vec<u64> = filled(0, stacks.len())?;
    let mut leaves = Leaves::new();
    for (step, (properties, sum)) in sums.iter().enumerate() {
        if step.is_multiple_of(STRIDE) {
            control.check()?;
            map(&mut leaves, STRIDE)?;
        }
        if !properties.stack.is_some() || !options.filter.holds(&mut values, properties) {
            continue;
        }
        let sum = times(*sum, names.sampling.map_or(1, |sampling| sampling.every));
        let total = &mut totals[properties.stack.0 as usize];
        *total = total.saturating_add(amount(options.sort, &sum));
        if !others.is_empty() {
            let key = others.iter().map(|key| values.value(*key, properties)).collect();
            leaves.entry(properties.stack).or_default().entry(key).or_default().add(sum);
        }
    }
    // Children stand behind their parents.
    for frame in (1..stacks.len()).rev() {
        let parent = stacks.parent(FrameId(frame as u32)).0 as usize;
        totals[parent] = totals[parent].saturating_add(totals[frame]);
    }
    let total = |frame: FrameId| totals[frame.0 as usize];
    let mut children: Vec<(FrameId, FrameId)> = list(stacks.len())?;
    children
        .extend((1..stacks.len() as u32).map(FrameId).filter(|id| total(*id) > 0).map(|id| (stacks.parent(id), id)));
    children.sort_unstable_by_key(|(parent, id)| (*parent, Reverse(total(*id)), *id));
    let below = |frame: FrameId| {
        let begin = children.partition_point(|(parent, _)| *parent < frame);
        children[begin..].iter().take_while(move |(parent, _)| *parent == frame).map(|(_, id)| *id)
    };
    let of_bytes = options.sort == Order::Bytes;
    let cell = |amount: u64| if of_bytes { Cell::Bytes(amount) } else { Cell::Count(amount) };
    let node = |depth: usize, amount: u64, label: String| TreeNode {
        depth,
        cells: vec![cell(amount), Cell::Text(label)],
        is_tracer: false,
    };
    let mut nodes = crate::report::Rows::default();
    let mut open: Vec<(usize, FrameId)> = list(children.len())?;
    let push = |open: &mut Vec<(usize, FrameId)>, depth: usize, frame: FrameId| -> Result<()> {
        let first = open.len();
        for child in below(frame) {
            room(open, 1)?;
            open.push((depth, child));
        }
        open[first..].reverse();
        Ok(())
    };
    push(&mut open, 0, FrameId::NONE)?;
    let mut step = 0;
    while let Some((depth, frame)) = open.pop() {
        control.check_at(step)?;
        step += 1;
        nodes.push(node(depth, total(frame), label(&values, frame)));
        push(&mut open, depth + 1, frame)?;
        let mut rows: Vec<(Vec<Value>, u64)> = leaves.get(&frame).map_or_else(Vec::new, |leaves| {
            leaves.iter().map(|(key, sum)| (key.clone(), amount(options.sort, sum))).collect()
        });
        rows.sort_by(|(key, one), (other_key, other)| other.cmp(one).then_with(|| values.compare(key, other_key)));
        for (key, amount) in rows {
            for (at, value) in key.iter().enumerate() {
                nodes.push(node(depth + 1 + at, amount, words(&values, *value)));
            }
        }
    }
    let about = if names.sampling.is_some() { ", reckoned from samples" } else { "" };
    let (name, title) = if of_bytes { ("memsize", "Memory") } else { ("count", "Objects") };
    Ok(Tree {
        name: "stacks",
        title: titled(&format!("{title} by stack{about}"), &options.filter),
        columns: vec![column(name, title), Column { name: "frame", title: "Frame", shrinks: true }],
        nodes,
    })
}

fn amount(sort: Order, sum: &Sum) -> u64 {
    if sort == Order::Bytes { sum.memsize } else { sum.count }
}

/// A frame as flame graphs have it, its name first: narrow frames show the start.
fn label(values: &Values<'_>, frame: FrameId) -> String {
    let names = values.names();
    let site = names.tables.stacks.site(frame);
    let name = names.tables.symbols.text(names.tables.sites.get(site).method);
    match &values.frame_location(site, true)[..] {
        location if name.is_empty() => location.to_owned(),
        "" => name.into_owned(),
        location => format!("{name} ({location})"),
    }
}

/// A value of another key.
fn words(values: &Values<'_>, value: Value) -> String {
    match super::key_cell(Key::Class, &values.outside(value)) {
        Cell::Text(text) => text,
        Cell::Brief { brief, .. } => brief,
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => flag.to_string(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests;
