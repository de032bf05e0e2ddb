//! This process's memory as a file: what is gone meanwhile is an error, not a fault. By `process_vm_readv` it would be read as well, and
//! each page that is shared with a parent would be copied for it from Linux 5.19 on.

use super::maps::{Area, PAGE};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// An open `/proc/self/mem`; none where the kernel refuses it, and then nothing can be read.
pub(super) struct Own(Option<File>);

impl Own {
    pub(super) fn open() -> Own {
        Own(File::open("/proc/self/mem").ok())
    }

    /// Fills `into` from an address in a mapping. What is not resident is not read: reading would make it so.
    pub(super) fn read(&self, area: &Area, address: u64, into: &mut [u8]) -> bool {
        let end = address + into.len() as u64;
        let (first, last) = (address & !(PAGE - 1), end.next_multiple_of(PAGE));
        let is_there = area.start <= address && end <= area.end && area.resident_in(first, last) == last - first;
        is_there && self.0.as_ref().is_some_and(|file| file.read_exact_at(into, address).is_ok())
    }

    pub(super) fn words<const N: usize>(&self, area: &Area, address: u64) -> Option<[u64; N]> {
        let mut bytes = [[0; 8]; N];
        self.read(area, address, bytes.as_flattened_mut()).then(|| bytes.map(u64::from_ne_bytes))
    }
}
