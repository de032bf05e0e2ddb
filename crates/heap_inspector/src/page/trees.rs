//! The dominator tree as the page draws it: by class, gem and location, and object by object.
//!
//! Of each the rows that retain most. A row retains at least what those below it do, so the biggest ones hang together; what the others
//! retain is what a row lacks to its own sum, and the page draws it as that.

use super::cells::{LONGEST, cut};
use crate::Result;
use crate::analysis::dominator_tree::{self, Shown};
use crate::analysis::dominators_by_key;
use crate::control::Control;
use crate::graph::dominators::{Dominator, Tree};
use crate::heap::Heap;
use crate::keys::{Key, KeyValue};
use crate::source::Source;
use serde_json::{Value, json};

/// Rows of a tree at most.
const ROWS: usize = 2500;
/// Levels.
const DEPTH: usize = 60;
/// Rows under one.
const WIDTH: usize = 60;
/// What retains a smaller part of all is not drawn.
const PART: u64 = 4000;

/// A row before it is known whether it is among the biggest: what it retains, and itself.
type Row = (u64, Value);

/// All trees, each a list of `[depth, label, count, own, retained, retained count, address, location, edge]`.
pub(super) fn trees(heap: &Heap, tree: &Tree, source: &Source, control: &Control<'_>) -> Result<Value> {
    let shown = Shown { depth: DEPTH, min: (tree.reachable().memsize / PART).max(1), width: WIDTH };
    let mut trees = Vec::new();
    for by in [Key::Class, Key::Gem, Key::Location] {
        if by != Key::Class && heap.totals().traced.count == 0 {
            continue;
        }
        let found = dominators_by_key::dominators_by_key(heap, tree, by, Dominator::Root, shown, control)?;
        let rows = found.rows.into_iter().filter_map(|row| {
            let label = label(row.key.as_ref()?);
            let numbers = (row.count, row.memsize, row.retained_memsize, row.retained_count);
            let (count, own, retained, retained_count) = numbers;
            Some((retained, json!([row.depth, label, count, own, retained, retained_count])))
        });
        trees.push(json!({"by": by.name(), "title": by.title(), "rows": biggest(rows.collect())}));
    }
    let found = dominator_tree::dominator_tree(heap, tree, source, Dominator::Root, shown, control)?;
    let rows = found.rows().filter(|row| !row.label.is_empty()).map(|row| {
        let address = row.address.map(|address| format!("0x{address:x}"));
        let label = cut(&row.label, LONGEST);
        let (location, edge) = (row.location.words().map(|words| cut(words, LONGEST)), row.edge.to_string());
        let numbers = (row.count, row.memsize, row.retained_memsize, row.retained_count);
        let (count, own, retained, retained_count) = numbers;
        let edge = cut(&edge, LONGEST);
        (retained, json!([row.depth, label, count, own, retained, retained_count, address, location, edge]))
    });
    trees.push(json!({"by": "object", "title": "Object", "rows": biggest(rows.collect())}));
    Ok(Value::Array(trees))
}

/// Those that retain most, in order. Of those equal to the smallest none, where not all have room: so nothing stands without what it
/// stands under.
fn biggest(rows: Vec<Row>) -> Vec<Value> {
    let mut sizes: Vec<u64> = rows.iter().map(|row| row.0).collect();
    sizes.sort_unstable();
    sizes.reverse();
    let least = sizes.get(ROWS).map_or(0, |bytes| bytes + 1);
    rows.into_iter().filter(|row| row.0 >= least).map(|row| row.1).collect()
}

fn label(value: &KeyValue) -> String {
    match value {
        KeyValue::None => "(none)".into(),
        KeyValue::Number(number) => number.to_string(),
        KeyValue::Flag(flag) => flag.to_string(),
        value => cut(value.words().unwrap_or_default(), LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_biggest_rows_hang_together() {
        let rows = (0..5000_u64).map(|at| (10_000 - at / 2, json!(at))).collect();
        let kept = biggest(rows);
        assert_eq!(kept.len(), ROWS);
        assert_eq!(kept.last(), Some(&json!(2499)));
        let equal = biggest((0..5000).map(|at| (7, json!(at))).collect());
        assert_eq!(equal, Vec::<Value>::new());
    }
}
