//! What a block of Ruby code allocated, and what of it lives on: the report of `HeapInspector.profile`.

use heap_inspector::gems::gem;
use heap_inspector::report::{Cell, Column, Fact, Facts, Report, Rest, Section, Table};
use heap_inspector::sort;
use heap_inspector_tracer::profile::{Profile, ProfileFrame};
use std::collections::HashMap;

/// Objects and bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    allocated: (f64, f64),
    retained: (f64, f64),
}

impl Sums {
    fn add(&mut self, other: Sums) {
        for (sum, more) in [(&mut self.allocated, other.allocated), (&mut self.retained, other.retained)] {
            sum.0 += more.0;
            sum.1 += more.1;
        }
    }

    fn cells(self) -> [Cell; 4] {
        let whole = |number: f64| number.round() as u64;
        [
            Cell::Count(whole(self.retained.0)),
            Cell::Bytes(whole(self.retained.1)),
            Cell::Count(whole(self.allocated.0)),
            Cell::Bytes(whole(self.allocated.1)),
        ]
    }
}

/// A String that lives on.
pub(crate) struct KeptString {
    pub(crate) value: String,
    pub(crate) is_cut: bool,
    pub(crate) memsize: u64,
    pub(crate) location: Option<String>,
}

/// By what the objects are summed up.
const KEYS: [(&str, &str, &str); 6] = [
    ("by_app_location", "By the app's own line", "app_location"),
    ("by_gem", "By gem", "gem"),
    ("by_file", "By file", "file"),
    ("by_location", "By location", "location"),
    ("by_method", "By method", "method"),
    ("by_class", "By class", "class"),
];

/// `file:line` of a frame that has a file.
pub(crate) fn location(file: &str, line: u32) -> Option<String> {
    (!file.is_empty()).then(|| format!("{file}:{line}"))
}

/// The report; each table has at most `limit` rows.
pub(crate) fn report(profile: &Profile, strings: Vec<KeptString>, limit: usize) -> Report {
    let mut total = Sums::default();
    let mut groups: Vec<HashMap<Option<String>, Sums>> = vec![HashMap::new(); KEYS.len()];
    for row in &profile.rows {
        let sums =
            Sums { allocated: (row.alloc_objects, row.alloc_space), retained: (row.inuse_objects, row.inuse_space) };
        total.add(sums);
        let frames: Vec<&ProfileFrame> = profile.stack(row).map(|(_, frame)| frame).collect();
        let site = frames.iter().find(|frame| !frame.file.is_empty());
        let app = frames.iter().find(|frame| !frame.file.is_empty() && gem(&frame.file) == "app");
        let keys = [
            app.and_then(|frame| location(&frame.file, frame.line)),
            site.map(|frame| gem(&frame.file)),
            site.map(|frame| frame.file.clone()),
            site.and_then(|frame| location(&frame.file, frame.line)),
            frames.first().map(|frame| frame.label.clone()),
            (!row.class.is_empty()).then(|| row.class.clone()),
        ];
        for (group, key) in groups.iter_mut().zip(keys) {
            group.entry(key).or_default().add(sums);
        }
    }
    let mut sections = vec![facts(total)];
    for ((name, title, key), group) in KEYS.into_iter().zip(groups) {
        sections.push(table(name, title, key, group, limit, total));
    }
    sections.push(strings_table(strings, limit));
    Report { verb: "profile", dump: "this process".to_owned(), sections }
}

fn facts(total: Sums) -> Section {
    let [retained_objects, retained_memsize, allocated_objects, allocated_memsize] = total.cells();
    let fact = |name, title, cell| Fact { name, title, cell, remark: String::new() };
    Section::Facts(Facts {
        name: "total",
        title: "What the block allocated".to_owned(),
        facts: vec![
            fact("allocated_objects", "Objects allocated", allocated_objects),
            fact("allocated_memsize", "Memory allocated", allocated_memsize),
            fact("retained_objects", "Objects alive afterwards", retained_objects),
            fact("retained_memsize", "Memory alive afterwards", retained_memsize),
        ],
    })
}

fn columns(key: &'static str) -> Vec<Column> {
    let column = |name, title| Column { name, title, shrinks: false };
    vec![
        column("retained_objects", "Alive"),
        column("retained_memsize", "Memory"),
        column("allocated_objects", "Allocated"),
        column("allocated_memsize", "Memory"),
        Column { name: key, title: title_of(key), shrinks: true },
    ]
}

fn title_of(key: &str) -> &'static str {
    match key {
        "app_location" => "App's line",
        "gem" => "Gem",
        "file" => "File",
        "location" => "Location",
        "method" => "Method",
        _ => "Class",
    }
}

fn table(
    name: &'static str,
    title: &str,
    key: &'static str,
    group: HashMap<Option<String>, Sums>,
    limit: usize,
    total: Sums,
) -> Section {
    let mut rows: Vec<(Option<String>, Sums)> = group.into_iter().collect();
    // What stays matters most, then what costs most.
    sort::by(&mut rows, |(a, one), (b, other)| {
        let by_kept = other.retained.1.total_cmp(&one.retained.1);
        by_kept.then_with(|| other.allocated.1.total_cmp(&one.allocated.1)).then_with(|| a.cmp(b))
    });
    let rest = rows.split_off(rows.len().min(limit));
    let mut rest_sums = Sums::default();
    rest.iter().for_each(|(_, sums)| rest_sums.add(*sums));
    let absent = if key == "app_location" { "(no app line)" } else { "(none)" };
    let cells = |sums: Sums, label: Cell| sums.cells().into_iter().chain([label]).collect::<Vec<_>>();
    Section::Table(Table {
        name,
        title: title.to_owned(),
        columns: columns(key),
        rows: rows.into_iter().map(|(key, sums)| cells(sums, key.map_or(Cell::Null(absent), Cell::Text))).collect(),
        rest: (!rest.is_empty()).then(|| Rest { rows: rest.len() as u64, cells: cells(rest_sums, Cell::Missing) }),
        total: Some(cells(total, Cell::Missing)),
        bar: None,
    })
}

/// Strings of one text and place together.
fn strings_table(strings: Vec<KeptString>, limit: usize) -> Section {
    let mut groups: HashMap<(String, bool, Option<String>), (u64, u64)> = HashMap::new();
    let mut total = (0, 0);
    for string in strings {
        let group = groups.entry((string.value, string.is_cut, string.location)).or_default();
        *group = (group.0 + 1, group.1 + string.memsize);
        total = (total.0 + 1, total.1 + string.memsize);
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    sort::by(&mut rows, |(a, one), (b, other)| other.cmp(one).then_with(|| a.cmp(b)));
    let rest = rows.split_off(rows.len().min(limit));
    let rest_sums = rest.iter().fold((0, 0), |sums, (_, more)| (sums.0 + more.0, sums.1 + more.1));
    let cells = |sums: (u64, u64), value, location| vec![Cell::Count(sums.0), Cell::Bytes(sums.1), value, location];
    let column = |name, title| Column { name, title, shrinks: false };
    Section::Table(Table {
        name: "strings",
        title: "Strings alive afterwards".to_owned(),
        columns: vec![
            column("count", "Strings"),
            column("memsize", "Memory"),
            Column { name: "value", title: "Text", shrinks: true },
            Column { name: "location", title: "Allocated at", shrinks: true },
        ],
        rows: rows
            .into_iter()
            .map(|((value, is_cut, location), sums)| {
                let value = if is_cut { Cell::Cut(value) } else { Cell::Text(value) };
                cells(sums, value, location.map_or(Cell::Missing, Cell::Text))
            })
            .collect(),
        rest: (!rest.is_empty())
            .then(|| Rest { rows: rest.len() as u64, cells: cells(rest_sums, Cell::Missing, Cell::Missing) }),
        total: Some(cells(total, Cell::Missing, Cell::Missing)),
        bar: None,
    })
}
