//! What is alive by the stack that allocated it, as a tree: the outermost frames on top, as flame graphs want it.
//!
//! Only objects whose stack is known are in it. Where stacks were sampled each stands for `every` objects, so the tree is an estimate of
//! all. Costs a few numbers for each frame of the dump and each distinct slot.

use super::groups::{self, times};
use super::{Context, Order, column, titled};
use crate::aggregate::{self, Aggregate};
use crate::control::Control;
use crate::keys::{Key, Value, Values};
use crate::memory::{STRIDE, filled, list, map, room};
use crate::names::Names;
use crate::report::{Cell, Column, Report, Section, Tree, TreeNode};
use crate::scan;
use crate::select::Filter;
use crate::source::Source;
use crate::stacks::FrameId;
use crate::sums::{Sum, Sums};
use crate::{Result, sort};
use hashbrown::HashMap;
use std::cmp::Reverse;

/// A frame of the tree, or a value of another key below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// How many frames stand above it.
    pub depth: usize,
    /// Bytes, or objects where it was asked for these.
    pub amount: u64,
    /// The frame or value, for people.
    pub label: String,
}

/// What is alive by stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByStack {
    /// What the amounts count.
    pub sort: Order,
    /// Whether stacks were sampled, so that the amounts are estimates.
    pub is_sampled: bool,
    /// The frames, each behind the one that called it.
    pub rows: Vec<Row>,
}

/// Runs once through `source`. Of the keys beside the stack each makes a row below the innermost frame.
///
/// # Errors
/// Those of [`scan::scan`].
pub fn read(source: &Source, options: &groups::Options, scanning: &scan::Options<'_>) -> Result<(ByStack, Context)> {
    let wants = aggregate::Options {
        parts: options.parts(),
        summing: true,
        memsize: options.filter.memsize(),
        ..aggregate::Options::default()
    };
    let aggregate = Aggregate::take(source, &wants, scanning)?;
    let found = by_stack(&aggregate.names, &aggregate.sums, options, &scanning.control)?;
    Ok((found, Context { totals: aggregate.totals, diagnostics: aggregate.diagnostics }))
}

/// Rows below a frame: the values of the other keys, and what they come to.
type Leaves = HashMap<FrameId, HashMap<Vec<Value>, Sum>>;

/// The tree of `top --by stack`, from sums by the parts of slots that the options need.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn by_stack(names: &Names, sums: &Sums, options: &groups::Options, control: &Control<'_>) -> Result<ByStack> {
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
    sort::by_key(&mut children, |(parent, id)| (*parent, Reverse(total(*id)), *id));
    let below = |frame: FrameId| {
        let begin = children.partition_point(|(parent, _)| *parent < frame);
        children[begin..].iter().take_while(move |(parent, _)| *parent == frame).map(|(_, id)| *id)
    };
    let mut tree = Vec::new();
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
        room(&mut tree, 1)?;
        tree.push(Row { depth, amount: total(frame), label: label(&values, frame) });
        push(&mut open, depth + 1, frame)?;
        let mut rows: Vec<(Vec<Value>, u64)> = leaves.get(&frame).map_or_else(Vec::new, |leaves| {
            leaves.iter().map(|(key, sum)| (key.clone(), amount(options.sort, sum))).collect()
        });
        sort::by(&mut rows, |(key, one), (other_key, other)| {
            other.cmp(one).then_with(|| values.compare(key, other_key))
        });
        for (key, amount) in rows {
            for (at, value) in key.iter().enumerate() {
                room(&mut tree, 1)?;
                tree.push(Row { depth: depth + 1 + at, amount, label: words(&values, *value) });
            }
        }
    }
    Ok(ByStack { sort: options.sort, is_sampled: names.sampling.is_some(), rows: tree })
}

impl ByStack {
    /// The answer as a report.
    #[must_use]
    pub fn report(&self, dump: &str, filter: &Filter, context: &Context) -> Report {
        let of_bytes = self.sort == Order::Bytes;
        let cell = |amount: u64| if of_bytes { Cell::Bytes(amount) } else { Cell::Count(amount) };
        let mut nodes = crate::report::Rows::default();
        for Row { depth, amount, label } in &self.rows {
            let cells = vec![cell(*amount), Cell::Text(label.clone())];
            nodes.push(TreeNode { depth: *depth, cells, is_tracer: false });
        }
        let about = if self.is_sampled { ", reckoned from samples" } else { "" };
        let (name, title) = if of_bytes { ("memsize", "Memory") } else { ("count", "Objects") };
        let tree = Tree {
            name: "stacks",
            title: titled(&format!("{title} by stack{about}"), filter),
            columns: vec![column(name, title), Column { name: "frame", title: "Frame", shrinks: true }],
            nodes,
        };
        let mut sections = context.head();
        sections.push(Section::Tree(tree));
        sections.extend(context.notes());
        Report { verb: "top", dump: dump.to_owned(), sections }
    }
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
