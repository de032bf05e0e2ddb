//! This process's memory as a file: what is gone meanwhile is an error, not a fault. Where the file is not ours to read, as in a process
//! that was root and became somebody else, it is read by `process_vm_readv`, for which each page that is shared with a parent is copied from
//! Linux 5.19 on.

use super::maps::{Area, PAGE};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How it is read.
pub(super) enum Own {
    /// By an open `/proc/self/mem`.
    File(File),
    /// By calls.
    Calls,
    /// Not at all: the kernel refuses both.
    Closed,
}

impl Own {
    pub(super) fn open() -> Own {
        if let Ok(file) = File::open("/proc/self/mem") {
            return Own::File(file);
        }
        let known = 0x5eed_u64;
        let mut seen = [0; 8];
        let is_open = call(std::ptr::from_ref(&known) as u64, &mut seen) && seen == known.to_ne_bytes();
        if is_open { Own::Calls } else { Own::Closed }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Own::Closed)
    }

    /// Fills `into` from an address in a mapping. What is not resident is not read: reading would make it so.
    pub(super) fn read(&self, area: &Area, address: u64, into: &mut [u8]) -> bool {
        let end = address + into.len() as u64;
        let (first, last) = (address & !(PAGE - 1), end.next_multiple_of(PAGE));
        let is_there = area.start <= address && end <= area.end && area.resident_in(first, last) == last - first;
        is_there
            && match self {
                Own::File(file) => file.read_exact_at(into, address).is_ok(),
                Own::Calls => call(address, into),
                Own::Closed => false,
            }
    }

    pub(super) fn words<const N: usize>(&self, area: &Area, address: u64) -> Option<[u64; N]> {
        let mut bytes = [[0; 8]; N];
        self.read(area, address, bytes.as_flattened_mut()).then(|| bytes.map(u64::from_ne_bytes))
    }
}

/// Reads by the system call; whether all of it was there.
#[cfg(target_os = "linux")]
fn call(address: u64, into: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the kernel writes into a slice that is ours alone; of addresses that are not mapped it says so.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).is_ok_and(|read| read == into.len())
}

#[cfg(not(target_os = "linux"))]
fn call(_: u64, _: &mut [u8]) -> bool {
    false
}
