//! What global variables and threads hold, by name, in a dump of heap_inspector's own dumper: lines of [`crate::record::NAMES_ROOT`].
//!
//! Nothing of it is believed: what leads to no object of the dump is left out, and of many names the first are kept.

use super::NodeId;
use crate::record::Record;
use crate::sort;
use crate::sums::Totals;
use serde::{Deserialize, Serialize};

/// So many names are kept, and so many bytes of each.
const KEPT: usize = 1 << 16;
const SHOWN: usize = 200;
/// A longer line is not read.
const LONGEST: usize = 1 << 20;

/// A name as a line tells it: holder, or 0 for a root; target; name.
pub(super) type Told = (u64, u64, String);

/// The names of a dump.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RootNames {
    /// Whether the dumper of the dump names edges at all.
    pub(super) is_native: bool,
    /// By holder, none for a root, and target; ascending.
    names: Vec<(Option<u32>, u32, String)>,
}

/// The value of a line.
#[derive(Deserialize)]
struct Value {
    #[serde(default)]
    globals: Vec<(String, String)>,
    #[serde(default)]
    threads: Vec<(String, String, String)>,
}

/// What the dump's first line says of its dumper.
#[derive(Deserialize)]
struct Taken {
    dumper: String,
}

/// Takes the names of a line.
pub(super) fn take(record: &Record<'_>, told: &mut Vec<Told>) {
    let value = record.value.unwrap_or_default();
    if value.raw.len() > LONGEST {
        return;
    }
    let Ok(Value { globals, threads }) = serde_json::from_slice::<Value>(&value.decode()) else { return };
    let globals = globals.into_iter().filter_map(|(name, target)| Some((0, address(&target)?, name)));
    let threads =
        threads.into_iter().filter_map(|(thread, name, target)| Some((address(&thread)?, address(&target)?, name)));
    for (holder, target, mut name) in globals.chain(threads) {
        if told.len() >= KEPT {
            return;
        }
        let end = (0..=SHOWN.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or(0));
        told.push((holder, target, name));
    }
}

fn address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

impl RootNames {
    /// Of lines in the order of the dump; `find` gives the node at an address.
    pub(super) fn new(told: Vec<Told>, totals: &Totals, find: impl Fn(u64) -> Option<u32>) -> RootNames {
        let names = told.into_iter().take(KEPT).filter_map(|(holder, target, name)| {
            let holder = if holder == 0 { None } else { Some(find(holder)?) };
            Some((holder, find(target)?, name))
        });
        let mut names: Vec<_> = names.collect();
        // The first of several stands for all.
        sort::by_key(&mut names, |(holder, target, _)| (*holder, *target));
        names.dedup_by_key(|(holder, target, _)| (*holder, *target));
        let is_native = totals.taken::<Taken>().is_some_and(|taken| taken.dumper == "native");
        RootNames { is_native, names }
    }

    pub(super) fn get(&self, holder: Option<NodeId>, target: NodeId) -> Option<&str> {
        let key = (holder.map(|holder| holder.0), target.0);
        let found = self.names.binary_search_by_key(&key, |(holder, target, _)| (*holder, *target));
        found.ok().map(|at| self.names[at].2.as_str())
    }

    /// Whether they can be those of a heap of so many nodes.
    pub(super) fn is_sound(&self, nodes: usize) -> bool {
        self.names.len() <= KEPT
            && self.names.is_sorted_by_key(|(holder, target, _)| (*holder, *target))
            && self.names.iter().all(|(holder, target, name)| {
                holder.is_none_or(|holder| (holder as usize) < nodes)
                    && (*target as usize) < nodes
                    && name.len() <= SHOWN
            })
    }
}
