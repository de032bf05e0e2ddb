//! Tables by class, gem, location and stack: count, own and retained bytes, growth where there are several dumps, and how the rows are
//! spread over the generations, so that the page can tell what of them came when.

use super::cells;
use crate::Result;
use crate::analysis::diff::{self, Diff};
use crate::analysis::groups as grouped;
use crate::analysis::{column, key_cell, retained};
use crate::control::Control;
use crate::graph::dominators::Tree;
use crate::heap::Heap;
use crate::keys::{self, Key, KeyValue, Values};
use crate::memory::map;
use crate::report::{Cell, Column, Table};
use crate::select::Filter;
use crate::sums::Sums;
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
    fn of(by_generation: &grouped::Groups) -> Option<Bars> {
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

/// `first`, `width` and the bars as `[bar, count, bytes]`, and what is untraced; null where nothing was traced.
fn generations(bars: Option<Bars>, found: &grouped::Groups) -> Value {
    let Some(bars) = bars else { return Value::Null };
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
    json!({"first": bars.first, "width": bars.width, "bars": sums, "untraced": untraced})
}

/// The generations, and a table for each key, with `spread`: for each row `[bar, count, bytes, ...]`.
pub(super) fn groups(
    heap: &Heap,
    tree: &Tree,
    diff: Option<&Diff<'_>>,
    control: &Control<'_>,
) -> Result<(Value, Value)> {
    let by_generation = grouped::Options { by: vec![Key::Generation], ..grouped::Options::default() };
    let all = grouped::groups(heap, &by_generation, control)?;
    let bars = Bars::of(&all);
    let is_known = |by: &Key| match by {
        Key::Class => true,
        Key::Stack => !heap.names().tables.stacks.is_empty(),
        _ => heap.totals().traced.count > 0,
    };
    let keys: Vec<Key> = [Key::Class, Key::Gem, Key::Location, Key::Stack].into_iter().filter(is_known).collect();
    // One walk over the objects tells how the rows of all tables are spread.
    let parts = keys.iter().fold(Key::Generation.parts(), |parts, key| parts.union(key.parts()));
    let held = heap.nodes().filter(|id| tree.is_reachable(*id));
    let held = bars.map(|bars| Ok((bars, heap.sums_of(held, parts, None, control)?))).transpose()?;
    let tables = keys.iter().map(|by| table(heap, tree, *by, diff, held.as_ref(), control)).collect::<Result<_>>()?;
    Ok((generations(bars, &all), Value::Array(tables)))
}

fn table(
    heap: &Heap,
    tree: &Tree,
    by: Key,
    diff: Option<&Diff<'_>>,
    held: Option<&(Bars, Sums)>,
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
    if let Some((bars, sums)) = held {
        value["spread"] = spread(heap, by, &groups, *bars, sums, control)?;
    }
    Ok(value)
}

/// By row: bar, count and bytes, one behind the other.
fn spread(
    heap: &Heap,
    by: Key,
    groups: &retained::Groups,
    bars: Bars,
    sums: &Sums,
    control: &Control<'_>,
) -> Result<Value> {
    let places: HashMap<&KeyValue, usize> =
        groups.groups.iter().enumerate().filter_map(|(at, group)| Some((group.key.first()?, at))).collect();
    let mut rows: Vec<Vec<(u64, u64)>> = vec![Vec::new(); groups.groups.len()];
    let mut values = Values::new(heap.names());
    let mut met: HashMap<keys::Value, Option<usize>> = HashMap::new();
    for (step, (properties, sum)) in sums.iter().enumerate() {
        control.check_at(step)?;
        let keys::Value::Number(generation) = values.value(Key::Generation, properties) else { continue };
        let value = values.value(by, properties);
        map(&mut met, 1)?;
        let at = *met.entry(value).or_insert_with(|| places.get(&values.outside(value)).copied());
        let Some(row) = at.and_then(|at| rows.get_mut(at)) else { continue };
        let bar = bars.bar(generation) as usize;
        row.resize(row.len().max(bar + 1), (0, 0));
        row[bar].0 += sum.count;
        row[bar].1 = row[bar].1.saturating_add(sum.memsize);
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
