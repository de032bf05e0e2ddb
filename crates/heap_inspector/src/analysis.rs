//! The questions, one file each: a heap or a pass over a dump comes in, a finished value goes out, and a report is made from it.

pub mod by_stack;
pub mod chains;
pub mod collections;
pub mod diff;
pub mod dominator_tree;
pub mod dominators_by_key;
pub mod fragmentation;
pub mod generation;
pub mod generations;
pub mod grouping;
pub mod groups;
pub mod hints;
pub mod holders;
mod in_use;
pub mod normalised;
pub mod objects;
pub mod path_growth;
pub mod paths;
pub mod retained;
pub mod show;
mod sorted;
pub mod strings;
pub mod summary;
pub mod suspects;
pub mod threads;
pub mod unreachable;
pub mod verdicts;
pub mod verify;
pub mod without;
pub mod work;

use crate::diagnostics::Diagnostics;
use crate::heap::Heap;
use crate::keys::{Absent, Key, KeyValue, StackText};
use crate::labels::Edge;
use crate::report::{Cell, Column, Fact, Facts, Level, Note, Section};
use crate::sampling::FEW;
use crate::select::Filter;
use crate::sums::{Sum, Totals};

/// How groups are ordered, the greatest first; equal ones by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By memsize.
    #[default]
    Bytes,
    /// By number of objects.
    Count,
    /// By the references the objects hold.
    References,
}

impl Order {
    /// Every order with its name.
    pub const NAMED: [(Order, &'static str); 3] =
        [(Order::Bytes, "bytes"), (Order::Count, "count"), (Order::References, "references")];

    fn rank(self, sum: &Sum) -> u64 {
        match self {
            Order::Bytes => sum.memsize,
            Order::Count => sum.count,
            Order::References => sum.references,
        }
    }
}

impl std::str::FromStr for Order {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<Order> {
        match name {
            "bytes" | "memsize" => Ok(Order::Bytes),
            "count" => Ok(Order::Count),
            "references" => Ok(Order::References),
            _ => Err(crate::Error::unknown(format!("cannot sort by {name:?}"), name, ["bytes", "count", "references"])),
        }
    }
}

/// What to say of a dump without traced objects.
const UNTRACED: &str = "no object was traced, so the dump does not say when and where objects were allocated; call \
    ObjectSpace.trace_object_allocations_start (require \"objspace\") before the code in question runs";

/// What every answer carries: the totals of the dump, and what was lost of it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Context {
    /// What the dump holds in all.
    pub totals: Totals,
    /// What was lost or repaired.
    pub diagnostics: Diagnostics,
}

impl Context {
    /// What a loaded heap carries.
    #[must_use]
    pub fn of(heap: &Heap) -> Context {
        Context { totals: heap.totals().clone(), diagnostics: heap.diagnostics().clone() }
    }

    /// How a report begins: where allocations were sampled it says so, then come the totals.
    pub(crate) fn head(&self) -> Vec<Section> {
        self.sampled().into_iter().chain([self.facts()]).collect()
    }

    /// That lines are known of sampled objects alone, where it is so.
    pub(crate) fn sampled(&self) -> Option<Section> {
        let sampling = self.totals.sampling().filter(|sampling| sampling.is_of_lines())?;
        let text = format!(
            "allocations were sampled: one of {} was traced and stands for as many. What is known of traced objects alone (lines, gems, \
             generations, stacks) is reckoned from these and has a ~; a ? behind it means fewer than {FEW} samples, so it is rough. \
             Counts by class, and what objects retain, are exact",
            crate::human::count(sampling.every)
        );
        Some(note(Level::Info, text))
    }

    /// The totals as a section of a report.
    pub(crate) fn facts(&self) -> Section {
        let totals = &self.totals;
        let mut facts = vec![
            fact("object_count", "Objects", Cell::Count(totals.objects.count), String::new()),
            fact("memsize", "Memory", Cell::Bytes(totals.objects.memsize), String::new()),
        ];
        let sampling = totals.sampling().filter(|sampling| sampling.is_of_lines());
        if let Some(sampling) = sampling {
            facts.push(fact("tracing", "Tracing", Cell::Text(sampling.mode.name().into()), String::new()));
            facts.push(fact(
                "sampled_every",
                "Sampled",
                Cell::Number(sampling.every),
                "one of so many allocations".into(),
            ));
            facts.push(fact("samples", "Samples", Cell::Count(totals.traced.count), String::new()));
        }
        let untraced = untraced(totals);
        if untraced.count > 0 && sampling.is_none() {
            facts.push(fact(
                "untraced_count",
                "Untraced objects",
                Cell::Count(untraced.count),
                of_all(untraced.count, totals.objects.count, "of all objects"),
            ));
            facts.push(fact(
                "untraced_memsize",
                "Untraced memory",
                Cell::Bytes(untraced.memsize),
                of_all(untraced.memsize, totals.objects.memsize, "of all memory"),
            ));
        }
        if totals.tracer.count > 0 {
            facts.push(fact(
                "tracer_memsize",
                "Allocation tracer",
                Cell::Bytes(totals.tracer.memsize),
                of_all(
                    totals.tracer.memsize,
                    totals.objects.memsize,
                    "of all memory: the cost of tracing, not the app's",
                ),
            ));
        }
        Section::Facts(Facts { name: "totals", title: String::new(), facts })
    }

    /// What was lost or repaired, as the last sections of a report.
    pub(crate) fn notes(&self) -> Vec<Section> {
        let mut notes: Vec<Section> = Vec::new();
        for warning in &self.diagnostics.warnings {
            notes.push(note(Level::Warning, warning.to_string()));
        }
        let kept = self.diagnostics.warnings.iter().filter(|warning| warning.position.is_some()).count() as u64;
        let more = (self.diagnostics.lost + self.diagnostics.repaired).saturating_sub(kept);
        if more > 0 {
            let text = format!(
                "{more} more lines with warnings; in all {} could not be read and {} were repaired",
                self.diagnostics.lost, self.diagnostics.repaired
            );
            notes.push(note(Level::Warning, text));
        }
        notes
    }
}

/// The objects that were not traced, the tracer's own store aside.
#[must_use]
pub fn untraced(totals: &Totals) -> Sum {
    Sum {
        // A hostile dump may say that the tracer itself was traced, or more bytes than a sum holds.
        count: totals.objects.count.saturating_sub(totals.traced.count + totals.tracer.count),
        memsize: totals.objects.memsize.saturating_sub(totals.traced.memsize.saturating_add(totals.tracer.memsize)),
        references: 0,
    }
}

/// A table's heading with the filter that its objects passed.
pub(crate) fn titled(title: &str, filter: &Filter) -> String {
    if filter.is_empty() { title.to_owned() } else { format!("{title}, where {}", filter.words().join(", ")) }
}

pub(crate) fn note(level: Level, text: impl Into<String>) -> Section {
    Section::Note(Note { level, text: text.into() })
}

pub(crate) fn fact(name: &'static str, title: &'static str, cell: Cell, remark: String) -> Fact {
    Fact { name, title, cell, remark }
}

pub(crate) fn column(name: &'static str, title: &'static str) -> Column {
    Column { name, title, shrinks: false }
}

/// A part of a whole; none of nothing is none.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn of_all(part: u64, whole: u64, words: &str) -> String {
    format!("{} {words}", crate::human::percent(share(part, whole)))
}

pub(crate) fn key_cell(key: Key, value: &KeyValue) -> Cell {
    match value {
        KeyValue::None if key == Key::Generation => Cell::Null(Absent::Untraced.words()),
        KeyValue::None => Cell::Missing,
        KeyValue::Number(number) => Cell::Number(*number),
        KeyValue::Flag(flag) => Cell::Flag(*flag),
        KeyValue::Text(text) | KeyValue::NoClass(text) => Cell::Text(text.clone()),
        KeyValue::Stack(StackText { text, brief }) => Cell::Brief { text: text.clone(), brief: brief.clone() },
        KeyValue::Absent(absent) => Cell::Text(absent.words().into()),
    }
}

pub(crate) fn address_cell(address: u64) -> Cell {
    Cell::Text(format!("0x{address:x}"))
}

pub(crate) fn bytes_cell(bytes: Option<u64>) -> Cell {
    bytes.map_or(Cell::Missing, Cell::Bytes)
}

pub(crate) fn edge_cell(edge: &Edge) -> Cell {
    match edge.to_string() {
        words if words.is_empty() => Cell::Missing,
        words => Cell::Text(words),
    }
}

#[cfg(test)]
mod tests;
