//! What to do next with loaded dumps, in the order of doing it, with the call of a tool or the command line for each step.

use super::{Asked, InOrder, Loaded, several};
use crate::Result;
use crate::analysis::verdicts::Rules;
use crate::analysis::{column, fact, note};
use crate::report::{Cell, Column, Fact, Facts, Level, List, Report, Rows, Section, Table};
use crate::snapshot::Said;

/// What is in the dumps: names, objects, memory, and whether allocations were traced.
pub(super) fn opened((loaded, word): &InOrder) -> Report {
    let columns = vec![
        column("object_count", "Objects"),
        column("memsize", "Memory"),
        column("traced", "Traced"),
        Column { shrinks: true, ..column("dump", "Dump") },
    ];
    let row = |dump: &Loaded| {
        let totals = dump.snapshot.heap().totals();
        vec![
            Cell::Count(totals.objects.count),
            Cell::Bytes(totals.objects.memsize),
            Cell::Count(totals.traced.count),
            Cell::Text(dump.name.clone()),
        ]
    };
    let rows: Rows = loaded.iter().map(row).collect();
    let table = Table { name: "dumps", title: String::new(), columns, rows, rest: None, total: None, bar: None };
    let mut sections: Vec<Section> = word.iter().cloned().chain([Section::Table(table)]).collect();
    for dump in loaded {
        sections.extend(dump.snapshot.context().notes());
    }
    Report { verb: "open", dump: names(loaded), sections }
}

fn names(loaded: &[Loaded]) -> String {
    loaded.iter().map(|dump| &dump.name[..]).collect::<Vec<_>>().join(", ")
}

/// The steps from here, by what the dumps are and what is suspect in them.
pub(super) fn next(dumps: &InOrder, asked: &Asked<'_>) -> Result<Report> {
    let (loaded, _) = dumps;
    let rules = Rules::default();
    let found = several::suspects(Said::plain(1, &rules), dumps.clone(), &asked.options.control)?;
    let first: Option<&Vec<Fact>> = found.sections.iter().find_map(|section| match section {
        Section::List(list) => list.items.first(),
        _ => None,
    });
    let is_traced = loaded.iter().any(|dump| dump.snapshot.heap().totals().traced.count > 0);
    let mut steps: Vec<[String; 2]> = Vec::new();
    let mut step = |what: &str, how: String| steps.push([what.to_owned(), how]);
    if loaded.len() < 3 {
        let how = "heap_inspector watch PID, or heap_inspector dump PID three times while the process works; then open_dumps with all three";
        step("Have three dumps of one process: fewer do not tell a leak from a cache that warms up", how.into());
    }
    if !is_traced {
        let how = "heap_inspector trace PID on, or HEAP_INSPECTOR_TRACE=one in the environment, before the dumps";
        step("Trace allocations: without that no line is known", how.into());
    }
    match first {
        Some(first) => {
            let text = |name: &str| first.iter().find(|fact| fact.name == name).and_then(|fact| words(&fact.cell));
            let (address, class) = (text("address"), text("class"));
            if let Some(address) = &address {
                step("Look at the accumulation point", format!("show with address {address}"));
                step("See what else holds it", format!("path with address {address} and paths 3"));
            }
            if let Some(class) = &class {
                step("See all holders of the objects", format!("path with class {class}"));
            }
            if let Some(location) = text("location").or_else(|| text("app_location")) {
                step(
                    "Read the code that allocates them, and what keeps the result",
                    format!("the file and line {location}"),
                );
            }
            let fingerprint = text("fingerprint").map(|name| format!(" --leak {name}")).unwrap_or_default();
            let how = format!("heap_inspector verify{fingerprint} BEFORE… -- AFTER…, three dumps each");
            step("Cut the reference, then verify with dumps from before and after", how);
        }
        None if loaded.len() > 1 => {
            step("See what came, and who holds it", "diff with by holder".into());
            let how = "heap_inspector memory PID: malloc, libraries and fragmentation are not in a dump";
            step("If the process grows all the same, look beside Ruby's heap", how.into());
        }
        None => step("See what fills the heap", "group with by class,location; retained".into()),
    }
    let item = |[what, how]: [String; 2]| {
        vec![fact("step", "Step", Cell::Text(what), String::new()), fact("how", "How", Cell::Text(how), String::new())]
    };
    let items = steps.into_iter().map(item).collect();
    let mut sections = vec![Section::List(List { name: "steps", title: "Steps".into(), items })];
    if let Some([headline, ..]) = first.map(Vec::as_slice) {
        let facts = vec![fact("suspect", "First suspect", headline.cell.clone(), String::new())];
        sections.insert(0, Section::Facts(Facts { name: "suspect", title: String::new(), facts }));
    } else {
        sections.insert(0, note(Level::Info, "no suspect in these dumps"));
    }
    Ok(Report { verb: "next", dump: names(loaded), sections })
}

/// The words of a cell that names something.
fn words(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Brief { brief, .. } => Some(brief.clone()),
        _ => None,
    }
}
