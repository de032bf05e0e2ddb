//! Tables by class, gem, location and stack: count, own and retained bytes, growth where there are several dumps, and how the rows are
//! spread over the generations, so that the page can tell what of them came when.

use super::cells;
use crate::Result;
use crate::analysis::diff::{self, Diff};
use crate::analysis::groups as sums;
use crate::analysis::{column, key_cell, retained};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::{Heap, NodeId};
use crate::keys::{Key, KeyValue};
use crate::report::{Cell, Column, Table};
use crate::select::Filter;
use hashbrown::HashMap;
use serde_json::{Value, json};

/// Rows of a table.
pub(super) const GROUPS: usize = 200;
/// Bars of the histogram at most.
const BARS: u64 = 48;

/// How the generations are put together to bars: the first of all, and how many each has.
#[derive(Clone, Copy)]
struct Bars {
    first: u64,
    width: u64,
}

impl Bars {
    /// Those of a heap; none where nothing was traced.
    fn of(by_generation: &sums::Groups) -> Option<Bars> {
        let numbers = || by_generation.groups.iter().filter_map(|group| number(&group.key));
        let (first, last) = (numbers().min()?, numbers().max()?);
        Some(Bars { first, width: (last - first + 1).div_ceil(BARS) })
    }

    fn bar(self, generation: u64) -> u64 {
        (generation - self.first) / self.width
    }
}

fn number(key: &[KeyValue]) -> Option<u64> {
    match key.last() {
        Some(KeyValue::Number(number)) => Some(*number),
        _ => None,
    }
}

fn by_generation(
    heap: &Heap,
    by: Option<Key>,
    ids: impl Iterator<Item = NodeId>,
    control: &Control<'_>,
) -> Result<sums::Groups> {
    let by = by.into_iter().chain([Key::Generation]).collect();
    sums::of(heap, ids, &sums::Options { by, limit: None, ..sums::Options::default() }, control)
}

/// `first`, `width` and the bars as `[bar, count, bytes]`, and what is untraced; null where nothing was traced.
pub(super) fn generations(heap: &Heap, control: &Control<'_>) -> Result<Value> {
    let found = by_generation(heap, None, heap.nodes(), control)?;
    let Some(bars) = Bars::of(&found) else { return Ok(Value::Null) };
    let mut sums: Vec<(u64, u64)> = Vec::new();
    let mut untraced = (0, 0);
    for group in &found.groups {
        let place = match number(&group.key) {
            Some(generation) => {
                let bar = bars.bar(generation) as usize;
                sums.resize(sums.len().max(bar + 1), (0, 0));
                &mut sums[bar]
            }
            None => &mut untraced,
        };
        let whole = group.estimate.map_or(group.sum, |estimate| estimate.sum);
        place.0 += whole.count;
        place.1 = place.1.saturating_add(whole.memsize);
    }
    Ok(json!({"first": bars.first, "width": bars.width, "bars": sums, "untraced": untraced}))
}

/// A table for each key, with `spread`: for each row `[bar, count, bytes, ...]`.
pub(super) fn tables(heap: &Heap, tree: &Tree, diff: Option<&Diff<'_>>, control: &Control<'_>) -> Result<Value> {
    let bars = Bars::of(&by_generation(heap, None, heap.nodes(), control)?);
    let mut tables = Vec::new();
    for by in [Key::Class, Key::Gem, Key::Location, Key::Stack] {
        let is_known = match by {
            Key::Class => true,
            Key::Stack => !heap.names().tables.stacks.is_empty(),
            _ => heap.totals().traced.count > 0,
        };
        if is_known {
            tables.push(table(heap, tree, by, diff, bars, control)?);
        }
    }
    Ok(Value::Array(tables))
}

fn table(
    heap: &Heap,
    tree: &Tree,
    by: Key,
    diff: Option<&Diff<'_>>,
    bars: Option<Bars>,
    control: &Control<'_>,
) -> Result<Value> {
    let all = Filter::default();
    let groups = retained::groups(heap, tree, &[by], &all, Some(GROUPS), control)?;
    let growth = diff.map(|diff| diff::growth(diff, &[by], &all, false, control)).transpose()?;
    let grown: Option<HashMap<&[KeyValue], &diff::Growth>> =
        growth.as_ref().map(|growth| growth.iter().map(|growth| (&growth.key[..], growth)).collect());
    let mut columns = vec![
        column("count", "Objects"),
        column("memsize", "Own"),
        column("retained_memsize", "Retained"),
        column("retained_share", "of the heap"),
    ];
    if grown.is_some() {
        columns.extend([column("memsize_delta", "Growth"), column("count_delta", "Objects"), column("trend", "Trend")]);
    }
    columns.push(Column { name: by.name(), title: by.title(), shrinks: true });
    let whole = tree.reachable().memsize;
    let row = |group: &retained::Group| {
        let mut cells = vec![
            Cell::Count(group.sum.count),
            Cell::Bytes(group.sum.memsize),
            Cell::Bytes(group.retained_memsize),
            Cell::Share(crate::analysis::share(group.retained_memsize, whole)),
        ];
        if let Some(grown) = &grown {
            cells.extend(match grown.get(&group.key[..]) {
                Some(growth) => [
                    Cell::BytesChange(growth.memsize_delta()),
                    Cell::Change(growth.count_delta()),
                    Cell::Text(growth.trend.name().into()),
                ],
                None => [Cell::Missing, Cell::Missing, Cell::Missing],
            });
        }
        cells.extend(group.key.first().map(|value| match value {
            KeyValue::None => Cell::Text("(none)".into()),
            value => key_cell(by, value),
        }));
        cells
    };
    let table = Table {
        name: by.name(),
        title: format!("By {}", by.title().to_lowercase()),
        rows: groups.groups.iter().map(row).collect(),
        rest: (groups.rest_groups > 0).then(|| {
            let mut cells = vec![Cell::Missing; columns.len()];
            (cells[0], cells[1]) = (Cell::Count(groups.rest.count), Cell::Bytes(groups.rest.memsize));
            crate::report::Rest { rows: groups.rest_groups, cells }
        }),
        total: None,
        bar: None,
        columns,
    };
    let mut value = cells::table(&table);
    if let Some(bars) = bars {
        value["spread"] = spread(heap, tree, by, &groups, bars, control)?;
    }
    Ok(value)
}

/// By row: bar, count and bytes, one behind the other.
fn spread(
    heap: &Heap,
    tree: &Tree,
    by: Key,
    groups: &retained::Groups,
    bars: Bars,
    control: &Control<'_>,
) -> Result<Value> {
    let places: HashMap<&KeyValue, usize> =
        groups.groups.iter().enumerate().filter_map(|(at, group)| Some((group.key.first()?, at))).collect();
    let mut rows: Vec<Vec<(u64, u64)>> = vec![Vec::new(); groups.groups.len()];
    let held = heap.nodes().filter(|id| tree.is_reachable(*id));
    for group in by_generation(heap, Some(by), held, control)?.groups {
        let Some((key, generation)) = group.key.first().zip(number(&group.key)) else { continue };
        let Some(at) = places.get(key) else { continue };
        let bar = bars.bar(generation) as usize;
        let row = &mut rows[*at];
        row.resize(row.len().max(bar + 1), (0, 0));
        row[bar].0 += group.sum.count;
        row[bar].1 = row[bar].1.saturating_add(group.sum.memsize);
    }
    let flat = |row: Vec<(u64, u64)>| -> Vec<u64> {
        let met = row.into_iter().enumerate().filter(|(_, sums)| sums.0 > 0);
        met.flat_map(|(bar, (count, bytes))| [bar as u64, count, bytes]).collect()
    };
    Ok(rows.into_iter().map(flat).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_all_generations() {
        for (first, last) in [(0, 0), (7, 54), (7, 55), (0, u64::from(u32::MAX))] {
            let bars = Bars { first, width: (last - first + 1).div_ceil(BARS) };
            assert_eq!(bars.bar(first), 0);
            assert!(bars.bar(last) < BARS, "{first}..{last}");
        }
    }
}
