//! The answer of `diff` as a report.

use super::growth::{Growth, HolderGrowth, Holders, growth, stayed, without_tracer};
use super::{Diff, doubts::doubts};
use crate::Result;
use crate::analysis::grouping::Grouping;
use crate::analysis::groups::Shows;
use crate::analysis::work::{Rate, Unit};
use crate::analysis::{Context, address_cell, column, fact, key_cell, titled};
use crate::control::Control;
use crate::heap::NodeId;
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::report::{Cell, Column, Facts, Level, Note, Report, Rest, Section, Table};
use crate::select::Filter;

/// What growth is told by.
#[derive(Clone, Copy, Debug)]
pub enum By<'b> {
    /// The values of keys.
    Keys(&'b [Key]),
    /// What holds that which came, as `holders::growth` found it.
    Holder(&'b Holders),
    /// Normalised paths, as `path_growth::ByPath::growth` found it.
    Path(&'b [Growth]),
}

/// The answer of `diff`; where all dumps have their trees also what the groups retain.
///
/// # Errors
/// Those of [`growth`].
pub fn report(diff: &Diff<'_>, by: By<'_>, filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Report> {
    let mut sections = vec![Section::Table(dump_table(diff))];
    // Of several processes all objects are new, and all are gone.
    let is_one = diff.is_one_process();
    if is_one {
        sections.push(Section::Facts(facts(diff)));
    }
    match by {
        By::Keys(by) => {
            if is_one {
                sections.push(Section::Table(stayed_table(diff, by, filter, limit, control)?));
            }
            let all = growth(diff, by, filter, true, control)?;
            sections.push(Section::Table(growth_table(&all, by, filter, limit)));
        }
        By::Path(all) => sections.push(Section::Table(path_table(all, filter, limit))),
        By::Holder(all) if is_one => sections.push(Section::Table(holder_table(diff, all, filter))),
        By::Holder(_) => {}
    }
    Ok(with_notes(diff, sections))
}

/// What came and stayed, in groups: the middle part of the answer of `diff`.
///
/// # Errors
/// [`crate::Error::Interrupted`] when cancelled.
pub fn stayed_report(
    diff: &Diff<'_>,
    by: &[Key],
    filter: &Filter,
    limit: usize,
    control: &Control<'_>,
) -> Result<Report> {
    Ok(with_notes(diff, vec![Section::Table(stayed_table(diff, by, filter, limit, control)?)]))
}

/// The growth by keys or holders alone, the last part of the answer of `diff`.
#[must_use]
pub fn growth_report(diff: &Diff<'_>, all: &[Growth], by: &[Key], filter: &Filter, limit: usize) -> Report {
    with_notes(diff, vec![Section::Table(growth_table(all, by, filter, limit))])
}

/// The growth by path alone.
#[must_use]
pub fn path_report(diff: &Diff<'_>, all: &[Growth], filter: &Filter, limit: usize) -> Report {
    with_notes(diff, vec![Section::Table(path_table(all, filter, limit))])
}

/// The growth by holder alone.
#[must_use]
pub fn holder_report(diff: &Diff<'_>, all: &Holders, filter: &Filter) -> Report {
    with_notes(diff, vec![Section::Table(holder_table(diff, all, filter))])
}

/// A report with what is to be known of the dumps.
fn with_notes(diff: &Diff<'_>, mut sections: Vec<Section>) -> Report {
    let dumps = diff.dumps();
    let names: Vec<&str> = dumps.iter().map(|dump| dump.name).collect();
    // What the numbers cannot be believed for is read before them.
    let is_warning = |section: &Section| matches!(section, Section::Note(note) if note.level == Level::Warning);
    let (warnings, notes): (Vec<Section>, Vec<Section>) = doubts(diff).into_iter().partition(is_warning);
    sections.splice(0..0, warnings);
    sections.extend(notes);
    for dump in dumps {
        let context = Context::of(dump.heap);
        sections.extend(context.notes().into_iter().map(|section| match section {
            Section::Note(note) => Section::Note(Note { text: format!("{}: {}", dump.name, note.text), ..note }),
            section => section,
        }));
    }
    Report { verb: "diff", dump: names.join(", "), sections }
}

fn titled_by(what: &str, by: &[Key], filter: &Filter) -> String {
    let keys: Vec<&str> = by.iter().map(|key| key.name()).collect();
    titled(&format!("{what} by {}", keys.join(", ")), filter)
}

fn stayed_table(diff: &Diff<'_>, by: &[Key], filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Table> {
    let (name, what) = if diff.dumps().len() > 2 { ("retained", "Retained objects") } else { ("new", "New objects") };
    let stayed = stayed(diff, by, filter, Some(limit), control)?;
    Ok(stayed.table(name, titled_by(what, by, filter), Shows::BytesAndCount))
}

fn dump_table(diff: &Diff<'_>) -> Table {
    Table {
        name: "dumps",
        title: "Dumps".into(),
        columns: vec![
            column("count", "Objects"),
            column("memsize", "Memory"),
            column("traced_count", "Traced"),
            Column { name: "dump", title: "Dump", shrinks: true },
        ],
        rows: diff
            .dumps()
            .iter()
            .map(|dump| {
                let totals = dump.heap.totals();
                vec![
                    Cell::Count(totals.objects.count),
                    Cell::Bytes(totals.objects.memsize),
                    Cell::Count(totals.traced.count),
                    Cell::Text(dump.name.to_owned()),
                ]
            })
            .collect(),
        rest: None,
        total: None,
        bar: None,
    }
}

fn facts(diff: &Diff<'_>) -> Facts {
    let filter = without_tracer(&Filter::default());
    let sum = |is_counted: &dyn Fn(NodeId) -> bool| {
        let mut grouping = Grouping::new(diff.heap(), &[], &filter);
        diff.sum(diff.heap().nodes().filter(|id| is_counted(*id) && grouping.group(*id).is_some()))
    };
    let new = sum(&|id| diff.is_new(id));
    let mut facts = vec![
        fact("new_count", "New objects", Cell::Count(new.count), "since the first dump".into()),
        fact("new_memsize", "New memory", Cell::Bytes(new.memsize), String::new()),
        fact("gone_count", "Gone objects", Cell::Count(diff.gone.count), "since the first dump".into()),
        fact("gone_memsize", "Gone memory", Cell::Bytes(diff.gone.memsize), String::new()),
    ];
    if diff.dumps().len() > 2 {
        let retained = sum(&|id| diff.is_retained(id));
        let remark = "new since the first dump, and in all others since".to_owned();
        facts.push(fact("retained_count", "Retained objects", Cell::Count(retained.count), remark));
        facts.push(fact("retained_memsize", "Retained memory", Cell::Bytes(retained.memsize), String::new()));
    }
    if let Some(work) = diff.work() {
        let told = |unit: &Unit| format!("{} {}", human::count(unit.sum()), unit.name);
        let all = work.units.iter().map(|unit| Cell::Text(told(unit))).collect();
        let idle = (0..diff.step_count()).filter(|step| work.is_idle(*step)).map(|step| {
            let [one, other] = [step, step + 1].map(|dump| diff.dumps()[dump].name);
            format!("none between {one} and {other}, which tells nothing of growth")
        });
        facts.push(fact("work", "Work", Cell::List(all), idle.collect::<Vec<_>>().join("; ")));
    }
    let tracer = || diff.dumps().iter().map(|dump| dump.heap.totals().tracer.memsize);
    if tracer().any(|memsize| memsize > 0) {
        let sizes = Cell::List(tracer().map(Cell::Bytes).collect());
        facts.push(fact(
            "tracer_memsizes",
            "Allocation tracer",
            sizes,
            "in each dump: the cost of tracing, left out here".into(),
        ));
    }
    Facts { name: "changes", title: String::new(), facts }
}

fn growth_table(all: &[Growth], by: &[Key], filter: &Filter, limit: usize) -> Table {
    let columns = by.iter().map(|key| Column { name: key.name(), title: key.title(), shrinks: true }).collect();
    let cells = |growth: &Growth| by.iter().zip(&growth.key).map(|(key, value)| key_cell(*key, value)).collect();
    table(all, columns, cells, titled_by("Growth", by, filter), limit)
}

fn path_table(all: &[Growth], filter: &Filter, limit: usize) -> Table {
    let columns = vec![Column { name: "path", title: "Path", shrinks: true }];
    let words = |growth: &Growth| growth.key.first().and_then(KeyValue::words).unwrap_or_default().to_owned();
    table(all, columns, |growth| vec![Cell::Text(words(growth))], titled("Growth by path", filter), limit)
}

/// Growth in rows; the last columns tell of what.
fn table(
    all: &[Growth],
    told: Vec<Column>,
    cells_of: impl Fn(&Growth) -> Vec<Cell>,
    title: String,
    limit: usize,
) -> Table {
    let is_retained = all.first().is_some_and(|growth| growth.retained_memsizes.is_some());
    let mut columns =
        vec![column("memsize_delta", "Growth"), column("count_delta", "Objects"), column("trend", "Trend")];
    columns.push(column("memsizes", "Memory in each dump"));
    if is_retained {
        columns.insert(0, column("retained_memsize_delta", "Retained"));
        columns.push(column("retained_memsizes", "Retained in each dump"));
    }
    let unit = all.iter().find_map(|growth| growth.rate.as_ref()).map(|rate| rate.unit.as_str());
    if let Some(unit) = unit {
        let [count, memsize] = match unit {
            "requests" => ["Objects per request", "Memory per request"],
            "jobs" => ["Objects per job", "Memory per job"],
            _ => ["Objects per unit", "Memory per unit"],
        };
        columns.extend([column("count_per_unit", count), column("memsize_per_unit", memsize)]);
    }
    let list = |memsizes: &mut dyn Iterator<Item = u64>| Cell::List(memsizes.map(Cell::Bytes).collect());
    let row = |growth: &Growth| -> Vec<Cell> {
        let mut cells = vec![
            Cell::BytesChange(growth.memsize_delta()),
            Cell::Change(growth.count_delta()),
            Cell::Text(growth.trend.name().to_owned()),
            list(&mut growth.sums.iter().map(|sum| sum.memsize)),
        ];
        if let (Some(delta), Some(memsizes)) = (growth.retained_memsize_delta(), &growth.retained_memsizes) {
            cells.insert(0, Cell::BytesChange(delta));
            cells.push(list(&mut memsizes.iter().copied()));
        }
        if unit.is_some() {
            let each = |of: fn(&Rate) -> Cell| growth.rate.as_ref().map_or(Cell::Missing, of);
            cells.extend([each(Rate::count_cell), each(Rate::memsize_cell)]);
        }
        cells.extend(cells_of(growth));
        cells
    };
    columns.extend(told);
    let rest = all.len().saturating_sub(limit);
    let mut rest_cells = vec![Cell::Missing; columns.len()];
    let cut = &all[all.len().min(limit)..];
    rest_cells[usize::from(is_retained)] = Cell::BytesChange(cut.iter().map(Growth::memsize_delta).sum());
    Table {
        name: "growth",
        title,
        columns,
        rows: all.iter().take(limit).map(row).collect(),
        rest: (rest > 0).then_some(Rest { rows: rest as u64, cells: rest_cells }),
        total: None,
        bar: None,
    }
}

fn holder_table(diff: &Diff<'_>, all: &Holders, filter: &Filter) -> Table {
    let is_retained = all.holders.first().is_some_and(|growth| growth.retained_memsizes.is_some());
    let mut columns = vec![
        column("memsize_delta", "New"),
        column("count_delta", "Objects"),
        column("trend", "Trend"),
        column("memsizes", "New in each dump"),
    ];
    if is_retained {
        // The trend is of it.
        columns.insert(0, column("retained_memsize_delta", "Retained"));
        columns.push(column("retained_memsizes", "Retained in each dump"));
    }
    columns.extend([
        Column { name: "holder", title: "Holder", shrinks: true },
        Column { name: "accumulates_in", title: "Accumulates in", shrinks: true },
        column("address", "Address"),
    ]);
    let change = |bytes: u64| Cell::BytesChange(i64::try_from(bytes).unwrap_or(i64::MAX));
    let row = |growth: &HolderGrowth| -> Vec<Cell> {
        let mut cells = vec![
            change(growth.memsize_delta()),
            Cell::Change(i64::try_from(growth.count).unwrap_or(i64::MAX)),
            Cell::Text(growth.trend.name().to_owned()),
            Cell::List(growth.memsizes.iter().map(|bytes| Cell::Bytes(*bytes)).collect()),
        ];
        let retained = |memsizes: &Vec<Option<u64>>| {
            Cell::List(memsizes.iter().map(|bytes| bytes.map_or(Cell::Missing, Cell::Bytes)).collect())
        };
        if let Some(memsizes) = &growth.retained_memsizes {
            cells.insert(0, growth.retained_memsize_delta().map_or(Cell::Missing, Cell::BytesChange));
            cells.push(retained(memsizes));
        }
        cells.extend([
            Cell::Text(growth.holder.clone()),
            Cell::Text(growth.label.clone()),
            growth.id.map_or(Cell::Missing, |id| address_cell(diff.heap().address(id))),
        ]);
        cells
    };
    let mut rest = vec![Cell::Missing; columns.len()];
    rest[usize::from(is_retained)] = change(all.rest.memsize);
    rest[usize::from(is_retained) + 1] = Cell::Change(i64::try_from(all.rest.count).unwrap_or(i64::MAX));
    Table {
        name: "growth",
        title: titled("Growth by holder", filter),
        columns,
        rows: all.holders.iter().map(row).collect(),
        rest: (all.rest_holders > 0).then_some(Rest { rows: all.rest_holders, cells: rest }),
        total: None,
        bar: None,
    }
}
