//! The answer of `diff` as a report.

use super::growth::{Growth, HolderGrowth, Holders, growth, stayed, without_tracer};
use super::{Compared, Diff};
use crate::Result;
use crate::analysis::grouping::Grouping;
use crate::analysis::groups::{Groups, Shows};
use crate::analysis::work::{Rate, Unit, Work};
use crate::analysis::{Context, address_cell, column, fact, key_cell, titled};
use crate::control::Control;
use crate::heap::NodeId;
use crate::human;
use crate::keys::{Key, KeyValue};
use crate::report::{Cell, Column, Facts, Report, Rest, Section, Table};
use crate::select::Filter;
use crate::sums::Sum;

/// What growth is told by.
#[derive(Clone, Debug)]
pub enum By {
    /// The values of keys.
    Keys(Vec<Key>),
    /// What holds that which came, as `holders::growth` found it.
    Holder(Holders),
    /// Normalised paths, as `path_growth::ByPath::growth` found it.
    Path(Vec<Growth>),
}

/// The answer of `diff`, complete without the dumps.
#[derive(Clone, Debug)]
pub struct Answer {
    compared: Compared,
    /// What came and went; none of several processes, where all objects are new, and all are gone.
    changes: Option<Changes>,
    grown: Grown,
}

/// What came and went.
#[derive(Clone, Debug)]
struct Changes {
    new: Sum,
    gone: Sum,
    /// Of three dumps or more.
    retained: Option<Sum>,
    work: Option<Work>,
}

/// What grew.
#[derive(Clone, Debug)]
enum Grown {
    /// By keys, and what of it came and stayed.
    Keys {
        by: Vec<Key>,
        stayed: Option<Groups>,
        growth: Vec<Growth>,
    },
    Holder(Holders),
    Path(Vec<Growth>),
}

/// What changed, and what grew; where all dumps have their trees also what the groups retain.
///
/// # Errors
/// Those of [`growth`].
pub fn answer(diff: &Diff<'_>, by: By, filter: &Filter, limit: usize, control: &Control<'_>) -> Result<Answer> {
    let compared = Compared::of(diff);
    let is_one = compared.is_one_process;
    let changes = is_one.then(|| changes(diff));
    let grown = match by {
        By::Keys(by) => {
            let stayed = if is_one { Some(stayed(diff, &by, filter, Some(limit), control)?) } else { None };
            let growth = growth(diff, &by, filter, true, control)?;
            Grown::Keys { by, stayed, growth }
        }
        By::Path(all) => Grown::Path(all),
        By::Holder(all) => Grown::Holder(all),
    };
    Ok(Answer { compared, changes, grown })
}

impl Answer {
    /// The answer as a report.
    #[must_use]
    pub fn report(&self, filter: &Filter, limit: usize) -> Report {
        let compared = &self.compared;
        let mut sections = vec![Section::Table(dump_table(compared))];
        sections.extend(self.changes.as_ref().map(|changes| Section::Facts(facts(changes, compared))));
        match &self.grown {
            Grown::Keys { by, stayed, growth } => {
                sections.extend(stayed.as_ref().map(|stayed| Section::Table(stayed_table(compared, stayed, filter))));
                sections.push(Section::Table(growth_table(growth, by, filter, limit)));
            }
            Grown::Path(all) => sections.push(Section::Table(path_table(all, filter, limit))),
            Grown::Holder(all) if compared.is_one_process => sections.push(Section::Table(holder_table(all, filter))),
            Grown::Holder(_) => {}
        }
        compared.report(sections)
    }
}

/// The parts of the answer of `diff` alone.
impl Compared {
    /// What came and stayed, in groups, as [`stayed`] found it.
    #[must_use]
    pub fn stayed_report(&self, stayed: &Groups, filter: &Filter) -> Report {
        self.report(vec![Section::Table(stayed_table(self, stayed, filter))])
    }

    /// The growth by keys.
    #[must_use]
    pub fn growth_report(&self, all: &[Growth], by: &[Key], filter: &Filter, limit: usize) -> Report {
        self.report(vec![Section::Table(growth_table(all, by, filter, limit))])
    }

    /// The growth by path.
    #[must_use]
    pub fn path_report(&self, all: &[Growth], filter: &Filter, limit: usize) -> Report {
        self.report(vec![Section::Table(path_table(all, filter, limit))])
    }

    /// The growth by holder.
    #[must_use]
    pub fn holder_report(&self, all: &Holders, filter: &Filter) -> Report {
        self.report(vec![Section::Table(holder_table(all, filter))])
    }
}

fn titled_by(what: &str, by: &[Key], filter: &Filter) -> String {
    let keys: Vec<&str> = by.iter().map(|key| key.name()).collect();
    titled(&format!("{what} by {}", keys.join(", ")), filter)
}

fn stayed_table(compared: &Compared, stayed: &Groups, filter: &Filter) -> Table {
    let is_retained = compared.names.len() > 2;
    let (name, what) = if is_retained { ("retained", "Retained objects") } else { ("new", "New objects") };
    stayed.table(name, titled_by(what, &stayed.by, filter), Shows::BytesAndCount)
}

fn dump_table(compared: &Compared) -> Table {
    Table {
        name: "dumps",
        title: "Dumps".into(),
        columns: vec![
            column("count", "Objects"),
            column("memsize", "Memory"),
            column("traced_count", "Traced"),
            Column { name: "dump", title: "Dump", shrinks: true },
        ],
        rows: compared
            .names
            .iter()
            .zip(&compared.contexts)
            .map(|(name, Context { totals, .. })| {
                vec![
                    Cell::Count(totals.objects.count),
                    Cell::Bytes(totals.objects.memsize),
                    Cell::Count(totals.traced.count),
                    Cell::Text(name.clone()),
                ]
            })
            .collect(),
        rest: None,
        total: None,
        bar: None,
    }
}

fn changes(diff: &Diff<'_>) -> Changes {
    let filter = without_tracer(&Filter::default());
    let sum = |is_counted: &dyn Fn(NodeId) -> bool| {
        let mut grouping = Grouping::new(diff.heap(), &[], &filter);
        diff.sum(diff.heap().nodes().filter(|id| is_counted(*id) && grouping.group(*id).is_some()))
    };
    Changes {
        new: sum(&|id| diff.is_new(id)),
        gone: diff.gone,
        retained: (diff.dumps().len() > 2).then(|| sum(&|id| diff.is_retained(id))),
        work: diff.work(),
    }
}

fn facts(changes: &Changes, compared: &Compared) -> Facts {
    let Changes { new, gone, retained, work } = changes;
    let mut facts = vec![
        fact("new_count", "New objects", Cell::Count(new.count), "since the first dump".into()),
        fact("new_memsize", "New memory", Cell::Bytes(new.memsize), String::new()),
        fact("gone_count", "Gone objects", Cell::Count(gone.count), "since the first dump".into()),
        fact("gone_memsize", "Gone memory", Cell::Bytes(gone.memsize), String::new()),
    ];
    if let Some(retained) = retained {
        let remark = "new since the first dump, and in all others since".to_owned();
        facts.push(fact("retained_count", "Retained objects", Cell::Count(retained.count), remark));
        facts.push(fact("retained_memsize", "Retained memory", Cell::Bytes(retained.memsize), String::new()));
    }
    if let Some(work) = work {
        let told = |unit: &Unit| format!("{} {}", human::count(unit.sum()), unit.name);
        let all = work.units.iter().map(|unit| Cell::Text(told(unit))).collect();
        let idle = compared
            .names
            .windows(2)
            .enumerate()
            .filter(|(step, _)| work.is_idle(*step))
            .map(|(_, pair)| format!("none between {} and {}, which tells nothing of growth", pair[0], pair[1]));
        facts.push(fact("work", "Work", Cell::List(all), idle.collect::<Vec<_>>().join("; ")));
    }
    let tracer = || compared.contexts.iter().map(|context| context.totals.tracer.memsize);
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

fn holder_table(all: &Holders, filter: &Filter) -> Table {
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
            growth.address.map_or(Cell::Missing, address_cell),
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
