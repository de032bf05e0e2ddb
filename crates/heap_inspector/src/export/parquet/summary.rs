//! What a fleet keeps of a dump: one row with the small tables in it. It has names of classes, methods, files and gems, and no text of the
//! app's strings; of texts that several strings hold a hash.

use super::columns::{Value, Writer};
use super::schema::{DUMP, Table, VERSION};
use super::sums::Sums;
use super::taken::Taken;
use crate::Result;
use crate::control::Control;
use crate::snapshot::Named;
use std::io::Write;
use std::path::Path;

/// The row of a dump, by the columns and lists of [`DUMP`].
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The columns.
    pub row: Vec<Value>,
    /// The rows of each list.
    pub lists: Vec<Vec<Vec<Value>>>,
}

/// Rows of each table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    suspects: usize,
    paths: usize,
    classes: usize,
    sites: usize,
    gems: usize,
    pub(super) strings: usize,
}

/// Bytes of a file that a summary is at most.
pub const MOST_BYTES: usize = 200_000;
/// What of each table a fleet keeps, unless it is too much.
pub(super) const KEPT: Limits = Limits { suspects: 20, paths: 500, classes: 300, sites: 300, gems: 300, strings: 100 };

impl Summary {
    /// Of a loaded dump.
    ///
    /// # Errors
    /// Those of the analyses that it is made of.
    pub fn of(dump: &Named<'_>, control: &Control<'_>) -> Result<Summary> {
        Summary::of_sums(&Sums::new(*dump, KEPT.strings), control)
    }

    /// Of a dump whose tables may be written as well.
    pub(super) fn of_sums(sums: &Sums<'_>, control: &Control<'_>) -> Result<Summary> {
        let dump = sums.dump();
        let (heap, tree) = (dump.snapshot.heap(), dump.snapshot.tree(control)?);
        let taken = Taken::of(heap);
        let (totals, diagnostics, reachable) = (heap.totals(), heap.diagnostics(), tree.reachable());
        let requests = taken.work.get("requests").copied();
        let number = |number: Option<u64>| number.map_or(Value::None, Value::number);
        let row = vec![
            Value::of(taken.service.as_deref()),
            Value::of(taken.deploy.as_deref()),
            Value::of(taken.host.as_deref()),
            number(taken.pid),
            taken.taken(),
            Value::Number(VERSION),
            Value::text(&format!("heap_inspector {}", env!("CARGO_PKG_VERSION"))),
            Value::text(&taken.process().unwrap_or_else(|| format!("?/{}", super::super::stem(dump.name)))),
            number(taken.worker),
            Value::of(taken.ruby.as_deref()),
            taken.uptime.map_or(Value::None, Value::Real),
            number(requests),
            number(taken.rss),
            Value::number(totals.objects.count),
            Value::number(totals.objects.memsize),
            Value::number(reachable.count),
            Value::number(reachable.memsize),
            Value::number(totals.traced.count),
            Value::Flag(totals.is_redacted()),
            Value::Flag(diagnostics.truncated || diagnostics.lost > 0),
        ];
        let work = taken.work.iter().map(|(unit, count)| vec![Value::text(unit), Value::number(*count)]).collect();
        let roots =
            totals.roots.iter().map(|(name, count)| vec![Value::text(name), Value::number(*count), Value::None]);
        let first = |rows: &[Vec<Value>], count: usize| rows.iter().take(count).cloned().collect();
        let mut lists = vec![
            work,
            first(sums.suspects(control)?, KEPT.suspects),
            sums.paths(Some(KEPT.paths), control)?,
            first(sums.classes(control)?, KEPT.classes),
            first(sums.sites(control)?, KEPT.sites),
            first(sums.gems(control)?, KEPT.gems),
            sums.strings(KEPT.strings, true, control)?,
            roots.collect(),
        ];
        debug_assert_eq!((row.len(), lists.len()), (DUMP.fields.len(), DUMP.lists.len()));
        lists.iter_mut().for_each(|rows| rows.shrink_to_fit());
        Ok(Summary { row, lists })
    }

    /// The value of a column.
    #[must_use]
    pub fn value(&self, column: &str) -> Option<&Value> {
        DUMP.place(column).and_then(|at| self.row.get(at))
    }

    /// Sets the value of a column; of one that there is not nothing.
    pub fn set(&mut self, column: &str, value: Value) {
        if let Some(at) = DUMP.place(column) {
            self.row[at] = value;
        }
    }

    /// The rows of a list; none of one that there is not.
    #[must_use]
    pub fn list_mut(&mut self, table: &Table) -> Option<&mut Vec<Vec<Value>>> {
        let at = DUMP.lists.iter().position(|list| list.name == table.name)?;
        self.lists.get_mut(at)
    }

    /// The bytes of its file: of at most [`MOST_BYTES`], for which the longest lists are cut.
    ///
    /// # Errors
    /// Those of the encoder, which are the library's.
    pub fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let mut lists = self.lists.clone();
        loop {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&DUMP, path, &mut bytes)?;
            writer.row_with_lists(self.row.clone(), lists.clone())?;
            writer.finish()?;
            let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
            if bytes.len() <= MOST_BYTES || longest == 0 {
                return Ok(bytes);
            }
            lists.iter_mut().for_each(|rows| rows.truncate(longest / 2));
        }
    }

    /// Writes its file.
    ///
    /// # Errors
    /// Those of [`Summary::bytes`] and of writing.
    pub fn write(&self, path: &Path, out: &mut dyn Write) -> Result<()> {
        let bytes = self.bytes(path)?;
        out.write_all(&bytes).map_err(super::super::failed(path))
    }
}
