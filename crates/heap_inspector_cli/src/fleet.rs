//! `fleet`: summaries of many dumps go in, the inbox of what leaks comes out, worked out by the `duckdb` program.
//!
//! The program and not the crate: bundled, that compiles DuckDB itself, which would take minutes of each installation and tens of megabytes.

use heap_inspector::control::Control;
use heap_inspector::fleet::files::Files;
use heap_inspector::fleet::sql::{self, Period, Question};
use heap_inspector::fleet::{Inbox, report};
use heap_inspector::report::Report;
use heap_inspector::{Error, Result, view};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is asked.
pub(crate) struct Asked<'a> {
    pub(crate) places: &'a [OsString],
    pub(crate) service: Option<&'a str>,
    pub(crate) since: Option<&'a str>,
    pub(crate) period: &'a Period,
    pub(crate) lines: usize,
    pub(crate) engine: &'a Path,
}

/// What the engine keeps in memory, files' own descriptions aside.
const MEMORY: &str = "1GB";
/// Between two looks at the engine and at the cancel flag.
const PAUSE: Duration = Duration::from_millis(20);
/// Letters of the engine's complaint that are passed on.
const COMPLAINT: usize = 600;

impl Asked<'_> {
    fn question(&self) -> Question {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Question { service: own(self.service), since: own(self.since), period: self.period.clone(), limit: None }
    }

    fn files(&self, control: &Control<'_>) -> Result<Files> {
        let places: Vec<PathBuf> = self.places.iter().map(PathBuf::from).collect();
        self.period.check()?;
        let files = Files::at(&places, self.service, self.period, control)?;
        if files.is_empty() { Err(self.nothing(&files)) } else { Ok(files) }
    }

    /// Where there is nothing to ask.
    fn nothing(&self, files: &Files) -> Error {
        let told: Vec<String> =
            files.left_out.iter().take(5).map(|(path, why)| format!("; {}: {why}", path.display())).collect();
        let places: Vec<_> = self.places.iter().map(|place| place.to_string_lossy()).collect();
        let message = format!(
            "no summary of a dump is at {}: `heap_inspector summarize` and HEAP_INSPECTOR_SUMMARY_EVERY write such{}",
            places.join(", "),
            told.concat()
        );
        Error::Usage { message }
    }

    /// The query, for other engines and other questions; also what is left out.
    pub(crate) fn sql(&self, control: &Control<'_>) -> Result<(String, Files)> {
        let files = self.files(control)?;
        Ok((self.script(&files), files))
    }

    fn script(&self, files: &Files) -> String {
        let question = self.question();
        format!("{}\n{};\n", sql::views(files, &question), sql::inbox(&question))
    }

    /// The answer.
    pub(crate) fn inbox(&self, control: &Control<'_>) -> Result<Report> {
        let (mut sql, mut files) = self.sql(control)?;
        // What has no room in memory waits in a folder for this user alone.
        let spill = tempfile::tempdir().map_err(|source| Error::File { path: std::env::temp_dir(), source })?;
        let settings = settings(&files, spill.path());
        if files.patterns().next().is_some() {
            let listing = format!("{settings}{}", sql::listing(files.patterns()));
            let found = listed(&answer(self.engine, Stop::AtOnce, &listing, control)?)?;
            files.list(found, self.service, self.period);
            if files.is_empty() {
                return Err(self.nothing(&files));
            }
            sql = self.script(&files);
        }
        let answer = match answer(self.engine, Stop::AtOnce, &format!("{settings}{sql}"), control) {
            // What we read the engine may still refuse, and what is remote we have not read: it is asked which files, and then for the rest.
            Err(error @ Error::Format { .. }) => {
                let told = answer(self.engine, Stop::Never, &format!("{settings}{}", sql::readable(&files)), control)?;
                let left_out = files.leave_out(&told.lines().filter_map(number).collect());
                if files.is_empty() || left_out == 0 {
                    return Err(error);
                }
                answer(self.engine, Stop::AtOnce, &format!("{settings}{}", self.script(&files)), control)?
            }
            answer => answer?,
        };
        let places: Vec<_> = self.places.iter().map(|place| place.to_string_lossy()).collect();
        Ok(report(&Inbox::read(&answer)?, &files, &places.join(", "), self.lines))
    }
}

/// What the engine does where a statement fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// That is the end.
    AtOnce,
    /// The next one has its turn, and an answer is a line.
    Never,
}

/// The file that a line tells.
fn number(line: &str) -> Option<usize> {
    let row: serde_json::Value = serde_json::from_str(line).ok()?;
    usize::try_from(row.get("file")?.as_u64()?).ok()
}

/// The files that an engine found.
fn listed(answer: &str) -> Result<Vec<String>> {
    let rows = if answer.trim().is_empty() { "[]" } else { answer };
    let rows: Vec<BTreeMap<String, String>> = serde_json::from_str(rows).map_err(|error| Error::Format {
        position: None,
        message: format!("the engine's list of files is of another form: {error}"),
    })?;
    Ok(rows.into_iter().filter_map(|mut row| row.remove("file")).collect())
}

/// Nothing is fetched but what is asked for. The engine takes credentials and the region from `AWS_…` itself.
fn settings(files: &Files, spill: &Path) -> String {
    let (is_remote, spill) = (!files.remote.is_empty(), sql::quoted(&spill.to_string_lossy()));
    let of_store = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .iter()
        .filter(|_| files.remote.iter().any(|place| place.starts_with("s3")))
        .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
        .map_or_else(String::new, |url| sql::endpoint(&url));
    format!(
        "SET memory_limit = '{MEMORY}';\nSET temp_directory = {spill};\nSET preserve_insertion_order = false;\nSET autoinstall_known_extensions = {is_remote};\nSET autoload_known_extensions = {is_remote};\n{of_store}"
    )
}

/// What the engine answers to the script: JSON.
fn answer(engine: &Path, stop: Stop, script: &str, control: &Control<'_>) -> Result<String> {
    let failed = |source| Error::File { path: engine.to_owned(), source };
    // Files and no pipes: nobody has to read and write at once.
    let (mut input, mut output, mut complaint) = (anonymous()?, anonymous()?, anonymous()?);
    input.write_all(script.as_bytes()).and_then(|()| input.seek(SeekFrom::Start(0))).map_err(failed)?;
    let clone = |file: &std::fs::File| file.try_clone().map(Stdio::from).map_err(failed);
    let started = Command::new(engine)
        .args(["-no-init", "-batch"])
        .args(if stop == Stop::AtOnce { &["-bail", "-json"][..] } else { &["-jsonlines"] })
        .stdin(Stdio::from(input))
        .stdout(clone(&output)?)
        .stderr(clone(&complaint)?)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(engine)),
        Err(error) => return Err(failed(error)),
    };
    let status = waited(&mut child, control).inspect_err(|_| {
        // It is over with either way.
        let _ = child.kill().and_then(|()| child.wait());
    })?;
    let read = |file: &mut std::fs::File| -> Result<String> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (answer, words) = (read(&mut output)?, read(&mut complaint)?);
    if status || stop == Stop::Never {
        return Ok(answer);
    }
    let words: String = words.trim().chars().take(COMPLAINT).collect();
    Err(Error::Format {
        position: None,
        message: format!("{} failed: {}", engine.display(), view::escape::terminal(&words)),
    })
}

fn anonymous() -> Result<std::fs::File> {
    tempfile::tempfile().map_err(|source| Error::File { path: std::env::temp_dir(), source })
}

/// Whether it ended well.
fn waited(child: &mut Child, control: &Control<'_>) -> Result<bool> {
    loop {
        if let Some(status) = child.try_wait().map_err(|source| Error::File { path: "duckdb".into(), source })? {
            return Ok(status.success());
        }
        control.check()?;
        std::thread::sleep(PAUSE);
    }
}

fn missing(engine: &Path) -> Error {
    Error::Usage {
        message: format!(
            "there is no program {}, which works this out: install DuckDB (https://duckdb.org/install, `pip install duckdb-cli`, \
             `brew install duckdb`), or name it by --duckdb; --sql shows the query for another engine",
            engine.display()
        ),
    }
}
