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
    /// What `each` returns; or if `source`, which must be the one the heap was loaded from, cannot be read again, or holds something else now.
    pub fn records(
        &self,
        source: &Source,
        ids: &[NodeId],
        mut each: impl FnMut(NodeId, &Record<'_>, &[u8]) -> Result<()>,
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
                    Repair::Normalized(line) | Repair::Repaired(line) => line,
                    Repair::Lost(_) => return Ok(()),
                },
            };
            if !repaired.is_empty() && scanner.scan(&repaired, &mut record, &mut references).is_none() {
                return Ok(());
            }
            if record.address != Some(self.address(ids[at])) {
                return Ok(());
            }
            taken += 1;
            each(ids[at], &record, line)
        })?;
        if taken < ids.len() {
            return Err(changed(source));
        }
        Ok(())
    }
}

/// What there is to say where not all objects are found in the source of a heap again.
pub(crate) fn changed(source: &Source) -> Error {
    Error::format(format!("{} is not what it was when it was loaded; load it again", source.name()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use std::io::Write;

    #[test]
    fn reads_many_at_a_stretch_what_it_reads_alone() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 1..=2_000 {
            let (address, value) = (number * 40, "x".repeat(number % 300));
            writeln!(file, r#"{{"address":"0x{address:x}", "type":"STRING", "value":"{value}", "memsize":40}}"#)
                .unwrap();
        }
        let source = Source::path(file.path());
        let heap = Heap::load(&source, &Default::default()).unwrap();
        let read = |ids: &[NodeId]| {
            let mut lines = Vec::new();
            heap.records(&source, ids, |id, _, line| {
                lines.push((id, line.to_vec()));
                Ok(())
            })
            .unwrap();
            lines
        };
        let all: Vec<NodeId> = heap.nodes().collect();
        let together = read(&all);
        let alone: Vec<_> = all.iter().flat_map(|id| read(&[*id])).collect();
        assert_eq!(together.len(), 2_000);
        assert_eq!(together, alone);
    }
}
