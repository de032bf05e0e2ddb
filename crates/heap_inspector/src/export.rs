//! Dumps as files that other tools open: heap snapshots of Chrome's DevTools, profiles of pprof, folded stacks, speedscope, tables for
//! DuckDB and Spark.
//!
//! Loaded dumps go in, a file for each comes out (a folder of tables), written in pieces by whoever is asked to save it. Beside the heap and its dominator tree
//! a heap snapshot takes 8 bytes for each object, 4 more for each dump of several, and some 20 for each distinct text; a profile takes what
//! its rows do.

use crate::analysis::{Context, column, note};
use crate::control::Control;
use crate::error::named;
use crate::report::{Cell, Column, Level, Report, Rows, Section, Table};
use crate::select::Filter;
use crate::snapshot::Named;
use crate::{Error, Result};
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

mod heapsnapshot;
pub mod parquet;
mod profile;
mod speedscope;

/// Writes a new file at the path, whole or not at all.
pub type Save<'a> = &'a dyn Fn(&Path, &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()>;

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// Objects and references, for Chrome's DevTools, VS Code and memlab.
    #[default]
    HeapSnapshot,
    /// A profile of what is alive, for `go tool pprof`.
    Pprof,
    /// The same as folded stacks, by bytes.
    Folded,
    /// The same for speedscope.
    Speedscope,
    /// Tables as Parquet files.
    Parquet,
    /// What a fleet keeps of it, as one Parquet file; the answer of a verb of its own.
    Summary,
}

impl FileFormat {
    /// Every format that is chosen by name.
    pub const NAMED: [(FileFormat, &'static str); 5] = [
        (FileFormat::HeapSnapshot, "heapsnapshot"),
        (FileFormat::Pprof, "pprof"),
        (FileFormat::Folded, "folded"),
        (FileFormat::Speedscope, "speedscope"),
        (FileFormat::Parquet, "parquet"),
    ];

    /// What the names of its files end in, as their readers want it.
    fn extension(self) -> &'static str {
        match self {
            FileFormat::HeapSnapshot => "heapsnapshot",
            FileFormat::Pprof => "pb.gz",
            FileFormat::Folded => "folded",
            FileFormat::Speedscope => "speedscope.json",
            FileFormat::Parquet | FileFormat::Summary => "parquet",
        }
    }
}

impl FromStr for FileFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<FileFormat> {
        named(&FileFormat::NAMED, name, format_args!("unknown format {name:?}"))
    }
}

/// What the frames of a profile are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// All frames that led to the allocation.
    Stack,
    /// The line that allocated.
    Site,
    /// The classes of what dominates the object, from the roots on.
    Dominators,
}

impl Frames {
    /// Each with its name.
    pub const NAMED: [(Frames, &'static str); 3] =
        [(Frames::Stack, "stack"), (Frames::Site, "site"), (Frames::Dominators, "dominators")];
}

impl FromStr for Frames {
    type Err = Error;

    fn from_str(name: &str) -> Result<Frames> {
        named(&Frames::NAMED, name, format_args!("unknown frames {name:?}"))
    }
}

/// What is exported, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The files' format.
    pub format: FileFormat,
    /// The frames of a profile; by default the stacks where the dump has any, else the allocating lines.
    pub frames: Option<Frames>,
    /// Whether a heap snapshot tells where objects were allocated.
    pub sites: bool,
    /// Whether the texts of strings are left out.
    pub confidential: bool,
    /// Which objects.
    pub filter: Filter,
    /// Objects that retain fewer bytes are summed up.
    pub min: u64,
    /// Which tables, of Parquet; by default all.
    pub tables: Option<parquet::Tables>,
}

impl Options {
    /// Refuses what does not go together.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        let is_snapshot = self.format == FileFormat::HeapSnapshot;
        let is_dominators = self.frames == Some(Frames::Dominators);
        let is_tables = self.format == FileFormat::Parquet;
        let message = match () {
            () if !is_tables && self.tables.is_some() => "--tables is of parquet",
            () if is_tables && !self.filter.is_empty() => "--where does not go with parquet: its readers have WHERE",
            () if (is_snapshot || is_tables) && self.frames.is_some() => {
                "--by is of profiles: of pprof, folded and speedscope"
            }
            () if !is_snapshot && self.sites => {
                "--sites is of heap snapshots; profiles tell where objects were allocated by --by"
            }
            () if !is_snapshot && !is_dominators && self.min > 0 => {
                "--min is of heap snapshots, and of --by dominators"
            }
            () if is_dominators && !self.filter.is_empty() => {
                "--where does not go with --by dominators, which is of all objects"
            }
            () => return Ok(()),
        };
        Err(Error::usage(message))
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The dump.
    pub dump: String,
    /// The file.
    pub path: PathBuf,
    /// Objects in it, or of which it tells.
    pub objects: u64,
    /// References in it, or the rows of a profile.
    pub links: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// What to keep in mind.
    pub notes: Vec<String>,
}

/// What of a dump is in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    objects: u64,
    links: u64,
    notes: Vec<String>,
}

/// Writes a file for each dump, the oldest first, whose names may be paths: at `path`, or below it where that is a folder, which several dumps need. It is made
/// where it is missing, for its owner alone. Objects that are in several of the dumps have one number in all heap snapshots.
///
/// # Errors
/// [`Error::Usage`] for options that do not go together, and for a dump too large for the format; those of `save` and of reading the dumps.
pub fn export(
    dumps: &[Named<'_>],
    options: &Options,
    path: &Path,
    save: Save<'_>,
    control: &Control<'_>,
) -> Result<Vec<Written>> {
    options.check()?;
    if options.format == FileFormat::Parquet {
        return tables(dumps, options, path, save, control);
    }
    let paths = paths(dumps, options.format, path)?;
    let mut identities = heapsnapshot::Identities::default();
    let mut written = Vec::new();
    for (dump, path) in dumps.iter().zip(paths) {
        control.check()?;
        let confidential = options.confidential || dump.snapshot.heap().totals().is_redacted();
        let options = Options { confidential, ..options.clone() };
        let (mut contents, mut bytes) = (Contents::default(), 0);
        let mut put = |out: &mut dyn Write| -> Result<()> {
            let mut out = Counting { out, bytes: 0 };
            contents = match options.format {
                FileFormat::HeapSnapshot => {
                    heapsnapshot::write(dump, &options, &mut identities, &path, &mut out, control)?
                }
                FileFormat::Summary => parquet::summarize(dump, &path, &mut out, control)?,
                _ => profile::write(dump, &options, &path, &mut out, control)?,
            };
            bytes = out.bytes;
            Ok(())
        };
        save(&path, &mut put)?;
        let Contents { objects, links, notes } = contents;
        written.push(Written { dump: dump.name.to_owned(), path, objects, links, bytes, notes });
    }
    Ok(written)
}

/// Writes the tables of each dump below the folder.
fn tables(
    dumps: &[Named<'_>],
    options: &Options,
    path: &Path,
    save: Save<'_>,
    control: &Control<'_>,
) -> Result<Vec<Written>> {
    let chosen = options.tables.clone().unwrap_or_default();
    let mut written = Vec::new();
    for (dump, folder) in dumps.iter().zip(parquet::folders(dumps, path)) {
        let confidential = options.confidential || dump.snapshot.heap().totals().is_redacted();
        written.extend(parquet::write(dump, &chosen, confidential, folder, save, control)?);
    }
    Ok(written)
}

/// What was written, for people.
#[must_use]
pub fn report(written: &[Written], format: FileFormat, dump: &str, contexts: &[Context]) -> Report {
    let mut rows = Rows::default();
    for file in written {
        rows.push(vec![
            Cell::Text(file.path.to_string_lossy().into_owned()),
            Cell::Text(file.dump.clone()),
            Cell::Count(file.objects),
            Cell::Count(file.links),
            Cell::Bytes(file.bytes),
        ]);
    }
    let links = match format {
        FileFormat::HeapSnapshot | FileFormat::Summary => column("references", "References"),
        _ => column("rows", "Rows"),
    };
    let columns = vec![
        Column { name: "file", title: "File", shrinks: true },
        Column { name: "dump", title: "Dump", shrinks: true },
        column("objects", "Objects"),
        links,
        column("bytes", "Size"),
    ];
    let table = Table { name: "files", title: "Files".into(), columns, rows, rest: None, total: None, bar: None };
    let mut sections = vec![Section::Table(table)];
    let of = |file: &Written, text: &str| match written.len() {
        0 | 1 => text.to_owned(),
        _ => format!("{}: {text}", file.dump),
    };
    // Tables of a dump are files of one folder.
    let is_one = |a: &Written, b: &Written| format == FileFormat::Parquet && a.path.parent() == b.path.parent();
    for (files, context) in written.chunk_by(is_one).zip(contexts) {
        let notes = files.iter().flat_map(|file| file.notes.iter().map(|text| of(file, text)));
        sections.extend(notes.map(|text| note(Level::Info, text)));
        sections.extend(context.notes());
    }
    Report { verb: "export", dump: dump.to_owned(), sections }
}

/// Where each dump's file goes.
fn paths(dumps: &[Named<'_>], format: FileFormat, path: &Path) -> Result<Vec<PathBuf>> {
    if dumps.len() == 1 && !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(|source| Error::File { path: path.to_owned(), source })?,
    }
    let stems: Vec<String> = dumps.iter().map(|dump| stem(dump.name)).collect();
    let named = stems.iter().enumerate().map(|(at, stem)| {
        let is_single = stems.iter().filter(|other| *other == stem).count() == 1;
        let number = if is_single { String::new() } else { format!("-{}", at + 1) };
        path.join(format!("{stem}{number}.{}", format.extension()))
    });
    Ok(named.collect())
}

/// A dump's name without folders and without what its form has put behind it.
fn stem(name: &str) -> String {
    let mut stem = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for end in [".zst", ".zstd", ".gz", ".lz4", ".json", ".jsonl", ".ndjson", ".dump"] {
        stem = stem.strip_suffix(end).unwrap_or(stem);
    }
    match stem {
        "" | "-" | "." | ".." => "heap".to_owned(),
        stem => stem.chars().map(|letter| if letter.is_control() { '_' } else { letter }).collect(),
    }
}

struct Counting<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An error of the system about a file.
fn failed(path: &Path) -> impl Fn(io::Error) -> Error + Copy + '_ {
    |source| Error::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
