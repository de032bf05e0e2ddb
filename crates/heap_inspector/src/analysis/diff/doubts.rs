//! What else to know of the dumps before the numbers are believed.

use super::matching::{is_sampled, is_traced};
use super::order::Taken;
use super::{Diff, Dump};
use crate::analysis::{UNTRACED, note};
use crate::heap::{Heap, NodeId};
use crate::human;
use crate::report::{Level, Section};

/// Moved objects are worth a word where they are more than such a part.
pub(super) const WARNED: f64 = 0.01;

/// Whether two dumps have the same objects, of the same bytes and births, in the same order, as only one moment has.
fn is_one_dump(one: &Heap, other: &Heap) -> bool {
    let told = |heap: &Heap, id: NodeId| (heap.address(id), heap.bytes(id), heap.properties(id).generation);
    one.object_count() == other.object_count()
        && one.object_count() > 0
        && one.nodes().all(|id| told(one, id) == told(other, id))
}

/// What else to know of the dumps before the numbers are believed.
pub(super) fn doubts(diff: &Diff<'_>) -> Vec<Section> {
    let mut notes = Vec::new();
    let dumps = diff.dumps();
    let traced = |dump: &Dump<'_>| is_traced(dump.heap);
    let is_cut = |dump: &Dump<'_>| dump.heap.diagnostics().truncated;
    for dump in dumps.iter().filter(|dump| is_cut(dump)) {
        let text = format!("{} was cut off: what is missing there cannot be told from what came or went", dump.name);
        notes.push(note(Level::Warning, text));
    }
    for (matched, dump) in diff.matches.iter().zip(dumps) {
        let last = dumps[dumps.len() - 1].name;
        let (taken, of_last) = (Taken::of(dump.heap), Taken::of(diff.heap()));
        let is_other = taken.as_ref().zip(of_last.as_ref()).is_some_and(|(one, last)| one.is_other(last));
        if !matched.is_one_process() || is_other {
            let series = [dump.heap, diff.heap()].map(|heap| heap.totals().ruby_version.series());
            let pids = || Some((taken.as_ref()?.pid?, of_last.as_ref()?.pid?));
            let why = match pids().filter(|_| is_other) {
                Some((one, other)) if one != other => {
                    format!("the one is of process {one}, the other of process {other}")
                }
                Some(_) => "they were taken on two hosts".to_owned(),
                None if series[0] != series[1] => {
                    format!("Ruby {} wrote the one, Ruby {} the other", series[0], series[1])
                }
                None if matched.is_strange() => format!(
                    "{} objects of {last} are older than {} and not in it, as in workers that one process forked, or after a restart",
                    human::count(matched.strangers),
                    dump.name
                ),
                None => "the same classes lie at other addresses".to_owned(),
            };
            let text = format!(
                "{} and {last} are not of one process: {why}. Which objects are new cannot be told; only the growth by group can be \
                 compared",
                dump.name
            );
            notes.push(note(Level::Warning, text));
        } else if matched.reversed {
            let text = format!("{} is newer than {last}: give the oldest dump first", dump.name);
            notes.push(note(Level::Warning, text));
        } else if !matched.is_cut && matched.moved() as f64 > WARNED * diff.heap().object_count() as f64 {
            let text = format!(
                "{} objects were moved between {} and {last}, by GC.compact; they are told by their generations and count as kept",
                human::count(matched.moved()),
                dump.name
            );
            notes.push(note(Level::Info, text));
        }
        if matched.is_one_process()
            && !matched.is_cut
            && matched.unmatched() as f64 > WARNED * diff.heap().object_count() as f64
        {
            let text = format!(
                "{} objects without a generation are not where they were in {}, though allocations were traced in between: GC.compact \
                 moved them, or tracing was off for a time; they count as new",
                human::count(matched.unmatched()),
                dump.name
            );
            notes.push(note(Level::Warning, text));
        }
    }
    for pair in dumps.windows(2) {
        let [one, other] = [&pair[0], &pair[1]];
        if is_one_dump(one.heap, other.heap) {
            let text = format!("{} and {} hold the same objects: are they one dump twice?", one.name, other.name);
            notes.push(note(Level::Warning, text));
        }
        if traced(one) != traced(other) {
            let (with, without) = if traced(one) { (one.name, other.name) } else { (other.name, one.name) };
            let text =
                format!("{with} was traced and {without} was not: objects are told by address, type and class alone");
            notes.push(note(Level::Warning, text));
        } else if is_sampled(one.heap) || is_sampled(other.heap) {
            let text = format!(
                "of what {} and {} hold only samples were traced: any other object at the address of one of its type and class, which is \
                 gone, is taken for it",
                one.name, other.name
            );
            notes.push(note(Level::Info, text));
        } else if !traced(one) {
            let text = format!(
                "{} and {} were not traced: an object at the address of another of its type and class, which is gone, is taken for it. {}",
                one.name, other.name, UNTRACED
            );
            notes.push(note(Level::Warning, text));
        } else if diff.is_one_process()
            && !diff.matches.iter().any(|matched| matched.reversed)
            && !is_cut(one)
            && !is_cut(other)
            && one.heap.newest_generation() > other.heap.newest_generation()
        {
            let text = format!("{} is newer than {}: give the oldest dump first", one.name, other.name);
            notes.push(note(Level::Warning, text));
        }
    }
    notes
}
