//! Dumps as tables in Parquet files, for DuckDB, Spark and all that reads these: a folder a dump, a file a table; and a summary of a dump as
//! one file of one row. `schema` says what is in them.
//!
//! The large tables are written as the heap is gone through, in groups of 131,072 rows, so beside the heap memory is for one group.

use super::{Contents, Save, Written, failed};
use crate::control::Control;
use crate::snapshot::Named;
use crate::{Error, Result};
use columns::Writer;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::str::FromStr;

pub mod columns;
mod objects;
pub mod schema;
mod summary;
mod sums;
mod taken;

use schema::{TABLES, Table};
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
        Ok(Tables(names.split(',').map(|name| table(name.trim())).collect::<Result<_>>()?))
    }
}

/// Texts that the table of strings has at most, those that waste the most.
const TEXTS: usize = 100_000;
/// Suspects that their table has at most.
const SUSPECTS: usize = 100;

/// Writes the tables of a dump into its folder below `path`, which is made with those above it.
pub(super) fn write(
    dump: &Named<'_>,
    tables: &Tables,
    confidential: bool,
    path: &Path,
    save: Save<'_>,
    control: &Control<'_>,
) -> Result<Vec<Written>> {
    let folder = path.join(taken::Taken::of(dump.snapshot.heap()).folders(dump.name));
    DirBuilder::new().mode(0o700).recursive(true).create(&folder).map_err(failed(&folder))?;
    let mut written = Vec::new();
    for table in &tables.0 {
        control.check()?;
        let path = folder.join(format!("{}.parquet", table.name));
        let (mut rows, mut bytes) = (0, 0);
        save(&path, &mut |out: &mut dyn Write| {
            let mut out = super::Counting { out, bytes: 0 };
            rows = if table.name == schema::DUMP.name {
                Summary::of(dump, control)?.write(&path, &mut out)?;
                1
            } else {
                let mut writer = Writer::new(table, &path, &mut out)?;
                fill(dump, table, confidential, &mut writer, control)?;
                writer.finish()?
            };
            bytes = out.bytes;
            Ok(())
        })?;
        let objects = dump.snapshot.heap().object_count() as u64;
        written.push(Written { dump: dump.name.to_owned(), path, objects, links: rows, bytes, notes: Vec::new() });
    }
    Ok(written)
}

fn fill(
    dump: &Named<'_>,
    table: &Table,
    confidential: bool,
    out: &mut Writer<'_>,
    control: &Control<'_>,
) -> Result<()> {
    let heap = dump.snapshot.heap();
    let rows = match table.name {
        "objects" => return objects::objects(dump, out, control),
        "edges" => return objects::edges(dump, out, control),
        "roots" => return objects::roots(heap, out, control),
        "stacks" => return objects::stacks(heap, out, control),
        "classes" => sums::classes(dump, None, control)?,
        "sites" => sums::sites(dump, None, control)?,
        "strings" => sums::strings(dump, TEXTS, confidential, control)?,
        "suspects" => sums::suspects(dump, SUSPECTS, control)?,
        _ => sums::paths(dump, None, control)?,
    };
    rows.into_iter().try_for_each(|row| out.row(row))
}

/// Writes a dump's summary.
pub(super) fn summarize(dump: &Named<'_>, path: &Path, out: &mut dyn Write, control: &Control<'_>) -> Result<Contents> {
    Summary::of(dump, control)?.write(path, out)?;
    let heap = dump.snapshot.heap();
    Ok(Contents { objects: heap.object_count() as u64, links: objects::links(heap), notes: Vec::new() })
}

#[cfg(test)]
mod tests;
