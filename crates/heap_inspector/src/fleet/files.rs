//! The files of a fleet: found below folders or by patterns, and each looked at before an engine is, since one broken file would fail
//! the query over all of them.
//!
//! A file is read whole by the decoder that also writes them. Costs a few milliseconds a file, on all cores.

use super::sql::Period;
use crate::control::Control;
use crate::export::parquet::schema::{DUMP, Kind, TABLES, Table};
use crate::{Error, Result, patterns, sort, threads};
use parquet::basic::Type as Physical;
use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files that are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The summaries, those with the same columns together, in order.
    pub groups: Vec<Vec<PathBuf>>,
    /// Places that an engine reads by itself, unlooked at: `s3://…`, `https://…`. Patterns, until [`Files::list`] names files.
    pub remote: Vec<String>,
    /// Files of such places that have a name.
    pub listed: Vec<PathBuf>,
    /// What is left out, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

/// A summary is written with at most 200 KB; one of others may have more, but not without an end.
const MOST_BYTES: u64 = 8 << 20;
/// And so much unpacked.
const MOST_UNPACKED: i64 = 64 << 20;
/// So many rows of a column are held at a time.
const ROWS: usize = 1 << 10;
/// Folders within folders.
const DEPTH: usize = 32;

impl Files {
    /// Finds the files at places: files, folders with what is below them, patterns, addresses. `service` and `period` leave out what lies
    /// in the folder of another service, or of another time.
    ///
    /// # Errors
    /// [`Error::File`] for a place where nothing is, [`Error::Usage`] for a pattern that is none, [`Error::Interrupted`].
    pub fn at(places: &[PathBuf], service: Option<&str>, period: &Period, control: &Control<'_>) -> Result<Files> {
        let mut found = Vec::new();
        let mut files = Files::default();
        for place in places {
            control.check()?;
            match place.to_str().filter(|place| is_remote(place)) {
                Some(place) => files.remote.push(pattern(place)),
                None => local(place, &mut found, control)?,
            }
        }
        sort::by(&mut found, Ord::cmp);
        found.dedup();
        found.retain(|path| service.is_none_or(|service| is_of(path, service)) && is_within(path, period));
        let checked = checked(&found, control)?;
        let mut by_shape: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for (path, shape) in found.into_iter().zip(checked) {
            match shape {
                Ok(shape) => by_shape.entry(shape).or_default().push(path),
                Err(fault) => files.left_out.push((path, fault)),
            }
        }
        files.groups = by_shape.into_values().collect();
        sort::by(&mut files.groups, |a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Ok(files)
    }

    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.remote.is_empty() && self.listed.is_empty()
    }

    /// Of each file that is left out, that it is and why.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.left_out.iter().map(|(path, why)| format!("{} is left out: {why}", path.display()))
    }

    /// The remote places in which an engine can look for files; of others a name is all.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.remote.iter().map(String::as_str).filter(|place| place.contains('*') && !is_web(place))
    }

    /// Puts the files that an engine found by [`Files::patterns`] in the place of these, but those that are of another service, another
    /// time or another table by their names.
    pub fn list(&mut self, mut found: Vec<String>, service: Option<&str>, period: &Period) {
        sort::by(&mut found, Ord::cmp);
        found.dedup();
        found.retain(|name| {
            let path = Path::new(name);
            service.is_none_or(|service| is_of(path, service)) && is_within(path, period) && !is_other_table(path)
        });
        self.remote.retain(|place| !place.contains('*') || is_web(place));
        self.listed.extend(found.into_iter().map(PathBuf::from));
    }

    /// The files by themselves, in the order in which [`super::sql::readable`] numbers them.
    pub(super) fn each(&self) -> impl Iterator<Item = &PathBuf> {
        self.groups.iter().flatten().chain(&self.listed)
    }

    /// Leaves out files that an engine cannot read, though we can or have not looked: all but those of these numbers. Says how many.
    pub fn leave_out(&mut self, readable: &HashSet<usize>) -> usize {
        let before = self.left_out.len();
        let mut numbers = 0..;
        for group in self.groups.iter_mut().chain([&mut self.listed]) {
            let is_readable = |_: &PathBuf| numbers.next().is_some_and(|number| readable.contains(&number));
            let (kept, unreadable): (Vec<PathBuf>, _) = std::mem::take(group).into_iter().partition(is_readable);
            self.left_out.extend(unreadable.into_iter().map(|path| (path, "the engine cannot read it".to_owned())));
            *group = kept;
        }
        self.groups.retain(|group| !group.is_empty());
        sort::by(&mut self.left_out, Ord::cmp);
        self.left_out.len() - before
    }
}

/// Whether it is an address of the web, where nothing is listed.
fn is_web(place: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| place.starts_with(scheme))
}

fn is_remote(place: &str) -> bool {
    place.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// All below a remote folder.
fn pattern(place: &str) -> String {
    match place {
        place if place.contains('*') || place.ends_with(".parquet") => place.to_owned(),
        place => format!("{}/**/*.parquet", place.trim_end_matches('/')),
    }
}

/// Whether a path may be of a service: no folder says that it is of another.
fn is_of(path: &Path, service: &str) -> bool {
    let wanted = crate::export::parquet::folder_of("service", Some(service));
    path.iter().filter_map(|part| part.to_str()).all(|part| !part.starts_with("service=") || part == wanted)
}

/// Whether a path may be of a period: no folder says that it is of another time.
fn is_within(path: &Path, period: &Period) -> bool {
    path.iter().filter_map(|part| part.to_str()?.strip_prefix("taken=")).all(|taken| period.has(taken))
}

fn local(place: &Path, found: &mut Vec<PathBuf>, control: &Control<'_>) -> Result<()> {
    let failed = |source| Error::File { path: place.to_owned(), source };
    match fs::metadata(place) {
        Ok(data) if data.is_dir() => below(place, 0, &mut |path| found.push(path), control),
        Ok(_) => {
            found.push(place.to_owned());
            Ok(())
        }
        Err(error) => match place.to_str().filter(|words| words.contains(['*', '?', '[', '{'])) {
            Some(words) => by_pattern(words, found, control),
            None => Err(failed(error)),
        },
    }
}

fn by_pattern(words: &str, found: &mut Vec<PathBuf>, control: &Control<'_>) -> Result<()> {
    let options = patterns::Options { stops_at_slashes: true, ..Default::default() };
    let glob = patterns::compile([words], options).map_err(Error::usage)?;
    let plain: PathBuf = Path::new(words)
        .iter()
        .take_while(|part| part.to_str().is_some_and(|part| !part.contains(['*', '?', '[', '{'])))
        .collect();
    let root = if plain.as_os_str().is_empty() { Path::new(".") } else { &plain };
    let before = found.len();
    below(
        root,
        0,
        &mut |path| {
            let named = path.strip_prefix("./").map_or(path.as_path(), |path| path).to_owned();
            if glob.is_match(&named.to_string_lossy()) {
                found.push(named);
            }
        },
        control,
    )?;
    if found.len() == before {
        return Err(Error::usage(format!("no file is at {words}")));
    }
    Ok(())
}

/// Hands over the files below a folder that may be summaries. Links to folders are not followed.
fn below(folder: &Path, depth: usize, found: &mut dyn FnMut(PathBuf), control: &Control<'_>) -> Result<()> {
    control.check()?;
    let failed = |source| Error::File { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, sort) = (entry.path(), entry.file_type().map_err(failed)?);
        if sort.is_dir() && depth < DEPTH {
            below(&path, depth + 1, found, control)?;
        } else if !sort.is_dir() && path.extension().is_some_and(|ending| ending == "parquet") && !is_other_table(&path)
        {
            found(path);
        }
    }
    Ok(())
}

/// Whether it has the name of a table that is beside a dump's row, not the row: it is no file that is missed.
fn is_other_table(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    TABLES.iter().any(|table| table.name != DUMP.name && Some(table.name) == stem)
}

/// What tells the columns of each file, or what is wrong with it.
fn checked(paths: &[PathBuf], control: &Control<'_>) -> Result<Vec<Checked>> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![Ok(0); paths.len()]));
    let work = || -> Result<()> {
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < paths.len()) {
            control.check()?;
            let shape = shape(&paths[at]);
            found.lock().unwrap_or_else(PoisonError::into_inner)[at] = shape;
        }
        Ok(())
    };
    threads::all(vec![&work; control.thread_count().min(paths.len())]).into_iter().collect::<Result<()>>()?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A hash of a file's columns, or why it is no summary that can be asked.
type Checked = std::result::Result<u64, String>;

fn shape(path: &Path) -> Checked {
    let data = fs::metadata(path).map_err(|error| told(&error))?;
    if !data.is_file() {
        return Err("it is not a file".to_owned());
    }
    if path.to_str().is_none_or(|path| path.contains('\0')) {
        return Err("its name is not valid UTF-8".to_owned());
    }
    if data.len() > MOST_BYTES {
        return Err(format!("it has {}, more than a summary has", crate::human::bytes(data.len())));
    }
    let bytes = fs::read(path).map_err(|error| told(&error))?;
    // The decoder is made for what writers write; of what others made it may say so by a panic.
    let read = catch_unwind(AssertUnwindSafe(|| rows(bytes)));
    read.unwrap_or_else(|_| Err("it is damaged".to_owned()))
}

fn told(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Reads all of a file.
fn rows(bytes: Vec<u8>) -> Checked {
    let damaged = |error: parquet::errors::ParquetError| {
        let words = error.to_string();
        format!("it is not a whole Parquet file ({})", words.lines().next().unwrap_or_default())
    };
    let size = bytes.len() as i64;
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(damaged)?;
    let data = file.metadata();
    let schema = data.file_metadata().schema_descr();
    conforms(schema)?;
    let mut shape = DefaultHasher::new();
    for column in schema.columns() {
        (column.path().parts(), format!("{:?}", column.self_type())).hash(&mut shape);
    }
    for group in data.row_groups() {
        for column in group.columns() {
            let begin = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let (length, unpacked) = (column.compressed_size(), column.uncompressed_size());
            let is_inside = begin >= 0 && length >= 0 && begin.checked_add(length).is_some_and(|end| end <= size);
            if !is_inside || !(0..=MOST_UNPACKED).contains(&unpacked) {
                return Err("it is damaged: a column lies outside of it".to_owned());
            }
        }
        if group.total_byte_size() > MOST_UNPACKED || group.total_byte_size() < 0 {
            return Err("it unpacks to more than a summary has".to_owned());
        }
    }
    let mut count = 0;
    for number in 0..file.num_row_groups() {
        let group = file.get_row_group(number).map_err(damaged)?;
        for (at, column) in schema.columns().iter().enumerate() {
            let pages = || group.get_column_page_reader(at);
            let rows = match column.physical_type() {
                Physical::BOOLEAN => rows_of::<BoolType>(column, pages),
                Physical::INT64 => rows_of::<Int64Type>(column, pages),
                Physical::DOUBLE => rows_of::<DoubleType>(column, pages),
                Physical::BYTE_ARRAY => rows_of::<ByteArrayType>(column, pages),
                // A later version's, which nobody asks for.
                _ => continue,
            };
            if i64::try_from(rows.map_err(damaged)?) != Ok(group.metadata().num_rows()) {
                return Err("it is damaged: its columns have not as many rows as it says".to_owned());
            }
        }
        count += group.metadata().num_rows();
    }
    if count == 0 { Err("it has no row".to_owned()) } else { Ok(shape.finish()) }
}

/// Reads all values of a column and says of how many rows they are. The reader of each type is named, since the crate's own choice among
/// them brings those of all types, and its rows make a value of everything.
fn rows_of<T: DataType>(
    column: &ColumnDescPtr,
    pages: impl FnOnce() -> parquet::errors::Result<Box<dyn PageReader>>,
) -> parquet::errors::Result<usize> {
    let mut reader = ColumnReaderImpl::<T>::new(column.clone(), pages()?);
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = 0;
    loop {
        values.clear();
        definitions.clear();
        repetitions.clear();
        let (read, ..) = reader.read_records(ROWS, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if read == 0 {
            return Ok(rows);
        }
        rows += read;
    }
}

/// Whether the columns that queries ask for are there, of the types meant. Others may be there as well, as of a later version.
fn conforms(schema: &SchemaDescriptor) -> std::result::Result<(), String> {
    let physical = |path: &str| {
        schema.columns().iter().find(|column| column.path().string() == path).map(|column| column.physical_type())
    };
    let check = |path: String, kind: Kind| match physical(&path) {
        None => Err(format!("it is not a summary of a dump: it has no column {path}")),
        Some(found) if found != expected(kind) => {
            Err(format!("it is not a summary of a dump: its column {path} is of another type"))
        }
        Some(_) => Ok(()),
    };
    DUMP.fields.iter().try_for_each(|field| check(field.name.to_owned(), field.kind))?;
    let of_list = |list: &&Table| {
        let list = *list;
        list.fields.iter().try_for_each(|field| check(format!("{}.list.element.{}", list.name, field.name), field.kind))
    };
    DUMP.lists.iter().try_for_each(of_list)
}

fn expected(kind: Kind) -> Physical {
    match kind {
        Kind::Number | Kind::Time => Physical::INT64,
        Kind::Real => Physical::DOUBLE,
        Kind::Flag => Physical::BOOLEAN,
        Kind::Text => Physical::BYTE_ARRAY,
    }
}
