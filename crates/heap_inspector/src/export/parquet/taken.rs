//! Which process a dump is of, and when it was taken, as its first line claims; and the folders that a fleet files it in.

use super::columns::Value;
use crate::heap::Heap;
use chrono::DateTime;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the first line tells; what has another form is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) service: Option<String>,
    pub(super) deploy: Option<String>,
    pub(super) host: Option<String>,
    pub(super) pid: Option<u64>,
    pub(super) worker: Option<u64>,
    /// As in the dump: `2026-01-02T03:04:05.678Z`.
    pub(super) time: Option<String>,
    pub(super) ruby: Option<String>,
    pub(super) start_ticks: Option<u64>,
    pub(super) uptime: Option<f64>,
    pub(super) rss: Option<u64>,
    pub(super) work: BTreeMap<String, u64>,
}

/// In place of what is not known, as Hive names such a folder.
const UNKNOWN: &str = "__HIVE_DEFAULT_PARTITION__";
/// Letters of a text; a longer claim is cut.
const LETTERS: usize = 200;
/// Bytes of a value in a folder's name, as it is written there: file systems take 255 in all.
const FOLDER: usize = 200;
/// Sorts of work.
const SORTS: usize = 64;

impl Taken {
    pub(super) fn of(heap: &Heap) -> Taken {
        let told: serde_json::Map<String, serde_json::Value> = heap.totals().taken().unwrap_or_default();
        let text = |name: &str| {
            let text: String = told.get(name)?.as_str()?.chars().take(LETTERS).collect();
            Some(text).filter(|text| !text.is_empty())
        };
        let number = |name: &str| told.get(name)?.as_u64();
        let work =
            told.get("work").and_then(|work| BTreeMap::<String, u64>::deserialize(work).ok()).unwrap_or_default();
        Taken {
            service: text("service"),
            deploy: text("revision"),
            host: text("host"),
            pid: number("pid"),
            worker: number("worker"),
            time: text("time").filter(|time| micros(time).is_some()),
            ruby: text("ruby"),
            start_ticks: number("start_ticks"),
            uptime: told.get("uptime").and_then(serde_json::Value::as_f64).filter(|uptime| *uptime >= 0.0),
            rss: number("rss"),
            work: work.into_iter().take(SORTS).collect(),
        }
    }

    /// What tells the process from all others.
    pub(super) fn process(&self) -> Option<String> {
        let (host, pid) = (self.host.as_deref()?, self.pid?);
        Some(format!("{host}/{pid}/{}", self.start_ticks.map_or_else(String::new, |ticks| ticks.to_string())))
    }

    pub(super) fn taken(&self) -> Value {
        self.time.as_deref().and_then(micros).map_or(Value::None, Value::Number)
    }

    /// `service=…/deploy=…/host=…/pid=…/taken=…`: what engines read columns from, and leave files out by. A dump that does not tell its time
    /// is told by its name, so that each has a folder of its own.
    pub(super) fn folders(&self, dump: &str) -> PathBuf {
        let pid = self.pid.map(|pid| pid.to_string());
        // No colon: not every file system takes one.
        let time = self.time.as_deref().map(|time| time.chars().filter(|letter| !"-:.".contains(*letter)).collect());
        let parts = [
            ("service", self.service.clone()),
            ("deploy", self.deploy.clone()),
            ("host", self.host.clone()),
            ("pid", pid),
            ("taken", time.or_else(|| Path::new(dump).file_name().map(|name| name.to_string_lossy().into_owned()))),
        ];
        parts.iter().map(|(name, value)| folder_of(name, value.as_deref())).collect()
    }
}

/// The folder of a column's value.
pub(crate) fn folder_of(name: &str, value: Option<&str>) -> String {
    format!("{name}={}", value.map_or(UNKNOWN.to_owned(), folder))
}

/// A value as a part of a folder's name: what is neither letter, digit nor one of `-_.` is written as Hive does, `%2F`.
fn folder(value: &str) -> String {
    let mut name = String::new();
    let mut bytes = [0; 4];
    for letter in value.chars() {
        let written = match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => letter.to_string(),
            _ => letter.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect(),
        };
        // Whole letters: engines refuse a name in which one is cut.
        if name.len() + written.len() > FOLDER {
            break;
        }
        name += &written;
    }
    name
}

/// Microseconds since 1970 of `2026-01-02T03:04:05.678Z`; none of another form, or of no such day.
pub(super) fn micros(time: &str) -> Option<i64> {
    let is_of_that_form = time.ends_with('Z') && time.get(10..11) == Some("T") && time.len() <= LONGEST;
    let time = DateTime::parse_from_rfc3339(time).ok().filter(|_| is_of_that_form)?;
    Some(time.timestamp_micros()).filter(|micros| *micros >= 0)
}

/// With nine digits behind the second.
const LONGEST: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond() {
        assert_eq!(micros("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(micros("2000-02-29T12:30:00Z"), Some(951_827_400_000_000));
        assert_eq!(micros("2026-01-02T03:04:05.678Z"), Some(1_767_323_045_678_000));
        assert_eq!(micros("9999-12-31T23:59:59.999999999Z"), Some(253_402_300_799_999_999));
    }

    #[test]
    fn what_is_no_time_is_none() {
        let odd = [
            "",
            "Z",
            "T",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-01-02T25:04:05Z",
            "2026-01-02T03:04:05",
            "-1-1-1T0:0:0Z",
            "2026-01-02T03:04:05.Z",
            "2026-1-2-3T1:1:1Z",
            "99999999999999999999-01-01T00:00:00Z",
            "2026-01-02T03:04:05.äZ",
        ];
        for time in odd {
            assert_eq!(micros(time), None, "{time}");
        }
    }

    #[test]
    fn folders_have_names_that_can_be_made_and_read() {
        for text in ["é", "日", "a", "😀", " "] {
            let name = folder(&text.repeat(200));
            assert!(name.len() <= FOLDER && name.len() > FOLDER - 12, "{name}");
            let whole = folder(text);
            assert_eq!(name, whole.repeat(name.len() / whole.len()));
        }
    }

    #[test]
    fn folders_stay_below_theirs() {
        let taken =
            Taken { service: Some("../../etc".into()), host: Some("a/b=c d".into()), pid: Some(7), ..Taken::default() };
        let folders = taken.folders("dumps/a:b.json");
        assert_eq!(
            folders.to_str(),
            Some("service=..%2F..%2Fetc/deploy=__HIVE_DEFAULT_PARTITION__/host=a%2Fb%3Dc%20d/pid=7/taken=a%3Ab.json")
        );
    }
}
