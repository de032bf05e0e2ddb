//! What is asked of a fleet, in SQL that DuckDB and Spark understand alike; they differ in how files are named, and in the word that makes
//! rows of a list.

use super::files::Files;
use crate::export::parquet::schema::{DUMP, Table};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Of this service alone.
    pub service: Option<String>,
    /// What was first seen then is new: `2026-01-02`, with a time behind, or a deploy, whose first dump counts.
    pub since: Option<String>,
    /// Of dumps taken then or later, and before.
    pub period: Period,
    /// Rows at most.
    pub limit: Option<usize>,
}

/// When dumps were taken, in UTC: `2026-01-02`, or with a time behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub from: Option<String>,
    /// The first moment that is not of it.
    pub until: Option<String>,
}

impl Period {
    /// Checks that both are times.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for what is none.
    pub fn check(&self) -> Result<()> {
        for (name, time) in [("--from", &self.from), ("--until", &self.until)] {
            if let Some(time) = time.as_deref().filter(|time| !is_time(time)) {
                return Err(Error::usage(format!(
                    "{name}: {time:?} is not a time; expected one like 2026-01-02 or 2026-01-02T03:04:05"
                )));
            }
        }
        Ok(())
    }

    /// Whether what lies in a folder `taken=…` may be of the period; so may what does not tell its time.
    #[must_use]
    pub fn has(&self, folder: &str) -> bool {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let taken = digits(folder);
        // The digits of a time order as times do. A shorter one is the first moment of all that begin with it.
        if taken.len() < DIGITS || !folder.ends_with('Z') {
            return true;
        }
        self.from.as_deref().is_none_or(|from| taken >= digits(from))
            && self.until.as_deref().is_none_or(|until| taken < digits(until))
    }

    fn conditions(&self) -> impl Iterator<Item = String> + '_ {
        let condition = |sign: &str, time: &Option<String>| {
            time.as_deref().map(|time| format!("taken {sign} CAST({} AS TIMESTAMP)", quoted(time)))
        };
        condition(">=", &self.from).into_iter().chain(condition("<", &self.until))
    }
}

/// Of a time to the second.
const DIGITS: usize = 14;

/// A text as SQL writes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    // Neither engine takes a NUL.
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// The view `dumps` over the files, a row a dump, and a view for each list in it with the dump's own columns before.
#[must_use]
pub fn views(files: &Files, question: &Question) -> String {
    let service = question.service.as_deref().map(|service| format!("service = {}", quoted(service)));
    let conditions: Vec<String> = service.into_iter().chain(question.period.conditions()).collect();
    let asked = if conditions.is_empty() { String::new() } else { format!("\nWHERE {}", conditions.join(" AND ")) };
    // Where columns differ the engine looks into all files before and keeps what it saw, which takes twice the memory.
    let (same, others) = files.groups.split_at(files.groups.len().min(SHAPES));
    let mixed: Vec<String> = others.iter().flatten().map(|path| literal(path)).collect();
    let mut parts: Vec<String> =
        same.iter().map(|group| part(&group.iter().map(|path| literal(path)).collect::<Vec<_>>(), "")).collect();
    let listed = files.listed.iter().map(|path| literal(path));
    let remote: Vec<String> = files.remote.iter().map(|place| quoted(place)).chain(listed).collect();
    let by_name = |names: &[String]| part(names, "union_by_name = true, ");
    parts.extend(Some(mixed).filter(|names| !names.is_empty()).map(|names| by_name(&names)));
    // Those were not looked at before: a file of others, which has no such column, gives none of its rows.
    let of_ours = |names: Vec<String>| format!("{} WHERE schema_version IS NOT NULL", by_name(&names));
    parts.extend(Some(remote).filter(|names| !names.is_empty()).map(of_ours));
    let mut text = format!("CREATE OR REPLACE TEMP VIEW all_dumps AS\n{};\n", parts.join("\nUNION ALL BY NAME\n"));
    text += &format!("CREATE OR REPLACE TEMP VIEW dumps AS\nSELECT * FROM all_dumps{asked};\n");
    for list in DUMP.lists {
        text += &view(list, "unnest");
    }
    text
}

/// So many sorts of files are read as such.
const SHAPES: usize = 4;

fn part(names: &[String], how: &str) -> String {
    format!("SELECT * FROM read_parquet([\n  {}\n], {how}hive_partitioning = false)", names.join(",\n  "))
}

/// A file's name, of which no part is a pattern.
#[must_use]
pub fn literal(path: &Path) -> String {
    let plain = |letter: char| match letter {
        '*' | '?' | '[' => format!("[{letter}]"),
        letter => letter.to_string(),
    };
    quoted(&path.to_string_lossy().chars().map(plain).collect::<String>())
}

/// Asks for each file by itself, so that a statement that fails tells which the engine cannot read, or has no summary in it: rows are the
/// numbers of the others.
#[must_use]
pub fn readable(files: &Files) -> String {
    let own = DUMP.fields.iter().map(|field| field.name.to_owned());
    let of_list = |list: &Table| {
        let fields: Vec<String> = list.fields.iter().map(|field| format!("{}[1].{}", list.name, field.name)).collect();
        fields.join(", ")
    };
    let columns: Vec<String> = own.chain(DUMP.lists.iter().map(|list| of_list(list))).collect();
    let columns = columns.join(", ");
    let ask = |(number, path): (usize, &PathBuf)| {
        format!(
            "SELECT {number} AS file, max(hash(t)) AS rest, max(hash({columns})) AS columns \
             FROM read_parquet([{}], hive_partitioning = false) AS t;\n",
            literal(path)
        )
    };
    files.each().enumerate().map(ask).collect()
}

/// Asks which files are at the patterns of remote places.
#[must_use]
pub fn listing<'a>(patterns: impl Iterator<Item = &'a str>) -> String {
    format!("SELECT file FROM glob([{}]);\n", patterns.map(quoted).collect::<Vec<_>>().join(", "))
}

/// What an engine has to know of a store other than Amazon's own: where it is, from an address as the variable `AWS_ENDPOINT_URL` has it.
/// Its buckets are not told by the host's name there.
#[must_use]
pub fn endpoint(url: &str) -> String {
    let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
    format!(
        "SET s3_endpoint = {};\nSET s3_use_ssl = {};\nSET s3_url_style = 'path';\n",
        quoted(host.trim_end_matches('/')),
        scheme != "http"
    )
}

/// The view of a list; `unnest` is what the engine calls it.
#[must_use]
pub fn view(list: &Table, unnest: &str) -> String {
    let own = DUMP_COLUMNS.join(", ");
    let fields: Vec<String> = list.fields.iter().map(|field| format!("one.{}", field.name)).collect();
    format!(
        "CREATE OR REPLACE TEMP VIEW {list} AS\nSELECT {own}, {}\nFROM (SELECT {own}, {unnest}({list}) AS one FROM dumps) AS rows_of;\n",
        fields.join(", "),
        list = list.name,
    )
}

/// What of a dump stands in each row of its lists.
const DUMP_COLUMNS: [&str; 8] = ["service", "deploy", "host", "pid", "process", "taken", "uptime", "requests"];

/// The inbox of leaks: one row for each path by which objects pile up in some process, and for each suspect; what grows the most first.
#[must_use]
pub fn inbox(question: &Question) -> String {
    let since = question.since.as_deref().map_or("CAST(NULL AS TIMESTAMP)".to_owned(), |since| {
        if is_time(since) {
            format!("CAST({} AS TIMESTAMP)", quoted(since))
        } else {
            format!("(SELECT min(taken) FROM dumps WHERE deploy = {})", quoted(since))
        }
    });
    let limit = question.limit.map_or_else(String::new, |limit| format!("\nLIMIT {limit}"));
    format!("{}{limit}", INBOX.replace("{since}", &since))
}

/// Whether it is a day, or a time of one.
#[must_use]
pub fn is_time(since: &str) -> bool {
    let shape: String = since.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    let (day, time) = shape.split_at_checked(10).unwrap_or((&shape, ""));
    let time = time.strip_prefix(['T', ' ']).unwrap_or(time);
    day == "0000-00-00" && ["", "00:00", "00:00:00"].contains(&time)
}

const INBOX: &str = include_str!("inbox.sql");
