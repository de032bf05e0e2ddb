//! The lines of a loaded heap's objects, read again: the columns hold no texts.
//!
//! Costs a read for each object where the dump is a plain file, a pass up to the last one where it is compressed.

use super::{Heap, NodeId};
use crate::record::Record;
use crate::record::repair::{Repair, repair};
use crate::record::scan::Scanner;
use crate::source::Source;
use crate::{Error, Result};

impl Heap {
    /// Hands over the records of `ids` and their lines as they stand in the dump, in the order of the dump.
    ///
    /// # Errors
    /// If `source`, which must be the one the heap was loaded from, cannot be read again, or holds something else now.
    pub fn records(
        &self,
        source: &Source,
        ids: &[NodeId],
        mut each: impl FnMut(NodeId, &Record<'_>, &[u8]),
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let offsets: Vec<u64> = ids.iter().map(|id| self.offset(*id)).collect();
        let (mut scanner, mut references, mut taken) = (Scanner::default(), Vec::new(), 0);
        source.open()?.pick(&offsets, |at, line| {
            let mut record = Record::default();
            references.clear();
            let repaired = match scanner.scan(line, &mut record, &mut references) {
                Some(_) => Vec::new(),
                None => match repair(line) {
                    Repair::Dressed(line) | Repair::Mended(line) => line,
                    Repair::Lost(_) => return,
                },
            };
            if !repaired.is_empty() && scanner.scan(&repaired, &mut record, &mut references).is_none() {
                return;
            }
            if record.address == Some(self.address(ids[at])) {
                taken += 1;
                each(ids[at], &record, line);
            }
        })?;
        if taken < ids.len() {
            return Err(Error::format(format!(
                "{} is not what it was when it was loaded; load it again",
                source.name()
            )));
        }
        Ok(())
    }
}
