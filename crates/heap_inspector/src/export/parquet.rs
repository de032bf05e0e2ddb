//! Dumps as tables in Parquet files, for DuckDB, Spark and all that reads these: a folder a dump, a file a table; and a summary of a dump as
//! one file of one row. `schema` says what is in them.
//!
//! The large tables are written as the heap is gone through, in groups of 131,072 rows, so beside the heap memory is for a group in work on
//! each thread, and for a few that are encoded.

use super::{Contents, Save, Written, failed};
use crate::control::Control;
use crate::labels::Voted;
use crate::labels::written::WrittenNames;
use crate::snapshot::Named;
use crate::threads::{self, InOrder};
use crate::{Error, Result};
use columns::Writer;
use objects::{Maker, Part};
use std::borrow::Cow;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use sums::Sums;

mod chunks;
pub mod columns;
mod objects;
pub mod schema;
mod summary;
mod sums;
mod taken;

use schema::{TABLES, Table};
use summary::KEPT;
pub use summary::{MOST_BYTES, Summary};
pub use sums::{path_row, path_values};
pub(crate) use taken::folder_of;

/// Which tables are written.
#[derive(Clone, Debug)]
pub struct Tables(pub Vec<&'static Table>);

impl Default for Tables {
    fn default() -> Tables {
        Tables(TABLES.to_vec())
    }
}

impl FromStr for Tables {
    type Err = Error;

    fn from_str(names: &str) -> Result<Tables> {
        let table = |name: &str| {
            let known = TABLES.iter().find(|table| table.name == name).copied();
            let others = || TABLES.map(|table| table.name).join(", ");
            known.ok_or_else(|| Error::usage(format!("unknown table {name:?}; there are {}", others())))
        };
        let mut tables: Vec<&Table> = Vec::new();
        for name in names.split(',') {
            let table = table(name.trim())?;
            if tables.iter().all(|known| known.name != table.name) {
                tables.push(table);
            }
        }
        Ok(Tables(tables))
    }
}

/// Texts that the table of strings has at most, those that waste the most.
const TEXTS: usize = 100_000;
/// Row groups that wait for their turn to be written, for each thread.
const AHEAD: usize = 2;
/// Tables that are made of sums, what takes longest first.
const SUMS: [&Table; 6] =
    [&schema::STRINGS, &schema::PATHS, &schema::SUSPECTS, &schema::SITES, &schema::GEMS, &schema::CLASSES];

/// The folder of each dump below `path`. Where dumps do not tell apart by what they say of themselves and by their names, all but the
/// first have a number.
pub(super) fn folders(dumps: &[Named<'_>], path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for dump in dumps {
        let folder = path.join(taken::Taken::of(dump.snapshot.heap()).folders(dump.name));
        let name = folder.file_name().unwrap_or_default().to_os_string();
        let numbered = |number: usize| {
            let mut name = name.clone();
            if number > 1 {
                name.push(format!("-{number}"));
            }
            folder.with_file_name(name)
        };
        let free = (1..).map(numbered).find(|folder| !folders.contains(folder));
        folders.extend(free);
    }
    folders
}

/// Writes the tables of a dump into its folder, which is made with those above it.
///
/// The caller goes through the large tables, group by group, while the other threads work out what the small ones are made of; who is
/// done helps the others. Each of the sums is made once, whichever tables have it.
pub(super) fn write(
    dump: &Named<'_>,
    tables: &Tables,
    confidential: bool,
    path: PathBuf,
    save: Save<'_>,
    control: &Control<'_>,
) -> Result<Vec<Written>> {
    let heap = dump.snapshot.heap();
    DirBuilder::new().mode(0o700).recursive(true).create(&path).map_err(failed(&path))?;
    let folder = Folder { dump, path, save, control };
    let is_wanted = |table: &Table| tables.0.iter().any(|wanted| wanted.name == table.name);
    let wanted: Vec<&Table> = SUMS.into_iter().filter(|table| is_wanted(table) || is_wanted(&schema::DUMP)).collect();
    let sums = Sums::new(*dump, if is_wanted(&schema::STRINGS) { TEXTS } else { KEPT.strings });
    let parts: Vec<Vec<Part>> = tables.0.iter().map(|table| Part::all_of(table, heap)).collect();
    let groups: Vec<&Part> = parts.iter().flatten().collect();

    let source = || dump.snapshot.source_to_tell(confidential);
    let written_names = match is_wanted(&schema::EDGES) {
        true => WrittenNames::read(heap, &source(), control)?,
        false => None,
    };
    let written_names = written_names.as_ref();
    let threads = control.thread_count();
    let (made, next, voted) = (InOrder::new(groups.len(), AHEAD * threads), AtomicUsize::new(0), Voted::default());
    let half = Control { threads: threads.div_ceil(2), ..*control };
    let work_out = || {
        let mut tables = std::iter::from_fn(|| wanted.get(next.fetch_add(1, Ordering::Relaxed)));
        tables.try_for_each(|table| sums.work_out(table, &half))
    };
    let help = || -> Result<()> {
        work_out()?;
        let mut maker = Maker::new(dump, written_names, &voted, &folder.path, control)?;
        made.help(|at| maker.make(groups[at]));
        Ok(())
    };
    let others = || threads::all(vec![&help; threads - 1]).into_iter().collect::<Result<()>>();
    let mut written: Vec<Option<Written>> = vec![None; tables.0.len()];
    let mut large = || {
        let mut maker = Maker::new(dump, written_names, &voted, &folder.path, control)?;
        for ((table, parts), written) in tables.0.iter().zip(&parts).zip(&mut written) {
            if parts.is_empty() {
                continue;
            }
            *written = Some(folder.table(table, &mut |out| {
                let mut groups = parts.iter().map_while(|_| made.next(|at| maker.make(groups[at])));
                groups.try_for_each(|group| out.group(group?))
            })?);
        }
        work_out()
    };
    let (helped, done) = threads::both(threads > 1, others, || {
        let done = large();
        made.close();
        done
    });
    done.and(helped)?;
    let rest = |(table, written): (&&'static Table, Option<Written>)| match written {
        Some(written) => Ok(written),
        None => folder.small(table, &sums, confidential),
    };
    tables.0.iter().zip(written).map(rest).collect()
}

/// Where the files of a dump's tables are written.
struct Folder<'a> {
    dump: &'a Named<'a>,
    path: PathBuf,
    save: Save<'a>,
    control: &'a Control<'a>,
}

impl Folder<'_> {
    /// The file of a table, filled with what says how many rows it wrote.
    fn file(&self, table: &Table, fill: &mut dyn FnMut(&Path, &mut dyn Write) -> Result<u64>) -> Result<Written> {
        self.control.check()?;
        let path = self.path.join(format!("{}.parquet", table.name));
        let (mut links, mut bytes) = (0, 0);
        (self.save)(&path, &mut |out: &mut dyn Write| {
            let mut out = super::Counting { out, bytes: 0 };
            links = fill(&path, &mut out)?;
            bytes = out.bytes;
            Ok(())
        })?;
        let objects = self.dump.snapshot.heap().object_count() as u64;
        Ok(Written { dump: self.dump.name.to_owned(), path, objects, links, bytes, notes: Vec::new() })
    }

    fn table(&self, table: &'static Table, fill: &mut dyn FnMut(&mut Writer<'_>) -> Result<()>) -> Result<Written> {
        self.file(table, &mut |path, out| {
            let mut writer = Writer::new(table, path, out)?;
            fill(&mut writer)?;
            writer.finish()
        })
    }

    fn small(&self, table: &'static Table, sums: &Sums<'_>, confidential: bool) -> Result<Written> {
        let (heap, control) = (self.dump.snapshot.heap(), self.control);
        let rows = match table.name {
            "dump" => {
                let summary = Summary::of_sums(sums, control)?;
                return self.file(table, &mut |path, out| summary.write(path, out).map(|()| 1));
            }
            "roots" => return self.table(table, &mut |out| objects::roots(heap, out, control)),
            "stacks" => return self.table(table, &mut |out| objects::stacks(heap, out, control)),
            "classes" => Cow::Borrowed(sums.classes(control)?),
            "sites" => Cow::Borrowed(sums.sites(control)?),
            "strings" => Cow::Owned(sums.strings(TEXTS, confidential, control)?),
            "suspects" => Cow::Borrowed(sums.suspects(control)?),
            "paths" => Cow::Owned(sums.paths(None, control)?),
            // Of a dump without objects.
            _ => Cow::Borrowed(&[][..]),
        };
        self.table(table, &mut |out| rows.iter().try_for_each(|row| out.row(row.iter().cloned())))
    }
}

/// Writes a dump's summary.
pub(super) fn summarize(dump: &Named<'_>, path: &Path, out: &mut dyn Write, control: &Control<'_>) -> Result<Contents> {
    Summary::of(dump, control)?.write(path, out)?;
    let heap = dump.snapshot.heap();
    Ok(Contents { objects: heap.object_count() as u64, links: objects::links(heap), notes: Vec::new() })
}

#[cfg(test)]
mod tests;
