//! The inbox as a value and a report: rows of JSON come in, as an engine writes them.

use super::files::Files;
use crate::analysis::{column, note};
use crate::report::{Cell, Column, Level, Report, Rest, Rows, Section, Table};
use crate::{Error, Result};
use serde::Deserialize;

/// A leak of a fleet, or what may be one.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Inbox {
    /// The service.
    pub service: Option<String>,
    /// Its short name, the same in each dump.
    pub fingerprint: String,
    /// By what programs hold the objects.
    pub path: String,
    /// Of which class they are.
    pub class: String,
    /// `rising` where there are more and more objects in processes, `swelling` where the memory of as many grows, else `steady`.
    pub trend: String,
    /// `new`, `known` or `gone`; none where no time was given.
    pub state: Option<String>,
    /// When a dump first had it, in UTC.
    pub first_seen: Option<String>,
    /// And last.
    pub last_seen: Option<String>,
    /// The deploy in which it was first seen.
    pub first_deploy: Option<String>,
    /// Deploys that had it.
    pub deploys: u64,
    /// Hosts that had it.
    pub hosts: u64,
    /// Processes that had it.
    pub workers: u64,
    /// These as a part of all that ran between the first and the last.
    pub share_of_workers: f64,
    /// Bytes that a process holds at its last dump, on average.
    pub bytes_per_worker: f64,
    /// Objects that it holds.
    pub objects_per_worker: f64,
    /// By how many bytes it grows for each request, where these are counted.
    pub bytes_per_request: Option<f64>,
    /// By how many objects.
    pub objects_per_request: Option<f64>,
    /// By how many bytes for each hour of a process.
    pub bytes_per_hour: Option<f64>,
    /// How far the suspects of single dumps are to be believed, where it is among them.
    pub confidence: Option<String>,
    /// Processes in whose dumps it is a suspect.
    pub suspected_in: u64,
    /// Where the objects were allocated.
    pub location: Option<String>,
    /// The leak of a gem that it is.
    pub known_leak: Option<String>,
}

impl Inbox {
    /// The rows of an engine's answer, a JSON array.
    ///
    /// # Errors
    /// [`Error::Format`] for another form.
    pub fn read(json: &str) -> Result<Vec<Inbox>> {
        let json = json.trim();
        if json.is_empty() || json == "[{]" {
            return Ok(Vec::new()); // what DuckDB writes of no row, and wrote
        }
        serde_json::from_str(json).map_err(|error| Error::Format {
            position: None,
            message: format!("the engine's answer is not what was asked for: {error}"),
        })
    }
}

/// The inbox for people, at most so many rows.
#[must_use]
pub fn report(found: &[Inbox], files: &Files, place: &str, limit: usize) -> Report {
    let text = |text: &Option<String>| text.clone().map_or(Cell::Missing, Cell::Text);
    let whole = |number: f64| number.max(0.0).round() as u64;
    let rate = |each: Option<f64>, of_bytes| each.map_or(Cell::Missing, |each| Cell::Rate { each, of_bytes });
    let is_dated = found.iter().any(|one| one.state.is_some());
    let mut columns = vec![
        column("fingerprint", "Leak"),
        column("trend", "Trend"),
        column("workers", "Workers"),
        column("share_of_workers", "of all"),
        column("bytes_per_worker", "Each holds"),
        column("objects_per_worker", "Objects"),
        column("bytes_per_hour", "B/hour"),
        column("bytes_per_request", "B/request"),
        column("deploys", "Deploys"),
        column("hosts", "Hosts"),
        column("first_seen", "First seen"),
        column("last_seen", "Last seen"),
        Column { name: "path", title: "Path", shrinks: true },
        Column { name: "location", title: "Allocated at", shrinks: true },
        column("service", "Service"),
        column("first_deploy", "In deploy"),
        column("known_leak", "Known leak"),
    ];
    if is_dated {
        columns.insert(1, column("state", "State"));
    }
    let mut rows = Rows::default();
    for one in found.iter().take(limit) {
        let mut cells = vec![
            Cell::Text(one.fingerprint.clone()),
            Cell::Text(one.trend.clone()),
            Cell::Count(one.workers),
            Cell::Share(one.share_of_workers),
            Cell::Bytes(whole(one.bytes_per_worker)),
            Cell::Count(whole(one.objects_per_worker)),
            rate(one.bytes_per_hour, true),
            rate(one.bytes_per_request, true),
            Cell::Count(one.deploys),
            Cell::Count(one.hosts),
            text(&one.first_seen),
            text(&one.last_seen),
            Cell::Text(one.path.clone()),
            text(&one.location),
            text(&one.service),
            text(&one.first_deploy),
            text(&one.known_leak),
        ];
        if is_dated {
            cells.insert(1, text(&one.state));
        }
        rows.push(cells);
    }
    let more = found.len().saturating_sub(limit) as u64;
    let rest = (more > 0).then(|| Rest { rows: more, cells: columns.iter().map(|_| Cell::Missing).collect() });
    let table =
        Table { name: "inbox", title: "Leaks of the fleet".into(), columns, rows, rest, total: None, bar: None };
    let mut sections = vec![Section::Table(table)];
    sections.extend(files.warnings().map(|text| note(Level::Warning, text)));
    if found.is_empty() {
        let text = "nothing piles up in any process that has two dumps or more, and nothing is suspected in one";
        sections.push(note(Level::Info, text));
    }
    if !files.remote.is_empty() {
        sections.push(note(
            Level::Info,
            "files that do not lie here were not looked at before: a broken one ends the query",
        ));
    }
    sections
        .push(note(Level::Next, "the same query for your own engine: add --sql; what the columns mean: docs/fleet.md"));
    Report { verb: "fleet", dump: place.to_owned(), sections }
}
